//! Bounds the sessions of Engine.IO for each client, for each site and in total, and ends polling sessions that are no longer used.
//!
//! - **Owner** of the table of sessions. Each session holds a [`SessionSlot`], in the extensions of the request that socketioxide keeps as
//!   long as the session, so the slot is freed exactly when that memory is.
//! - **Inputs**: handshakes ([`Sessions::begin`], before socketioxide allocates all that a session can ever need), polls, POSTs, moves to a
//!   WebSocket.
//! - **Outputs**: a slot or a [`SessionRefusal`], evictions (by closing the account of a session), and [`Sessions::counts`].
//!
//! Lock order: a slot's state, then the table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use socketioxide::socket::Sid;
use tokio::time::{Instant, sleep_until};

use super::eviction::{EvictionOrder, SessionNumber};
use super::outgoing::Outgoing;
use super::session::SessionEnder;
use super::session_refusal::{RefusalReason, SessionRefusal};
use crate::limits::ip_prefix;
use crate::limits::network_counts::NetworkCounts;
use crate::limits::rate::ClientLimiter;
use crate::limits::unfinished::IncomingMessages;
use crate::limits::waiting_bytes::Account;
use crate::socketio::payload::Attachments;

/// Sessions of one client: a thousand users behind one NAT, and the sessions that they had before their network failed.
const MAX_CLIENT_SESSIONS: u32 = 2048;
/// Sessions of one site: an IPv6 /48 can have any number of clients.
const MAX_SITE_SESSIONS: u32 = 4096;
/// All sessions, of about 10 KiB each; beyond this number [`EvictionOrder`] chooses one to evict.
const MAX_SESSIONS: usize = 10_240;
/// Unused sessions: handshakes whose answer is on its way, and floods.
const MAX_UNUSED_SESSIONS: usize = 768;
/// Evicted sessions that have not ended yet.
const MAX_EVICTED_SESSIONS: usize = 1024;
/// Handshakes of one client a minute, all of which may come at the same time: a thousand users who return after a restart, and try again once.
const CLIENT_HANDSHAKES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(2048).unwrap();
/// Handshakes of one client a minute that do not count for the total rate, so that clients with many handshakes keep no others out.
const UNCOUNTED_HANDSHAKES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// All other handshakes a second.
const HANDSHAKES_PER_SECOND: NonZeroU32 = NonZeroU32::new(1000).unwrap();
/// All other handshakes that may come at the same time.
const HANDSHAKE_BURST: NonZeroU32 = NonZeroU32::new(10_000).unwrap();
/// After its last poll or probe a session that is not on a WebSocket ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// From an event until all its attachments have come: socketioxide ends a WebSocket after this time, and this table a polling session.
pub(in crate::socketio) const ATTACHMENTS_TIMEOUT: Duration = Duration::from_secs(10);
/// The slowest rate at which a client may take the answer to a poll before its next poll is due.
const MIN_BYTES_PER_SECOND: u64 = 16 * 1024;

/// The table of sessions; clones share it.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    table: Mutex<Table>,
    client_rate: ClientLimiter,
    uncounted_rate: ClientLimiter,
    rate: DefaultDirectRateLimiter,
    refused: [AtomicU64; RefusalReason::ALL.len()],
}

#[derive(Default)]
struct Table {
    all: u32,
    websockets: u32,
    clients: NetworkCounts,
    sites: NetworkCounts,
    eviction: EvictionOrder,
    /// The sessions that began by polling.
    polled: HashMap<Sid, Weak<SessionSlot>>,
}

/// The sessions at present, and the refusals since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCounts {
    pub polling: u32,
    pub websockets: u32,
    /// In the order of [`RefusalReason::ALL`].
    pub refused: [u64; RefusalReason::ALL.len()],
}

