//! Bodies of answers that count for their client until they are written.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};

use crate::limits::waiting_bytes::{Account, Waiting};

/// Bytes that hyper is given at a time; it asks for more as it gets rid of them.
const MAX_PIECE: usize = 16 * 1024;

/// Middleware around what makes answers of its own: they count for the connection that asks, which is an extension of the request.
/// One that reads none of them is closed.
pub async fn count(request: Request, next: Next) -> Response {
    let account = request.extensions().get::<Account>().cloned();
    let response = next.run(request).await;
    match account {
        Some(account) => hold(response, &account),
        None => response,
    }
}

/// Has the body of an answer, if it is in memory, count until the last of it has been written.
pub fn hold(response: Response, account: &Account) -> Response {
    let Some(bytes) = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()) else { return response };
    if bytes == 0 {
        return response;
    }
    match account.add(bytes) {
        Some(waiting) => response.map(|body| Body::new(HeldBody { body, piece: Bytes::new(), waiting: Arc::new(waiting) })),
        // The connection is being closed.
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

struct HeldBody {
    body: Body,
    /// What the body has given and nobody has taken.
    piece: Bytes,
    waiting: Arc<Waiting>,
}

/// A piece on its way to the socket.
struct Piece {
    bytes: Bytes,
    _waiting: Arc<Waiting>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.piece.is_empty() {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.piece = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end @ (Poll::Ready(Some(Err(_)) | None) | Poll::Pending) => return end,
            }
        }
        let bytes = this.piece.split_to(this.piece.len().min(MAX_PIECE));
        let piece = Piece { bytes, _waiting: Arc::clone(&this.waiting) };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint().exact().unwrap_or(0);
        SizeHint::with_exact(rest + self.piece.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::waiting_bytes::{Ledger, MAX_BYTES};

    #[tokio::test]
    async fn an_answer_counts_until_its_last_piece_has_been_written() {
        let ledger = Ledger::default();
        let account = ledger.open(None);
        let sent: Vec<u8> = (0..40_000_u32).map(|byte| byte as u8).collect();
        let response = hold(Response::new(Body::from(sent.clone())), &account);
        assert_eq!((response.body().size_hint().exact(), ledger.bytes()), (Some(40_000), 40_000));
        let mut body = response.into_body();
        let (mut pieces, mut got) = (Vec::new(), Vec::new());
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= MAX_PIECE);
            got.extend_from_slice(&piece);
            pieces.push(piece);
        }
        assert_eq!(got, sent);
        drop(body);
        let last = pieces.pop();
        drop(pieces);
        assert_eq!(ledger.bytes(), 40_000, "the last one has not left");
        drop(last);
        assert_eq!(ledger.bytes(), 0);
    }

    #[tokio::test]
    async fn an_answer_that_is_dropped_is_given_back_and_one_too_many_is_refused() {
        let ledger = Ledger::default();
        let account = ledger.open(None);
        let answer = || hold(Response::new(Body::from(vec![0; MAX_BYTES / 2])), &account);
        drop(answer());
        let _waiting = [answer(), answer()];
        assert_eq!(ledger.bytes(), MAX_BYTES);
        assert_eq!(answer().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(account.is_closed());
    }
}
