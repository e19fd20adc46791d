//! A connection for HTTP, with or without TLS, and its place among those of its address until it ends, upgrades included. One whose
//! client does not take what it is sent ends.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::handshake::Limited;
use crate::limits::concurrency::Place;

/// For a client that has not taken all that it was sent to take [`LEAST_BYTES`].
const TAKE_TIME: Duration = Duration::from_secs(30);
/// Half a KiB a second. The system tells that there is room again only when a third of its buffer is free.
const LEAST_BYTES: usize = 16 * 1024;

pub(super) struct Stream {
    io: Io,
    _place: Option<Place>,
    /// There is something that the system did not take.
    blocked: Option<Box<Blocked>>,
}

struct Blocked {
    alarm: Pin<Box<Sleep>>,
    taken: usize,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<Limited>>),
}

impl Stream {
    pub(super) const fn plain(stream: TcpStream, place: Option<Place>) -> Self {
        Self { io: Io::Plain(stream), _place: place, blocked: None }
    }

    pub(super) fn tls(stream: TlsStream<Limited>, place: Option<Place>) -> Self {
        Self { io: Io::Tls(Box::new(stream)), _place: place, blocked: None }
    }
}

impl Stream {
    /// Judges what came of a write.
    fn written(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(len)) => {
                let enough = |blocked: &mut Box<Blocked>| {
                    blocked.taken += len;
                    blocked.taken >= LEAST_BYTES
                };
                if self.blocked.as_mut().is_some_and(enough) {
                    self.blocked = None;
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.wait(cx)?,
        }
        written
    }

    /// The same for a flush, after which there is nothing left to be taken.
    fn flushed(&mut self, flushed: Poll<io::Result<()>>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &flushed {
            Poll::Ready(_) => self.blocked = None,
            Poll::Pending => self.wait(cx)?,
        }
        flushed
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let begun = || Box::new(Blocked { alarm: Box::pin(sleep(TAKE_TIME)), taken: 0 });
        let blocked = self.blocked.get_or_insert_with(begun);
        match blocked.alarm.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take what it is sent")),
            Poll::Pending => Ok(()),
        }
    }
}

/// Does the same with either.
macro_rules! either {
    ($stream:expr, $io:ident => $result:expr) => {
        match &mut $stream.io {
            Io::Plain($io) => $result,
            Io::Tls($io) => $result,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        either!(this, io => Pin::new(io).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = either!(this, io => Pin::new(io).poll_write(cx, bytes));
        this.written(written, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = either!(this, io => Pin::new(io).poll_flush(cx));
        this.flushed(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = either!(this, io => Pin::new(io).poll_shutdown(cx));
        this.flushed(flushed, cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = either!(this, io => Pin::new(io).poll_write_vectored(cx, parts));
        this.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }
}
