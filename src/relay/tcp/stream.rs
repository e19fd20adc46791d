//! One client's connection: bytes in, bytes out, with bounds on what waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::limits::descriptors::Descriptor;
use crate::relay::admission::Stranger;
use crate::relay::tcp::held_bytes::Held;
use crate::relay::tcp::wire::Wire;
use crate::turn::FiveTuple;

/// The most that a read brings.
pub(in crate::relay) const READ: usize = 64 * 1024;
/// The most that waits to be written: a tenth of a second of a fast cast. Media beyond it is dropped, as by any network.
const QUEUE: usize = 256 * 1024;
/// The same where all clients together hold too much, and the most that may wait to become a whole message then.
const LITTLE: usize = 16 * 1024;
/// Within so long, a client that keeps us waiting must have taken [`TRICKLE`] bytes.
const PATIENCE: Duration = Duration::from_secs(10);
const TRICKLE: u64 = 16 * 1024;
/// The most that may wait to become a whole message before there is an allocation.
const UNPROVEN: usize = 4 * 1024;

#[derive(Debug)]
pub(in crate::relay) struct Stream {
    pub(in crate::relay) tuple: FiveTuple,
    /// Until it has an allocation, or else it is closed then.
    pub(in crate::relay) deadline: Instant,
    /// While it has never had one.
    pub(in crate::relay) stranger: Option<Stranger>,
    asked: bool,
    /// It is on the list of those to flush.
    pub(in crate::relay) dirty: bool,
    /// What epoll was asked for last.
    pub(in crate::relay) writes: bool,
    wire: Wire,
    partial: Vec<u8>,
    queue: Vec<u8>,
    held: Held,
    /// How much of `queue` has been written.
    start: usize,
    written: u64,
    /// Since when the client keeps us waiting, and what had been written then.
    blocked: Option<(Instant, u64)>,
    descriptor: Descriptor,
}

impl Stream {
    pub(in crate::relay) const fn new(
        tuple: FiveTuple,
        wire: Wire,
        stranger: Stranger,
        descriptor: Descriptor,
        held: Held,
        deadline: Instant,
    ) -> Self {
        Self {
            tuple,
            deadline,
            stranger: Some(stranger),
            asked: false,
            dirty: false,
            writes: false,
            wire,
            partial: Vec::new(),
            queue: Vec::new(),
            held,
            start: 0,
            written: 0,
            blocked: None,
            descriptor,
        }
    }

    /// Reads what is there behind what was kept, once. Returns how much of `buffer` is filled; `None` at the end.
    ///
    /// # Errors
    /// Of read(2); `WouldBlock` among them.
    pub(in crate::relay) fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let kept = self.partial.len();
        if buffer.len() < kept + READ {
            buffer.resize(kept + READ, 0);
        }
        buffer[..kept].copy_from_slice(&self.partial);
        let len = self.wire.read(&mut buffer[kept..kept + READ])?;
        Ok((len > 0).then_some(kept + len))
    }

    /// Keeps the beginning of a message.
    pub(in crate::relay) fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
        self.count();
    }

    fn count(&mut self) {
        self.held.set(self.queue.capacity() + self.partial.capacity());
    }

    /// Whether what is kept is too much where all hold too much, or begins nothing that a stranger may send: it is too long, or ChannelData,
    /// which needs an allocation first and looks like the first letters of other protocols. `allocated` tells whether a client has an
    /// allocation.
    pub(in crate::relay) fn keeps_too_much(&mut self, allocated: impl FnOnce(&FiveTuple) -> bool) -> bool {
        if self.partial.len() > LITTLE && self.held.is_too_much() {
            return true;
        }
        let too_much = self.partial.len() > UNPROVEN || self.partial.first().is_some_and(|first| *first >= 0x40);
        if too_much && self.stranger.is_some() && allocated(&self.tuple) {
            self.stranger = None;
        }
        too_much && self.stranger.is_some()
    }

    /// A request of it was answered: it is about to prove itself.
    pub(in crate::relay) fn asked(&mut self) {
        if !std::mem::replace(&mut self.asked, true)
            && let Some(stranger) = &self.stranger
        {
            stranger.asked();
        }
    }

    /// Bytes that it holds.
    pub(in crate::relay) fn waiting(&self) -> usize {
        self.partial.len() + self.queue.len()
    }

    /// Takes back what was kept.
    pub(in crate::relay) fn take_kept(&mut self) -> Vec<u8> {
        let partial = std::mem::take(&mut self.partial);
        self.count();
        partial
    }

    /// For another use: the connection, what is still to be written, and what was read and kept.
    pub(in crate::relay) fn into_parts(mut self) -> (Wire, Descriptor, Vec<u8>, Vec<u8>) {
        self.queue.drain(..self.start);
        (self.wire, self.descriptor, self.queue, self.partial)
    }

    /// Queues a whole message, or nothing where there is no room.
    pub(in crate::relay) fn push(&mut self, parts: &[&[u8]], padding: usize) -> bool {
        let len: usize = parts.iter().map(|part| part.len()).sum::<usize>() + padding;
        let most = if self.held.is_too_much() { LITTLE } else { QUEUE };
        if self.queue.len() - self.start + len > most {
            return false;
        }
        parts.iter().for_each(|part| self.queue.extend_from_slice(part));
        self.queue.resize(self.queue.len() + padding, 0);
        self.count();
        true
    }

    /// Writes what waits, as far as the client takes it; whether all is written.
    ///
    /// # Errors
    /// Of write(2); the connection is gone then.
    pub(in crate::relay) fn flush(&mut self, now: Instant) -> io::Result<bool> {
        while self.start < self.queue.len() || self.wire.holds_back() {
            match self.wire.write_messages(&self.queue[self.start..]) {
                Ok(0) if self.start < self.queue.len() => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    self.start += len;
                    self.written += len as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked.get_or_insert((now, self.written));
                    self.queue.drain(..self.start);
                    self.start = 0;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.blocked = None;
        self.start = 0;
        if self.queue.capacity() > if self.held.is_too_much() { LITTLE } else { READ } {
            self.queue = Vec::new();
        }
        self.queue.clear();
        self.count();
        Ok(true)
    }

    /// Whether something is to be written that nobody has queued, such as TLS asks for by itself.
    pub(in crate::relay) fn holds_back(&self) -> bool {
        self.wire.holds_back()
    }

    /// Whether the client has said that it is done.
    pub(in crate::relay) fn has_ended(&mut self) -> bool {
        self.wire.has_ended()
    }

    /// Whether the client takes too little of what waits for it.
    pub(in crate::relay) fn is_stuck(&mut self, now: Instant) -> bool {
        let Some((since, written)) = self.blocked else { return false };
        if now.saturating_duration_since(since) < PATIENCE {
            return false;
        }
        self.blocked = Some((now, self.written));
        self.written - written < TRICKLE
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}
