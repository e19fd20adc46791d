//! One client's TCP or TLS stream: bytes in, bytes out, with bounds on what waits.
//!
//! Owner: the [`ClientStreams`](super::client_streams::ClientStreams) of a shard, or a handover to another shard. Inputs: the
//! bytes of a read ([`ClientStream::read`]), whole messages to write ([`ClientStream::push`]). Outputs: unread bytes of an
//! incomplete frame, and the bytes that [`ClientStream::flush`] writes.
//!
//! Invariants: at most [`MAX_QUEUED_BYTES`] wait to be written, those that are encrypted included (but for the
//! overhead of their records), and the beginning of at most one frame to be read; both are
//! counted in the [`BufferUsage`]. Where all clients together hold too much, each may hold [`MAX_BYTES_UNDER_PRESSURE`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::limits::descriptors::Descriptor;
use crate::relay::admission::UnprovenStream;
use crate::relay::tcp::buffer_usage::BufferUsage;
use crate::relay::tcp::connection::NonBlockingConnection;
use crate::turn::FiveTuple;

/// Bytes that one read brings, at most.
const MAX_READ_BYTES: usize = 64 * 1024;
/// Bytes that wait to be written, at most: a tenth of a second of a fast cast. Media beyond them is dropped, as on any network.
const MAX_QUEUED_BYTES: usize = 256 * 1024;
/// The same where all clients together hold too much, and the bytes of an incomplete frame that may be kept then.
const MAX_BYTES_UNDER_PRESSURE: usize = 16 * 1024;
/// How long a client may keep the server waiting without taking [`MIN_BYTES_A_SLOW_READER_CHECK`].
const SLOW_READER_CHECK_INTERVAL: Duration = Duration::from_secs(10);
const MIN_BYTES_A_SLOW_READER_CHECK: u64 = 16 * 1024;
/// Bytes that wait for the end of a turn, about; a stream with more is written to after the batch, so that there is room for the next one.
const MAX_BYTES_A_TURN: usize = 64 * 1024;
/// Bytes of an incomplete frame that are kept for a client without an allocation.
const MAX_UNPROVEN_UNREAD_BYTES: usize = 4 * 1024;
/// The first byte of ChannelData is 0x40 or more; that of a STUN message is less (RFC 8656 §12, table 3).
const FIRST_CHANNEL_DATA_BYTE: u8 = 0x40;

/// One client's stream.
#[derive(Debug)]
pub(in crate::relay) struct ClientStream {
    pub(in crate::relay) tuple: FiveTuple,
    /// When the stream is closed, unless it has an allocation then.
    pub(in crate::relay) deadline: Instant,
    /// The stream's place among the streams that have never had an allocation.
    pub(in crate::relay) unproven: Option<UnprovenStream>,
    /// Nothing was read yet, and the first byte tells whether the ingress takes the stream.
    pub(in crate::relay) awaits_first_byte: bool,
    /// A request over the stream was answered.
    has_asked: bool,
    /// The stream is in the list of streams to flush.
    pub(in crate::relay) is_unflushed: bool,
    /// The poller reports when the stream can be written to.
    pub(in crate::relay) polls_writable: bool,
    connection: NonBlockingConnection,
    /// Bytes that were read but not handled yet: the beginning of a frame, or a deferred request and the bytes after it.
    unread: Vec<u8>,
    /// Bytes that wait to be written, from `written_of_queue` on.
    queue: Vec<u8>,
    written_of_queue: usize,
    usage: BufferUsage,
    /// Bytes written in total.
    written: u64,
    /// Calls that have written, since somebody took the count.
    pub(in crate::relay) writes: u64,
    blocked: Option<Blocked>,
    descriptor: Descriptor,
}

/// Since when the client has kept the server waiting, and what had been written by then.
#[derive(Debug, Clone, Copy)]
struct Blocked {
    since: Instant,
    written: u64,
}

impl ClientStream {
    pub(in crate::relay) const fn new(
        tuple: FiveTuple,
        connection: NonBlockingConnection,
        unproven: UnprovenStream,
        descriptor: Descriptor,
        usage: BufferUsage,
        deadline: Instant,
    ) -> Self {
        Self {
            tuple,
            deadline,
            unproven: Some(unproven),
            awaits_first_byte: false,
            has_asked: false,
            is_unflushed: false,
            polls_writable: false,
            connection,
            unread: Vec::new(),
            queue: Vec::new(),
            written_of_queue: 0,
            usage,
            written: 0,
            writes: 0,
            blocked: None,
            descriptor,
        }
    }

