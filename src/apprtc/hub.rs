//! Where requests and sockets meet the rooms, and a way to each client's socket.
//!
//! Owner of the rooms, behind one lock that is held for a whole event (lock, handle, pass on, unlock).

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::message;
use super::room::Counts;
use super::rooms::{By, Output, Rooms, Want};
use super::usage::WAITING_BYTES;
use crate::apprtc::quota::ByteQuota;
use crate::config::CallsConfig;
use crate::limits::concurrency::AddressCounter;
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::rate::AddressLimiter;
use crate::limits::waiting_bytes::{Account, Ledger, Waiting};
use crate::socketio::room_driver::{Core, Driver};

/// What a frame costs besides its text, of what waits for a client.
const FRAME_COST: usize = 64;

/// Messages, leaves and DELETEs over HTTP that an address may send for each join: a caller sends an offer and some forty candidates,
/// whoever it calls sends nothing by this way, and all leave.
const SIGNALS_PER_JOIN: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// How often at most the log says that there is want.
const REPORT: Duration = Duration::from_secs(60);

/// A handle to the one hub; clones share it.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rooms: Driver<Rooms<Outbox>>,
    /// Joins and new rooms of an address.
    joins: AddressLimiter,
    /// Messages, leaves and DELETEs of an address over HTTP.
    signals: AddressLimiter,
    /// Open WebSockets of an address.
    sockets: AddressCounter,
    tally: Tally,
    ledger: Ledger,
    kept: KeptBuffers,
    start: Instant,
}

/// What Collider counts since the start.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) registered: AtomicU64,
    pub(super) socket_errors: AtomicU64,
    pub(super) http_errors: AtomicU64,
    /// Joins, messages, leaves and DELETEs that came too often.
    too_often: AtomicU64,
    /// How many of those that gave way or were refused the log knows of, and the second since the start when it may be told again.
    reported: AtomicU64,
    next_report: AtomicU64,
}

/// What there is, and what there was since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    pub now: Counts,
    /// Sockets that registered.
    pub registered: u64,
    /// Errors that were sent through sockets, and as answers to HTTP requests of Collider.
    pub socket_errors: u64,
    pub http_errors: u64,
    /// What gave way or was refused for want of room, and requests that came too often.
    pub want: Want,
    pub too_often: u64,
    pub up: Duration,
}

impl Hub {
    /// What waits for clients is counted in `ledger`, and what their sockets keep in `kept`.
    pub fn new(config: &CallsConfig, ledger: Ledger, kept: KeptBuffers) -> Self {
        Self(Arc::new(Inner {
            rooms: Driver::new(Rooms::new(config.max_rooms, ByteQuota::new(WAITING_BYTES), rand::random())),
            joins: AddressLimiter::per_minute(config.joins),
            signals: AddressLimiter::per_minute(config.joins.saturating_mul(SIGNALS_PER_JOIN)),
            sockets: AddressCounter::new(config.sockets),
            tally: Tally::default(),
            ledger,
            kept,
            start: Instant::now(),
        }))
    }

    /// Hears the rooms' time-outs; never returns.
    pub async fn run(self) {
        self.0.rooms.run(|| self.with(Rooms::handle_timeout)).await;
    }

    pub fn census(&self) -> Census {
        let Inner { tally, start, .. } = &*self.0;
        let (now, want) = self.0.rooms.with(|rooms| (rooms.counts(), rooms.want()));
        Census {
            now,
            want,
            too_often: tally.too_often.load(Ordering::Relaxed),
            registered: tally.registered.load(Ordering::Relaxed),
            socket_errors: tally.socket_errors.load(Ordering::Relaxed),
            http_errors: tally.http_errors.load(Ordering::Relaxed),
            up: start.elapsed(),
        }
    }

    /// Runs one event of a client under the lock and passes on what comes of it.
    pub(super) fn act<T>(&self, from: IpAddr, event: impl FnOnce(&mut Rooms<Outbox>, By) -> T) -> T {
        self.with(|rooms, now| event(rooms, By { from, now }))
    }

    /// The same for an event that nobody causes.
    fn with<T>(&self, event: impl FnOnce(&mut Rooms<Outbox>, Instant) -> T) -> T {
        let (result, want) = self.0.rooms.with(|rooms| {
            let result = event(rooms, Instant::now());
            while let Some(output) = rooms.poll_output() {
                match output {
                    Output::Send { to, message } => to.send(message::message_frame(&message)),
                    Output::Close { socket } => socket.close(),
                }
            }
            (result, rooms.want())
        });
        self.report(want);
        result
    }

    /// Logs that there is want, where that is news.
    fn report(&self, want: Want) {
        let Tally { reported, next_report, .. } = &self.0.tally;
        let count = want.total();
        if reported.load(Ordering::Relaxed) == count {
            return;
        }
        let (now, due) = (self.0.start.elapsed().as_secs(), next_report.load(Ordering::Relaxed));
        let next = now + REPORT.as_secs();
        // One of those that find it due does it.
        if now < due || next_report.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        reported.store(count, Ordering::Relaxed);
        let Want { idle_rooms, rooms, messages, refused_rooms, refused_messages } = want;
        tracing::info!(
            idle_rooms,
            rooms,
            messages,
            refused_rooms,
            refused_messages,
            "calls: there is no room for all; unused rooms ended, and rooms and messages of the addresses with most gave way or were refused (totals)"
        );
    }

    /// Counts a join.
    ///
    /// # Errors
    /// How long to wait, when there were too many from this address.
    pub(super) fn admit_join(&self, from: IpAddr) -> Result<(), Duration> {
        self.counted(self.0.joins.check(from))
    }

