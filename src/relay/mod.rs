//! The TURN relay: the sockets and threads around [`crate::turn`], whose engine decides what happens to each packet.
//!
//! **Owner.** [`start()`] returns a [`Relay`]. It owns a thread for each shard; a shard owns its sockets and its
//! [`crate::turn::Engine`], and shares only counters, limits and mailboxes with other threads.
//!
//! **Inputs.** Datagrams and connections of clients and peers; connections that another listener accepted ([`StreamIntake`]);
//! changes of users and addresses, which a watcher thread sends to the shards' mailboxes.
//!
//! **Outputs.** Datagrams and bytes to clients and peers; [`RelayStats`]; connections that the ingress serves ([`IngressForwarding`]).
//!
//! **The way of a packet.** `shard::event_loop` waits for sockets → `shard::receive` takes one batch from a socket (`io::inbox`)
//! → the engine gives a verdict on each datagram → `shard::datagrams` puts the payload or the reply into `io::outbox` → at the
//! end of the batch the outbox is flushed, and `shard::outputs` carries out the engine's other outputs. A client's TCP or TLS
//! stream takes the same way from `shard::streams`, in frames; what a turn has for it is written at the end of the turn.
//!
//! **Where things are.** `setup`: from settings to bound sockets. `shard`: one thread's loop. `io`: datagrams. `tcp`: streams.
//! `stats`: counters. `refusals`: the operator's log. `admission`: what may be open. `watcher`: changes from outside. `live_allocations`: lists for an
//! operator. `address_check`: for `/readyz`.
//!
//! # Invariants
//! - No packet waits for tokio, for a lock or for another shard: the kernel keeps each client with one shard (SO_REUSEPORT). The
//!   exception is a packet between clients of two shards whose receiver uses a stream (`shard::packet_queue`).
//! - An error of one send or of one socket ends only that send or that allocation.
//! - A shard that failed starts again; the failure is counted and logged, and the shard's ports and quota are given back.
//! - Every queue is bounded: a batch, a stream's queue, streams without an allocation, and in bytes what clients cause one shard
//!   to hand over to another (`shard::mailbox`).
//! - The number of open descriptors stays within the pools that the process gave (`admission`): beyond them an Allocate gets
//!   508, and a new connection displaces one without an allocation.
//! - A socket whose receive failed is read again; a shard whose turn does not end is reported ([`StatsReader::stalled_shards`]).
//!
//! # Errors
//! Starting fails with an `anyhow` sentence that names the setting to change. Socket calls return `io::Error`, because their
//! callers decide by its kind. A request that the engine refuses is answered, and is no error here.

mod address_check;
mod admission;
mod handle;
mod ingress_forwarding;
mod intake;
pub mod io;
mod live_allocations;
mod refusals;
mod setup;
mod shard;
mod start;
pub mod stats;
mod tcp;
mod users;
mod watcher;

pub use address_check::AddressCheck;
pub use handle::Relay;
pub use ingress_forwarding::{ForwardedConnection, IngressForwarding};
pub use intake::StreamIntake;
pub use live_allocations::{AllocationList, LiveAllocations};
pub use refusals::RefusalReports;
pub use setup::relayed_addresses::bind_addresses;
pub use start::{check_ports, start};
pub use stats::{RelayStats, StatsReader};
pub use tcp::accepted_connection::AcceptedConnection;
pub use tcp::acceptor::listening_socket;
pub use tcp::connection::NonBlockingConnection;
pub use users::RelayUsers;
