//! Bounds the bytes of a TLS handshake. Without the bound rustls would join handshake messages of up to 64 KiB for each unknown client.
//!
//! A client sends its ClientHello and waits for the answer (RFC 8446 §2). The bytes that it sends then may end with its first record of
//! application data, which rustls reads until that record is complete.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes of a ClientHello. One with post-quantum key shares has two to three thousand.
const MAX_HELLO_BYTES: usize = 16 * 1024;
/// Bytes after the ClientHello until the first record of application data is complete: some hundred of the handshake, the largest record
/// (18 KiB), and the bytes that one read returns behind its end (4 KiB).
const MAX_FINISH_BYTES: usize = 24 * 1024;

/// The TCP connection below TLS.
pub(super) struct LimitedHandshake {
    stream: TcpStream,
    /// Bytes that may still be read; `None`: the handshake is complete, and reads are not bounded.
    left: Option<usize>,
}

impl LimitedHandshake {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, left: Some(MAX_HELLO_BYTES) }
    }

    /// The ClientHello is complete.
    pub(super) const fn hello_received(&mut self) {
        self.left = Some(MAX_FINISH_BYTES);
    }

    /// The handshake is complete.
    pub(super) const fn lift_limit(&mut self) {
        self.left = None;
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for LimitedHandshake {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.left == Some(0) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a TLS handshake is too long: the ClientHello may have 16 KiB, the rest 24 KiB",
            )));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.left = this.left.map(|left| left.saturating_sub(buffer.filled().len() - before));
        polled
    }
}

impl AsyncWrite for LimitedHandshake {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn each_part_of_a_handshake_has_its_bytes_and_what_follows_has_no_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(&[0; 2 * (MAX_HELLO_BYTES + MAX_FINISH_BYTES)]).await.unwrap();
        let mut stream = LimitedHandshake::new(listener.accept().await.unwrap().0);
        let mut piece = [0; 1024];
        for bytes in [MAX_HELLO_BYTES, MAX_FINISH_BYTES] {
            for _ in 0..bytes / piece.len() {
                stream.read_exact(&mut piece).await.unwrap();
            }
            assert_eq!(stream.read_exact(&mut piece).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
            stream.hello_received();
        }
        stream.lift_limit();
        for _ in 0..(MAX_HELLO_BYTES + MAX_FINISH_BYTES) / piece.len() {
            stream.read_exact(&mut piece).await.unwrap();
        }
    }
}
