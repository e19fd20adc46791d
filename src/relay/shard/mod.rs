//! One shard: a thread with an engine of its own, and everything that belongs to its clients. Shards share only counters and
//! limits.
//!
//! **Owner** of its sockets, its streams and its [`Engine`](crate::turn::Engine). **Inputs**: readiness of sockets, due times,
//! and messages from its [`mailbox`]. **Outputs**: datagrams, bytes of streams, counters, and messages to other shards.
//!
//! One turn of the [`event_loop`]: wait → messages ([`control`]) → at most **one** batch of each clients' socket ([`receive`]),
//! so that the relayed sockets do not starve → one batch of each relayed socket, one read of each stream ([`streams`]; a new one
//! may go to the ingress, [`first_byte`]) and of each connection with a peer ([`tcp_peers`]) that is ready → the work that is
//! due. Each batch is judged and its datagrams are sent ([`datagrams`]) before the next one is received, and the engine's outputs
//! ([`outputs`]) follow it. A stream gets what all of them have for it in one write before the work that is due. A list of the
//! allocations is made in parts, one a turn ([`listing`]), and so is whatever else visits all of them ([`table_parts`],
//! [`table_walk`]). What is seen of clients that somebody watches is noted on the way ([`witness`]).
//!
//! Invariant: a panic ends the shard's allocations and nothing else. [`event_loop::run`] gives their ports and quota back and
//! goes on with a fresh engine on the same sockets of clients, so that no other shard's clients are moved.

mod coalescing;
pub(super) mod context;
mod control;
mod cpu_share;
mod datagrams;
mod deferred_requests;
pub(super) mod event_loop;
mod first_byte;
mod listing;
pub(super) mod mailbox;
pub(super) mod operator_requests;
mod outputs;
pub(super) mod packet_queue;
mod receive;
mod relayed_sockets;
mod state;
mod streams;
mod table_parts;
mod table_walk;
mod tcp_peers;
mod witness;
