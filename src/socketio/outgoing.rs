//! What waits for one session of Socket.IO: events and acks, from the moment they are emitted until they have left.
//!
//! A handle is in the extensions of the session's first request, which the session keeps; it outlives the move from polling to a
//! WebSocket. Gateways emit through it; whoever carries the session's packets says how many events and acks have left. They leave
//! in the order in which they came, whichever namespace they are of.
//!
//! Of what waits for a WebSocket, socketioxide gets a little at a time, and the rest is held here. It would write all that it has
//! into one buffer, which keeps that size as long as the WebSocket lives.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use socketioxide::{SendError, SocketError};

use crate::limits::waiting_bytes::{Account, WaitingBytes};

/// What an event costs besides its bytes: its places in the queues.
const EVENT_BYTES: usize = 128;
/// Bytes that socketioxide has of what waits for a WebSocket, or one larger event.
const WINDOW_BYTES: usize = 16 * 1024;

/// A handle to the session's queue; clones share it.
#[derive(Debug, Clone)]
pub struct Outgoing(Arc<Inner>);

struct Inner {
    account: Account,
    queue: Mutex<Queue>,
    /// Answers of socketioxide's own.
    answers: Mutex<VecDeque<WaitingBytes>>,
    joining: Arc<Joining>,
    wakers: Arc<Wakers>,
}

#[derive(Default)]
struct Queue {
    /// What socketioxide has.
    sent: VecDeque<WaitingBytes>,
    sent_bytes: usize,
    held: VecDeque<Held>,
    reach: Reach,
}

/// An event, or an ack, that socketioxide does not have yet. Invariant: it keeps its socket, which keeps the queue; so none is held once
/// the session has ended.
struct Held {
    waiting: WaitingBytes,
    send: Later,
}

/// Gives socketioxide an event or an ack.
pub type Later = Box<dyn FnOnce() -> Result<(), SendError> + Send>;

/// What is to be sent: at once, or kept and sent later.
pub trait Emission {
    /// # Errors
    /// socketioxide does not take it.
    fn send(self) -> Result<(), SendError>;

    /// The same, to be kept.
    fn keep(self) -> Later;
}

/// How much socketioxide may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Reach {
    /// The client polls: everything.
    #[default]
    All,
    /// It has a WebSocket: [`WINDOW_BYTES`].
    Window,
    /// The session has ended: nothing.
    Nothing,
}

impl Queue {
    /// Whether an event of so many bytes goes to socketioxide now, if it is the first one that is held.
    fn has_room(&self, bytes: usize) -> bool {
        self.sent.is_empty() || self.reach == Reach::All || self.sent_bytes + bytes <= WINDOW_BYTES
    }

    fn push(&mut self, waiting: WaitingBytes) {
        self.sent_bytes += waiting.bytes();
        self.sent.push_back(waiting);
    }
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
        Self(Arc::new(Inner { account, queue: Mutex::default(), answers: Mutex::default(), joining: Arc::default(), wakers }))
    }

    #[must_use]
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// Emits an event or an ack of so many bytes; `false`: nothing reaches this client any more.
    pub fn emit(&self, bytes: usize, emission: impl Emission) -> bool {
        // Held over both, so that they leave in this order.
        let mut queue = self.queue();
        let Some(waiting) = self.0.account.add(bytes + EVENT_BYTES) else { return false };
        if queue.reach == Reach::Nothing {
            // Its disconnect handler is on its way.
        } else if queue.held.is_empty() && queue.has_room(waiting.bytes()) {
            self.send(&mut queue, waiting, || emission.send());
        } else {
            queue.held.push_back(Held { waiting, send: emission.keep() });
        }
        drop(queue);
        !self.0.account.is_closed()
    }

    fn send(&self, queue: &mut Queue, waiting: WaitingBytes, send: impl FnOnce() -> Result<(), SendError>) {
        match send() {
            Ok(()) => queue.push(waiting),
            // Its disconnect handler is on its way.
            Err(SendError::Socket(SocketError::Closed)) => {}
            // What is lost can't be repaired, a reconnect can.
            Err(SendError::Socket(SocketError::InternalChannelFull)) => self.0.account.close("too many events wait for it"),
            Err(SendError::Serialize(error)) => tracing::error!(%error, "an event could not be written"),
        }
    }

    /// So many events and acks have left.
    pub fn leave(&self, count: usize) {
        let mut queue = self.queue();
        let left = first(&mut queue.sent, count);
        queue.sent_bytes -= left.iter().map(WaitingBytes::bytes).sum::<usize>();
        self.send_held(&mut queue);
        // Those that have left are dropped after it.
        drop(queue);
    }

    /// Gives socketioxide of what is held as much as it may have.
    fn send_held(&self, queue: &mut Queue) {
        while let Some(next) = queue.held.front() {
            if !queue.has_room(next.waiting.bytes()) {
                return;
            }
            let Some(Held { waiting, send }) = queue.held.pop_front() else { return };
            self.send(queue, waiting, send);
        }
        // Nearly every session is idle nearly always.
        queue.held = VecDeque::new();
    }

    /// The session is on a WebSocket from now on.
    pub fn move_to_websocket(&self) {
        self.queue().reach = Reach::Window;
    }

    /// Gives socketioxide everything that is held: what it sends by itself is to come after it.
    pub fn send_all(&self) {
        let mut queue = self.queue();
        let reach = std::mem::replace(&mut queue.reach, Reach::All);
        self.send_held(&mut queue);
        queue.reach = reach;
    }

    /// The WebSocket has ended, and the session with it, if it was on that.
    pub fn end_websocket(&self) {
        let mut queue = self.queue();
        if queue.reach != Reach::Window {
            return;
        }
        queue.reach = Reach::Nothing;
        let held = std::mem::take(&mut queue.held);
        drop(queue);
        drop(held);
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
        let mut answers = lock(&self.0.answers);
        let left = first(&mut answers, count);
        drop(answers);
        drop(left);
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

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.0.queue)
    }
}

