//! A body in pieces of [`MAX_PIECE_BYTES`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody as _};
use hyper::body::{Frame, SizeHint};

/// Bytes of a piece: the maximum frame size of most HTTP/2 clients. hyper gets a piece at a time, and polls for the next one when it has
/// written the last.
pub(super) const MAX_PIECE_BYTES: usize = 16 * 1024;

pub(super) struct BodyPieces {
    body: Body,
    /// The rest of the last frame of `body`.
    rest: Bytes,
}

impl BodyPieces {
    pub(super) const fn new(body: Body) -> Self {
        Self { body, rest: Bytes::new() }
    }

    /// The next piece, or a frame of `body` that is not data.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(self.rest.len().min(MAX_PIECE_BYTES))))))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
