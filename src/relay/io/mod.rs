//! Sockets that never block: datagrams in batches, the memory they lie in, and one epoll instance a shard.
//!
//! A **train** is a number of equally long datagrams with the same addresses that pass through the kernel as one message: joined on the
//! way in (UDP_GRO), split on the way out (UDP_SEGMENT). One datagram of it is a **segment**.
//!
//! The way of a datagram: [`poll`] reports a socket → [`inbox`] receives a batch from it ([`udp`], recvmmsg) into its [`arena`] → the
//! shard asks its engine for a verdict on each segment → [`outbox`] gathers what is to be sent in a `train_queue` →
//! `train_sender` sends it ([`udp`], sendmmsg) → the next batch overwrites the arena.
//!
//! Errors: `io::Error` throughout, with the system call's own error, because the callers decide by its kind. A packet that was not
//! sent is a [`packet_route::SendFailure`], which is counted and is no error of the flush.
//!
//! Invariant: nothing here allocates for a packet once the buffers have grown, and all `unsafe` is in [`udp`].

pub mod arena;
pub mod inbox;
pub mod outbox;
pub mod packet_route;
pub mod poll;
pub(in crate::relay) mod poll_source;
mod train_queue;
mod train_sender;
pub mod udp;
pub mod udp_types;

#[cfg(test)]
mod udp_tests;
