//! The state that all engines of one server share. The module doc of `turn` says why each piece is shared.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::answer_limits::{AnswerLimits, UnsignedAnswer};
use super::codec::attribute::AddressFamily;
use super::credentials::Scope;
use super::delivery::Delivery;
use super::five_tuple::FiveTuple;
use super::mobility::MobilityTickets;
use super::nonce::Nonces;
use super::ports::Ports;
use super::rate_limit::Bandwidth;
use super::settings::EngineSettings;
use super::source_limits::SourceLimits;
use super::strangers::{Strangers, Usage};
use super::user_account::UserAccount;
use super::user_usage::{ByIdentity, Identity, UserUsage};
use crate::limits::guesses::{GuessKind, GuessReports, Guesses};
use crate::limits::ip_prefix;

/// Created once, and given to every engine.
pub struct SharedState {
    /// Times are stored as seconds or nanoseconds since this instant.
    epoch: Instant,
    seed: u64,
    pub(super) ports: Ports,
    pub(super) nonces: Nonces,
    pub(super) tickets: MobilityTickets,
    answers: AnswerLimits,
    /// The challenges of each port of a source address.
    challenged_ports: SourceLimits,
    failures: SourceLimits,
    reports: GuessReports,
    /// Wrong passwords over UDP, then over streams. They are separate because the failure of a forged datagram must not block a
    /// stream.
    guesses: [Guesses; 2],
    pub(super) bandwidth: Bandwidth,
    pub(super) strangers: Strangers,
    /// Descriptors of relayed sockets: in use, and the most. The shell knows them.
    relayed_descriptors: [AtomicUsize; 2],
    /// The highest index of an engine, plus one.
    engines: AtomicU32,
    allocations: AtomicU32,
    /// The number of the last allocation.
    allocation_number: AtomicU64,
    users: Mutex<HashSet<ByIdentity>>,
    reservations: Mutex<HashMap<ReservationToken, Reservation>>,
    /// The clients of the live relayed addresses that carry UDP.
    deliveries: Mutex<HashMap<(AddressFamily, u16), Arc<Delivery>>>,
}

/// In this time, one port gets at most half of the challenges that its address gets in a second, so that one client that fails in a
/// loop starves no other.
const PORT_WINDOW_SECONDS: u64 = 2;

pub(super) type ReservationToken = [u8; 8];

/// A port that is reserved for the holder of its RESERVATION-TOKEN.
#[derive(Debug, Clone)]
pub(super) struct Reservation {
    pub(super) family: AddressFamily,
    pub(super) port: u16,
    pub(super) user: Arc<UserUsage>,
    pub(super) expires: Instant,
}

/// The quota that refuses another allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuotaReached {
    User,
    Total,
}

impl SharedState {
    /// `seed` must come from the system's random source: the keys of nonces and tickets are derived from it.
    pub fn new(settings: &EngineSettings, seed: [u8; 32], epoch: Instant) -> Arc<Self> {
        let mut rng = StdRng::from_seed(seed);
        let limits = &settings.limits;
        let mut table = |seconds, limit| SourceLimits::new(limits.sources, rng.random(), seconds, limit);
        let challenged_ports = table(PORT_WINDOW_SECONDS, limits.challenges.div_ceil(2));
        let failures = table(settings.nonce_lifetime.as_secs(), limits.failures);
        let answers = AnswerLimits::new(limits, rng.random());
        let reports = GuessReports::default();
        let guesses = |kind| Guesses::new(kind, limits.wrong_passwords, &reports);
        let guesses = [guesses(GuessKind::TurnPasswordUdp), guesses(GuessKind::TurnPassword)];
        let mut key = || {
            let mut key = [0; 32];
            rng.fill_bytes(&mut key);
            key
        };
        Arc::new(Self {
            nonces: Nonces::new(&key(), u32::try_from(settings.nonce_lifetime.as_secs()).unwrap_or(u32::MAX)),
            tickets: MobilityTickets::new(&key()),
            seed: u64::from_be_bytes(*key().first_chunk().expect("32 bytes hold eight")),
            epoch,
            ports: Ports::new(),
            answers,
            challenged_ports,
            failures,
            reports,
            guesses,
            bandwidth: Bandwidth::default(),
            strangers: Strangers::new(limits),
            relayed_descriptors: Default::default(),
            engines: AtomicU32::new(0),
            allocations: AtomicU32::new(0),
            allocation_number: AtomicU64::new(0),
            users: Mutex::default(),
            reservations: Mutex::default(),
            deliveries: Mutex::default(),
        })
    }

    /// The allocations of all engines.
    pub fn allocations(&self) -> u32 {
        self.allocations.load(Ordering::Relaxed)
    }

