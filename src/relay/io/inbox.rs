//! Receives the datagrams of all sockets of a shard, one batch at a time.
//!
//! Owner: a shard. Input: [`Inbox::receive`], one recvmmsg(2). Output: [`Inbox::datagrams`] and their bytes, which stay where
//! they were received (`ReceiveArena`). Invariant: a batch is judged, sent and forgotten before the next one is received.

use std::io;

use crate::relay::io::arena::{Datagram, ReceiveArena, Segment};
use crate::relay::io::udp::{BatchUdpSocket, ReceiveState};

/// Datagrams that one receive can bring. A larger number was no faster in measurements, because trains arrive joined.
pub const MAX_BATCH_DATAGRAMS: usize = 32;

/// One batch of received datagrams and their bytes.
pub struct Inbox {
    pub(in crate::relay) arena: ReceiveArena,
    state: ReceiveState,
}

impl Inbox {
    /// For up to [`MAX_BATCH_DATAGRAMS`] datagrams a receive.
    #[must_use]
    pub fn new() -> Self {
        Self::with_slots(MAX_BATCH_DATAGRAMS)
    }

    /// For up to `slots` datagrams a receive.
    #[must_use]
    pub fn with_slots(slots: usize) -> Self {
        Self { arena: ReceiveArena::with_slots(slots), state: ReceiveState::default() }
    }

    /// Receives the datagrams that wait in the socket, up to the number of slots, in one system call. Returns their number; 0
    /// where none waited.
    ///
    /// # Errors
    /// Only errors of the socket itself. Errors that belong to an earlier send are skipped, because they must not hide datagrams
    /// that have arrived.
    pub fn receive(&mut self, socket: &BatchUdpSocket) -> io::Result<usize> {
        socket.receive_batch(&mut self.arena, &mut self.state)
    }

    /// The datagrams of the last receive, in order.
    #[must_use]
    #[inline]
    pub fn datagrams(&self) -> &[Datagram] {
        &self.arena.datagrams
    }

    /// Whether the last receive filled every slot, so that the socket may hold more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.arena.is_full()
    }

    /// The bytes of a segment of the last receive.
    #[must_use]
    #[inline]
    pub fn bytes(&self, segment: Segment) -> &[u8] {
        self.arena.segment(segment)
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}
