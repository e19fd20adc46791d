//! What waits for one session of Socket.IO: events and acks, from the moment they are emitted until they have left.
//!
//! A handle is in the extensions of the session's first request, which the session keeps; it outlives the move from polling to a
//! WebSocket. Gateways emit through it; whoever carries the session's packets says how many events and acks have left. They leave
//! in the order in which they came, whichever namespace they are of.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use socketioxide::{SendError, SocketError};

use crate::waiting::{Account, Waiting};

/// What an event costs besides its bytes: its places in the queues.
const EVENT_BYTES: usize = 128;

/// A handle to the session's queue; clones share it.
#[derive(Debug, Clone)]
pub struct Outgoing(Arc<Inner>);

struct Inner {
    account: Account,
    waiting: Mutex<VecDeque<Waiting>>,
    /// Answers of socketioxide's own.
    answers: Mutex<VecDeque<Waiting>>,
    joining: Arc<Joining>,
    wakers: Arc<Wakers>,
}

/// How far a client has come to a namespace. Other than an [`Outgoing`] it keeps nothing, wherever it is.
#[derive(Debug, Default)]
pub struct Joining {
    asked: AtomicBool,
    joined: AtomicBool,
}

impl Joining {
    /// It has asked for one.
    pub fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// It has one.
    pub fn has_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }
}

/// Of the two tasks of the session's WebSocket.
#[derive(Debug, Default)]
pub struct Wakers {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wakers {
    pub fn wake(&self) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.account.fmt(f)
    }
}

impl Outgoing {
    #[must_use]
    pub fn new(account: Account) -> Self {
        let wakers = Arc::<Wakers>::default();
        let woken = Arc::clone(&wakers);
        account.on_close(move || woken.wake());
        Self(Arc::new(Inner { account, waiting: Mutex::default(), answers: Mutex::default(), joining: Arc::default(), wakers }))
    }

    #[must_use]
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// Emits an event or an ack of so many bytes by `send`; `false`: nothing reaches this client any more.
    pub fn emit(&self, bytes: usize, send: impl FnOnce() -> Result<(), SendError>) -> bool {
        // Held over both, so that they leave in this order.
        let mut queue = self.queue();
        let Some(waiting) = self.0.account.add(bytes + EVENT_BYTES) else { return false };
        match send() {
            Ok(()) => queue.push_back(waiting),
            // Its disconnect handler is on its way.
            Err(SendError::Socket(SocketError::Closed)) => {}
            // What is lost can't be repaired, a reconnect can.
            Err(SendError::Socket(SocketError::InternalChannelFull)) => self.0.account.close("too many events wait for it"),
            Err(SendError::Serialize(error)) => tracing::error!(%error, "an event could not be written"),
        }
        drop(queue);
        !self.0.account.is_closed()
    }

    /// So many events and acks have left.
    pub fn leave(&self, count: usize) {
        drop(first(self.queue(), count));
    }

    /// The client asks for so many namespaces, by packets of so many bytes together. Each is answered by a packet that may name the
    /// namespace, and that nobody emits by this.
    pub fn expect_answers(&self, packets: u32, bytes: u32) {
        if packets > 0 {
            self.0.joining.asked.store(true, Ordering::Relaxed);
        }
        let mut left = bytes as usize;
        for _ in 0..packets {
            // Which packet has how many makes no difference.
            let Some(waiting) = self.0.account.add(std::mem::take(&mut left) + EVENT_BYTES) else { return };
            lock(&self.0.answers).push_back(waiting);
        }
    }

    /// The client has a namespace.
    pub fn join(&self) {
        self.0.joining.joined.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn joining(&self) -> Arc<Joining> {
        Arc::clone(&self.0.joining)
    }

    /// So many of those answers have left.
    pub fn answered(&self, count: usize) {
        drop(first(lock(&self.0.answers), count));
    }

    /// Whether the session is to end. If not, `waker` is woken when it is: whoever reads from the client has one, and whoever writes.
    pub fn is_over(&self, side: Side, waker: &Waker) -> bool {
        match side {
            Side::Reader => self.0.wakers.reader.register(waker),
            Side::Writer => self.0.wakers.writer.register(waker),
        }
        self.0.account.is_closed()
    }

    /// Wakes whoever has asked [`Self::is_over`].
    #[must_use]
    pub fn wakers(&self) -> Arc<Wakers> {
        Arc::clone(&self.0.wakers)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        lock(&self.0.waiting)
    }
}

fn lock(queue: &Mutex<VecDeque<Waiting>>) -> MutexGuard<'_, VecDeque<Waiting>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes so many out, or all that there are. They are to be dropped when the queue is unlocked.
fn first(mut queue: MutexGuard<'_, VecDeque<Waiting>>, count: usize) -> Vec<Waiting> {
    let count = count.min(queue.len());
    let first = queue.drain(..count).collect();
    if queue.is_empty() {
        // Nearly every session is idle nearly always.
        *queue = VecDeque::new();
    }
    first
}

/// The two tasks of a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Reader,
    Writer,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::{Ledger, MAX_BYTES};

    fn outgoing() -> (Outgoing, Ledger) {
        let ledger = Ledger::default();
        (Outgoing::new(ledger.open(None)), ledger)
    }

    #[test]
    fn events_count_until_they_have_left() {
        let (outgoing, ledger) = outgoing();
        assert!(outgoing.emit(1000, || Ok(())) && outgoing.emit(2000, || Ok(())));
        assert_eq!(ledger.bytes(), 3000 + 2 * EVENT_BYTES);
        outgoing.leave(1);
        assert_eq!(ledger.bytes(), 2000 + EVENT_BYTES);
        outgoing.leave(5);
        assert_eq!(ledger.bytes(), 0);
        assert!(outgoing.emit(1000, || Err(SendError::Socket(SocketError::Closed))));
        assert_eq!(ledger.bytes(), 0, "what was not sent does not wait");
    }

    #[test]
    fn answers_that_nobody_emits_count_until_they_have_left() {
        let (outgoing, ledger) = outgoing();
        outgoing.expect_answers(0, 0);
        outgoing.expect_answers(3, 1000);
        assert_eq!(ledger.bytes(), 1000 + 3 * EVENT_BYTES);
        outgoing.answered(1);
        outgoing.answered(9);
        assert_eq!(ledger.bytes(), 0);
        (0..3).for_each(|_| outgoing.expect_answers(1, 1_000_000));
        assert!(outgoing.account().is_closed());
    }

    #[test]
    fn a_client_with_too_many_bytes_or_too_many_events_is_closed() {
        let (outgoing, ledger) = outgoing();
        let sent = (0..100).take_while(|_| outgoing.emit(100_000, || Ok(()))).count();
        assert_eq!(sent, MAX_BYTES / (100_000 + EVENT_BYTES));
        assert!(outgoing.is_over(Side::Reader, Waker::noop()) && !outgoing.emit(1, || panic!("nothing is sent any more")));
        assert_eq!((ledger.bytes(), ledger.closed()), (0, 1));

        let (outgoing, _) = self::outgoing();
        assert!(!outgoing.emit(1, || Err(SendError::Socket(SocketError::InternalChannelFull))));
        assert!(outgoing.account().is_closed());
    }

    #[test]
    fn the_memory_of_a_session_is_not_pinned_by_its_own_account() {
        let (outgoing, ledger) = outgoing();
        let inner = Arc::downgrade(&outgoing.0);
        assert!(outgoing.emit(1000, || Ok(())));
        drop(outgoing);
        assert_eq!((ledger.bytes(), inner.strong_count()), (0, 0));
    }
}
