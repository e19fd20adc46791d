//! Connects HTTP requests and WebSockets with the rooms.
//!
//! Owner of the rooms, behind one lock that is held for a whole event: lock, handle, drain the outputs, unlock. Inputs: events of
//! `room_server` and `collider_socket`. Outputs: frames in the recipients' queues, verdicts, and [`AppRtcCounts`] for `/metrics`.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::calls::{CallReports, ReportError, SeenClient};
use super::frame_queue::FrameSender;
use super::model::{EventContext, EvictionCounts, Output, RoomCounts};
use super::rooms::Rooms;
use super::wire;
use crate::admission::{Admission, ProvenUser};
use crate::config::AppRtcConfig;
use crate::diagnosis::words::VerdictReply;
use crate::hooks::authorize::SeatKind;
use crate::limits::concurrency::ClientCounter;
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::log_interval::LogInterval;
use crate::limits::rate::ClientLimiter;
use crate::limits::waiting_bytes::{Account, Ledger};
use crate::outcomes::party::PageReport;
use crate::outcomes::reporter::Reporter;
use crate::outcomes::table::Sources;
use crate::room_driver::{DrivenState, RoomDriver};

/// Messages, leaves and DELETEs over HTTP that an address may send for each join. A caller sends an offer and about forty candidates
/// over HTTP, its callee sends none, and both leave.
const SIGNALS_PER_JOIN: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// The log reports evictions once in this time.
const EVICTION_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Clones share the rooms.
#[derive(Debug, Clone)]
pub struct AppRtcGateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rooms: RoomDriver<State>,
    /// The rate limit of joins and new rooms.
    joins: ClientLimiter,
    /// The rate limit of messages, leaves and DELETEs over HTTP.
    signals: ClientLimiter,
    /// Open WebSockets of each address.
    sockets: ClientCounter,
    counters: Counters,
    eviction_log: EvictionLog,
    ledger: Ledger,
    kept: KeptBuffers,
    admission: Admission,
    start: Instant,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) rooms: Rooms<FrameSender>,
    pub(super) calls: CallReports,
    sources: Sources,
    reporter: Reporter,
}

/// Counted since the start.
#[derive(Debug, Default)]
struct Counters {
    registered: AtomicU64,
    socket_errors: AtomicU64,
    http_errors: AtomicU64,
    rate_limited: AtomicU64,
}

/// What the log has reported of the evictions.
#[derive(Debug)]
struct EvictionLog {
    /// The total of the last report.
    reported: AtomicU64,
    interval: LogInterval,
}

/// The present rooms, and what was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppRtcCounts {
    pub now: RoomCounts,
    /// Calls that go on.
    pub calls: usize,
    /// Sockets that registered.
    pub registered: u64,
    /// Errors that were sent through sockets.
    pub socket_errors: u64,
    /// Errors with which Collider answered HTTP requests.
    pub http_errors: u64,
    pub evictions: EvictionCounts,
    /// Joins, messages, leaves and DELETEs beyond the rate limits.
    pub rate_limited: u64,
    pub uptime: Duration,
}

impl AppRtcGateway {
    /// `ledger` counts the bytes that wait for clients, and `kept` the buffers of their sockets. Verdicts are made from `sources`, and
    /// `reporter` is told what becomes of each call. `admission` decides who may join.
    pub fn new(
        config: &AppRtcConfig,
        ledger: Ledger,
        kept: KeptBuffers,
        sources: Sources,
        reporter: Reporter,
        admission: Admission,
    ) -> Self {
        let rooms = Rooms::new(config.max_rooms, rand::random());
        let calls = CallReports::new(sources.clone(), reporter.clone());
        Self(Arc::new(Inner {
            rooms: RoomDriver::new(State { rooms, calls, sources, reporter }),
            joins: ClientLimiter::per_minute(config.joins),
            signals: ClientLimiter::per_minute(config.joins.saturating_mul(SIGNALS_PER_JOIN)),
            sockets: ClientCounter::new(config.sockets),
            counters: Counters::default(),
            eviction_log: EvictionLog { reported: AtomicU64::new(0), interval: LogInterval::new(EVICTION_LOG_INTERVAL) },
            ledger,
            kept,
            admission,
            start: Instant::now(),
        }))
    }

