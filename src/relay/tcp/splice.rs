//! Passes bytes between a client's stream and its peer (RFC 6062 §5.4, §5.5).
//!
//! Owner: the [`PeerConnections`](super::peer_connections::PeerConnections) of a shard. Input: [`Splice::pump`] when either side
//! is ready, or when a rate limit allows reading again. Output: bytes to the other side, and whether the splice is still open.
//!
//! Invariants:
//! - At most one read waits for a side that does not take it yet. Until that is gone, nothing more is read from the other side,
//!   so that TCP slows the sender down. No byte is dropped.
//! - The end of one side is passed on when all bytes before it are written. Both ends, or an error of either, end the splice.
//! - A side that is neither to be read nor written is not polled, because epoll would keep reporting its end.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use crate::limits::descriptors::Descriptor;
use crate::relay::io::poll::{Interest, Poller};
use crate::relay::tcp::connection::NonBlockingConnection;
use crate::turn::Direction;

/// A client's connection and its peer's.
#[derive(Debug)]
pub(super) struct Splice {
    pub(super) client: SpliceSide,
    pub(super) peer: SpliceSide,
    pub(super) _descriptors: [Descriptor; 2],
}

/// One connection, and the bytes that it has not taken yet.
#[derive(Debug)]
pub(super) struct SpliceSide {
    connection: NonBlockingConnection,
    queue: Vec<u8>,
    written_of_queue: usize,
    /// The connection has sent everything.
    has_ended: bool,
    /// The end of the other side was passed on to this one.
    was_finished: bool,
    /// The connection is not to be read before this time, because of the rate limits.
    pub(super) resume: Option<Instant>,
    polled: Option<Interest>,
}

impl Splice {
    /// Makes all progress that is possible now. Returns false where both sides have ended. `carried` is called before each read
    /// with 0 and after it with its length, and returns until when that direction must pause.
    pub(super) fn pump(
        &mut self,
        buffer: &mut [u8],
        now: Instant,
        mut carried: impl FnMut(Direction, usize) -> Option<Instant>,
    ) -> io::Result<bool> {
        self.client.pass(&mut self.peer, buffer, now, |len| carried(Direction::ToPeer, len))?;
        self.peer.pass(&mut self.client, buffer, now, |len| carried(Direction::ToClient, len))?;
        Ok(!(self.client.was_finished && self.peer.was_finished))
    }

    /// Polls each side for exactly the events that would allow progress.
    pub(super) fn update_interest(&mut self, poller: &Poller, token: u64, now: Instant) -> io::Result<()> {
        let reads = [self.client.may_be_read(&self.peer, now), self.peer.may_be_read(&self.client, now)];
        for (side, read) in [&mut self.client, &mut self.peer].into_iter().zip(reads) {
            let interest = match (read, !side.has_taken_all()) {
                (true, true) => Some(Interest::ReadWrite),
                (true, false) => Some(Interest::Read),
                (false, true) => Some(Interest::Write),
                (false, false) => None,
            };
            match (side.polled, interest) {
                (before, now) if before == now => {}
                (None, Some(interest)) => poller.add(side.connection.as_fd(), token, interest)?,
                (Some(_), Some(interest)) => poller.modify(side.connection.as_fd(), token, interest)?,
                (Some(_), None) => poller.remove(side.connection.as_fd())?,
                (None, None) => {}
            }
            side.polled = interest;
        }
        Ok(())
    }
}

impl SpliceSide {
    pub(super) const fn new(connection: NonBlockingConnection, queue: Vec<u8>) -> Self {
        Self { connection, queue, written_of_queue: 0, has_ended: false, was_finished: false, resume: None, polled: None }
    }

    fn has_taken_all(&self) -> bool {
        self.queue.is_empty() && !self.connection.has_unwritten_tls()
    }

    /// Whether this side is to be read now, for `to`.
    fn may_be_read(&self, to: &Self, now: Instant) -> bool {
        !self.has_ended && to.has_taken_all() && self.resume.is_none_or(|at| at <= now)
    }

    /// Passes on as many bytes to the other side as is possible now.
    fn pass(
        &mut self,
        to: &mut Self,
        buffer: &mut [u8],
        now: Instant,
        mut carried: impl FnMut(usize) -> Option<Instant>,
    ) -> io::Result<()> {
        to.flush()?;
        if self.may_be_read(to, now) {
            // The limit may be used up by other connections; otherwise each new connection would get its first read for free.
            self.resume = carried(0);
        }
        if self.may_be_read(to, now) {
            match self.connection.read(buffer) {
                Ok(0) => self.has_ended = true,
                Ok(len) => {
                    self.resume = carried(len);
                    let taken = to.connection.write(&buffer[..len]).or_else(none_if_blocked)?;
                    to.queue.extend_from_slice(&buffer[taken..len]);
                    self.has_ended = self.connection.has_ended();
                }
                Err(error) => {
                    none_if_blocked(error)?;
                }
            }
        }
        if self.has_ended && to.has_taken_all() && !to.was_finished {
            to.connection.finish()?;
            to.was_finished = true;
        }
        Ok(())
    }

    /// Writes the waiting bytes, as far as the connection takes them.
    fn flush(&mut self) -> io::Result<()> {
        while self.written_of_queue < self.queue.len() || self.connection.has_unwritten_tls() {
            match self.connection.write(&self.queue[self.written_of_queue..]) {
                Ok(0) if self.written_of_queue < self.queue.len() => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.written_of_queue += len,
                Err(error) => return none_if_blocked(error).map(|_| ()),
            }
        }
        // An idle connection keeps no buffer.
        self.queue = Vec::new();
        self.written_of_queue = 0;
        Ok(())
    }
}

/// Zero bytes where the call would only have blocked; epoll reports when it would not.
fn none_if_blocked(error: io::Error) -> io::Result<usize> {
    let harmless = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
    if harmless { Ok(0) } else { Err(error) }
}
