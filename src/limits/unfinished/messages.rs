//! The handle with which readers of messages use the count of unfinished messages.

use std::future::Future as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::message_time::{BASE_TIMEOUT, MessageTime};
use super::table::{Table, Turn};
use crate::limits::ip_prefix;

/// Bytes of one message that are not counted while they come without a pause. Most messages are smaller, and complete in one read.
const UNCOUNTED_BYTES: u64 = 8 * 1024;

/// Why a message or a body was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfinishedError {
    #[error("it did not come in time")]
    Late,
    #[error("too many bytes are unfinished, and this client holds most of them")]
    TooMuch,
}

/// The unfinished messages of all clients; clones share them.
#[derive(Debug, Clone, Default)]
pub struct UnfinishedMessages(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    table: Mutex<Table>,
    late: AtomicU64,
    too_much: AtomicU64,
}

/// The bytes at present, and the given-up messages since the start.
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

    /// Counts one stream of messages from `from`.
    pub fn incoming(&self, from: IpAddr) -> IncomingMessages {
        IncomingMessages { unfinished: self.clone(), client: ip_prefix::of_client(from), overhead: 0, message: None }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream of messages, of which at most one is unfinished.
#[derive(Debug)]
pub struct IncomingMessages {
    unfinished: UnfinishedMessages,
    client: IpAddr,
    /// Memory of an unfinished message besides its own bytes.
    overhead: u64,
    /// Boxed, because most streams have no unfinished message most of the time.
    message: Option<Box<Message>>,
}

#[derive(Debug)]
struct Message {
    order: u64,
    time: MessageTime,
    alarm: Pin<Box<Sleep>>,
    /// Set once the message is given up; its bytes stay in memory until its reader drops it.
    given_up: Option<UnfinishedError>,
}

impl IncomingMessages {
    /// The same stream, with so many bytes of memory for each unfinished message besides its own.
    #[must_use]
    pub const fn with(mut self, overhead: u64) -> Self {
        self.overhead = overhead;
        self
    }

    /// Must be called before each read: whether more may be read now.
    ///
    /// # Errors
    /// The message was given up.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UnfinishedError>> {
        let Some(message) = &mut self.message else { return Poll::Ready(Ok(())) };
        if let Some(error) = message.given_up {
            return Poll::Ready(Err(error));
        }
        let turn = self.unfinished.table().turn(self.client, message.order, message.is_small(), cx.waker());
        match turn {
            Turn::Now => {
                message.time.go_on(Instant::now());
                Poll::Ready(Ok(()))
            }
            Turn::GivenUp => Poll::Ready(Err(self.give_up(UnfinishedError::TooMuch))),
            Turn::Later => {
                message.time.wait(Instant::now());
                match self.poll_late(cx, None) {
                    Poll::Ready(error) => Poll::Ready(Err(error)),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    /// Must be called after each read, with the bytes of the unfinished message; `None` if no message is unfinished.
    pub fn note(&mut self, held: Option<u64>) {
        match (&mut self.message, held) {
            (_, None) => self.finish(),
            (None, Some(held)) if held <= UNCOUNTED_BYTES => {}
            (None, Some(held)) => self.begin(held),
            (Some(message), Some(held)) => {
                if message.time.bytes != held {
                    message.time.grow(held, Instant::now());
                    self.unfinished.table().set(self.client, message.order, self.overhead + held);
                }
            }
        }
    }

    /// Must be called when no bytes have arrived: ready once the unfinished message is given up. `held` as for [`Self::note`].
    pub fn poll_late(&mut self, cx: &mut Context<'_>, held: Option<u64>) -> Poll<UnfinishedError> {
        if self.message.is_none() {
            let Some(held) = held else { return Poll::Pending };
            self.begin(held);
        }
        let Some(message) = &mut self.message else { return Poll::Pending };
        if let Some(error) = message.given_up {
            return Poll::Ready(error);
        }
        loop {
            let limit = message.time.limit();
            if message.alarm.deadline() != limit {
                message.alarm.as_mut().reset(limit);
            }
            if message.alarm.as_mut().poll(cx).is_pending() {
                break;
            }
            if message.time.limit() <= Instant::now() {
                return Poll::Ready(self.give_up(UnfinishedError::Late));
            }
        }
        // A message of another client may have caused this one to be given up, which then wakes this task.
        let turn = self.unfinished.table().turn(self.client, message.order, message.is_small(), cx.waker());
        if turn == Turn::GivenUp { Poll::Ready(self.give_up(UnfinishedError::TooMuch)) } else { Poll::Pending }
    }

    fn begin(&mut self, held: u64) {
        let now = Instant::now();
        let order = self.unfinished.table().begin(self.client, self.overhead + held);
        let alarm = Box::pin(sleep_until(now + BASE_TIMEOUT));
        self.message = Some(Box::new(Message { order, time: MessageTime::new(now, held), alarm, given_up: None }));
    }

    fn give_up(&mut self, why: UnfinishedError) -> UnfinishedError {
        let count = match why {
            UnfinishedError::Late => &self.unfinished.0.late,
            UnfinishedError::TooMuch => &self.unfinished.0.too_much,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(message) = &mut self.message {
            tracing::debug!(client = %self.client, bytes = message.time.bytes, "gave up an unfinished message: {why}");
            message.given_up = Some(why);
            self.unfinished.table().give_up(self.client, message.order);
        }
        why
    }

    fn finish(&mut self) {
        if let Some(message) = self.message.take() {
            self.unfinished.table().remove(self.client, message.order);
        }
    }
}

impl Drop for IncomingMessages {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Message {
    /// Messages up to this size are read before they are counted.
    const fn is_small(&self) -> bool {
        self.time.bytes <= UNCOUNTED_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    use super::*;
    use crate::limits::unfinished::table::{MAX_BYTES, MAX_CLIENT_BYTES, MAX_CLIENT_WAITING, MAX_WAITING, WOKEN_AT_END};

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

    fn ready(incoming: &mut IncomingMessages) -> Poll<Result<(), UnfinishedError>> {
        incoming.poll_ready(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_client_beyond_its_share_has_its_younger_messages_wait_and_they_are_woken() {
        let unfinished = UnfinishedMessages::default();
        let mut some: Vec<IncomingMessages> = (0..6).map(|_| unfinished.incoming(ip(1))).collect();
        some.iter_mut().for_each(|incoming| incoming.note(Some(MIB)));
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
            let mut incoming = unfinished.incoming(ip(last));
            incoming.note(Some(UNCOUNTED_BYTES + 1));
            let ready = ready(&mut incoming);
            (incoming, ready)
        };
        let mut kept = Vec::new();
        // Each message that ends wakes some others, which would immediately wait again.
        for (last, waiting) in [(1, MAX_CLIENT_WAITING), (2, MAX_WAITING - MAX_CLIENT_WAITING + WOKEN_AT_END)] {
            let mut first = unfinished.incoming(ip(last));
            first.note(Some(MAX_CLIENT_BYTES));
            kept.push(first);
            for _ in 0..waiting {
                let (incoming, ready) = waits(last);
                assert_eq!(ready, Poll::Pending);
                kept.push(incoming);
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
        some.iter_mut().for_each(|incoming| incoming.note(Some(MIB)));
        assert_eq!(ready(&mut some[4]), Poll::Pending);
    }

    #[tokio::test]
    async fn beyond_the_bound_in_all_those_who_hold_most_lose_it() {
        let unfinished = UnfinishedMessages::default();
        let mut honest = unfinished.incoming(ip(0));
        honest.note(Some(MIB / 4));
        let mut hostile: Vec<IncomingMessages> = (1..=9).map(|last| unfinished.incoming(ip(last))).collect();
        hostile.iter_mut().for_each(|incoming| incoming.note(Some(4 * MIB)));
        assert!(unfinished.counts().bytes <= MAX_BYTES);
        assert!(hostile.iter_mut().any(|incoming| ready(incoming) == Poll::Ready(Err(UnfinishedError::TooMuch))));
        hostile.retain_mut(|incoming| ready(incoming) != Poll::Ready(Err(UnfinishedError::TooMuch)));
        assert_eq!(ready(&mut honest), Poll::Ready(Ok(())));
        assert!(unfinished.counts().too_much >= 1);
    }

    #[tokio::test]
    async fn what_was_lost_counts_until_it_is_dropped_and_nobody_reads_much_meanwhile() {
        let unfinished = UnfinishedMessages::default();
        let mut hostile: Vec<IncomingMessages> = (1..=8).map(|last| unfinished.incoming(ip(last))).collect();
        hostile.iter_mut().for_each(|incoming| incoming.note(Some(3 * MIB)));
        assert!(unfinished.table().given_up_bytes > 0 && unfinished.counts().bytes <= MAX_BYTES);
        let (mut large, mut small) = (unfinished.incoming(ip(100)), unfinished.incoming(ip(101)));
        large.note(Some(MIB));
        small.poll_late(&mut Context::from_waker(Waker::noop()), Some(UNCOUNTED_BYTES)).is_pending().then_some(()).unwrap();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert_eq!(large.poll_ready(&mut Context::from_waker(&waker)), Poll::Pending);
        assert_eq!(ready(&mut small), Poll::Ready(Ok(())));
        for incoming in &mut hostile {
            let before = ready(incoming);
            assert_eq!(ready(incoming), before, "it stays as it is");
        }
        assert_eq!((large.poll_ready(&mut Context::from_waker(&waker)), woken.0.load(Ordering::Relaxed)), (Poll::Pending, 0));
        drop(hostile);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(ready(&mut large), Poll::Ready(Ok(())));
        drop((large, small));
        let table = unfinished.table();
        assert_eq!((table.bytes, table.given_up_bytes, table.waiting_for_memory.len(), table.clients.len()), (0, 0, 0, 0));
    }

    #[tokio::test]
    async fn small_messages_that_come_at_once_are_not_counted() {
        let unfinished = UnfinishedMessages::default();
        let mut incoming = unfinished.incoming(ip(1));
        incoming.note(Some(UNCOUNTED_BYTES));
        assert_eq!(unfinished.counts().bytes, 0);
        incoming.note(Some(UNCOUNTED_BYTES + 1));
        assert_eq!(unfinished.counts().bytes, UNCOUNTED_BYTES + 1);
    }
}