impl Default for Sessions {
    fn default() -> Self {
        Self(Arc::new(Inner {
            table: Mutex::default(),
            client_rate: ClientLimiter::per_minute(CLIENT_HANDSHAKES_PER_MINUTE),
            uncounted_rate: ClientLimiter::per_minute(UNCOUNTED_HANDSHAKES_PER_MINUTE),
            rate: RateLimiter::direct(Quota::per_second(HANDSHAKES_PER_SECOND).allow_burst(HANDSHAKE_BURST)),
            refused: Default::default(),
        }))
    }
}

impl Sessions {
    pub fn counts(&self) -> SessionCounts {
        let table = self.table();
        let refused = std::array::from_fn(|reason| self.0.refused[reason].load(Ordering::Relaxed));
        SessionCounts { polling: table.all - table.websockets, websockets: table.websockets, refused }
    }

    /// A slot for a new session of a client; closing the account of `outgoing` ends the session.
    pub(in crate::socketio) fn begin(&self, from: IpAddr, outgoing: &Outgoing) -> Result<Arc<SessionSlot>, SessionRefusal> {
        let slot = self.try_begin(from, outgoing);
        if let Err(refusal) = slot {
            self.0.refused[refusal.reason() as usize].fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%from, ?refusal, "refused a new session");
        }
        slot
    }

    fn try_begin(&self, from: IpAddr, outgoing: &Outgoing) -> Result<Arc<SessionSlot>, SessionRefusal> {
        let (client, site) = (ip_prefix::of_client(from), ip_prefix::of_site(from));
        let mut table = self.table();
        if table.clients.of(client) >= MAX_CLIENT_SESSIONS || table.sites.of(site) >= MAX_SITE_SESSIONS {
            return Err(SessionRefusal::Client);
        }
        self.0.client_rate.check(from).map_err(SessionRefusal::ClientRate)?;
        if self.0.uncounted_rate.check(from).is_err() {
            self.0.rate.check().map_err(|early| SessionRefusal::Rate(early.wait_time_from(DefaultClock::default().now())))?;
        }
        let now = Instant::now();
        let evicted = table.evict_if_full(from, now)?;
        let number = table.eviction.insert(from, outgoing.account().clone(), now.into_std());
        table.all += 1;
        table.clients.increment(client);
        table.sites.increment(site);
        drop(table);
        if let Some(account) = evicted {
            account.close("another client needs the place of its session");
        }
        let (outgoing, state) = (outgoing.clone(), Mutex::new(SessionUse::new(now)));
        Ok(Arc::new(SessionSlot { sessions: self.clone(), number, client, site, outgoing, state }))
    }

    /// The slot of a session that began by polling.
    pub(in crate::socketio) fn find(&self, sid: Sid) -> Option<Arc<SessionSlot>> {
        self.table().polled.get(&sid).and_then(Weak::upgrade)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Where a limit is reached, the account of the session that has to end for a new one of `from`.
    fn evict_if_full(&mut self, from: IpAddr, now: Instant) -> Result<Option<Account>, SessionRefusal> {
        let is_full = self.eviction.remaining() >= MAX_SESSIONS;
        if !is_full && self.eviction.unused() < MAX_UNUSED_SESSIONS {
            return Ok(None);
        }
        if self.eviction.evicted() >= MAX_EVICTED_SESSIONS {
            return Err(SessionRefusal::All);
        }
        let evicted = if is_full { self.eviction.evict(from, now.into_std()) } else { self.eviction.evict_unused(from) };
        evicted.map(Some).ok_or(SessionRefusal::All)
    }
}

/// One session's slot, freed when dropped.
pub(in crate::socketio) struct SessionSlot {
    sessions: Sessions,
    number: SessionNumber,
    client: IpAddr,
    site: IpAddr,
    outgoing: Outgoing,
    state: Mutex<SessionUse>,
}

/// How a session is used.
struct SessionUse {
    /// Polls and probes at present.
    polls: u32,
    /// When the last poll or probe ended; in the future while the client is taking its answer.
    unused_since: Instant,
    is_websocket: bool,
    /// The session's id, if it began by polling.
    polled: Option<Sid>,
    attachments: Attachments,
    /// Since when attachments are missing, and the counter of their bytes.
    missing: Option<(Instant, Option<IncomingMessages>)>,
}

