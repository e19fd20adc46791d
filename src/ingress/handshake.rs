//! A connection on which a TLS handshake has so many bytes: rustls would join messages of 64 KiB, for each stranger who sends most of one.
//!
//! A client sends its hello and waits for the answer. What it sends then may end with what is not the handshake's any more: its first
//! record of data, which TLS reads as long as it is not whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes of a client's hello at most. With key shares of the post-quantum kind it has two to three thousand.
const MAX_HELLO_BYTES: usize = 16 * 1024;
/// Bytes after the hello until the first record of data is whole: some hundred of the handshake, the largest record (18 KiB), and what
/// was read along with its end (4 KiB).
const MAX_REST_BYTES: usize = 24 * 1024;

/// What TLS is spoken on.
pub(super) struct Limited {
    stream: TcpStream,
    /// That may still come; `None`: the handshake is over.
    left: Option<usize>,
}

impl Limited {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, left: Some(MAX_HELLO_BYTES) }
    }

    /// The hello is whole.
    pub(super) const fn go_on(&mut self) {
        self.left = Some(MAX_REST_BYTES);
    }

    /// The handshake is over.
    pub(super) const fn lift(&mut self) {
        self.left = None;
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for Limited {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.left == Some(0) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a TLS handshake with too many bytes: 16 KiB for the hello, 24 KiB for the rest",
            )));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.left = this.left.map(|left| left.saturating_sub(buffer.filled().len() - before));
        polled
    }
}

impl AsyncWrite for Limited {
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
        client.write_all(&[0; 2 * (MAX_HELLO_BYTES + MAX_REST_BYTES)]).await.unwrap();
        let mut stream = Limited::new(listener.accept().await.unwrap().0);
        let mut piece = [0; 1024];
        for bytes in [MAX_HELLO_BYTES, MAX_REST_BYTES] {
            for _ in 0..bytes / piece.len() {
                stream.read_exact(&mut piece).await.unwrap();
            }
            assert_eq!(stream.read_exact(&mut piece).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
            stream.go_on();
        }
        stream.lift();
        for _ in 0..(MAX_HELLO_BYTES + MAX_REST_BYTES) / piece.len() {
            stream.read_exact(&mut piece).await.unwrap();
        }
    }
}
