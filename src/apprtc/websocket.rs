//! Collider's WebSockets, on streams whose unfinished messages are bounded in bytes and in time.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::limits::unfinished::{Arriving, Ended, Unfinished};
use crate::size::MAX_WIRE_BYTES;
use crate::socket_io::frames::Filter;

/// Nearly every socket is idle nearly always.
const READ_BUFFER: usize = 4 * 1024;

/// An open WebSocket.
pub(super) struct WebSocket(WebSocketStream<Limited<TokioIo<Upgraded>>>);

impl WebSocket {
    /// Waits for the connection after the 101. `None`: it has ended before.
    pub(super) async fn open(upgrade: OnUpgrade, from: IpAddr, unfinished: &Unfinished) -> Option<Self> {
        let io = TokioIo::new(upgrade.await.ok()?);
        let stream = Limited { io, frames: Filter::new(None), arriving: unfinished.arriving(from) };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_WIRE_BYTES))
            .max_frame_size(Some(MAX_WIRE_BYTES))
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0);
        Some(Self(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await))
    }

    /// The next message; `None`: there will be none.
    pub(super) async fn recv(&mut self) -> Option<Result<Message, Error>> {
        self.0.next().await
    }

    /// # Errors
    /// The connection has ended, or is ending.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.0.send(message).await
    }
}

/// The answer to a handshake with that key.
pub(super) fn accepted(key: &HeaderValue, protocol: Option<HeaderValue>) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    headers.extend(accept.ok().map(|accept| (header::SEC_WEBSOCKET_ACCEPT, accept)));
    headers.extend(protocol.map(|protocol| (header::SEC_WEBSOCKET_PROTOCOL, protocol)));
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

struct Limited<S> {
    io: S,
    frames: Filter,
    arriving: Arriving,
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.arriving.poll_ready(cx)).map_err(late)?;
        let before = buffer.filled().len();
        if Pin::new(&mut this.io).poll_read(cx, buffer)?.is_pending() {
            return this.arriving.poll_late(cx, this.frames.unfinished()).map(|ended| Err(late(ended)));
        }
        this.frames.handle(&buffer.filled()[before..], &mut Vec::new());
        this.arriving.note(this.frames.unfinished());
        Poll::Ready(Ok(()))
    }
}

fn late(ended: Ended) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, ended)
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
