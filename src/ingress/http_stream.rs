//! A connection for HTTP, with or without TLS. It holds its slot among the connections of its address until it ends, upgrades to
//! WebSocket included. A connection whose client does not take the bytes that it is sent is closed.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::tls_handshake::LimitedHandshake;
use crate::limits::concurrency::ConnectionSlot;

/// Time in which a client with unsent bytes has to take [`MIN_TAKEN_BYTES`].
const TAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Half a KiB a second. The system reports a writable socket only when a third of its buffer is free.
const MIN_TAKEN_BYTES: usize = 16 * 1024;

pub(super) struct HttpStream {
    io: Io,
    _slot: ConnectionSlot,
    /// Set while the system has not taken all bytes.
    blocked: Option<Box<Blocked>>,
}

struct Blocked {
    alarm: Pin<Box<Sleep>>,
    taken: usize,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<LimitedHandshake>>),
}

impl HttpStream {
    pub(super) const fn plain(stream: TcpStream, slot: ConnectionSlot) -> Self {
        Self { io: Io::Plain(stream), _slot: slot, blocked: None }
    }

    pub(super) fn tls(stream: TlsStream<LimitedHandshake>, slot: ConnectionSlot) -> Self {
        Self { io: Io::Tls(Box::new(stream)), _slot: slot, blocked: None }
    }

    /// Starts or ends the timeout by the result of a write.
    fn written(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(len)) => {
                let enough = |blocked: &mut Box<Blocked>| {
                    blocked.taken += len;
                    blocked.taken >= MIN_TAKEN_BYTES
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

    /// Starts or ends the timeout by the result of a flush, after which no byte is left.
    fn flushed(&mut self, flushed: Poll<io::Result<()>>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &flushed {
            Poll::Ready(_) => self.blocked = None,
            Poll::Pending => self.wait(cx)?,
        }
        flushed
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let begun = || Box::new(Blocked { alarm: Box::pin(sleep(TAKE_TIMEOUT)), taken: 0 });
        let blocked = self.blocked.get_or_insert_with(begun);
        match blocked.alarm.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading")),
            Poll::Pending => Ok(()),
        }
    }
}

/// Does the same with either kind of connection.
macro_rules! either {
    ($stream:expr, $io:ident => $result:expr) => {
        match &mut $stream.io {
            Io::Plain($io) => $result,
            Io::Tls($io) => $result,
        }
    };
}

impl AsyncRead for HttpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        either!(this, io => Pin::new(io).poll_read(cx, buffer))
    }
}

impl AsyncWrite for HttpStream {
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
