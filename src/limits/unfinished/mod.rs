//! Bounds the messages that clients begin to send and do not finish: WebSocket messages, and the bodies of requests.
//!
//! - **Owner** of the count of such bytes, for each client and in total (`table`).
//! - **Inputs**: the reader of a stream calls [`IncomingMessages::poll_ready`] before each read, [`IncomingMessages::note`] after
//!   it, and [`IncomingMessages::poll_late`] when no bytes have arrived.
//! - **Outputs**: whether to read on, to wait, or to give the message up ([`UnfinishedError`]); [`UnfinishedCounts`].
//!
//! Invariants:
//! - A client beyond its share is not refused but waits: only its oldest message is read, and the bytes of the others stay with
//!   the client. So many users behind one address complete their messages in turn. Small messages (a few KiB) never wait, so that
//!   the large messages of one user don't delay the small ones of a neighbour.
//! - Beyond the total bound the messages of the clients that hold most are given up. Their bytes count until they are dropped,
//!   and as long as these are too many, large messages are not read.
//! - A message that does not wait has ten seconds from its last byte. From its first byte it has ten seconds, and one more for
//!   each 16 KiB (`message_time`).
//!
//! ```
//! use castway::limits::unfinished::UnfinishedMessages;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let unfinished = UnfinishedMessages::default();
//! let mut incoming = unfinished.incoming("192.0.2.1".parse().unwrap());
//! incoming.note(Some(100_000));
//! assert_eq!(unfinished.counts().bytes, 100_000);
//! incoming.note(None);
//! assert_eq!(unfinished.counts().bytes, 0);
//! # });
//! ```

mod message_time;
mod messages;
mod table;

pub use messages::{IncomingMessages, UnfinishedCounts, UnfinishedError, UnfinishedMessages};
