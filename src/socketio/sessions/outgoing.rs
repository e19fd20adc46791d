//! What waits for one session of Socket.IO: events and acknowledgements, from the moment they are emitted until they have left.
//!
//! Owner: the session's first request, which the session keeps, has a handle among its extensions; the handle outlives the move from polling
//! to a WebSocket. **Inputs**: gateways call [`Outgoing::emit`]; the task that carries the session's packets calls [`Outgoing::leave`] with the
//! number of packets that have left. **Outputs**: socketioxide is given the events, in the order in which they were emitted, whatever their
//! namespace.
//!
//! Invariants: everything that waits is counted in the session's account. Of what waits for a WebSocket, socketioxide gets
//! `WINDOW_BYTES` at a time, and the rest is held here, because socketioxide would write all of it into one buffer, which keeps that size as
//! long as the WebSocket lives.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use socketioxide::{SendError, SocketError};

use crate::limits::waiting_bytes::{Account, WaitingBytes};

/// What an event costs besides its own bytes: its entries in the queues.
const EVENT_OVERHEAD_BYTES: usize = 128;
/// Bytes that socketioxide has at a time of what waits for a WebSocket; a single larger event is also given to it.
const WINDOW_BYTES: usize = 16 * 1024;

/// A handle to the session's queue; clones share it.
#[derive(Debug, Clone)]
pub struct Outgoing(Arc<Inner>);

struct Inner {
    account: Account,
    queue: Mutex<Queue>,
    /// Answers that socketioxide sends without [`Outgoing::emit`].
    answers: Mutex<VecDeque<WaitingBytes>>,
    namespace_join: Arc<NamespaceJoin>,
    wakers: Arc<TaskWakers>,
}

#[derive(Default)]
struct Queue {
    /// The events that socketioxide has.
    sent: VecDeque<WaitingBytes>,
    sent_bytes: usize,
    held: VecDeque<HeldEvent>,
    window: SendWindow,
}

/// An event or an acknowledgement that socketioxide does not have yet. Invariant: it keeps its socket, which keeps the queue; so none is held
/// once the session has ended.
struct HeldEvent {
    waiting: WaitingBytes,
    send: DeferredSend,
}

/// Gives socketioxide an event or an acknowledgement.
pub type DeferredSend = Box<dyn FnOnce() -> Result<(), SendError> + Send>;

/// An event or an acknowledgement that can be sent now, or kept and sent later.
pub trait Sendable {
    /// # Errors
    /// socketioxide refuses it.
    fn send(self) -> Result<(), SendError>;

    /// The same for later.
    fn defer(self) -> DeferredSend;
}

/// How much socketioxide may have at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum SendWindow {
    /// Everything: the client polls.
    #[default]
    Unlimited,
    /// [`WINDOW_BYTES`]: the client has a WebSocket.
    Limited,
    /// Nothing: the session has ended.
    Closed,
}

impl Queue {
    /// Whether the next event, of so many bytes, may go to socketioxide now.
    fn has_room(&self, bytes: usize) -> bool {
        self.sent.is_empty() || self.window == SendWindow::Unlimited || self.sent_bytes + bytes <= WINDOW_BYTES
    }

    fn push(&mut self, waiting: WaitingBytes) {
        self.sent_bytes += waiting.bytes();
        self.sent.push_back(waiting);
    }
}

/// Whether a client has asked for a namespace, and whether it has joined one. Unlike an [`Outgoing`], a handle to this keeps no queue alive.
#[derive(Debug, Default)]
pub struct NamespaceJoin {
    asked: AtomicBool,
    joined: AtomicBool,
}

impl NamespaceJoin {
    /// The client has asked for a namespace.
    pub fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The client is in a namespace.
    pub fn has_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }
}

/// Wake the two tasks of the session's WebSocket.
#[derive(Debug, Default)]
pub struct TaskWakers {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl TaskWakers {
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
        let wakers = Arc::<TaskWakers>::default();
        let woken = Arc::clone(&wakers);
        account.on_close(move || woken.wake());
        Self(Arc::new(Inner {
            account,
            queue: Mutex::default(),
            answers: Mutex::default(),
            namespace_join: Arc::default(),
            wakers,
        }))
    }

    #[must_use]
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// Emits an event or an acknowledgement of so many bytes; `false`: the client's account is closed, so nothing reaches it any more.
    pub fn emit(&self, bytes: usize, sendable: impl Sendable) -> bool {
        // The lock is held from counting to sending, so that events leave in the order in which they are counted.
        let mut queue = self.queue();
        let Some(waiting) = self.0.account.add(bytes + EVENT_OVERHEAD_BYTES) else { return false };
        if queue.window == SendWindow::Closed {
            // The disconnect handler is about to run.
        } else if queue.held.is_empty() && queue.has_room(waiting.bytes()) {
            self.send(&mut queue, waiting, || sendable.send());
        } else {
            queue.held.push_back(HeldEvent { waiting, send: sendable.defer() });
        }
        drop(queue);
        !self.0.account.is_closed()
    }

    fn send(&self, queue: &mut Queue, waiting: WaitingBytes, send: impl FnOnce() -> Result<(), SendError>) {
        match send() {
            Ok(()) => queue.push(waiting),
            // The disconnect handler is about to run.
            Err(SendError::Socket(SocketError::Closed)) => {}
            // A lost event can't be repaired, but the client can reconnect.
            Err(SendError::Socket(SocketError::InternalChannelFull)) => self.0.account.close("too many events wait for it"),
            Err(SendError::Serialize(error)) => tracing::error!(%error, "could not serialize an event; it is lost"),
        }
    }

