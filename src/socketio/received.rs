//! What comes from the client of a WebSocket, on its way to whoever reads the frames: a rule is applied to it, large frames are cut,
//! and what is unfinished is bounded in bytes and in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::frames::{Connects, Counts, Filter, Rule};
use crate::limits::unfinished::{IncomingMessages, UnfinishedError};

/// The received direction of one WebSocket.
#[derive(Debug)]
pub struct Received {
    frames: Filter,
    /// Replaced, and not read yet.
    unread: Vec<u8>,
    /// Counts what the client has begun and not finished.
    arriving: Option<IncomingMessages>,
}

impl Received {
    #[must_use]
    pub const fn new(rule: Option<&'static Rule>) -> Self {
        Self { frames: Filter::cutting(rule), unread: Vec::new(), arriving: None }
    }

    /// Bounds what the client has begun and not finished.
    pub fn limit(&mut self, arriving: Option<IncomingMessages>) {
        self.arriving = arriving;
    }

    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.frames.counts()
    }

    /// Whether what has come ends with a whole message.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unread.is_empty() && self.frames.unfinished().is_none()
    }

    /// What has asked for a namespace since this was last asked.
    pub fn take_connects(&mut self) -> Connects {
        self.frames.take_connects()
    }

    /// Has `bytes` read next, as they are, and does not count them.
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.unread.splice(..0, bytes.iter().copied());
    }

    /// Reads from the client's stream.
    ///
    /// # Errors
    /// The stream has failed, or a message is not waited for any longer.
    pub fn poll_read<S>(&mut self, io: &mut S, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + Unpin,
    {
        loop {
            if !self.unread.is_empty() {
                let len = self.unread.len().min(buffer.remaining());
                buffer.put_slice(&self.unread[..len]);
                take(&mut self.unread, len);
                return Poll::Ready(Ok(()));
            }
            if let Some(arriving) = &mut self.arriving {
                ready!(arriving.poll_ready(cx)).map_err(late)?;
            }
            let before = buffer.filled().len();
            if Pin::new(&mut *io).poll_read(cx, buffer)?.is_pending() {
                let Some(arriving) = &mut self.arriving else { return Poll::Pending };
                return arriving.poll_late(cx, self.frames.unfinished()).map(|ended| Err(late(ended)));
            }
            let come = &buffer.filled()[before..];
            if come.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let passed = self.frames.handle(come, &mut self.unread);
            if let Some(arriving) = &mut self.arriving {
                arriving.note(self.frames.unfinished());
            }
            buffer.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

fn late(ended: UnfinishedError) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, ended)
}

/// Removes the first `len` bytes, and the memory with the last ones.
pub(super) fn take(bytes: &mut Vec<u8>, len: usize) {
    if len == bytes.len() {
        *bytes = Vec::new();
    } else {
        bytes.drain(..len);
    }
}