    /// Live relayed addresses that carry UDP, of all engines.
    pub fn live_relayed_addresses(&self, family: AddressFamily) -> usize {
        self.ports.live(family)
    }

    /// Ports that are live, opening, or reserved, of all engines.
    pub fn taken_ports(&self, family: AddressFamily) -> usize {
        self.ports.taken(family)
    }

    /// Users with an allocation.
    pub fn users(&self) -> usize {
        lock(&self.users).len()
    }

    /// Reserved ports that no client has claimed yet, of all engines.
    pub fn reservations(&self) -> usize {
        lock(&self.reservations).len()
    }

    /// Called by the shell when it has opened or closed relayed sockets: how many descriptors they have, and may have.
    pub fn set_relayed_descriptors(&self, used: usize, most: usize) {
        for (number, value) in self.relayed_descriptors.iter().zip([used, most]) {
            number.store(value, Ordering::Relaxed);
        }
    }

    pub(super) fn relayed_descriptors(&self) -> Usage {
        let [used, most] = self.relayed_descriptors.each_ref().map(|number| number.load(Ordering::Relaxed));
        Usage { used, most }
    }

    /// Called by each engine when it starts.
    pub(super) fn register_engine(&self, engine: u8) {
        self.engines.fetch_max(u32::from(engine) + 1, Ordering::Relaxed);
    }

    /// Whether an engine has this index: a client may send any number.
    pub(super) fn has_engine(&self, engine: u8) -> bool {
        u32::from(engine) < self.engines.load(Ordering::Relaxed)
    }

    pub(super) fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn seconds(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.epoch).as_secs()).unwrap_or(u32::MAX)
    }

    /// A keyed hash of a username, so that a client cannot choose it.
    pub(super) fn tag(&self, username: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, username).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether a datagram from this client may be answered with a challenge; counts the challenge.
    pub(super) fn may_challenge(&self, client: SocketAddr, now: Instant) -> bool {
        let (source, now) = (ip_prefix::of_client(client.ip()), self.nanos(now));
        let challenge = UnsignedAnswer::Challenge;
        self.challenged_ports.count((source, client.port()), now) && self.answers.may_answer(source, challenge, now)
    }

    /// Whether a Binding request in a datagram from this client may be answered; counts the answer.
    pub(super) fn may_answer_binding(&self, client: IpAddr, now: Instant) -> bool {
        self.answers.may_answer(ip_prefix::of_client(client), UnsignedAnswer::Binding, self.nanos(now))
    }

    /// A request from this client was authenticated. Its nonce was sent to that address, so nobody can have forged the address.
    pub(super) fn note_authenticated(&self, client: IpAddr, now: Instant) {
        self.answers.note_authenticated(ip_prefix::of_client(client), self.nanos(now));
    }

    /// Whether a client has failed so often that its requests are dropped.
    pub(super) fn is_throttled(&self, client: &FiveTuple, now: Instant) -> bool {
        !self.failures.allows(failure_source(client), self.nanos(now))
    }

    /// Counts a wrong password. `username` is the tag of the user, where the user exists and the password can be guessed.
    /// `wrong`: the log has a line for it, as for every wrong password.
    pub(super) fn record_failure(&self, client: &FiveTuple, username: Option<u64>, wrong: bool, now: Instant) {
        let _ = self.failures.count(failure_source(client), self.nanos(now));
        let (guesses, address) = (self.guesses(client), client.client.ip());
        if wrong {
            guesses.record_for_target(address, username, now);
        } else {
            guesses.record_without_line(address, username, now);
        }
    }

    /// The wrong passwords over this client's transport.
    pub(super) fn guesses(&self, client: &FiveTuple) -> &Guesses {
        &self.guesses[usize::from(client.transport.is_stream())]
    }

    /// The place where wrong passwords are reported. The rest of the server reports its own there too.
    pub fn reports(&self) -> &GuessReports {
        &self.reports
    }

    /// Counts one more allocation against the quota of the user and the total, or against neither. `account` is called where the user has
    /// no allocation yet.
    pub(super) fn take_quota(
        &self,
        scope: Scope,
        name: &str,
        settings: &EngineSettings,
        account: impl FnOnce() -> Arc<UserAccount>,
    ) -> Result<Arc<UserUsage>, QuotaReached> {
        let mut users = lock(&self.users);
        let identity = Identity { scope, name: name.into() };
        let user = users.get(&identity).map(|user| Arc::clone(&user.0));
        let held = user.as_ref().map_or(0, |user| user.allocations.load(Ordering::Relaxed));
        if settings.limits.user_quota.is_some_and(|quota| held >= quota) {
            return Err(QuotaReached::User);
        }
        let total = settings.limits.total_quota.unwrap_or(u32::MAX);
        self.allocations
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < total).then(|| count + 1))
            .map_err(|_| QuotaReached::Total)?;
        let user = user.unwrap_or_else(|| {
            let (allocations, bandwidth) = (AtomicU32::new(0), Bandwidth::default());
            let user = Arc::new(UserUsage { identity, allocations, bandwidth, account: account() });
            users.insert(ByIdentity(Arc::clone(&user)));
            user
        });
        user.allocations.fetch_add(1, Ordering::Relaxed);
        Ok(user)
    }

    /// A number that no other allocation has had.
    pub(super) fn next_allocation_number(&self) -> u64 {
        self.allocation_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Undoes [`Self::take_quota`].
    pub(super) fn release_quota(&self, user: &UserUsage) {
        let mut users = lock(&self.users);
        self.allocations.fetch_sub(1, Ordering::Relaxed);
        if user.allocations.fetch_sub(1, Ordering::Relaxed) == 1 {
            users.remove(&user.identity);
        }
    }

    /// The relayed address with this port is live from now on, and carries UDP.
    pub(super) fn set_live(&self, family: AddressFamily, port: u16, shard: u8, socket: bool, delivery: &Arc<Delivery>) {
        lock(&self.deliveries).insert((family, port), Arc::clone(delivery));
        self.ports.set_live(family, port, shard, socket);
    }

    /// Gives back a port, whether it is live or not.
    pub(super) fn release_port(&self, family: AddressFamily, port: u16) {
        // In this order: another engine may take the port as soon as it is released.
        lock(&self.deliveries).remove(&(family, port));
        self.ports.release(family, port);
    }

    /// How to deliver to the client of a live relayed address.
    pub(super) fn delivery(&self, family: AddressFamily, port: u16) -> Option<Arc<Delivery>> {
        lock(&self.deliveries).get(&(family, port)).cloned()
    }

    pub(super) fn reserve(&self, token: ReservationToken, reservation: Reservation) {
        lock(&self.reservations).insert(token, reservation);
    }

    /// Claims a reservation, where it is this user's and has not expired. The port stays taken and belongs to the caller.
    pub(super) fn claim(&self, token: &ReservationToken, user: &UserUsage, now: Instant) -> Option<Reservation> {
        let mut reservations = lock(&self.reservations);
        let reservation = reservations.get(token)?;
        if reservation.user.identity != user.identity || reservation.expires <= now {
            return None;
        }
        reservations.remove(token)
    }

    /// Ends a reservation that no client has claimed.
    pub(super) fn unreserve(&self, token: &ReservationToken) {
        let reservation = lock(&self.reservations).remove(token);
        if let Some(Reservation { family, port, .. }) = reservation {
            self.release_port(family, port);
        }
    }
}

