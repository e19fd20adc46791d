//! Frames from the client of a WebSocket, on their way to their reader: a rule is applied to them, large frames are split into fragments,
//! and unfinished messages are bounded in bytes and in time.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::frame_counts::FrameCounts;
use super::frame_filter::FrameFilter;
use super::message_start::ConnectPackets;
use super::rewrite_rule::RewriteRule;
use crate::limits::unfinished::{IncomingMessages, UnfinishedError};

/// Bytes that one read of a stream brings, at most. What the reader does not take at once is kept until it does.
const READ_BYTES: usize = 4 * 1024;

thread_local! {
    /// What a thread reads into. A reader's own buffer is small, because it lives as long as its WebSocket: with it most messages would take
    /// several system calls.
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// The received direction of one WebSocket.
#[derive(Debug)]
pub struct ReceivedFrames {
    frames: FrameFilter,
    /// Bytes that have come, were replaced or put back, and are not read yet.
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
            let read = READ_BUFFER.with_borrow_mut(|bytes| {
                let mut bytes = ReadBuf::new(bytes);
                ready!(Pin::new(&mut *io).poll_read(cx, &mut bytes))?;
                Poll::Ready(io::Result::Ok(self.pass(bytes.filled(), buffer)))
            })?;
            match read {
                Poll::Ready(Passed::Nothing) => {}
                Poll::Ready(Passed::Some | Passed::End) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    let Some(incoming) = &mut self.incoming else { return Poll::Pending };
                    return incoming.poll_late(cx, self.frames.unfinished()).map(|reason| Err(given_up(reason)));
                }
            }
        }
    }

    /// Whether bytes that have come wait for the reader.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Handles what has come; the reader gets as much of it as `buffer` has room for.
    fn pass(&mut self, received: &[u8], buffer: &mut ReadBuf<'_>) -> Passed {
        if received.is_empty() {
            return Passed::End;
        }
        let passed = self.frames.handle(received, &mut self.unread);
        if let Some(incoming) = &mut self.incoming {
            incoming.note(self.frames.unfinished());
        }
        let taken = passed.min(buffer.remaining());
        buffer.put_slice(&received[..taken]);
        self.put_back(&received[taken..passed]);
        if taken > 0 { Passed::Some } else { Passed::Nothing }
    }
}

/// What the reader gets of a read.
enum Passed {
    Some,
    /// Everything that has come is handled or held back.
    Nothing,
    End,
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
