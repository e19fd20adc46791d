//! A connection for HTTP, with or without TLS. It holds its slot among the connections of its address until it ends, upgrades to
//! WebSocket included. A connection whose client does not take the bytes that it is sent is closed.
//!
//! Where the server ends a connection, it goes on reading for a moment. Otherwise the system resets the connection of a client that is still
//! sending, and the client loses what it was sent last, such as the reason.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::tls_handshake::LimitedHandshake;
use crate::limits::concurrency::ConnectionSlot;

/// Time in which a client with unsent bytes has to take [`MIN_TAKEN_BYTES`].
const TAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Half a KiB a second. The system reports a writable socket only when a third of its buffer is free.
const MIN_TAKEN_BYTES: usize = 16 * 1024;

/// How long a client may take to end a connection that the server has ended.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes that such a client may still send.
const MAX_LINGER_BYTES: u64 = 1024 * 1024;

pub(super) struct HttpStream {
    /// `None`: the stream is being dropped.
    open: Option<Open>,
    /// Set while the system has not taken all bytes.
    blocked: Option<Box<Blocked>>,
    /// The client has ended the connection, or it is broken.
    ended: bool,
}

struct Open {
    io: Io,
    slot: ConnectionSlot,
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
        Self::new(Io::Plain(stream), slot)
    }

    pub(super) fn tls(stream: TlsStream<LimitedHandshake>, slot: ConnectionSlot) -> Self {
        Self::new(Io::Tls(Box::new(stream)), slot)
    }

    const fn new(io: Io, slot: ConnectionSlot) -> Self {
        Self { open: Some(Open { io, slot }), blocked: None, ended: false }
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
            Poll::Ready(Err(_)) => self.ended = true,
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
        match $stream.open.as_mut().map(|open| &mut open.io) {
            Some(Io::Plain($io)) => $result,
            Some(Io::Tls($io)) => $result,
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl Drop for HttpStream {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        // Who does not read gets nothing more anyway.
        if self.ended || self.blocked.is_some() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(linger(open));
        }
    }
}

/// Ends the server's direction, and reads until the client ends its own.
async fn linger(Open { io, slot }: Open) {
    let mut stream = match io {
        Io::Plain(stream) => stream,
        Io::Tls(stream) => stream.into_inner().0.into_inner(),
    };
    if stream.shutdown().await.is_ok() {
        let mut left = (&mut stream).take(MAX_LINGER_BYTES);
        let _ = timeout(LINGER_TIMEOUT, tokio::io::copy(&mut left, &mut tokio::io::sink())).await;
    }
    drop(stream);
    drop(slot);
}

impl AsyncRead for HttpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = either!(this, io => Pin::new(io).poll_read(cx, buffer));
        this.ended |= match &read {
            Poll::Ready(Ok(())) => buffer.filled().len() == before && buffer.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        read
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
        self.open.as_ref().is_some_and(|open| match &open.io {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::limits::concurrency::ClientCounter;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_client_that_is_still_sending_gets_the_last_bytes_and_keeps_its_place_until_it_ends() {
        let (mut client, server) = connected().await;
        let (counter, one) = (ClientCounter::new(1), "192.0.2.1".parse().unwrap());
        let mut stream = HttpStream::plain(server, counter.acquire(one).unwrap());
        client.write_all(&[0; 100_000]).await.unwrap();
        stream.write_all(b"too much").await.unwrap();
        drop(stream);

        client.write_all(&[0; 100_000]).await.unwrap();
        let mut last = Vec::new();
        client.read_to_end(&mut last).await.unwrap();
        assert_eq!(last, b"too much");
        assert!(counter.acquire(one).is_none());
        drop(client);
        while counter.acquire(one).is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_client_that_goes_on_sending_is_reset() {
        let (mut client, server) = connected().await;
        drop(HttpStream::plain(server, ConnectionSlot::uncounted()));
        let mut sent = 0;
        while client.write_all(&[0; 4096]).await.is_ok() {
            sent += 4096;
        }
        assert!(sent >= MAX_LINGER_BYTES, "{sent} bytes");
    }

    #[tokio::test]
    async fn a_client_that_has_ended_leaves_at_once() {
        let (client, server) = connected().await;
        let (counter, one) = (ClientCounter::new(1), "192.0.2.1".parse().unwrap());
        let mut stream = HttpStream::plain(server, counter.acquire(one).unwrap());
        drop(client);
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
        drop(stream);
        assert!(counter.acquire(one).is_some());
    }
}
