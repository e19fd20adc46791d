//! TCP and TLS: streams of clients, and connections with the peers of TCP allocations (RFC 6062).
//!
//! - Owner: a shard.
//! - Inputs: accepted connections, readiness, and the messages that the engine sends to a client.
//! - Outputs: frames for the engine, and bytes to clients and peers.
//! - Invariants: no call blocks. Each queue is bounded in bytes, and so are the queues of all clients together.
//!
//! [`acceptor`] accepts → [`accepted_connection`] carries a connection to its shard → [`client_stream`] holds one client's bytes,
//! over a [`connection`] (TCP or TLS) → [`client_streams`] is the shard's table of them. After a ConnectionBind the connection
//! belongs to a [`splice`], which passes bytes between the client and its peer; [`peer_connections`] is the shard's table of
//! peers. [`buffer_usage`] counts what all clients' streams hold together.
//!
//! Errors are `io::Error`s of the socket calls, `WouldBlock` among them; any other one ends that connection alone.

pub(in crate::relay) mod accepted_connection;
pub(in crate::relay) mod acceptor;
pub(in crate::relay) mod buffer_usage;
pub(in crate::relay) mod client_stream;
pub(in crate::relay) mod client_streams;
pub(in crate::relay) mod connection;
pub(in crate::relay) mod peer_connections;
mod splice;

#[cfg(test)]
mod connection_tests;
