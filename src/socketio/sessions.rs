//! How many sessions of Engine.IO there are, and which of those that poll are still wanted: by client, by site and in all, before
//! socketioxide sees them, which keeps everything that a session can ever need from its handshake on.
//!
//! A session's [`Place`] lies in the extensions of the request that socketioxide keeps as long as the session lives, so it is given back
//! exactly when that memory is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::json;
use socketioxide::socket::Sid;
use tokio::time::{Instant, sleep_until};

use super::crowd::{Crowd, Number};
use super::payload::Attachments;
use super::session::Ending;
use crate::limits::rate::AddressLimiter;
use crate::limits::unfinished::IncomingMessages;
use crate::limits::waiting_bytes::Account;
use crate::limits::{ip_prefix, retry_after};
use crate::socketio::outgoing::Outgoing;

/// Sessions of one client at once: a thousand behind one NAT, and the ones that they had before their network broke.
const MAX_OF_CLIENT: u32 = 2048;
/// Sessions of one site: of an IPv6 /48, which can have any number of clients.
const MAX_OF_SITE: u32 = 4096;
/// Sessions in all, of about 10 KiB each; beyond that [`Crowd`] says which one makes way.
const MAX_SESSIONS: usize = 10_240;
/// Those of them that nobody uses: handshakes whose answer is on its way, and floods.
const MAX_UNUSED: usize = 768;
/// Sessions that have made way and have not ended yet.
const MAX_LEAVING: usize = 1024;
/// Handshakes of one client a minute, and at once: a thousand who come back after a restart, and try again once.
const CLIENT_RATE: NonZeroU32 = NonZeroU32::new(2048).unwrap();
/// Handshakes of one client a minute, and at once, that do not count for the rate of all: so nobody is kept out by those who make many.
const FREE_RATE: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// All other handshakes a second, and at once.
const RATE: (NonZeroU32, NonZeroU32) = (NonZeroU32::new(1000).unwrap(), NonZeroU32::new(10_000).unwrap());
/// A session that nobody polls, probes or has moved to a WebSocket is ended after this.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// For the attachments of an event to come, by polling.
const ATTACHMENTS_TIME: Duration = IDLE_TIME;
/// Bytes of a poll's answer for which its client has another second until the next poll.
const LEAST_RATE: u64 = 16 * 1024;
/// What a client is told to wait where there are too many sessions: until those have ended that nobody polls.
const RETRY_TIME: Duration = IDLE_TIME;

/// The count; clones share it.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    table: Mutex<Table>,
    client_rate: AddressLimiter,
    free_rate: AddressLimiter,
    rate: DefaultDirectRateLimiter,
    refused: [AtomicU64; REASONS.len()],
}

#[derive(Default)]
struct Table {
    all: u32,
    websockets: u32,
    clients: HashMap<IpAddr, u32>,
    sites: HashMap<IpAddr, u32>,
    crowd: Crowd,
    /// Those that have begun by polling.
    polled: HashMap<Sid, Weak<Place>>,
}

/// What there is now, and what was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    pub polling: u32,
    pub websockets: u32,
    /// As in [`REASONS`].
    pub refused: [u64; REASONS.len()],
}

/// Why handshakes are refused, as metrics name it.
pub const REASONS: [&str; 4] = ["client_rate", "rate", "client", "all"];

/// Why a handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    ClientRate(Duration),
    Rate(Duration),
    /// The client or its site has as many as it may.
    Client,
    All,
}

impl Default for Sessions {
    fn default() -> Self {
        Self(Arc::new(Inner {
            table: Mutex::default(),
            client_rate: AddressLimiter::per_minute(CLIENT_RATE),
            free_rate: AddressLimiter::per_minute(FREE_RATE),
            rate: RateLimiter::direct(Quota::per_second(RATE.0).allow_burst(RATE.1)),
            refused: Default::default(),
        }))
    }
}

impl Sessions {
    pub fn census(&self) -> Census {
        let table = self.table();
        let refused = std::array::from_fn(|reason| self.0.refused[reason].load(Ordering::Relaxed));
        Census { polling: table.all - table.websockets, websockets: table.websockets, refused }
    }

