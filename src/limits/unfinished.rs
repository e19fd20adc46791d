//! What clients have begun to send and not finished: WebSocket messages, and bodies of requests.
//!
//! Owner of the count of such bytes, by client and in all. Whoever reads a message asks [`IncomingMessages::poll_ready`] before it reads on,
//! tells [`IncomingMessages::note`] what it holds then, and asks [`IncomingMessages::poll_late`] where nothing has come.
//!
//! Invariants:
//! - A client beyond its share is not refused but waits: only its oldest message is read on, the others' bytes stay with the client.
//!   So a crowd behind one address gets its messages through, one after the other.
//!   Messages of a few KiB never wait, so that large ones, or many, of a neighbour stop nobody's small ones.
//! - Beyond the bound in all, the clients that hold most lose what they hold. That counts until it is dropped, and as long as it is too
//!   much, nobody's large messages are read on.
//! - What does not wait has `BASE_TIME` from its last byte, and from its first one that and a second for each `LEAST_RATE` bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::ip_prefix;

/// Bytes that one client holds before its younger messages wait: three of the largest, or sixteen of the largest descriptions.
const MAX_CLIENT_BYTES: u64 = 4 << 20;
/// Bytes in all. They are collected in memory that grows by doubling, and takes up to twice as much.
const MAX_BYTES: u64 = 12 << 20;
/// Bytes that are left in all after those who held most have lost what they held: enough less, so that this is rare.
const KEPT_BYTES: u64 = 10 << 20;
/// Bytes in all with those that were lost and are in memory still, beyond which all messages but small ones wait.
const MAX_HELD_BYTES: u64 = 14 << 20;
/// Bytes of one message that are not counted while they come without a pause. Most messages are smaller, and complete at once.
const UNCOUNTED_BYTES: u64 = 8 * 1024;
/// From the first byte of a message to its last one, and between two of its bytes.
const BASE_TIME: Duration = Duration::from_secs(10);
/// Bytes that give it another second from the first byte on: slower than the slowest mobile networks, on which the largest description takes half a minute.
const LEAST_RATE: u64 = 16 * 1024;
/// How long a message may wait for others of its client.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Messages that wait for others of their client, and such messages in all: what HTTP/2 holds of each, unread, is not counted here.
const MAX_CLIENT_WAITING: usize = 256;
const MAX_WAITING: usize = 384;
/// How many waiting messages are woken when one of their client ends.
const WOKEN: usize = 4;

/// Why a message, or a body, is not waited for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfinishedError {
    #[error("it did not come in time")]
    Late,
    #[error("too much is unfinished, and this client has most of it")]
    TooMuch,
}

/// The count; clones share it.
#[derive(Debug, Clone, Default)]
pub struct UnfinishedMessages(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    table: Mutex<Table>,
    late: AtomicU64,
    too_much: AtomicU64,
}

/// What there is now, and what was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnfinishedCounts {
    pub bytes: u64,
    pub late: u64,
    pub too_much: u64,
}

impl UnfinishedMessages {
    pub fn counts(&self) -> UnfinishedCounts {
        let bytes = self.table().bytes;
        UnfinishedCounts { bytes, late: self.0.late.load(Ordering::Relaxed), too_much: self.0.too_much.load(Ordering::Relaxed) }
    }