    /// So many events and acknowledgements have left.
    pub fn leave(&self, count: usize) {
        let mut queue = self.queue();
        let left = take_first(&mut queue.sent, count);
        queue.sent_bytes -= left.iter().map(WaitingBytes::bytes).sum::<usize>();
        self.send_held(&mut queue);
        // The events that have left are dropped without the lock.
        drop(queue);
    }

    /// Gives socketioxide as many of the held events as it may have.
    fn send_held(&self, queue: &mut Queue) {
        while let Some(next) = queue.held.front() {
            if !queue.has_room(next.waiting.bytes()) {
                return;
            }
            let Some(HeldEvent { waiting, send }) = queue.held.pop_front() else { return };
            self.send(queue, waiting, send);
        }
        // Nearly every session is idle nearly always, so the queue's memory is given back.
        queue.held = VecDeque::new();
    }

    /// The session uses a WebSocket from now on.
    pub fn move_to_websocket(&self) {
        self.queue().window = SendWindow::Limited;
    }

    /// Gives socketioxide everything that is held, so that a packet of its own comes after that.
    pub fn send_all(&self) {
        let mut queue = self.queue();
        let window = std::mem::replace(&mut queue.window, SendWindow::Unlimited);
        self.send_held(&mut queue);
        queue.window = window;
    }

    /// The WebSocket has ended, and so has the session if it used it.
    pub fn end_websocket(&self) {
        let mut queue = self.queue();
        if queue.window != SendWindow::Limited {
            return;
        }
        queue.window = SendWindow::Closed;
        let held = std::mem::take(&mut queue.held);
        drop(queue);
        drop(held);
    }

    /// The client asks for so many namespaces, by packets of so many bytes together. socketioxide answers each one with a packet that may name
    /// the namespace and is not emitted here.
    pub fn expect_answers(&self, packets: u32, bytes: u32) {
        if packets > 0 {
            self.0.namespace_join.asked.store(true, Ordering::Relaxed);
        }
        let mut left = bytes as usize;
        for _ in 0..packets {
            // How the bytes are distributed among the packets makes no difference.
            let Some(waiting) = self.0.account.add(std::mem::take(&mut left) + EVENT_OVERHEAD_BYTES) else { return };
            lock(&self.0.answers).push_back(waiting);
        }
    }

    /// The client has joined a namespace.
    pub fn join(&self) {
        self.0.namespace_join.joined.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn namespace_join(&self) -> Arc<NamespaceJoin> {
        Arc::clone(&self.0.namespace_join)
    }

    /// So many of socketioxide's answers have left.
    pub fn answered(&self, count: usize) {
        let mut answers = lock(&self.0.answers);
        let left = take_first(&mut answers, count);
        drop(answers);
        drop(left);
    }

    /// Whether the session has to end. If not, `waker` is woken when it has to; the reading and the writing task each have one waker.
    pub fn is_over(&self, task: WebSocketTask, waker: &Waker) -> bool {
        match task {
            WebSocketTask::Reader => self.0.wakers.reader.register(waker),
            WebSocketTask::Writer => self.0.wakers.writer.register(waker),
        }
        self.0.account.is_closed()
    }

    /// The wakers of the tasks that have called [`Self::is_over`].
    #[must_use]
    pub fn wakers(&self) -> Arc<TaskWakers> {
        Arc::clone(&self.0.wakers)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.0.queue)
    }
}

fn lock<T>(queue: &Mutex<T>) -> MutexGuard<'_, T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes so many out, or all. The caller drops them after the queue is unlocked.
fn take_first(queue: &mut VecDeque<WaitingBytes>, count: usize) -> Vec<WaitingBytes> {
    let count = count.min(queue.len());
    let first = queue.drain(..count).collect();
    if queue.is_empty() {
        // Nearly every session is idle nearly always, so the queue's memory is given back.
        *queue = VecDeque::new();
    }
    first
}

/// The two tasks of a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebSocketTask {
    Reader,
    Writer,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::waiting_bytes::{Ledger, MAX_CLIENT_BYTES};

    /// An event with which socketioxide does this.
    struct Sent(Result<(), SendError>);

    impl Sendable for Sent {
        fn send(self) -> Result<(), SendError> {
            self.0
        }

        fn defer(self) -> DeferredSend {
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
        assert_eq!(ledger.bytes(), 3000 + 2 * EVENT_OVERHEAD_BYTES);
        outgoing.leave(1);
        assert_eq!(ledger.bytes(), 2000 + EVENT_OVERHEAD_BYTES);
        outgoing.leave(5);
        assert_eq!(ledger.bytes(), 0);
        assert!(outgoing.emit(1000, Sent(Err(SendError::Socket(SocketError::Closed)))));
        assert_eq!(ledger.bytes(), 0, "what was not sent does not wait");
    }

    /// Notes which events were sent, each when it is.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<usize>>>);

    struct Noted(Log, usize);

    impl Sendable for Noted {
        fn send(self) -> Result<(), SendError> {
            lock(&self.0.0).push(self.1);
            Ok(())
        }

        fn defer(self) -> DeferredSend {
            Box::new(move || self.send())
        }
    }

    #[test]
    fn a_websocket_has_a_window_and_gets_the_rest_in_order_as_events_leave() {
        const EVENT: usize = WINDOW_BYTES / 2 - EVENT_OVERHEAD_BYTES;
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
        assert_eq!(ledger.bytes(), 1000 + 3 * EVENT_OVERHEAD_BYTES);
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
        assert_eq!(sent, MAX_CLIENT_BYTES / (100_000 + EVENT_OVERHEAD_BYTES));
        assert!(outgoing.is_over(WebSocketTask::Reader, Waker::noop()) && !outgoing.emit(1, Sent(Ok(()))));
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
