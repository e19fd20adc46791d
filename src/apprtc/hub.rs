//! Where requests and sockets meet the rooms, and a way to each client's socket.
//!
//! Owner of the rooms, behind one lock that is held for a whole event (lock, handle, pass on, unlock).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::message;
use super::room::Counts;
use super::rooms::{Output, Rooms};
use crate::config::CallsConfig;
use crate::driver::{Core, Driver};
use crate::limits::concurrency::AddressCounter;
use crate::limits::rate::AddressLimiter;

/// Bytes that wait for a client at most; one that does not read so much is dropped.
const OUTBOX: usize = 2 << 20;
/// What a frame costs of it besides its text.
const FRAME_COST: usize = 64;

/// A handle to the one hub; clones share it.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rooms: Driver<Rooms<Outbox>>,
    /// Joins and new rooms of an address.
    joins: AddressLimiter,
    /// Open WebSockets of an address.
    sockets: AddressCounter,
    tally: Tally,
    start: Instant,
}

/// What Collider counts since the start.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) registered: AtomicU64,
    pub(super) socket_errors: AtomicU64,
    pub(super) http_errors: AtomicU64,
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
    pub up: Duration,
}

impl Hub {
    pub fn new(config: &CallsConfig) -> Self {
        Self(Arc::new(Inner {
            rooms: Driver::new(Rooms::new(config.max_rooms, rand::random())),
            joins: AddressLimiter::per_minute(config.joins),
            sockets: AddressCounter::new(config.sockets),
            tally: Tally::default(),
            start: Instant::now(),
        }))
    }

    /// Hears the rooms' time-outs; never returns.
    pub async fn run(self) {
        self.0.rooms.run(|| self.with(Rooms::handle_timeout)).await;
    }

    pub fn census(&self) -> Census {
        let Inner { tally, start, .. } = &*self.0;
        Census {
            now: self.0.rooms.with(|rooms| rooms.counts()),
            registered: tally.registered.load(Ordering::Relaxed),
            socket_errors: tally.socket_errors.load(Ordering::Relaxed),
            http_errors: tally.http_errors.load(Ordering::Relaxed),
            up: start.elapsed(),
        }
    }

    /// Runs one event under the lock and passes on what comes of it.
    pub(super) fn with<T>(&self, event: impl FnOnce(&mut Rooms<Outbox>, Instant) -> T) -> T {
        self.0.rooms.with(|rooms| {
            let result = event(rooms, Instant::now());
            while let Some(output) = rooms.poll_output() {
                match output {
                    Output::Send { to, message } => to.send(message::message_frame(&message)),
                    Output::Close { socket } => socket.close(),
                }
            }
            result
        })
    }

    /// Counts a join.
    ///
    /// # Errors
    /// How long to wait, when there were too many from this address.
    pub(super) fn admit_join(&self, from: IpAddr) -> Result<(), Duration> {
        self.0.joins.check(from)
    }

    /// The same for what may begin a room without a join.
    ///
    /// # Errors
    /// As [`Self::admit_join`]; never where the room is there already.
    pub(super) fn admit(&self, room: &str, from: IpAddr) -> Result<(), Duration> {
        if self.0.rooms.with(|rooms| rooms.contains(room)) { Ok(()) } else { self.admit_join(from) }
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
    /// Bytes that wait.
    waiting: AtomicUsize,
    overflow: Notify,
}

/// What a socket is to do next.
#[derive(Debug)]
pub(super) enum Next {
    Send(String),
    Close,
}

/// The socket's end of an outbox.
#[derive(Debug)]
pub(super) struct Inbox {
    frames: mpsc::UnboundedReceiver<Next>,
    outbox: Outbox,
}

/// Two clones are the same socket.
impl PartialEq for Outbox {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Outbox {
    pub(super) fn new() -> (Self, Inbox) {
        let (sender, frames) = mpsc::unbounded_channel();
        let outgoing = Outgoing { frames: sender, waiting: AtomicUsize::new(0), overflow: Notify::new() };
        let outbox = Self(Arc::new(outgoing));
        (outbox.clone(), Inbox { frames, outbox })
    }

    pub(super) fn send(&self, frame: String) {
        let cost = frame.len() + FRAME_COST;
        if self.0.waiting.fetch_add(cost, Ordering::Relaxed) + cost > OUTBOX {
            self.0.overflow.notify_one();
        } else {
            // A socket that is gone says so by its drop.
            self.0.frames.send(Next::Send(frame)).ok();
        }
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
        let next = self.frames.recv().await.unwrap_or(Next::Close);
        self.took(&next);
        next
    }

    /// What waits already.
    pub(super) fn next_now(&mut self) -> Option<Next> {
        let next = self.frames.try_recv().ok()?;
        self.took(&next);
        Some(next)
    }

    fn took(&self, next: &Next) {
        if let Next::Send(frame) = next {
            self.outbox.0.waiting.fetch_sub(frame.len() + FRAME_COST, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_is_told_to_go_and_nobody_waits() {
        let (outbox, mut inbox) = Outbox::new();
        for _ in 0..40 {
            outbox.send("x".repeat(64 * 1024));
        }
        tokio::time::timeout(Duration::from_secs(5), outbox.overflow()).await.expect("it overflowed");
        let taken = std::iter::from_fn(|| inbox.next_now()).count();
        assert_eq!(taken, OUTBOX / (64 * 1024 + FRAME_COST), "no more than the bound was kept");
    }

    #[tokio::test]
    async fn a_fault_in_the_middle_of_an_event_empties_the_rooms_and_closes_their_sockets() {
        let hub = Hub::new(&crate::config::Config::read(&crate::config::Settings::default()).unwrap().calls);
        let (outbox, mut inbox) = Outbox::new();
        hub.with(|rooms, now| rooms.handle_register("room", "client", &outbox, now)).unwrap();
        let fault = std::panic::AssertUnwindSafe(|| hub.with(|_, _| panic!("half way")));
        assert!(std::panic::catch_unwind(fault).is_err());
        assert!(matches!(inbox.next_now(), Some(Next::Close)), "the client comes back, and offers again");
        assert_eq!(hub.census().now, Counts::default());
        hub.with(|rooms, now| rooms.handle_register("room", "client", &outbox, now)).unwrap();
    }

    #[tokio::test]
    async fn what_was_read_makes_room() {
        let (outbox, mut inbox) = Outbox::new();
        for _ in 0..200 {
            outbox.send("x".repeat(64 * 1024));
            assert!(matches!(inbox.next().await, Next::Send(_)));
        }
        let overflow = tokio::time::timeout(Duration::from_millis(1), outbox.overflow()).await;
        assert!(overflow.is_err(), "it never had to wait for more than one");
    }
}
