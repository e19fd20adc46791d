//! Sockets that never block: datagrams in batches, the memory they lie in, and one epoll instance a shard.
//!
//! A **train** is a number of equally long datagrams with the same addresses that pass through the kernel as one message: joined
//! on the way in (UDP_GRO), split on the way out (UDP_SEGMENT). One datagram of it is a **segment**.
//!
//! The way of a datagram: [`poll`] reports a socket → [`inbox`] receives a batch from it ([`udp`], recvmmsg) into its [`arena`] →
//! the shard asks its engine for a verdict on each segment → [`outbox`] gathers what is to be sent in a `train_queue` →
//! `train_sender` sends it ([`udp`], sendmmsg) → the next batch overwrites the arena.
//!
//! ```no_run
//! use castway::relay::io::inbox::Inbox;
//! use castway::relay::io::outbox::Outbox;
//! use castway::relay::io::packet_route::PacketRoute;
//! use castway::relay::io::poll::{Interest, Poller};
//! use castway::relay::io::udp::BatchUdpSocket;
//! use castway::relay::io::udp_types::UdpOptions;
//!
//! # fn main() -> std::io::Result<()> {
//! const TOKEN: u64 = 0;
//! let socket = BatchUdpSocket::bind(([127, 0, 0, 1], 0).into(), &UdpOptions::relayed())?;
//! let (mut poller, mut inbox, mut outbox) = (Poller::new()?, Inbox::new(), Outbox::new());
//! poller.add(&socket, TOKEN, Interest::Datagrams)?;
//! loop {
//!     poller.wait(None)?;
//!     inbox.receive(&socket)?;
//!     if inbox.is_full() {
//!         // The edge of what is left in the socket is not reported again.
//!         poller.repeat(TOKEN);
//!     }
//!     // Sends everything back.
//!     for datagram in inbox.datagrams() {
//!         let route = PacketRoute { socket: TOKEN, to: datagram.from, from: None, dont_fragment: false };
//!         datagram.segments().for_each(|segment| outbox.push_payload(route, segment, 0..segment.len()));
//!     }
//!     outbox.flush(&inbox, |_token| Some(&socket), |failure| eprintln!("not sent: {}", failure.error));
//! }
//! # }
//! ```
//!
//! Errors: `io::Error` throughout, with the system call's own error, because the callers decide by its kind. A packet that was
//! not sent is a [`packet_route::SendFailure`], which is counted and is no error of the flush.
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