impl SessionSlot {
    /// The session is on a WebSocket from now on. The WebSocket counts its unfinished messages itself.
    pub(in crate::socketio) fn move_to_websocket(&self) {
        self.outgoing.move_to_websocket();
        self.state().missing = None;
        let was = std::mem::replace(&mut self.state().is_websocket, true);
        if !was {
            let mut table = self.sessions.table();
            table.websockets += 1;
            table.eviction.set_used(self.number, true, Instant::now().into_std());
        }
    }

    /// A poll or a probe begins.
    pub(in crate::socketio) fn poll(self: Arc<Self>) -> ActivePoll {
        let mut state = self.state();
        state.polls += 1;
        self.note_use(&state);
        drop(state);
        ActivePoll { slot: self, answer_bytes: 0 }
    }

    /// A payload has come; `incoming` counts its bytes if attachments are missing after it.
    pub(in crate::socketio) fn note_payload(
        &self,
        payload: &[u8],
        engine_io_3: bool,
        binary: bool,
        incoming: Option<IncomingMessages>,
    ) {
        let mut state = self.state();
        state.attachments.handle(payload, engine_io_3, binary);
        let Some(held) = state.attachments.unfinished() else {
            state.missing = None;
            return;
        };
        let (_, incoming) = state.missing.get_or_insert_with(|| (Instant::now(), incoming));
        if let Some(incoming) = incoming {
            incoming.note(Some(held));
        }
    }

    /// What waits for the session's client.
    pub(in crate::socketio) const fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// The session has begun by polling. A task ends it once it is no longer used.
    pub(in crate::socketio) fn watch(self: &Arc<Self>, ender: SessionEnder) {
        self.state().polled = Some(ender.sid());
        self.sessions.table().polled.insert(ender.sid(), Arc::downgrade(self));
        let slot = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(due) = slot.upgrade().and_then(|slot| slot.state().due(Instant::now())) {
                sleep_until(due).await;
                if slot.upgrade().is_some_and(|slot| slot.state().is_over(Instant::now())) {
                    tracing::debug!(sid = %ender.sid(), "ending a session that is not polled, or whose attachments are missing");
                    return ender.end().await;
                }
            }
        });
    }

    fn note_use(&self, state: &SessionUse) {
        let used = state.is_websocket || state.polls > 0;
        self.sessions.table().eviction.set_used(self.number, used, Instant::now().into_std());
    }

    fn state(&self) -> MutexGuard<'_, SessionUse> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionUse {
    fn new(now: Instant) -> Self {
        let attachments = Attachments::default();
        Self { polls: 0, unused_since: now, is_websocket: false, polled: None, attachments, missing: None }
    }

    /// When to check again; `None`: the session is on a WebSocket, and ends with it.
    fn due(&self, now: Instant) -> Option<Instant> {
        let since = if self.polls > 0 { now } else { self.unused_since };
        (!self.is_websocket).then(|| since + IDLE_TIMEOUT)
    }

    fn is_over(&self, now: Instant) -> bool {
        let is_late = self.missing.as_ref().is_some_and(|(since, _)| *since + ATTACHMENTS_TIMEOUT <= now);
        !self.is_websocket && (is_late || self.polls == 0 && self.unused_since + IDLE_TIMEOUT <= now)
    }
}

impl Drop for SessionSlot {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut table = self.sessions.0.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.all -= 1;
        table.eviction.remove(self.number);
        table.websockets -= u32::from(state.is_websocket);
        table.clients.decrement(self.client);
        table.sites.decrement(self.site);
        if let Some(sid) = &state.polled {
            table.polled.remove(sid);
        }
    }
}

/// A poll or a probe that is being answered.
pub(in crate::socketio) struct ActivePoll {
    slot: Arc<SessionSlot>,
    answer_bytes: u64,
}