fn lock<T>(queue: &Mutex<T>) -> MutexGuard<'_, T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes so many out, or all that there are. They are to be dropped when the queue is unlocked.
fn first(queue: &mut VecDeque<WaitingBytes>, count: usize) -> Vec<WaitingBytes> {
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
    use crate::limits::waiting_bytes::{Ledger, MAX_CLIENT_BYTES};

    /// As if socketioxide did this with an event.
    struct Sent(Result<(), SendError>);

    impl Emission for Sent {
        fn send(self) -> Result<(), SendError> {
            self.0
        }

        fn keep(self) -> Later {
            Box::new(move || self.0)
        }
    }

    fn outgoing() -> (Outgoing, Ledger) {
        let ledger = Ledger::default();
        (Outgoing::new(ledger.open(None)), ledger)
    }

    #[test]
    fn events_count_until_they_have_left() {
        let (outgoing, ledger) = outgoing();
        assert!(outgoing.emit(1000, Sent(Ok(()))) && outgoing.emit(2000, Sent(Ok(()))));
        assert_eq!(ledger.bytes(), 3000 + 2 * EVENT_BYTES);
        outgoing.leave(1);
        assert_eq!(ledger.bytes(), 2000 + EVENT_BYTES);
        outgoing.leave(5);
        assert_eq!(ledger.bytes(), 0);
        assert!(outgoing.emit(1000, Sent(Err(SendError::Socket(SocketError::Closed)))));
        assert_eq!(ledger.bytes(), 0, "what was not sent does not wait");
    }

    /// Notes which events were sent, each when it is.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<usize>>>);

    struct Noted(Log, usize);

    impl Emission for Noted {
        fn send(self) -> Result<(), SendError> {
            lock(&self.0.0).push(self.1);
            Ok(())
        }

        fn keep(self) -> Later {
            Box::new(move || self.send())
        }
    }

    #[test]
    fn a_websocket_has_a_window_and_gets_the_rest_in_order_as_events_leave() {
        const EVENT: usize = WINDOW_BYTES / 2 - EVENT_BYTES;
        let ((outgoing, ledger), log) = (outgoing(), Log::default());
        let emit = |bytes, number| outgoing.emit(bytes, Noted(log.clone(), number));
        assert!(emit(WINDOW_BYTES, 0) && emit(EVENT, 1), "all of it while the client polls");
        outgoing.move_to_websocket();
        assert!((2..5).all(|number| emit(EVENT, number)) && emit(2 * WINDOW_BYTES, 5) && emit(1, 6));
        let sent = || lock(&log.0).clone();
        assert_eq!(sent(), [0, 1]);
        outgoing.leave(1);
        assert_eq!(sent(), [0, 1, 2]);
        outgoing.leave(2);
        assert_eq!(sent(), [0, 1, 2, 3, 4]);
        outgoing.leave(1);
        assert_eq!(sent().len(), 5, "a large one goes alone");
        outgoing.leave(1);
        assert_eq!(sent(), [0, 1, 2, 3, 4, 5]);
        assert!(emit(1, 7));
        outgoing.send_all();
        assert_eq!(sent(), [0, 1, 2, 3, 4, 5, 6, 7]);
        outgoing.leave(3);
        assert_eq!(ledger.bytes(), 0);
    }

    #[test]
    fn nothing_is_held_for_a_websocket_that_has_ended() {
        let ((outgoing, ledger), log) = (outgoing(), Log::default());
        outgoing.end_websocket();
        outgoing.move_to_websocket();
        for number in 0..4 {
            assert!(outgoing.emit(WINDOW_BYTES, Noted(log.clone(), number)));
        }
        assert_eq!((lock(&log.0).len(), Arc::strong_count(&log.0)), (1, 4), "three are held");
        outgoing.end_websocket();
        assert!(outgoing.emit(1, Noted(log.clone(), 9)));
        assert_eq!((lock(&log.0).len(), Arc::strong_count(&log.0)), (1, 1));
        outgoing.leave(1);
        assert_eq!((lock(&log.0).len(), ledger.bytes()), (1, 0));
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
        let sent = (0..100).take_while(|_| outgoing.emit(100_000, Sent(Ok(())))).count();
        assert_eq!(sent, MAX_CLIENT_BYTES / (100_000 + EVENT_BYTES));
        assert!(outgoing.is_over(Side::Reader, Waker::noop()) && !outgoing.emit(1, Sent(Ok(()))));
        assert_eq!((ledger.bytes(), ledger.closed()), (0, 1));

        let (outgoing, _) = self::outgoing();
        assert!(!outgoing.emit(1, Sent(Err(SendError::Socket(SocketError::InternalChannelFull)))));
        assert!(outgoing.account().is_closed());
    }

    #[test]
    fn the_memory_of_a_session_is_not_pinned_by_its_own_account() {
        let (outgoing, ledger) = outgoing();
        let inner = Arc::downgrade(&outgoing.0);
        assert!(outgoing.emit(1000, Sent(Ok(()))));
        drop(outgoing);
        assert_eq!((ledger.bytes(), inner.strong_count()), (0, 0));
    }
}
