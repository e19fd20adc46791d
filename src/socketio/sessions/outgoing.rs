//! What waits for one session of Socket.IO: events and acknowledgements, from the moment they are queued until they have left.
//!
//! Owner: the session's first request, which the session keeps, has a handle among its extensions; the handle outlives the move from polling
//! to a WebSocket. **Inputs**: gateways call [`Outgoing::queue`] under their locks and [`Outgoing::flush`] after that; the task that carries the
//! session's packets calls [`Outgoing::leave`] with the number of packets that have left. **Outputs**: socketioxide is given the events, in the
//! order in which they were queued, whatever their namespace.
//!
//! Invariants: everything that waits is counted in the session's account, from [`Outgoing::flush`] on. Of what waits for a WebSocket,
//! socketioxide gets `WINDOW_BYTES` at a time, and the rest is held here, because socketioxide would write all of it into one buffer, which
//! keeps that size as long as the WebSocket lives.

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
    /// The events that wait for [`Outgoing::flush`]. Nothing else is done under this lock, so whoever queues an event never waits for one to be
    /// serialized.
    queued: Mutex<Vec<QueuedEvent>>,
    state: Mutex<State>,
    /// Answers that socketioxide sends without [`Outgoing::queue`].
    answers: Mutex<VecDeque<WaitingBytes>>,
    namespace_join: Arc<NamespaceJoin>,
    wakers: Arc<TaskWakers>,
}

#[derive(Default)]
struct State {
    /// The events that socketioxide has.
    sent: VecDeque<WaitingBytes>,
    sent_bytes: usize,
    held: VecDeque<HeldEvent>,
    window: SendWindow,
}

/// An event or an acknowledgement of so many bytes.
struct QueuedEvent {
    bytes: usize,
    send: DeferredSend,
}

/// An event or an acknowledgement that socketioxide does not have yet. Invariant: it keeps its socket, which keeps the queue; so none is held
/// once the session has ended.
struct HeldEvent {
    waiting: WaitingBytes,
    send: DeferredSend,
}

/// Gives socketioxide an event or an acknowledgement.
type DeferredSend = Box<dyn FnOnce() -> Result<(), SendError> + Send>;

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

