//! Connections over TCP: accepting them, what they carry, and what waits in them; those of clients and those of TCP peers (RFC 6062).

pub(in crate::relay) mod acceptor;
pub(in crate::relay) mod held_bytes;
pub(in crate::relay) mod splice;
pub(in crate::relay) mod stream;
pub(in crate::relay) mod stream_table;
pub(in crate::relay) mod wire;
