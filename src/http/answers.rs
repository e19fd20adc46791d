//! Answers over HTTP/2 that nobody takes. There the bytes of a connection flow while one of its answers is not let through, so that no
//! deadline for the connection's bytes sees it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use crate::limits::waiting_bytes::Waiting;

/// For a piece of an answer to be let through.
const PIECE_TIME: Duration = Duration::from_secs(30);
/// Bytes of a piece: a frame of HTTP/2 as most clients take it. An answer goes at half a KiB a second at least.
const MAX_PIECE_BYTES: usize = 16 * 1024;
/// How often a connection's answers are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The answers of one connection; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// Since when an answer has a piece that is not let through.
    waiting: HashMap<u64, Instant>,
}

impl Answers {
    /// `body`, watched; `request` is what its request takes, until all of the body has been let through.
    pub(super) fn watch(&self, body: Body, request: Waiting) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let mut table = self.table();
        table.next += 1;
        let id = table.next;
        drop(table);
        Body::new(Answer { body, rest: Bytes::new(), id, answers: self.clone(), _request: request })
    }

    /// Ends when an answer has waited too long.
    pub(super) async fn stalled(&self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            if self.table().is_stalled(Instant::now()) {
                return;
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn is_stalled(&self, now: Instant) -> bool {
        self.waiting.values().any(|since| now.saturating_duration_since(*since) > PIECE_TIME)
    }
}

struct Answer {
    body: Body,
    /// What is left of a larger frame.
    rest: Bytes,
    id: u64,
    answers: Answers,
    _request: Waiting,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    /// hyper asks for the next frame once the last one has been let through.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        this.answers.table().waiting.remove(&this.id);
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(MAX_PIECE_BYTES));
        this.answers.table().waiting.insert(this.id, Instant::now());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// Never before the end has been asked for, which hyper does when the last piece has been let through.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.answers.table().waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::limits::waiting_bytes::Ledger;

    #[test]
    fn an_answer_waits_from_a_piece_to_the_next_question() {
        let (answers, now) = (Answers::default(), Instant::now());
        let ledger = Ledger::default();
        let account = ledger.open(None);
        let waiting = || account.add(1000).unwrap();
        let late = || answers.table().is_stalled(Instant::now() + PIECE_TIME + CHECK_INTERVAL);
        let mut body = answers.watch(Body::from(vec![7; MAX_PIECE_BYTES + 1]), waiting());
        assert_eq!(body.size_hint().exact(), Some(MAX_PIECE_BYTES as u64 + 1));
        let mut context = Context::from_waker(Waker::noop());
        let mut next = || match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(frame) => frame.map(|frame| frame.unwrap().into_data().unwrap().len()),
            Poll::Pending => panic!("it is there"),
        };
        assert!(!late(), "nobody has asked");
        assert_eq!(next(), Some(MAX_PIECE_BYTES));
        assert!(late());
        assert!(!answers.table().is_stalled(now + PIECE_TIME));
        assert_eq!(next(), Some(1));
        assert!(late(), "the last piece has to go, too");
        assert_eq!(next(), None);
        assert!(!late());
        let mut other = answers.watch(Body::from("x"), waiting());
        assert!(Pin::new(&mut other).poll_frame(&mut context).is_ready());
        assert!(late());
        assert_eq!(ledger.bytes(), 2000);
        drop(other);
        assert_eq!(ledger.bytes(), 1000);
        assert!(!late(), "reset");
        let waits = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let mut waits = answers.watch(Body::from_stream(waits), waiting());
        assert!(Pin::new(&mut waits).poll_frame(&mut context).is_pending());
        assert!(!late(), "there is nothing to take");
    }
}