impl State {
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
            queued: Mutex::default(),
            state: Mutex::default(),
            answers: Mutex::default(),
            namespace_join: Arc::default(),
            wakers,
        }))
    }

    #[must_use]
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// Queues an event or an acknowledgement of so many bytes, which `send` gives to socketioxide. Whoever queues an event calls
    /// [`Self::flush`] next; it is not counted before.
    pub fn queue(&self, bytes: usize, send: impl FnOnce() -> Result<(), SendError> + Send + 'static) {
        lock(&self.0.queued).push(QueuedEvent { bytes, send: Box::new(send) });
    }

    /// Counts the queued events, and gives socketioxide as many of them as it may have; `false`: the client's account is closed, so nothing
    /// reaches it any more.
    pub fn flush(&self) -> bool {
        let mut state = self.state();
        let dropped = self.hold_queued(&mut state);
        self.send_held(&mut state);
        drop(state);
        drop(dropped);
        !self.0.account.is_closed()
    }

    /// Puts the queued events behind the held ones, and returns those that nobody will get.
    fn hold_queued(&self, state: &mut State) -> Vec<QueuedEvent> {
        let queued = std::mem::take(&mut *lock(&self.0.queued));
        if state.window == SendWindow::Closed {
            // The disconnect handler is about to run.
            return queued;
        }
        let mut queued = queued.into_iter();
        for QueuedEvent { bytes, send } in queued.by_ref() {
            let Some(waiting) = self.0.account.add(bytes + EVENT_OVERHEAD_BYTES) else { break };
            state.held.push_back(HeldEvent { waiting, send });
        }
        queued.collect()
    }

    fn send(&self, state: &mut State, waiting: WaitingBytes, send: impl FnOnce() -> Result<(), SendError>) {
        match send() {
            Ok(()) => state.push(waiting),
            // The disconnect handler is about to run.
            Err(SendError::Socket(SocketError::Closed)) => {}
            // A lost event can't be repaired, but the client can reconnect.
            Err(SendError::Socket(SocketError::InternalChannelFull)) => self.0.account.close("too many events wait for it"),
            Err(SendError::Serialize(error)) => tracing::error!(%error, "could not serialize an event; it is lost"),
        }
    }

    /// So many events and acknowledgements have left.
    pub fn leave(&self, count: usize) {
        let mut state = self.state();
        let left = take_first(&mut state.sent, count);
        state.sent_bytes -= left.iter().map(WaitingBytes::bytes).sum::<usize>();
        self.send_held(&mut state);
        // The events that have left are dropped without the lock.
        drop(state);
    }

    /// Gives socketioxide as many of the held events as it may have.
    fn send_held(&self, state: &mut State) {
        self.send_while(state, State::has_room);
    }

    fn send_while(&self, state: &mut State, may_send: impl Fn(&State, usize) -> bool) {
        while let Some(next) = state.held.front() {
            if !may_send(state, next.waiting.bytes()) {
                return;
            }
            let Some(HeldEvent { waiting, send }) = state.held.pop_front() else { return };
            self.send(state, waiting, send);
        }
        // Nearly every session is idle nearly always, so the queue's memory is given back.
        state.held = VecDeque::new();
    }

    /// The session uses a WebSocket from now on.
    pub fn move_to_websocket(&self) {
        self.state().window = SendWindow::Limited;
    }

    /// Gives socketioxide everything that is held, so that a packet of its own comes after that.
    pub fn send_all(&self) {
        let mut state = self.state();
        let dropped = self.hold_queued(&mut state);
        self.send_while(&mut state, |_, _| true);
        drop(state);
        drop(dropped);
    }

    /// The WebSocket has ended, and so has the session if it used it.
    pub fn end_websocket(&self) {
        let mut state = self.state();
        if state.window != SendWindow::Limited {
            return;
        }
        state.window = SendWindow::Closed;
        let held = std::mem::take(&mut state.held);
        drop(state);
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

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
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
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::limits::waiting_bytes::{Ledger, MAX_CLIENT_BYTES};

    fn emit(outgoing: &Outgoing, bytes: usize, send: impl FnOnce() -> Result<(), SendError> + Send + 'static) -> bool {
        outgoing.queue(bytes, send);
        outgoing.flush()
    }

    fn outgoing() -> (Outgoing, Ledger) {
        let ledger = Ledger::default();
        (Outgoing::new(ledger.open(None)), ledger)
    }

    #[test]
    fn events_count_until_they_have_left() {
        let (outgoing, ledger) = outgoing();
        assert!(emit(&outgoing, 1000, || Ok(())) && emit(&outgoing, 2000, || Ok(())));
        assert_eq!(ledger.bytes(), 3000 + 2 * EVENT_OVERHEAD_BYTES);
        outgoing.leave(1);
        assert_eq!(ledger.bytes(), 2000 + EVENT_OVERHEAD_BYTES);
        outgoing.leave(5);
        assert_eq!(ledger.bytes(), 0);
        assert!(emit(&outgoing, 1000, || Err(SendError::Socket(SocketError::Closed))));
        assert_eq!(ledger.bytes(), 0, "what was not sent does not wait");
    }

    /// Notes which events were sent, each when it is.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<usize>>>);

    impl Log {
        fn entry(&self, number: usize) -> impl FnOnce() -> Result<(), SendError> + Send + 'static {
            let log = self.clone();
            move || {
                lock(&log.0).push(number);
                Ok(())
            }
        }
    }

    #[test]
    fn a_websocket_has_a_window_and_gets_the_rest_in_order_as_events_leave() {
        const EVENT: usize = WINDOW_BYTES / 2 - EVENT_OVERHEAD_BYTES;
        let ((outgoing, ledger), log) = (outgoing(), Log::default());
        let emit = |bytes, number| emit(&outgoing, bytes, log.entry(number));
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
    fn queued_events_wait_for_whoever_flushes_first() {
        let ((outgoing, ledger), log) = (outgoing(), Log::default());
        let sent = || lock(&log.0).clone();
        (0..3).for_each(|number| outgoing.queue(1, log.entry(number)));
        assert_eq!((sent().len(), ledger.bytes()), (0, 0));
        assert!(outgoing.flush() && outgoing.flush());
        assert_eq!((sent(), ledger.bytes()), (vec![0, 1, 2], 3 * (1 + EVENT_OVERHEAD_BYTES)));
        outgoing.queue(1, log.entry(3));
        outgoing.send_all();
        assert_eq!(sent(), [0, 1, 2, 3], "a packet of socketioxide comes after them");
    }

    #[test]
    fn events_leave_in_the_order_of_the_lock_under_which_they_are_queued() {
        const EVENTS: usize = 2000;
        let ((outgoing, _), log, next) = (outgoing(), Log::default(), Mutex::new(0));
        let work = || {
            loop {
                let mut next = lock(&next);
                if *next == EVENTS {
                    return;
                }
                outgoing.queue(1, log.entry(*next));
                *next += 1;
                drop(next);
                outgoing.flush();
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
        assert!(lock(&log.0).iter().copied().eq(0..EVENTS));
    }

    #[test]
    fn an_event_whose_sending_panics_keeps_none_of_the_others() {
        let ((outgoing, _), log) = (outgoing(), Log::default());
        outgoing.queue(1, || panic!("while it is sent"));
        outgoing.queue(1, log.entry(1));
        catch_unwind(AssertUnwindSafe(|| outgoing.flush())).expect_err("it panics");
        assert!(outgoing.flush());
        assert_eq!(*lock(&log.0), [1]);
    }

    #[test]
    fn nothing_is_held_for_a_websocket_that_has_ended() {
        let ((outgoing, ledger), log) = (outgoing(), Log::default());
        outgoing.end_websocket();
        outgoing.move_to_websocket();
        for number in 0..4 {
            assert!(emit(&outgoing, WINDOW_BYTES, log.entry(number)));
        }
        assert_eq!((lock(&log.0).len(), Arc::strong_count(&log.0)), (1, 4), "three are held");
        outgoing.end_websocket();
        assert!(emit(&outgoing, 1, log.entry(9)));
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
        let sent = (0..100).take_while(|_| emit(&outgoing, 100_000, || Ok(()))).count();
        assert_eq!(sent, MAX_CLIENT_BYTES / (100_000 + EVENT_OVERHEAD_BYTES));
        assert!(outgoing.is_over(WebSocketTask::Reader, Waker::noop()) && !emit(&outgoing, 1, || Ok(())));
        assert_eq!((ledger.bytes(), ledger.closed()), (0, 1));

        let (outgoing, _) = self::outgoing();
        assert!(!emit(&outgoing, 1, || Err(SendError::Socket(SocketError::InternalChannelFull))));
        assert!(outgoing.account().is_closed());
    }

    #[test]
    fn the_memory_of_a_session_is_not_pinned_by_its_own_account() {
        let (outgoing, ledger) = outgoing();
        let inner = Arc::downgrade(&outgoing.0);
        assert!(emit(&outgoing, 1000, || Ok(())));
        drop(outgoing);
        assert_eq!((ledger.bytes(), inner.strong_count()), (0, 0));
    }
}
