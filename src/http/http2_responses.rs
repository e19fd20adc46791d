//! Ends connections with HTTP/2 responses that a client reads too slowly. A deadline for the bytes of a connection does not notice
//! them: the client's window stops one response while other streams keep the connection busy.
//!
//! Owner: the HTTP server, one [`Http2Responses`] for each connection. Input: response bodies. Output: the same bodies in pieces,
//! and [`Http2Responses::until_slow_reader`], which ends once a piece has waited too long.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::body_pieces::BodyPieces;
use crate::limits::waiting_bytes::WaitingBytes;

/// How long the client may take to accept a piece of a response: a response proceeds at half a KiB a second at least.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the pieces of a connection are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The responses of one connection; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Http2Responses(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// When each response's current piece was handed to hyper.
    waiting: HashMap<u64, Instant>,
}

impl Http2Responses {
    /// Watches `body`. `request` counts the bytes of its request until the client has accepted the whole body.
    pub(super) fn watch(&self, body: Body, request: WaitingBytes) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let mut table = self.table();
        table.next += 1;
        let id = table.next;
        drop(table);
        Body::new(WatchedBody { pieces: BodyPieces::new(body), id, responses: self.clone(), _request: request })
    }

    /// Ends when a piece has waited for more than [`PIECE_TIMEOUT`].
    pub(super) async fn until_slow_reader(&self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            if self.table().has_slow_reader(Instant::now()) {
                return;
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn has_slow_reader(&self, now: Instant) -> bool {
        self.waiting.values().any(|since| now.saturating_duration_since(*since) > PIECE_TIMEOUT)
    }
}

struct WatchedBody {
    pieces: BodyPieces,
    id: u64,
    responses: Http2Responses,
    _request: WaitingBytes,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    /// hyper polls for the next frame once the client's window has accepted the last one.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        this.responses.table().waiting.remove(&this.id);
        let next = ready!(this.pieces.poll_piece(cx));
        if matches!(&next, Some(Ok(frame)) if frame.is_data()) {
            this.responses.table().waiting.insert(this.id, Instant::now());
        }
        Poll::Ready(next)
    }

    /// Always false: then hyper polls once more after the client has accepted the last piece.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.pieces.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.responses.table().waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::http::body_pieces::MAX_PIECE_BYTES;
    use crate::limits::waiting_bytes::Ledger;

    #[test]
    fn a_response_waits_from_a_piece_to_the_next_poll() {
        let (responses, now) = (Http2Responses::default(), Instant::now());
        let ledger = Ledger::default();
        let account = ledger.open(None);
        let waiting = || account.add(1000).unwrap();
        let late = || responses.table().has_slow_reader(Instant::now() + PIECE_TIMEOUT + CHECK_INTERVAL);
        let mut body = responses.watch(Body::from(vec![7; MAX_PIECE_BYTES + 1]), waiting());
        assert_eq!(body.size_hint().exact(), Some(MAX_PIECE_BYTES as u64 + 1));
        let mut context = Context::from_waker(Waker::noop());
        let mut next = || match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(frame) => frame.map(|frame| frame.unwrap().into_data().unwrap().len()),
            Poll::Pending => panic!("it is there"),
        };
        assert!(!late(), "nobody has polled");
        assert_eq!(next(), Some(MAX_PIECE_BYTES));
        assert!(late());
        assert!(!responses.table().has_slow_reader(now + PIECE_TIMEOUT));
        assert_eq!(next(), Some(1));
        assert!(late(), "the client has to accept the last piece, too");
        assert_eq!(next(), None);
        assert!(!late());
        let mut other = responses.watch(Body::from("x"), waiting());
        assert!(Pin::new(&mut other).poll_frame(&mut context).is_ready());
        assert!(late());
        assert_eq!(ledger.bytes(), 2000);
        drop(other);
        assert_eq!(ledger.bytes(), 1000);
        assert!(!late(), "reset");
        let waits = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let mut waits = responses.watch(Body::from_stream(waits), waiting());
        assert!(Pin::new(&mut waits).poll_frame(&mut context).is_pending());
        assert!(!late(), "there is nothing to take");
    }
}