    /// For a new session of a client; closing `account` ends it.
    pub(super) fn enter(&self, from: IpAddr, account: &Account) -> Result<Arc<Place>, Refusal> {
        let entered = self.try_enter(from, account);
        if let Err(refusal) = entered {
            self.0.refused[refusal.reason()].fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%from, ?refusal, "no new session");
        }
        entered
    }

    fn try_enter(&self, from: IpAddr, account: &Account) -> Result<Arc<Place>, Refusal> {
        let (client, site) = (ip_prefix::of_client(from), ip_prefix::of_site(from));
        let mut table = self.table();
        let of = |counts: &HashMap<IpAddr, u32>, network| counts.get(&network).copied().unwrap_or(0);
        if of(&table.clients, client) >= MAX_OF_CLIENT || of(&table.sites, site) >= MAX_OF_SITE {
            return Err(Refusal::Client);
        }
        self.0.client_rate.check(from).map_err(Refusal::ClientRate)?;
        if self.0.free_rate.check(from).is_err() {
            self.0.rate.check().map_err(|early| Refusal::Rate(early.wait_time_from(DefaultClock::default().now())))?;
        }
        let now = Instant::now();
        let mut gone = None;
        let is_full = table.crowd.staying() >= MAX_SESSIONS;
        if is_full || table.crowd.unused() >= MAX_UNUSED {
            if table.crowd.leaving() >= MAX_LEAVING {
                return Err(Refusal::All);
            }
            let makes_way = if is_full { table.crowd.make_way(from, now.into_std()) } else { table.crowd.make_way_unused(from) };
            gone = Some(makes_way.ok_or(Refusal::All)?);
        }
        let number = table.crowd.enter(from, account.clone(), now.into_std());
        table.all += 1;
        *table.clients.entry(client).or_insert(0) += 1;
        *table.sites.entry(site).or_insert(0) += 1;
        drop(table);
        if let Some(account) = gone {
            account.close("another client needs its session's place");
        }
        let state = Use::new(now);
        Ok(Arc::new(Place { sessions: self.clone(), number, client, site, state: Mutex::new(state) }))
    }

    /// The place of a session that has begun by polling.
    pub(super) fn find(&self, sid: Sid) -> Option<Arc<Place>> {
        self.table().polled.get(&sid).and_then(Weak::upgrade)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusal {
    /// In [`REASONS`].
    const fn reason(self) -> usize {
        match self {
            Self::ClientRate(_) => 0,
            Self::Rate(_) => 1,
            Self::Client => 2,
            Self::All => 3,
        }
    }
}

impl IntoResponse for Refusal {
    /// Clients of all versions try again, later each time.
    fn into_response(self) -> Response {
        let (status, after, message) = match self {
            Self::ClientRate(after) => (StatusCode::TOO_MANY_REQUESTS, after, "Too many new sessions from this address"),
            Self::Client => (StatusCode::TOO_MANY_REQUESTS, RETRY_TIME, "Too many sessions of this address"),
            Self::Rate(after) => (StatusCode::SERVICE_UNAVAILABLE, after, "Too many new sessions on this server"),
            Self::All => (StatusCode::SERVICE_UNAVAILABLE, RETRY_TIME, "Too many sessions on this server"),
        };
        let after = retry_after::seconds(after);
        let error =
            json!({"error": "TooManySessions", "message": format!("{message}. Try again in {after} s."), "retryAfter": after});
        (status, [(header::RETRY_AFTER, after.to_string())], Json(error)).into_response()
    }
}

/// One session's place, given back when dropped.
pub(super) struct Place {
    sessions: Sessions,
    number: Number,
    client: IpAddr,
    site: IpAddr,
    state: Mutex<Use>,
}

/// What a session is used for.
struct Use {
    /// Polls and probes at present.
    polls: u32,
    /// From when on there has been none; in the future while an answer is on its way.
    unused_since: Instant,
    is_websocket: bool,
    /// Where it has begun by polling: its id, and what waits for it.
    polled: Option<(Sid, Outgoing)>,
    attachments: Attachments,
    /// Since when some are missing, and what counts them.
    missing: Option<(Instant, Option<IncomingMessages>)>,
}

impl Place {
    /// The session is on a WebSocket from now on, which counts for itself what is unfinished there.
    pub(super) fn move_to_websocket(&self) {
        self.state().missing = None;
        let was = std::mem::replace(&mut self.state().is_websocket, true);
        if !was {
            let mut table = self.sessions.table();
            table.websockets += 1;
            table.crowd.note(self.number, true, Instant::now().into_std());
        }
    }

    /// A poll or a probe begins.
    pub(super) fn poll(self: Arc<Self>) -> Poll {
        let mut state = self.state();
        state.polls += 1;
        self.note_use(&state);
        drop(state);
        Poll { place: self, bytes: 0 }
    }

    /// A payload has come; `arriving` counts it if attachments are missing after it.
    pub(super) fn hear(&self, payload: &[u8], engine_io_3: bool, binary: bool, arriving: Option<IncomingMessages>) {
        let mut state = self.state();
        state.attachments.handle(payload, engine_io_3, binary);
        let Some(held) = state.attachments.unfinished() else {
            state.missing = None;
            return;
        };
        let (_, arriving) = state.missing.get_or_insert_with(|| (Instant::now(), arriving));
        if let Some(arriving) = arriving {
            arriving.note(Some(held));
        }
    }

    /// What waits for the session, where it has begun by polling.
    pub(super) fn outgoing(&self) -> Option<Outgoing> {
        self.state().polled.as_ref().map(|(_, outgoing)| outgoing.clone())
    }

    /// The session has begun by polling. Has it ended when nobody uses it any longer.
    pub(super) fn watch(self: &Arc<Self>, ending: Ending, outgoing: Outgoing) {
        self.state().polled = Some((ending.sid(), outgoing));
        self.sessions.table().polled.insert(ending.sid(), Arc::downgrade(self));
        let place = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(due) = place.upgrade().and_then(|place| place.state().due(Instant::now())) {
                sleep_until(due).await;
                if place.upgrade().is_some_and(|place| place.state().is_over(Instant::now())) {
                    tracing::debug!(sid = %ending.sid(), "a session ends that nobody polls, or whose attachments do not come");
                    return ending.end().await;
                }
            }
        });
    }

    fn note_use(&self, state: &Use) {
        let used = state.is_websocket || state.polls > 0;
        self.sessions.table().crowd.note(self.number, used, Instant::now().into_std());
    }

    fn state(&self) -> MutexGuard<'_, Use> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Use {
    fn new(now: Instant) -> Self {
        let attachments = Attachments::default();
        Self { polls: 0, unused_since: now, is_websocket: false, polled: None, attachments, missing: None }
    }

    /// When to look again; `None`: a WebSocket's end ends the session.
    fn due(&self, now: Instant) -> Option<Instant> {
        let since = if self.polls > 0 { now } else { self.unused_since };
        (!self.is_websocket).then(|| since + IDLE_TIME)
    }

    fn is_over(&self, now: Instant) -> bool {
        let is_late = self.missing.as_ref().is_some_and(|(since, _)| *since + ATTACHMENTS_TIME <= now);
        !self.is_websocket && (is_late || self.polls == 0 && self.unused_since + IDLE_TIME <= now)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut table = self.sessions.0.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.all -= 1;
        table.crowd.leave(self.number);
        table.websockets -= u32::from(state.is_websocket);
        let Table { clients, sites, .. } = &mut *table;
        for (counts, network) in [(clients, self.client), (sites, self.site)] {
            if let Entry::Occupied(mut count) = counts.entry(network) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        if let Some((sid, _)) = &state.polled {
            table.polled.remove(sid);
        }
    }
}

