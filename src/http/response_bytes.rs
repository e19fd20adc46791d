//! Counts the bytes of responses for their client until they are written to its connection.
//!
//! Input: a response and the [`Account`] of its connection. Output: the response with a body that holds its bytes in the account.
//! Invariant: each piece of the body keeps the whole count until hyper has dropped it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};

use super::body_pieces::BodyPieces;
use crate::limits::waiting_bytes::{Account, WaitingBytes};

/// Middleware: counts each response in the connection's account, an extension of the request. A client that reads none of its
/// responses is disconnected when the account is full.
pub async fn count(request: Request, next: Next) -> Response {
    let account = request.extensions().get::<Account>().cloned();
    let response = next.run(request).await;
    match account {
        Some(account) => count_body(response, &account),
        None => response,
    }
}

/// Counts the body of a response until its last piece is written; a body of unknown size is not in memory, and does not count.
pub fn count_body(response: Response, account: &Account) -> Response {
    let Some(bytes) = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()) else { return response };
    if bytes == 0 {
        return response;
    }
    match account.add(bytes) {
        Some(waiting) => {
            response.map(|body| Body::new(CountedBody { pieces: BodyPieces::new(body), waiting: Arc::new(waiting) }))
        }
        // The account is closed, and the connection ends.
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

struct CountedBody {
    pieces: BodyPieces,
    waiting: Arc<WaitingBytes>,
}

/// A piece that hyper has not yet written.
struct Piece {
    bytes: Bytes,
    _waiting: Arc<WaitingBytes>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let counted = |bytes| Bytes::from_owner(Piece { bytes, _waiting: Arc::clone(&this.waiting) });
        let next = ready!(this.pieces.poll_piece(cx));
        Poll::Ready(next.map(|frame| frame.map(|frame| frame.map_data(counted))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.pieces.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body_pieces::MAX_PIECE_BYTES;
    use crate::limits::waiting_bytes::{Ledger, MAX_CLIENT_BYTES};

    #[tokio::test]
    async fn a_response_counts_until_its_last_piece_has_been_written() {
        let ledger = Ledger::default();
        let account = ledger.open(None);
        let sent: Vec<u8> = (0..40_000_u32).map(|byte| byte as u8).collect();
        let response = count_body(Response::new(Body::from(sent.clone())), &account);
        assert_eq!((response.body().size_hint().exact(), ledger.bytes()), (Some(40_000), 40_000));
        let mut body = response.into_body();
        let (mut pieces, mut got) = (Vec::new(), Vec::new());
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= MAX_PIECE_BYTES);
            got.extend_from_slice(&piece);
            pieces.push(piece);
        }
        assert_eq!(got, sent);
        drop(body);
        let last = pieces.pop();
        drop(pieces);
        assert_eq!(ledger.bytes(), 40_000, "the last piece is not written");
        drop(last);
        assert_eq!(ledger.bytes(), 0);
    }

    #[tokio::test]
    async fn a_dropped_response_counts_no_longer_and_one_too_many_is_refused() {
        let ledger = Ledger::default();
        let account = ledger.open(None);
        let answer = || count_body(Response::new(Body::from(vec![0; MAX_CLIENT_BYTES / 2])), &account);
        drop(answer());
        let _waiting = [answer(), answer()];
        assert_eq!(ledger.bytes(), MAX_CLIENT_BYTES);
        assert_eq!(answer().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(account.is_closed());
    }
}