    /// For one stream of messages of `from`.
    pub fn incoming(&self, from: IpAddr) -> IncomingMessages {
        IncomingMessages { unfinished: self.clone(), client: ip_prefix::of_client(from), besides: 0, message: None }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream of messages, of which one at most is unfinished.
#[derive(Debug)]
pub struct IncomingMessages {
    unfinished: UnfinishedMessages,
    client: IpAddr,
    /// Bytes that an unfinished message holds besides its own.
    besides: u64,
    /// Boxed, since there is none nearly always.
    message: Option<Box<Message>>,
}

#[derive(Debug)]
struct Message {
    order: u64,
    span: Span,
    alarm: Pin<Box<Sleep>>,
    /// It is not waited for any longer, and is in memory until its reader drops it.
    ended: Option<UnfinishedError>,
}

/// How long a message has taken so far.
#[derive(Debug)]
struct Span {
    begun: Instant,
    /// When bytes came last, or when it stopped to wait for others.
    last: Instant,
    bytes: u64,
    /// Since when it waits for others.
    waiting: Option<Instant>,
    waited: Duration,
}

impl IncomingMessages {
    /// The same, where each unfinished message holds so many bytes besides its own.
    #[must_use]
    pub const fn with(mut self, besides: u64) -> Self {
        self.besides = besides;
        self
    }

    /// Ahead of each read: whether more may be read now.
    ///
    /// # Errors
    /// The message is not waited for any longer.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UnfinishedError>> {
        let Some(message) = &mut self.message else { return Poll::Ready(Ok(())) };
        if let Some(ended) = message.ended {
            return Poll::Ready(Err(ended));
        }
        let turn = self.unfinished.table().turn(self.client, message.order, message.is_small(), cx.waker());
        match turn {
            Turn::Now => {
                message.span.go_on(Instant::now());
                Poll::Ready(Ok(()))
            }
            Turn::UnfinishedError => Poll::Ready(Err(self.end(UnfinishedError::TooMuch))),
            Turn::Later => {
                message.span.wait(Instant::now());
                match self.poll_late(cx, None) {
                    Poll::Ready(ended) => Poll::Ready(Err(ended)),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    /// After each read: the bytes that are held of a message that is unfinished; `None`: there is no such message.
    pub fn note(&mut self, held: Option<u64>) {
        match (&mut self.message, held) {
            (_, None) => self.forget(),
            (None, Some(held)) if held <= UNCOUNTED_BYTES => {}
            (None, Some(held)) => self.begin(held),
            (Some(message), Some(held)) => {
                if message.span.bytes != held {
                    message.span.grow(held, Instant::now());
                    self.unfinished.table().set(self.client, message.order, self.besides + held);
                }
            }
        }
    }

    /// Where nothing has come: ready once the unfinished message is not waited for any longer. `held` as for [`Self::note`].
    pub fn poll_late(&mut self, cx: &mut Context<'_>, held: Option<u64>) -> Poll<UnfinishedError> {
        if self.message.is_none() {
            let Some(held) = held else { return Poll::Pending };
            self.begin(held);
        }
        let Some(message) = &mut self.message else { return Poll::Pending };
        if let Some(ended) = message.ended {
            return Poll::Ready(ended);
        }
        loop {
            let limit = message.span.limit();
            if message.alarm.deadline() != limit {
                message.alarm.as_mut().reset(limit);
            }
            if message.alarm.as_mut().poll(cx).is_pending() {
                break;
            }
            if message.span.limit() <= Instant::now() {
                return Poll::Ready(self.end(UnfinishedError::Late));
            }
        }
        // Somebody else may have ended it, and wakes this task then.
        let turn = self.unfinished.table().turn(self.client, message.order, message.is_small(), cx.waker());
        if turn == Turn::UnfinishedError { Poll::Ready(self.end(UnfinishedError::TooMuch)) } else { Poll::Pending }
    }

    fn begin(&mut self, held: u64) {
        let begun = Instant::now();
        let order = self.unfinished.table().begin(self.client, self.besides + held);
        let alarm = Box::pin(sleep_until(begun + BASE_TIME));
        let span = Span { begun, last: begun, bytes: held, waiting: None, waited: Duration::ZERO };
        self.message = Some(Box::new(Message { order, span, alarm, ended: None }));
    }

    fn end(&mut self, why: UnfinishedError) -> UnfinishedError {
        let count = match why {
            UnfinishedError::Late => &self.unfinished.0.late,
            UnfinishedError::TooMuch => &self.unfinished.0.too_much,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(message) = &mut self.message {
            tracing::debug!(client = %self.client, bytes = message.span.bytes, "unfinished: {why}");
            message.ended = Some(why);
            self.unfinished.table().end(self.client, message.order);
        }
        why
    }

    fn forget(&mut self) {
        if let Some(message) = self.message.take() {
            self.unfinished.table().remove(self.client, message.order);
        }
    }
}

impl Drop for IncomingMessages {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Message {
    /// So much is read before anything is counted.
    const fn is_small(&self) -> bool {
        self.span.bytes <= UNCOUNTED_BYTES
    }
}

impl Span {
    fn grow(&mut self, bytes: u64, now: Instant) {
        self.bytes = bytes;
        self.last = now;
    }

    fn wait(&mut self, now: Instant) {
        self.waiting.get_or_insert(now);
    }

    fn go_on(&mut self, now: Instant) {
        if let Some(since) = self.waiting.take() {
            self.waited += now - since;
            self.last = now;
        }
    }

    fn limit(&self) -> Instant {
        match self.waiting {
            Some(since) => since + MAX_WAIT.saturating_sub(self.waited),
            None => (self.begun + self.waited + Duration::from_secs(self.bytes / LEAST_RATE)).min(self.last) + BASE_TIME,
        }
    }
}

/// Whether a message may be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Now,
    Later,
    UnfinishedError,
}

#[derive(Debug, Default)]
struct Table {
    /// Without those of messages that have ended.
    bytes: u64,
    /// Of those, which nobody has dropped yet.
    leaving: u64,
    /// Messages that wait for those.
    strained: BTreeSet<(IpAddr, u64)>,
    /// Messages that wait for others.
    waiting: usize,
    /// Of the next message.
    order: u64,
    clients: HashMap<IpAddr, Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Without those of messages that have ended.
    bytes: u64,
    /// By their order, so the oldest is the first.
    messages: BTreeMap<u64, Begun>,
    /// Those that wait for others.
    waiting: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Begun {
    bytes: u64,
    ended: bool,
    waker: Option<Waker>,
}

impl Begun {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Table {
    fn begin(&mut self, client: IpAddr, bytes: u64) -> u64 {
        self.order += 1;
        let order = self.order;
        self.clients.entry(client).or_default().messages.insert(order, Begun::default());
        self.set(client, order, bytes);
        order
    }

    fn set(&mut self, client: IpAddr, order: u64, bytes: u64) {
        let Some(held) = self.clients.get_mut(&client) else { return };
        let Some(message) = held.messages.get_mut(&order).filter(|message| !message.ended) else { return };
        held.bytes = held.bytes - message.bytes + bytes;
        self.bytes = self.bytes - message.bytes + bytes;
        message.bytes = bytes;
        if self.bytes > MAX_BYTES {
            self.end_largest();
        }
    }

    /// Ends the messages of those who hold most.
    fn end_largest(&mut self) {
        let mut holders: Vec<(u64, IpAddr)> = self.clients.iter().map(|(client, held)| (held.bytes, *client)).collect();
        holders.sort_unstable_by(|one, other| other.cmp(one));
        for (_, client) in holders {
            if self.bytes <= KEPT_BYTES {
                return;
            }
            let Some(held) = self.clients.get_mut(&client) else { continue };
            let bytes = std::mem::take(&mut held.bytes);
            self.bytes -= bytes;
            self.leaving += bytes;
            for message in held.messages.values_mut() {
                message.ended = true;
                message.wake();
            }
        }
    }

    /// A message is not waited for any longer.
    fn end(&mut self, client: IpAddr, order: u64) {
        let Some(held) = self.clients.get_mut(&client) else { return };
        let Some(message) = held.messages.get_mut(&order).filter(|message| !message.ended) else { return };
        message.ended = true;
        held.bytes -= message.bytes;
        self.bytes -= message.bytes;
        self.leaving += message.bytes;
    }

    fn turn(&mut self, client: IpAddr, order: u64, small: bool, waker: &Waker) -> Turn {
        let Some(held) = self.clients.get_mut(&client) else { return Turn::UnfinishedError };
        let is_oldest = held.messages.keys().next() == Some(&order);
        let Some(message) = held.messages.get_mut(&order) else { return Turn::UnfinishedError };
        if message.ended {
            return Turn::UnfinishedError;
        }
        if !message.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            message.waker = Some(waker.clone());
        }
        if !small && self.bytes + self.leaving > MAX_HELD_BYTES {
            self.strained.insert((client, order));
            Turn::Later
        } else if is_oldest || small || held.bytes < MAX_CLIENT_BYTES {
            Turn::Now
        } else if held.waiting.contains(&order) {
            Turn::Later
        } else if held.waiting.len() < MAX_CLIENT_WAITING && self.waiting < MAX_WAITING {
            self.waiting += 1;
            held.waiting.insert(order);
            Turn::Later
        } else {
            Turn::UnfinishedError
        }
    }

    fn remove(&mut self, client: IpAddr, order: u64) {
        let Some(held) = self.clients.get_mut(&client) else { return };
        let Some(message) = held.messages.remove(&order) else { return };
        self.waiting -= usize::from(held.waiting.remove(&order));
        self.strained.remove(&(client, order));
        if message.ended {
            self.leaving -= message.bytes;
        } else {
            held.bytes -= message.bytes;
            self.bytes -= message.bytes;
        }
        for _ in 0..WOKEN {
            let Some(next) = held.waiting.pop_first() else { break };
            self.waiting -= 1;
            held.messages.get_mut(&next).map(Begun::wake);
        }
        if held.messages.is_empty() {
            self.clients.remove(&client);
        }
        self.relax();
    }

    /// Has messages read on that have waited for memory, where there is some.
    fn relax(&mut self) {
        if self.bytes + self.leaving > MAX_HELD_BYTES {
            return;
        }
        for (client, order) in std::mem::take(&mut self.strained) {
            self.clients.get_mut(&client).and_then(|held| held.messages.get_mut(&order)).map(Begun::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn ready(arriving: &mut IncomingMessages) -> Poll<Result<(), UnfinishedError>> {
        arriving.poll_ready(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_client_beyond_its_share_has_its_younger_messages_wait_and_they_are_woken() {
        let unfinished = UnfinishedMessages::default();
        let mut some: Vec<IncomingMessages> = (0..6).map(|_| unfinished.incoming(ip(1))).collect();
        some.iter_mut().for_each(|arriving| arriving.note(Some(MIB)));
        assert_eq!(unfinished.counts().bytes, 6 * MIB);
        assert_eq!(ready(&mut some[0]), Poll::Ready(Ok(())), "the oldest goes on");
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        assert_eq!(some[5].poll_ready(&mut context), Poll::Pending);
        let mut other = unfinished.incoming(ip(2));
        other.note(Some(MIB));
        assert_eq!(ready(&mut other), Poll::Ready(Ok(())), "another client is not concerned");
        some[0].note(None);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(some[5].poll_ready(&mut context), Poll::Pending, "five are too many still");
        some[1].note(None);
        drop(some.remove(2));
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert_eq!(some[4].poll_ready(&mut context), Poll::Ready(Ok(())));
        drop((some, other));
        assert_eq!(unfinished.counts().bytes, 0);
        assert!(unfinished.table().clients.is_empty());
    }

    #[tokio::test]
    async fn so_many_messages_of_a_client_wait_and_so_many_in_all() {
        let unfinished = UnfinishedMessages::default();
        let waits = |last: u8| {
            let mut arriving = unfinished.incoming(ip(last));
            arriving.note(Some(UNCOUNTED_BYTES + 1));
            let ready = ready(&mut arriving);
            (arriving, ready)
        };
        let mut kept = Vec::new();
        // Each one that ends wakes some, which would wait again at once.
        for (last, waiting) in [(1, MAX_CLIENT_WAITING), (2, MAX_WAITING - MAX_CLIENT_WAITING + WOKEN)] {
            let mut first = unfinished.incoming(ip(last));
            first.note(Some(MAX_CLIENT_BYTES));
            kept.push(first);
            for _ in 0..waiting {
                let (arriving, ready) = waits(last);
                assert_eq!(ready, Poll::Pending);
                kept.push(arriving);
            }
            assert_eq!(waits(last).1, Poll::Ready(Err(UnfinishedError::TooMuch)), "{last}");
        }
        drop(kept);
        let table = unfinished.table();
        assert_eq!((table.waiting, table.bytes), (0, 0));
    }

    #[tokio::test]
    async fn a_64_is_one_client() {
        let unfinished = UnfinishedMessages::default();
        let mut some: Vec<IncomingMessages> =
            (0..5).map(|host| unfinished.incoming(format!("2001:db8::{host:x}").parse().unwrap())).collect();
        some.iter_mut().for_each(|arriving| arriving.note(Some(MIB)));
        assert_eq!(ready(&mut some[4]), Poll::Pending);
    }

    #[tokio::test]
    async fn beyond_the_bound_in_all_those_who_hold_most_lose_it() {
        let unfinished = UnfinishedMessages::default();
        let mut honest = unfinished.incoming(ip(0));
        honest.note(Some(MIB / 4));
        let mut hostile: Vec<IncomingMessages> = (1..=9).map(|last| unfinished.incoming(ip(last))).collect();
        hostile.iter_mut().for_each(|arriving| arriving.note(Some(4 * MIB)));
        assert!(unfinished.counts().bytes <= MAX_BYTES);
        assert!(hostile.iter_mut().any(|arriving| ready(arriving) == Poll::Ready(Err(UnfinishedError::TooMuch))));
        hostile.retain_mut(|arriving| ready(arriving) != Poll::Ready(Err(UnfinishedError::TooMuch)));
        assert_eq!(ready(&mut honest), Poll::Ready(Ok(())));
        assert!(unfinished.counts().too_much >= 1);
    }

    #[tokio::test]
    async fn what_was_lost_counts_until_it_is_dropped_and_nobody_reads_much_meanwhile() {
        let unfinished = UnfinishedMessages::default();
        let mut hostile: Vec<IncomingMessages> = (1..=8).map(|last| unfinished.incoming(ip(last))).collect();
        hostile.iter_mut().for_each(|arriving| arriving.note(Some(3 * MIB)));
        assert!(unfinished.table().leaving > 0 && unfinished.counts().bytes <= MAX_BYTES);
        let (mut large, mut small) = (unfinished.incoming(ip(100)), unfinished.incoming(ip(101)));
        large.note(Some(MIB));
        small.poll_late(&mut Context::from_waker(Waker::noop()), Some(UNCOUNTED_BYTES)).is_pending().then_some(()).unwrap();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert_eq!(large.poll_ready(&mut Context::from_waker(&waker)), Poll::Pending);
        assert_eq!(ready(&mut small), Poll::Ready(Ok(())));
        for arriving in &mut hostile {
            let before = ready(arriving);
            assert_eq!(ready(arriving), before, "it stays as it is");
        }
        assert_eq!((large.poll_ready(&mut Context::from_waker(&waker)), woken.0.load(Ordering::Relaxed)), (Poll::Pending, 0));
        drop(hostile);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(ready(&mut large), Poll::Ready(Ok(())));
        drop((large, small));
        let table = unfinished.table();
        assert_eq!((table.bytes, table.leaving, table.strained.len(), table.clients.len()), (0, 0, 0, 0));
    }

    #[test]
    fn a_message_has_ten_seconds_one_for_each_16_kib_and_none_for_its_wait() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut span = Span { begun, last: begun, bytes: 0, waiting: None, waited: Duration::ZERO };
        assert_eq!(span.limit(), after(10));
        span.grow(16 * LEAST_RATE - 1, after(2));
        assert_eq!(span.limit(), after(12), "after the last byte");
        span.grow(16 * LEAST_RATE, after(25));
        assert_eq!(span.limit(), after(26), "after the first one");
        span.wait(after(26));
        span.wait(after(29));
        assert_eq!(span.limit(), after(26) + MAX_WAIT);
        span.go_on(after(46));
        span.go_on(after(47));
        assert_eq!(span.limit(), after(46));
        span.grow(64 * LEAST_RATE, after(46));
        assert_eq!(span.limit(), after(56));
        span.wait(after(50));
        assert_eq!(span.limit(), after(50) + MAX_WAIT - Duration::from_secs(20));
    }

    #[tokio::test]
    async fn small_messages_that_come_at_once_are_not_counted() {
        let unfinished = UnfinishedMessages::default();
        let mut arriving = unfinished.incoming(ip(1));
        arriving.note(Some(UNCOUNTED_BYTES));
        assert_eq!(unfinished.counts().bytes, 0);
        arriving.note(Some(UNCOUNTED_BYTES + 1));
        assert_eq!(unfinished.counts().bytes, UNCOUNTED_BYTES + 1);
    }
}