    /// Handles the time-outs of the rooms; never returns.
    pub async fn run(self) {
        self.0
            .rooms
            .run(|| {
                self.with_state(|state, now| {
                    state.rooms.handle_timeout(now);
                    state.calls.handle_timeout(now);
                });
            })
            .await;
    }

    /// For how long events have held the lock of all rooms, see [`RoomDriver::locked_time`].
    pub fn locked_time(&self) -> Duration {
        self.0.rooms.locked_time()
    }

    pub fn counts(&self) -> AppRtcCounts {
        let Inner { counters, start, .. } = &*self.0;
        let (now, evictions, calls) =
            self.0.rooms.with(|state| (state.rooms.counts(), state.rooms.evictions(), state.calls.running()));
        AppRtcCounts {
            now,
            calls,
            evictions,
            rate_limited: counters.rate_limited.load(Ordering::Relaxed),
            registered: counters.registered.load(Ordering::Relaxed),
            socket_errors: counters.socket_errors.load(Ordering::Relaxed),
            http_errors: counters.http_errors.load(Ordering::Relaxed),
            uptime: start.elapsed(),
        }
    }

    /// Handles one event of a client under the lock, and queues the frames that follow from it.
    pub(super) fn handle<T>(&self, from: IpAddr, event: impl FnOnce(&mut Rooms<FrameSender>, EventContext) -> T) -> T {
        self.with(|rooms, now| event(rooms, EventContext { from, now }))
    }

    /// A page reports of its call. The answer comes when the verdict is made, if the report is one of a failure.
    ///
    /// # Errors
    /// [`ReportError`].
    pub(super) fn report(
        &self,
        room: &str,
        client: &str,
        sent: PageReport,
        seen: &SeenClient,
    ) -> Result<oneshot::Receiver<Option<VerdictReply>>, ReportError> {
        self.with_state(|State { rooms, calls, .. }, now| {
            calls.report((room, client), sent, seen, rooms.has_member(room, client), now)
        })
    }

    /// Ends the seats of the clients at these addresses.
    pub fn end_clients(&self, is_one: impl Fn(IpAddr) -> bool) {
        self.with(|rooms, now| rooms.handle_ban(|ip, _| is_one(ip), now));
    }

    /// Users have changed: the seats of callers end who were disabled or removed, or have a new password.
    pub fn follow_users(&self) {
        let admission = &self.0.admission;
        let is_former = |user: &ProvenUser| !admission.is_current(user);
        self.with(|rooms, now| rooms.handle_ban(|_, user| user.is_some_and(is_former), now));
    }

    /// The server stops: for the log all calls end.
    pub fn end_calls(&self) {
        self.with_state(|state, now| state.calls.stop(now));
    }

    fn with<T>(&self, event: impl FnOnce(&mut Rooms<FrameSender>, Instant) -> T) -> T {
        self.with_state(|state, now| event(&mut state.rooms, now))
    }

    pub(super) fn with_state<T>(&self, event: impl FnOnce(&mut State, Instant) -> T) -> T {
        let (result, evictions) = self.0.rooms.with(|state| {
            let now = Instant::now();
            let result = event(state, now);
            let State { rooms, calls, .. } = state;
            while let Some(output) = rooms.poll_output() {
                match output {
                    Output::Send { to, message } => to.send(wire::message_frame(&message)),
                    Output::SendOperatorBye { to } => to.send(wire::operator_bye_frame()),
                    Output::Close { socket } => socket.close(),
                }
            }
            while let Some(event) = rooms.poll_call_event() {
                calls.handle(event, now);
            }
            calls.perform_outputs(now);
            (result, rooms.evictions())
        });
        self.log_evictions(evictions);
        result
    }

