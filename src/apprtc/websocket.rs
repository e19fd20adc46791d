//! A WebSocket with small buffers, whose unfinished messages are bounded in bytes and in time.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::limits::kept_buffers::{KeptBuffer, KeptBuffers};
use crate::limits::message_size::MAX_WIRE_BYTES;
use crate::limits::unfinished::UnfinishedMessages;
use crate::websocket::received_frames::ReceivedFrames;

/// Small, since nearly every socket is idle.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// An open WebSocket.
pub(super) struct WebSocket(WebSocketStream<BoundedStream<TokioIo<Upgraded>>>);

impl WebSocket {
    /// Waits for the connection after the 101; `None` if it has ended.
    pub(super) async fn open(
        upgrade: OnUpgrade,
        from: IpAddr,
        unfinished: &UnfinishedMessages,
        kept: &KeptBuffers,
    ) -> Option<Self> {
        let io = TokioIo::new(upgrade.await.ok()?);
        let mut received = ReceivedFrames::new(None);
        received.limit(Some(unfinished.incoming(from)));
        let stream = BoundedStream { io, received, kept: kept.of(from), end: Arc::default() };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_WIRE_BYTES))
            .max_frame_size(Some(MAX_WIRE_BYTES))
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0);
        Some(Self(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await))
    }

    /// The next message; `None` after the last one.
    pub(super) async fn recv(&mut self) -> Option<Result<Message, Error>> {
        self.0.next().await
    }

    /// # Errors
    /// The connection has ended, or the closing handshake has begun.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.0.send(message).await
    }
}

struct BoundedStream<S> {
    io: S,
    received: ReceivedFrames,
    /// Counts the memory of the send buffer.
    kept: KeptBuffer,
    /// Woken when too many bytes are kept, and the socket has to end.
    end: Arc<AtomicWaker>,
}

impl<S> BoundedStream<S> {
    /// An error when the socket has to end.
    fn check_bound(&self, cx: &Context<'_>) -> io::Result<()> {
        self.end.register(cx.waker());
        if self.kept.is_over() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_bound(cx)?;
        this.received.poll_read(&mut this.io, cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let end = &this.end;
        this.kept.note(bytes.len(), || {
            let end = Arc::clone(end);
            move || end.wake()
        });
        this.check_bound(cx)?;
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