/// A poll, or a probe, of a session.
pub(super) struct Poll {
    place: Arc<Place>,
    /// Of the answer.
    bytes: u64,
}

impl Poll {
    /// The answer has so many bytes, which take their time.
    pub(super) fn answered(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        let mut state = self.place.state();
        state.polls -= 1;
        state.unused_since = Instant::now() + Duration::from_secs(self.bytes / LEAST_RATE);
        self.place.note_use(&state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::waiting_bytes::Ledger;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// No rates, which the clock has a part in.
    fn enter(sessions: &Sessions, from: &str) -> Result<Arc<Place>, Refusal> {
        match sessions.enter(ip(from), &Ledger::default().open(None)) {
            Err(Refusal::ClientRate(_) | Refusal::Rate(_)) => panic!("a rate was met first"),
            other => other,
        }
    }

    #[test]
    fn a_client_has_so_many_places_and_gets_them_back() {
        let sessions = Sessions::default();
        let half = MAX_OF_CLIENT / 2;
        let mut places = Vec::new();
        for n in 0..half {
            places.push(enter(&sessions, "192.0.2.1").unwrap());
            if n % 2 == 0 {
                places[n as usize].move_to_websocket();
            }
        }
        places[0].move_to_websocket();
        let census = sessions.census();
        assert_eq!((census.polling, census.websockets), (half / 2, half / 2));
        let used = |place: &Arc<Place>| place.move_to_websocket();
        places.extend((0..half).map(|_| enter(&sessions, "::ffff:192.0.2.1").inspect(used).unwrap()));
        assert_eq!(enter(&sessions, "192.0.2.1").err(), Some(Refusal::Client));
        assert!(enter(&sessions, "192.0.2.2").is_ok());
        assert_eq!(sessions.census().refused, [0, 0, 1, 0]);
        drop(places);
        let table = sessions.table();
        assert_eq!((table.all, table.websockets, table.clients.len(), table.sites.len()), (0, 0, 0, 0));
    }

    #[test]
    fn a_site_has_so_many_places_and_all_have() {
        let sessions = Sessions::default();
        let enter_used = |from: &str| enter(&sessions, from).inspect(|place| place.move_to_websocket());
        let mut places: Vec<_> =
            (0..MAX_OF_SITE).map(|client| enter_used(&format!("2001:db8:0:{client:x}::1")).unwrap()).collect();
        assert_eq!(enter(&sessions, "2001:db8:0:ffff::1").err(), Some(Refusal::Client));
        for n in places.len()..9_990 {
            places.push(enter_used(&format!("10.0.{}.{}", n / 256, n % 256)).unwrap());
        }
        assert_eq!(enter(&sessions, "2001:db8:0:ffff::1").err(), Some(Refusal::Client));
    }

    #[test]
    fn where_there_are_as_many_as_there_may_be_one_makes_way_and_few_are_about_to() {
        let sessions = Sessions::default();
        let ledger = Ledger::default();
        let accounts: Vec<_> = (0..MAX_SESSIONS).map(|_| ledger.open(None)).collect();
        let now = std::time::Instant::now();
        for account in &accounts {
            sessions.table().crowd.enter(ip("192.0.2.1"), account.clone(), now);
        }
        let places: Vec<_> = (0..MAX_LEAVING).map(|_| enter(&sessions, "192.0.2.2").unwrap()).collect();
        assert!(accounts.iter().rev().take(MAX_LEAVING).all(Account::is_closed) && !accounts[0].is_closed());
        assert_eq!(enter(&sessions, "192.0.2.3").err(), Some(Refusal::All), "those have to end first");
        drop(places);
    }

    #[test]
    fn a_thousand_clients_behind_one_address_come_back_twice_and_no_flood_does() {
        let (sessions, account) = (Sessions::default(), Ledger::default().open(None));
        let came = (0..5000).filter(|_| sessions.enter(ip("192.0.2.1"), &account).is_ok()).count();
        assert!((2048..2500).contains(&came), "{came}");
        assert!(sessions.enter(ip("192.0.2.2"), &account).is_ok());
        let came = (0..40_u8).flat_map(|host| [IpAddr::from([10, 0, 0, host]); 500]);
        let came = came.filter(|from| sessions.enter(*from, &account).is_ok()).count();
        assert!(came < 15_000, "{came}");
        assert_eq!(sessions.census().refused[1] as usize, 20_000 - came);
        let newcomers = (0..1000_u16).map(|n| IpAddr::from([10, 1, (n >> 8) as u8, n as u8]));
        assert!(newcomers.into_iter().all(|from| sessions.enter(from, &account).is_ok()), "they have done nothing");
    }

    #[test]
    fn where_too_many_are_unused_the_newest_of_the_site_with_most_makes_way_and_no_used_one() {
        let sessions = Sessions::default();
        let ledger = Ledger::default();
        let enter = |from: &str| {
            let account = ledger.open(None);
            sessions.enter(ip(from), &account).map(|place| (place, account))
        };
        let (used, used_account) = enter("192.0.2.1").unwrap();
        let _poll = Arc::clone(&used).poll();
        let flood: Vec<_> = (0..MAX_UNUSED).map(|_| enter("192.0.2.2").unwrap()).collect();
        assert_eq!(enter("192.0.2.2").err(), Some(Refusal::All), "there is no site with more");
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
        second.answered(5 * LEAST_RATE);
        drop(second);
        assert!(!unused(14));
        assert!(unused(15));
        place.move_to_websocket();
        assert!(!unused(1000));
        assert_eq!(place.state().due(Instant::now()), None);
    }

    #[test]
    fn a_refusal_says_when_to_try_again() {
        for (refusal, status, after) in [
            (Refusal::ClientRate(Duration::from_millis(1200)), 429, "2"),
            (Refusal::Rate(Duration::from_millis(3)), 503, "1"),
            (Refusal::Client, 429, "10"),
            (Refusal::All, 503, "10"),
        ] {
            let response = refusal.into_response();
            assert_eq!((response.status().as_u16(), response.headers()[header::RETRY_AFTER].to_str().unwrap()), (status, after));
        }
    }
}
