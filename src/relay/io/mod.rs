//! Sockets without waiting: datagrams in batches, what they came in and what is to be sent, and one epoll instance a shard.

pub mod inbox;
pub mod outbox;
pub mod poll;
pub(in crate::relay) mod source;
pub mod udp;