    /// Reads once, behind the unread bytes. Returns how much of `buffer` is filled; `None` at the end of the stream.
    ///
    /// # Errors
    /// Of read(2); `WouldBlock` among them.
    pub(in crate::relay) fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let kept = self.unread.len();
        if buffer.len() < kept + MAX_READ_BYTES {
            buffer.resize(kept + MAX_READ_BYTES, 0);
        }
        buffer[..kept].copy_from_slice(&self.unread);
        let len = self.connection.read(&mut buffer[kept..kept + MAX_READ_BYTES])?;
        Ok((len > 0).then_some(kept + len))
    }

    /// The first byte, which stays in the socket; `None` at the end of the stream.
    ///
    /// # Errors
    /// Of recv(2); `WouldBlock` among them.
    pub(in crate::relay) fn peek_first_byte(&self) -> io::Result<Option<u8>> {
        self.connection.peek_first_byte()
    }

    /// Keeps bytes that can't be handled yet.
    pub(in crate::relay) fn keep_unread(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.unread = Vec::new();
        } else {
            self.unread.clear();
            self.unread.extend_from_slice(rest);
        }
        self.update_usage();
    }

    /// Takes back the bytes that were kept.
    pub(in crate::relay) fn take_unread(&mut self) -> Vec<u8> {
        let unread = std::mem::take(&mut self.unread);
        self.update_usage();
        unread
    }

    fn update_usage(&mut self) {
        self.usage.set(self.queue.capacity() + self.unread.capacity() + self.connection.encrypted_bytes());
    }

    /// Whether the unread bytes are too many where all clients together hold too much, or whether they begin nothing that a
    /// client without an allocation may send: too long a message, or ChannelData, which needs an allocation first and looks like
    /// the first letters of other protocols. `allocated` tells whether a client has an allocation.
    pub(in crate::relay) fn keeps_too_much(&mut self, allocated: impl FnOnce(&FiveTuple) -> bool) -> bool {
        if self.unread.len() > MAX_BYTES_UNDER_PRESSURE && self.usage.total_is_exceeded() {
            return true;
        }
        let is_suspect = self.unread.len() > MAX_UNPROVEN_UNREAD_BYTES
            || self.unread.first().is_some_and(|first| *first >= FIRST_CHANNEL_DATA_BYTE);
        if is_suspect && self.unproven.is_some() && allocated(&self.tuple) {
            self.unproven = None;
        }
        is_suspect && self.unproven.is_some()
    }

    /// Notes that a request was answered: the client has begun to prove itself.
    pub(in crate::relay) fn note_request(&mut self) {
        if !std::mem::replace(&mut self.has_asked, true)
            && let Some(unproven) = &self.unproven
        {
            unproven.note_progress();
        }
    }

    pub(in crate::relay) fn buffered_bytes(&self) -> usize {
        self.unread.len() + self.waiting_bytes()
    }

    /// Takes the stream apart for a splice: the connection with its descriptor, the bytes still to be written, and those read but
    /// not handled.
    pub(in crate::relay) fn into_parts(mut self) -> (NonBlockingConnection, Descriptor, Vec<u8>, Vec<u8>) {
        self.queue.drain(..self.written_of_queue);
        (self.connection, self.descriptor, self.queue, self.unread)
    }

    /// Queues a whole message, or nothing where there is no room.
    pub(in crate::relay) fn push(&mut self, parts: &[&[u8]], padding: usize) -> bool {
        let len: usize = parts.iter().map(|part| part.len()).sum::<usize>() + padding;
        let limit = if self.usage.total_is_exceeded() { MAX_BYTES_UNDER_PRESSURE } else { MAX_QUEUED_BYTES };
        if self.waiting_bytes() + len > limit {
            return false;
        }
        parts.iter().for_each(|part| self.queue.extend_from_slice(part));
        self.queue.resize(self.queue.len() + padding, 0);
        self.update_usage();
        true
    }

    /// Whether what waits is written before the turn ends: there is much, or all clients together hold too much.
    pub(in crate::relay) fn is_filled(&self) -> bool {
        self.waiting_bytes() >= MAX_BYTES_A_TURN || self.usage.total_is_exceeded()
    }

    /// Bytes that wait to be written.
    pub(in crate::relay) fn waiting_bytes(&self) -> usize {
        self.queue.len() - self.written_of_queue + self.connection.encrypted_bytes()
    }

    /// Writes the waiting bytes, as far as the client takes them. Returns whether everything is written.
    ///
    /// # Errors
    /// Of write(2); the connection is gone then.
    pub(in crate::relay) fn flush(&mut self, now: Instant) -> io::Result<bool> {
        while self.written_of_queue < self.queue.len() || self.connection.has_unwritten_tls() {
            self.writes += 1;
            match self.connection.write_messages(&self.queue[self.written_of_queue..]) {
                Ok(0) if self.written_of_queue < self.queue.len() => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    self.written_of_queue += len;
                    self.written += len as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked.get_or_insert(Blocked { since: now, written: self.written });
                    self.queue.drain(..self.written_of_queue);
                    self.written_of_queue = 0;
                    self.update_usage();
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.blocked = None;
        self.written_of_queue = 0;
        if self.queue.capacity() > if self.usage.total_is_exceeded() { MAX_BYTES_UNDER_PRESSURE } else { MAX_READ_BYTES } {
            self.queue = Vec::new();
        }
        self.queue.clear();
        self.update_usage();
        Ok(true)
    }

    /// Whether TLS has something to write that was not queued, such as an alert or a key update.
    pub(in crate::relay) fn has_unwritten_tls(&self) -> bool {
        self.connection.has_unwritten_tls()
    }

    /// Whether TLS has closed its direction to the server.
    pub(in crate::relay) fn has_ended(&mut self) -> bool {
        self.connection.has_ended()
    }

    /// Whether the client has taken too few of the waiting bytes since the last check.
    pub(in crate::relay) fn is_slow_reader(&mut self, now: Instant) -> bool {
        let Some(Blocked { since, written }) = self.blocked else { return false };
        if now.saturating_duration_since(since) < SLOW_READER_CHECK_INTERVAL {
            return false;
        }
        // The poller reports room only once a third of a send buffer is free, and a buffer may have grown to megabytes.
        let done = matches!(self.flush(now), Ok(true));
        // Also where all was taken: the poller has not reported room yet, so what comes next may wait as well.
        self.blocked = Some(Blocked { since: now, written: self.written });
        !done && self.written - written < MIN_BYTES_A_SLOW_READER_CHECK
    }
}

impl AsFd for ClientStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}