impl ActivePoll {
    /// The answer has so many bytes, and the client needs some time for them.
    pub(in crate::socketio) const fn answered(&mut self, bytes: u64) {
        self.answer_bytes = bytes;
    }

    pub(in crate::socketio) fn slot(&self) -> &SessionSlot {
        &self.slot
    }
}

impl Drop for ActivePoll {
    fn drop(&mut self) {
        let mut state = self.slot.state();
        state.polls -= 1;
        state.unused_since = Instant::now() + Duration::from_secs(self.answer_bytes / MIN_BYTES_PER_SECOND);
        self.slot.note_use(&state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::waiting_bytes::Ledger;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn outgoing(ledger: &Ledger) -> Outgoing {
        Outgoing::new(ledger.open(None))
    }

    /// Fails where a rate limit is reached first, since that depends on the clock.
    fn enter(sessions: &Sessions, from: &str) -> Result<Arc<SessionSlot>, SessionRefusal> {
        match sessions.begin(ip(from), &outgoing(&Ledger::default())) {
            Err(SessionRefusal::ClientRate(_) | SessionRefusal::Rate(_)) => panic!("a rate was met first"),
            other => other,
        }
    }

    #[test]
    fn a_client_has_so_many_places_and_gets_them_back() {
        let sessions = Sessions::default();
        let half = MAX_CLIENT_SESSIONS / 2;
        let mut places = Vec::new();
        for n in 0..half {
            places.push(enter(&sessions, "192.0.2.1").unwrap());
            if n % 2 == 0 {
                places[n as usize].move_to_websocket();
            }
        }
        places[0].move_to_websocket();
        let counts = sessions.counts();
        assert_eq!((counts.polling, counts.websockets), (half / 2, half / 2));
        let used = |place: &Arc<SessionSlot>| place.move_to_websocket();
        places.extend((0..half).map(|_| enter(&sessions, "::ffff:192.0.2.1").inspect(used).unwrap()));
        assert_eq!(enter(&sessions, "192.0.2.1").err(), Some(SessionRefusal::Client));
        assert!(enter(&sessions, "192.0.2.2").is_ok());
        assert_eq!(sessions.counts().refused, [0, 0, 1, 0]);
        drop(places);
        let table = sessions.table();
        assert_eq!((table.all, table.websockets, table.clients.networks(), table.sites.networks()), (0, 0, 0, 0));
    }

    #[test]
    fn a_site_has_so_many_places_and_all_have() {
        let sessions = Sessions::default();
        let enter_used = |from: &str| enter(&sessions, from).inspect(|place| place.move_to_websocket());
        let mut places: Vec<_> =
            (0..MAX_SITE_SESSIONS).map(|client| enter_used(&format!("2001:db8:0:{client:x}::1")).unwrap()).collect();
        assert_eq!(enter(&sessions, "2001:db8:0:ffff::1").err(), Some(SessionRefusal::Client));
        for n in places.len()..9_990 {
            places.push(enter_used(&format!("10.0.{}.{}", n / 256, n % 256)).unwrap());
        }
        assert_eq!(enter(&sessions, "2001:db8:0:ffff::1").err(), Some(SessionRefusal::Client));
    }

    #[test]
    fn a_full_server_evicts_one_session_and_few_are_ending_at_a_time() {
        let sessions = Sessions::default();
        let ledger = Ledger::default();
        let accounts: Vec<_> = (0..MAX_SESSIONS).map(|_| ledger.open(None)).collect();
        let now = std::time::Instant::now();
        for account in &accounts {
            sessions.table().eviction.insert(ip("192.0.2.1"), account.clone(), now);
        }
        let places: Vec<_> = (0..MAX_EVICTED_SESSIONS).map(|_| enter(&sessions, "192.0.2.2").unwrap()).collect();
        assert!(accounts.iter().rev().take(MAX_EVICTED_SESSIONS).all(Account::is_closed) && !accounts[0].is_closed());
        assert_eq!(enter(&sessions, "192.0.2.3").err(), Some(SessionRefusal::All), "those have to end first");
        drop(places);
    }

    #[test]
    fn a_thousand_clients_behind_one_address_come_back_twice_and_no_flood_does() {
        let (sessions, outgoing) = (Sessions::default(), outgoing(&Ledger::default()));
        let begun = std::time::Instant::now();
        // The rates are those of the real clock, so a slow run lets more in.
        let allowed =
            |burst: NonZeroU32, per_second: f64| f64::from(burst.get()) + begun.elapsed().as_secs_f64() * per_second + 1.0;
        let of_client = CLIENT_HANDSHAKES_PER_MINUTE;
        let came = (0..5000).filter(|_| sessions.begin(ip("192.0.2.1"), &outgoing).is_ok()).count();
        assert!(came >= 2048 && came as f64 <= allowed(of_client, f64::from(of_client.get()) / 60.0), "{came}");
        assert!(sessions.begin(ip("192.0.2.2"), &outgoing).is_ok());
        let came = (0..40_u8).flat_map(|host| [IpAddr::from([10, 0, 0, host]); 500]);
        let came = came.filter(|from| sessions.begin(*from, &outgoing).is_ok()).count();
        let uncounted =
            40.0 * f64::from(UNCOUNTED_HANDSHAKES_PER_MINUTE.get()) * (1.0 + begun.elapsed().as_secs_f64() / 60.0) + 40.0;
        assert!((came as f64) < allowed(HANDSHAKE_BURST, f64::from(HANDSHAKES_PER_SECOND.get())) + uncounted, "{came}");
        assert_eq!(sessions.counts().refused[RefusalReason::Rate as usize] as usize, 20_000 - came);
        let newcomers = (0..1000_u16).map(|n| IpAddr::from([10, 1, (n >> 8) as u8, n as u8]));
        assert!(newcomers.into_iter().all(|from| sessions.begin(from, &outgoing).is_ok()), "they have done nothing");
    }

    #[test]
    fn where_too_many_are_unused_the_newest_of_the_site_with_most_makes_way_and_no_used_one() {
        let sessions = Sessions::default();
        let ledger = Ledger::default();
        let enter = |from: &str| {
            let outgoing = outgoing(&ledger);
            sessions.begin(ip(from), &outgoing).map(|place| (place, outgoing.account().clone()))
        };
        let (used, used_account) = enter("192.0.2.1").unwrap();
        let _poll = Arc::clone(&used).poll();
        let flood: Vec<_> = (0..MAX_UNUSED_SESSIONS).map(|_| enter("192.0.2.2").unwrap()).collect();
        assert_eq!(enter("192.0.2.2").err(), Some(SessionRefusal::All), "there is no site with more");
        let newcomers: Vec<_> = (10..20).map(|host| enter(&format!("192.0.2.{host}")).unwrap()).collect();
        let closed = flood.iter().rev().take_while(|(_, account)| account.is_closed()).count();
        assert_eq!((closed, flood[0].1.is_closed(), used_account.is_closed()), (newcomers.len(), false, false));
    }

    #[tokio::test]
    async fn a_session_is_unused_ten_seconds_after_its_last_poll_and_later_after_a_large_answer() {
        let sessions = Sessions::default();
        let place = enter(&sessions, "192.0.2.1").unwrap();
        let unused = |seconds| place.state().is_over(Instant::now() + Duration::from_secs(seconds));
        assert!(!unused(9));
        assert!(unused(10));
        let first = Arc::clone(&place).poll();
        let mut second = Arc::clone(&place).poll();
        drop(first);
        assert!(!unused(1000), "polled still");
        second.answered(5 * MIN_BYTES_PER_SECOND);
        drop(second);
        assert!(!unused(14));
        assert!(unused(15));
        place.move_to_websocket();
        assert!(!unused(1000));
        assert_eq!(place.state().due(Instant::now()), None);
    }
}