    /// The same for what may begin a room without a join.
    ///
    /// # Errors
    /// As [`Self::admit_join`]; never where the room is there already.
    pub(super) fn admit(&self, room: &str, from: IpAddr) -> Result<(), Duration> {
        if self.0.rooms.with(|rooms| rooms.contains(room)) { Ok(()) } else { self.admit_join(from) }
    }

    /// Counts a message, a leave or a DELETE over HTTP.
    ///
    /// # Errors
    /// How long to wait, when there were too many from this address.
    pub(super) fn admit_signal(&self, from: IpAddr) -> Result<(), Duration> {
        self.counted(self.0.signals.check(from))
    }

    fn counted(&self, admitted: Result<(), Duration>) -> Result<(), Duration> {
        if admitted.is_err() {
            self.0.tally.too_often.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// An account for what waits for one client.
    pub(super) fn open_account(&self, from: IpAddr) -> Account {
        self.0.ledger.open(Some(from))
    }

    pub(super) fn kept_buffers(&self) -> &KeptBuffers {
        &self.0.kept
    }

    pub(super) fn sockets(&self) -> &AddressCounter {
        &self.0.sockets
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.0.tally
    }
}

impl Core for Rooms<Outbox> {
    const NAME: &'static str = "apprtc";

    fn next_timeout(&self) -> Option<Instant> {
        self.next_timeout()
    }

    fn reset(&mut self) {
        self.begin_anew(rand::random()).iter().for_each(Outbox::close);
    }
}

/// The way to one client's socket. It never waits: a client that does not read is cut off.
#[derive(Debug, Clone)]
pub struct Outbox(Arc<Outgoing>);

#[derive(Debug)]
struct Outgoing {
    frames: mpsc::UnboundedSender<Next>,
    account: Account,
    overflow: Arc<Notify>,
}

/// What a socket is to do next.
#[derive(Debug)]
pub(super) enum Next {
    Send(Frame),
    Close,
}

/// A frame on its way; it counts as waiting until this is dropped.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) text: String,
    pub(super) waiting: Waiting,
}

/// The socket's end of an outbox.
#[derive(Debug)]
pub(super) struct Inbox(mpsc::UnboundedReceiver<Next>);

/// Two clones are the same socket.
impl PartialEq for Outbox {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Outbox {
    /// What waits is in `account`.
    pub(super) fn new(account: Account) -> (Self, Inbox) {
        let (sender, frames) = mpsc::unbounded_channel();
        let overflow = Arc::<Notify>::default();
        let notified = Arc::clone(&overflow);
        account.on_close(move || notified.notify_one());
        (Self(Arc::new(Outgoing { frames: sender, account, overflow })), Inbox(frames))
    }

    pub(super) fn send(&self, text: String) {
        if let Some(waiting) = self.0.account.add(text.len() + FRAME_COST) {
            // A socket that is gone says so by its drop.
            self.0.frames.send(Next::Send(Frame { text, waiting })).ok();
        }
    }

    /// Counts what its client has said and what has not been heard yet. `None`: the client has to go.
    pub(super) fn unheard(&self, bytes: usize) -> Option<Waiting> {
        self.0.account.add(bytes)
    }

    /// Ends when more waits than may.
    pub(super) async fn overflow(&self) {
        self.0.overflow.notified().await;
    }

    fn close(&self) {
        self.0.frames.send(Next::Close).ok();
    }
}

impl Inbox {
    /// Safe to cancel.
    pub(super) async fn next(&mut self) -> Next {
        self.0.recv().await.unwrap_or(Next::Close)
    }

    /// What waits already.
    pub(super) fn next_now(&mut self) -> Option<Next> {
        self.0.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::waiting_bytes::MAX_BYTES;

    #[tokio::test]
    async fn a_client_that_does_not_read_is_told_to_go_and_nobody_waits() {
        let (outbox, mut inbox) = Outbox::new(Ledger::default().open(None));
        for _ in 0..40 {
            outbox.send("x".repeat(64 * 1024));
        }
        tokio::time::timeout(Duration::from_secs(5), outbox.overflow()).await.expect("it overflowed");
        let taken = std::iter::from_fn(|| inbox.next_now()).count();
        assert_eq!(taken, MAX_BYTES / (64 * 1024 + FRAME_COST), "no more than the bound was kept");
    }

    #[tokio::test]
    async fn a_fault_in_the_middle_of_an_event_empties_the_rooms_and_closes_their_sockets() {
        let ledger = Ledger::default();
        let hub = Hub::new(
            &crate::config::Config::read(&crate::config::Settings::default()).unwrap().calls,
            ledger.clone(),
            KeptBuffers::default(),
        );
        let (outbox, mut inbox) = Outbox::new(ledger.open(None));
        let by = |now| By { from: std::net::Ipv4Addr::LOCALHOST.into(), now };
        hub.with(|rooms, now| rooms.handle_register("room", "client", &outbox, by(now))).unwrap();
        let fault = std::panic::AssertUnwindSafe(|| hub.with(|_, _| panic!("half way")));
        assert!(std::panic::catch_unwind(fault).is_err());
        assert!(matches!(inbox.next_now(), Some(Next::Close)), "the client comes back, and offers again");
        assert_eq!(hub.census().now, Counts::default());
        hub.with(|rooms, now| rooms.handle_register("room", "client", &outbox, by(now))).unwrap();
    }

    #[tokio::test]
    async fn what_was_read_makes_room() {
        let (outbox, mut inbox) = Outbox::new(Ledger::default().open(None));
        for _ in 0..200 {
            outbox.send("x".repeat(64 * 1024));
            assert!(matches!(inbox.next().await, Next::Send(_)));
        }
        let overflow = tokio::time::timeout(Duration::from_millis(1), outbox.overflow()).await;
        assert!(overflow.is_err(), "it never had to wait for more than one");
    }
}