impl std::fmt::Debug for SharedState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedState")
            .field("allocations", &self.allocations())
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// Failures are counted by the address and port that a nonce is valid for, and not by network. TCP and UDP ports differ.
fn failure_source(client: &FiveTuple) -> (SocketAddr, bool) {
    (client.client, client.transport.is_stream())
}

/// No code panics while it holds one of these locks, so that a poisoned lock still guards consistent data.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(user: Option<u32>, total: Option<u32>) -> (Arc<SharedState>, EngineSettings) {
        let mut settings = EngineSettings::new("castway");
        settings.limits.user_quota = user;
        settings.limits.total_quota = total;
        (SharedState::new(&settings, [1; 32], Instant::now()), settings)
    }

    #[test]
    fn r41_a_burst_from_many_shards_stays_within_the_quota() {
        let (shared, settings) = shared(Some(100), None);
        let admitted: usize = std::thread::scope(|scope| {
            let burst =
                || (0..200).filter(|_| shared.take_quota(Scope::Anyone, "alice", &settings, Arc::default).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(burst)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!((admitted, shared.allocations()), (100, 100));
        assert!(shared.take_quota(Scope::Anyone, "bob", &settings, Arc::default).is_ok());
    }

    #[test]
    fn r42_the_total_recovers_and_users_are_forgotten() {
        let (shared, settings) = shared(None, Some(2));
        let alice = shared.take_quota(Scope::Anyone, "alice", &settings, Arc::default).expect("the first");
        let bob = shared.take_quota(Scope::Anyone, "bob", &settings, Arc::default).expect("the second");
        assert_eq!(shared.take_quota(Scope::Anyone, "carol", &settings, Arc::default).err(), Some(QuotaReached::Total));
        shared.release_quota(&alice);
        assert_eq!(shared.users(), 1);
        assert!(shared.take_quota(Scope::Anyone, "carol", &settings, Arc::default).is_ok());
        shared.release_quota(&bob);
    }
}
