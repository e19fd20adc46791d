//! The stream of a WebSocket, between hyper and engineioxide: applies [`super::frames`] to what passes, both ways.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::frames::{Counts, Filter, Rule};

/// Taken from the writer at once: what the other side does not take at once of it is kept.
const MAX_PIECE: usize = 16 * 1024;

/// A stream whose frames are counted and, where there are rules, replaced.
pub(super) struct Filtered<S> {
    io: S,
    received: Filter,
    sent: Filter,
    /// Replaced, and not read yet.
    unread: Vec<u8>,
    /// Replaced, or not taken at once, and not written yet.
    unwritten: Vec<u8>,
    _held: Option<Box<dyn Send>>,
}

impl<S> Filtered<S> {
    /// A rule for what comes from the client, and one for what goes to it.
    pub(super) const fn new(io: S, rules: Option<[&'static Rule; 2]>) -> Self {
        let (received, sent) = match rules {
            Some([received, sent]) => (Some(received), Some(sent)),
            None => (None, None),
        };
        Self { io, received: Filter::new(received), sent: Filter::new(sent), unread: Vec::new(), unwritten: Vec::new(), _held: None }
    }

    /// Keeps something as long as the stream lives.
    #[must_use]
    pub(super) fn holding(self, held: impl Send + 'static) -> Self {
        Self { _held: Some(Box::new(held)), ..self }
    }

    /// What has come from the client, and what has gone to it.
    pub(super) const fn counts(&self) -> [Counts; 2] {
        [self.received.counts(), self.sent.counts()]
    }
}

impl<S: AsyncRead + Unpin> Filtered<S> {
    /// Waits until something has come; it is read again after that.
    ///
    /// # Errors
    /// The stream's; it ends.
    pub(super) async fn first_bytes(&mut self) -> io::Result<()> {
        let mut first = [0; 64];
        let len = self.read(&mut first).await?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unread.splice(..0, first[..len].iter().copied());
        Ok(())
    }
}

impl<S: AsyncWrite + Unpin> Filtered<S> {
    fn poll_unwritten(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.unwritten))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            take(&mut self.unwritten, written);
        }
        Poll::Ready(Ok(()))
    }
}

/// Removes the first `len` bytes, and the memory with the last ones.
fn take(bytes: &mut Vec<u8>, len: usize) {
    if len == bytes.len() {
        *bytes = Vec::new();
    } else {
        bytes.drain(..len);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Filtered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.unread.is_empty() {
                let len = this.unread.len().min(buffer.remaining());
                buffer.put_slice(&this.unread[..len]);
                take(&mut this.unread, len);
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
            let come = &buffer.filled()[before..];
            if come.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let passed = this.received.handle(come, &mut this.unread);
            buffer.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Filtered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.sent.has_rule() {
            let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
            this.sent.handle(&bytes[..written], &mut this.unwritten);
            return Poll::Ready(Ok(written));
        }
        ready!(this.poll_unwritten(cx))?;
        let piece = &bytes[..bytes.len().min(MAX_PIECE)];
        let passed = this.sent.handle(piece, &mut this.unwritten);
        let written = match passed {
            0 => 0,
            _ => match Pin::new(&mut this.io).poll_write(cx, &piece[..passed]) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            },
        };
        this.unwritten.splice(..0, piece[written..passed].iter().copied());
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unwritten(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unwritten(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}