    /// Logs new evictions, once in [`EVICTION_LOG_INTERVAL`].
    fn log_evictions(&self, evictions: EvictionCounts) {
        let EvictionLog { reported, interval } = &self.0.eviction_log;
        let total = evictions.total();
        if reported.load(Ordering::Relaxed) == total || !interval.is_due(self.0.start.elapsed()) {
            return;
        }
        reported.store(total, Ordering::Relaxed);
        let EvictionCounts { idle_rooms, rooms, messages, refused_rooms, refused_messages } = evictions;
        tracing::info!(
            idle_rooms,
            rooms,
            messages,
            refused_rooms,
            refused_messages,
            "calls: the server is at its bounds; unused rooms were ended, and rooms and messages of the addresses with the most were \
             dropped or refused (totals)"
        );
    }

    /// Checks the rate limit of joins.
    ///
    /// # Errors
    /// How long the address has to wait.
    pub(super) fn check_join(&self, from: IpAddr) -> Result<(), Duration> {
        self.counted(self.0.joins.check(from))
    }

    /// Checks the rate limit of joins for an event that opens `room`. An event in an existing room always passes.
    ///
    /// # Errors
    /// As [`Self::check_join`].
    pub(super) fn check_open(&self, room: &str, from: IpAddr) -> Result<(), Duration> {
        if self.0.rooms.with(|state| state.rooms.contains(room)) { Ok(()) } else { self.check_join(from) }
    }

    /// Checks the rate limit of messages, leaves and DELETEs over HTTP.
    ///
    /// # Errors
    /// How long the address has to wait.
    pub(super) fn check_signal(&self, from: IpAddr) -> Result<(), Duration> {
        self.counted(self.0.signals.check(from))
    }

    fn counted(&self, checked: Result<(), Duration>) -> Result<(), Duration> {
        if checked.is_err() {
            self.0.counters.rate_limited.fetch_add(1, Ordering::Relaxed);
        }
        checked
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// Whether Collider serves this client. Where the operator's server decides who may call, only those do who have joined.
    pub(super) fn may_signal(&self, room: &str, client: &str) -> bool {
        !self.0.admission.asks_for(SeatKind::Call) || self.0.rooms.with(|state| state.rooms.has_member(room, client))
    }

    pub(super) fn count_registration(&self) {
        self.0.counters.registered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_socket_error(&self) {
        self.0.counters.socket_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_http_error(&self) {
        self.0.counters.http_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// An account for the bytes that wait for one client.
    pub(super) fn open_account(&self, from: IpAddr) -> Account {
        self.0.ledger.open(Some(from))
    }

    pub(super) fn kept_buffers(&self) -> &KeptBuffers {
        &self.0.kept
    }

    pub(super) fn sockets(&self) -> &ClientCounter {
        &self.0.sockets
    }
}

impl DrivenState for State {
    const NAME: &'static str = "apprtc";

    fn next_timeout(&self) -> Option<Instant> {
        self.rooms.next_timeout().into_iter().chain(self.calls.next_timeout()).min()
    }

    fn reset(&mut self) {
        self.calls = CallReports::new(self.sources.clone(), self.reporter.clone());
        self.rooms.clear(rand::random()).iter().for_each(FrameSender::close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apprtc::frame_queue::SocketCommand;

    #[tokio::test]
    async fn a_panic_during_an_event_empties_the_rooms_and_closes_their_sockets() {
        let ledger = Ledger::default();
        let gateway = AppRtcGateway::new(
            &crate::config::Config::read(&crate::config::Settings::default()).unwrap().apprtc,
            ledger.clone(),
            KeptBuffers::default(),
            crate::outcomes::unknown::sources(),
            crate::outcomes::unknown::reporter(),
            Admission::of_anyone(crate::hooks::authorize::Authorizer::default()),
        );
        let (sender, mut receiver) = FrameSender::new(ledger.open(None));
        let context = |now| EventContext { from: std::net::Ipv4Addr::LOCALHOST.into(), now };
        gateway.with(|rooms, now| rooms.handle_register("room", "client", &sender, context(now))).unwrap();
        let fault = std::panic::AssertUnwindSafe(|| gateway.with(|_, _| panic!("half way")));
        assert!(std::panic::catch_unwind(fault).is_err());
        assert!(matches!(receiver.try_next(), Some(SocketCommand::Close)), "the client comes back, and offers again");
        assert_eq!(gateway.counts().now, RoomCounts::default());
        gateway.with(|rooms, now| rooms.handle_register("room", "client", &sender, context(now))).unwrap();
    }
}
