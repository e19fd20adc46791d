//! Frames from the client of a WebSocket, on their way to their reader: a rule is applied to them, large frames are split into fragments,
//! and unfinished messages are bounded in bytes and in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::frame_counts::FrameCounts;
use super::frame_filter::FrameFilter;
use super::message_start::ConnectPackets;
use super::rewrite_rule::RewriteRule;
use crate::limits::unfinished::{IncomingMessages, UnfinishedError};

/// The received direction of one WebSocket.
#[derive(Debug)]
pub struct ReceivedFrames {
    frames: FrameFilter,
    /// Bytes that were replaced or put back, and are not read yet.
    unread: Vec<u8>,
    /// Counts what the client has begun and not finished.
    incoming: Option<IncomingMessages>,
}

impl ReceivedFrames {
    #[must_use]
    pub const fn new(rule: Option<&'static RewriteRule>) -> Self {
        Self { frames: FrameFilter::fragmenting(rule), unread: Vec::new(), incoming: None }
    }

    /// Bounds unfinished messages.
    pub fn limit(&mut self, incoming: Option<IncomingMessages>) {
        self.incoming = incoming;
    }

    #[must_use]
    pub const fn counts(&self) -> FrameCounts {
        self.frames.counts()
    }

    /// Whether the bytes that have come end with a complete message.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unread.is_empty() && self.frames.unfinished().is_none()
    }

    /// The packets that asked for a namespace since the last call.
    pub fn take_connects(&mut self) -> ConnectPackets {
        self.frames.take_connects()
    }

    /// The next read returns `bytes`, unchanged and not counted.
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.unread.splice(..0, bytes.iter().copied());
    }

    /// Reads from the client's stream.
    ///
    /// # Errors
    /// The stream fails, or an unfinished message is given up.
    pub fn poll_read<S>(&mut self, io: &mut S, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + Unpin,
    {
        loop {
            if !self.unread.is_empty() {
                let len = self.unread.len().min(buffer.remaining());
                buffer.put_slice(&self.unread[..len]);
                remove_first(&mut self.unread, len);
                return Poll::Ready(Ok(()));
            }
            if let Some(incoming) = &mut self.incoming {
                ready!(incoming.poll_ready(cx)).map_err(given_up)?;
            }
            let before = buffer.filled().len();
            if Pin::new(&mut *io).poll_read(cx, buffer)?.is_pending() {
                let Some(incoming) = &mut self.incoming else { return Poll::Pending };
                return incoming.poll_late(cx, self.frames.unfinished()).map(|reason| Err(given_up(reason)));
            }
            let received = &buffer.filled()[before..];
            if received.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let passed = self.frames.handle(received, &mut self.unread);
            if let Some(incoming) = &mut self.incoming {
                incoming.note(self.frames.unfinished());
            }
            buffer.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

fn given_up(reason: UnfinishedError) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

/// Removes the first `len` bytes, and frees the memory with the last byte.
pub fn remove_first(bytes: &mut Vec<u8>, len: usize) {
    if len == bytes.len() {
        *bytes = Vec::new();
    } else {
        bytes.drain(..len);
    }
}
