//! One shard: a thread with an engine of its own, and everything that belongs to its clients.

mod coalescing;
pub(super) mod control;
mod datagrams;
mod deferred;
pub(super) mod event_loop;
pub(super) mod mailbox;
pub(super) mod relayed_sockets;
mod streams;
mod tcp_peers;
