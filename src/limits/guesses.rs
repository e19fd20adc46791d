//! Limits wrong guesses of codes, passwords and keys. PURE.
//!
//! One [`Guesses`] counts one kind of secret. In each minute it allows
//! - a client ([`ip_prefix::of_client`]) as many wrong guesses as its owner says;
//! - a site ([`ip_prefix::of_site`]) four times as many, because an IPv6 /48 has 65,536 clients;
//! - all clients together, at one target, five times as many, and a hundred at least. All codes are one target; each TURN user is one. Half of
//!   these guesses are reserved for sites without a wrong guess there in the last minute, so that a few sites don't use up all of them.
//!
//! A site's first wrong guess at a target in a day is exempt from these limits: during an attack from many addresses a client that has not
//! guessed wrong may still try. First guesses have limits of their own, in a day 150,000 at one target and a thousand from one IPv6 /32, which
//! has 65,536 sites; beyond these a first guess counts like any other. A code of letters and digits is one of 729 million, so any number of
//! addresses that guess together day and night have 294,000 guesses a day and need six years for all codes.
//!
//! The table has a fixed size (`guess_table`), and no flood makes it forget all clients.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::guess_table::{Changes, GuessTable, Ticks, ticks, time};
use super::ip_prefix;
use super::throttled::Forget;

pub use super::guess_kind::GuessKind;
pub use super::guess_reports::{GuessLine, GuessReports};

/// The window of all limits except those of first guesses.
const WINDOW_TICKS: Ticks = ticks(Duration::from_secs(60));
/// How long a wrong guess is remembered, so that the next one is not a first guess.
const MEMORY_TICKS: Ticks = ticks(Duration::from_secs(86_400));
/// Entries of a table, of 32 bytes each once they are used: enough for a hundred thousand addresses.
const TABLE_ENTRIES: usize = 262_144;
/// Wrong first guesses at one target in a day.
const MAX_FIRST_GUESSES: u32 = 150_000;
/// Wrong first guesses at one target in a day from one provider's IPv6 addresses.
const MAX_PROVIDER_FIRST_GUESSES: u32 = 1_000;
/// The limit of a site as a multiple of a client's.
const SITE_FACTOR: u32 = 4;
/// The limit of all clients together at one target as a multiple of a client's.
const ALL_CLIENTS_FACTOR: u32 = 5;
/// The smallest limit of all clients together.
const MIN_ALL_CLIENTS: u32 = 100;
/// A client that can't be told how long to wait may try once in this time beyond its limit.
const RETRY_TICKS: Ticks = ticks(Duration::from_secs(3));

/// The target of a kind that has only one.
const SINGLE_TARGET: u64 = 0;

/// Counts the wrong guesses of one kind; clones share it.
#[derive(Debug, Clone)]
pub struct Guesses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: GuessKind,
    limits: Limits,
    reports: GuessReports,
    hash: RandomState,
    /// The zero of the ticks: the time of the first call.
    epoch: OnceLock<Instant>,
    table: Mutex<GuessTable>,
}

/// Wrong guesses in a minute.
#[derive(Debug, Clone, Copy)]
struct Limits {
    client: u32,
    site: u32,
    /// All clients together, at one target.
    all_clients: u32,
    /// The part of `all_clients` for sites that have guessed wrong in the last minute.
    repeating_sites: u32,
}

/// The client, site, target or provider whose guesses are counted.
#[derive(Hash)]
enum Key {
    Client(IpAddr),
    /// Only for IPv6: an IPv4 client is its own site.
    Site(IpAddr),
    /// A site's guesses at one of several targets.
    SiteAt(IpAddr, u64),
    AllClients(u64),
    FirstGuesses(u64),
    /// The first guesses of one provider's sites at one target.
    ProviderFirstGuesses(IpAddr, u64),
}

impl Key {
    fn of_site(from: IpAddr) -> Self {
        match from.to_canonical() {
            IpAddr::V4(client) => Self::Client(client.into()),
            IpAddr::V6(_) => Self::Site(ip_prefix::of_site(from)),
        }
    }

    /// The key by which a site's guesses at a target are remembered.
    fn at(from: IpAddr, target: u64) -> Self {
        if target == SINGLE_TARGET { Self::of_site(from) } else { Self::SiteAt(ip_prefix::of_site(from), target) }
    }
}

impl Guesses {
    /// Allows each client `allowed` wrong guesses in a minute.
    #[must_use]
    pub fn new(kind: GuessKind, allowed: u32, reports: &GuessReports) -> Self {
        let all_clients = allowed.saturating_mul(ALL_CLIENTS_FACTOR).max(MIN_ALL_CLIENTS);
        let site = allowed.saturating_mul(SITE_FACTOR);
        let limits = Limits { client: allowed, site, all_clients, repeating_sites: all_clients / 2 };
        Self::with(kind, limits, reports)
    }

    /// Limits only all clients together, to `max` in a minute besides first guesses, and reports nothing.
    #[must_use]
    pub fn of_all_clients(kind: GuessKind, max: u32) -> Self {
        let limits = Limits { client: u32::MAX, site: u32::MAX, all_clients: max, repeating_sites: max };
        Self::with(kind, limits, &GuessReports::default())
    }

    fn with(kind: GuessKind, limits: Limits, reports: &GuessReports) -> Self {
        let inner = Arc::new(Inner {
            kind,
            limits,
            reports: reports.clone(),
            hash: RandomState::new(),
            epoch: OnceLock::new(),
            table: Mutex::new(GuessTable::new(TABLE_ENTRIES)),
        });
        let table: Arc<dyn Forget> = Arc::<Inner>::clone(&inner);
        reports.register(Arc::downgrade(&table));
        Self(inner)
    }

    /// How long `from` has to wait before it may guess again; `None`: it may guess now.
    #[must_use]
    pub fn blocked_for(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        self.blocked_for_target(from, SINGLE_TARGET, now)
    }

    /// Counts a wrong guess.
    pub fn record(&self, from: IpAddr, now: Instant) {
        self.record_for_target(from, Some(SINGLE_TARGET), now);
    }

    /// As [`Self::blocked_for`], at one of several targets.
    #[must_use]
    pub fn blocked_for_target(&self, from: IpAddr, target: u64, now: Instant) -> Option<Duration> {
        let now = self.0.ticks(now);
        let table = self.0.table();
        if self.0.is_first(&table, from, target, now) {
            return None;
        }
        let Limits { all_clients, repeating_sites, .. } = self.0.limits;
        let known = table.entry(self.0.hash.hash_one(Key::at(from, target)));
        let repeats = known.is_some_and(|entry| entry.count(WINDOW_TICKS, now) > 0);
        let max = if repeats { repeating_sites } else { all_clients };
        let wait = self.0.wait(&table, &Key::AllClients(target), max, WINDOW_TICKS, now);
        let wait = wait.max(self.0.client_wait(&table, from, now));
        (wait > 0).then(|| time(wait))
    }

    /// Whether a client, or its site, exceeds its limit over all targets with a guess that [`Self::blocked_for_target`] allows, or with a guess at no
    /// known target. A guess that is allowed beyond the limit once in a while does not count as exceeding it.
    #[must_use]
    pub fn is_beyond(&self, from: IpAddr, target: Option<u64>, now: Instant) -> bool {
        let now = self.0.ticks(now);
        self.0.is_beyond(&self.0.table(), from, target, now)
    }

    /// As [`Self::record`], at one of several targets. `None`: the target does not exist, so the guess counts for no other client.
    pub fn record_for_target(&self, from: IpAddr, target: Option<u64>, now: Instant) {
        let total = self.count(from, target, true, now);
        self.0.reports.note(self.0.kind, from, total, now);
    }

    /// As [`Self::record_for_target`], for a failure that is explained in the log elsewhere. It leaves the next lines about the client as
    /// they are: otherwise a client could place such failures so that its guesses never get one.
    pub fn record_without_line(&self, from: IpAddr, target: Option<u64>, now: Instant) {
        self.count(from, target, false, now);
        self.0.reports.count(self.0.kind);
    }

    /// Counts a wrong guess. Returns how many of those that may get a line the client has made in an hour.
    fn count(&self, from: IpAddr, target: Option<u64>, may_get_line: bool, now: Instant) -> u32 {
        let kind = self.0.kind;
        let at = self.0.ticks(now);
        let mut table = self.0.table();
        // A guess beyond the limit does not postpone the next allowed one; otherwise clients with old credentials would keep out all
        // others behind their address.
        let keeps_last = kind.allows_retries() && self.0.is_beyond(&table, from, target, at);
        if let Some(target) = target {
            if self.0.is_first(&table, from, target, at) {
                table.count(self.0.hash.hash_one(Key::FirstGuesses(target)), MEMORY_TICKS, at);
                if from.to_canonical().is_ipv6() {
                    let provider = Key::ProviderFirstGuesses(ip_prefix::of_provider(from), target);
                    table.count(self.0.hash.hash_one(provider), MEMORY_TICKS, at);
                }
            } else {
                table.count(self.0.hash.hash_one(Key::AllClients(target)), WINDOW_TICKS, at);
            }
            if target != SINGLE_TARGET {
                table.count(self.0.hash.hash_one(Key::at(from, target)), WINDOW_TICKS, at);
            }
        }
        if from.to_canonical().is_ipv6() {
            table.count(self.0.hash.hash_one(Key::of_site(from)), WINDOW_TICKS, at);
        }
        let client = self.0.hash.hash_one(Key::Client(ip_prefix::of_client(from)));
        let total = table.count_as(client, WINDOW_TICKS, at, Changes { last: !keeps_last, total: may_get_line }).total;
        let wait = self.0.wait_of(&table, from, false, at);
        drop(table);
        if wait > 0 {
            self.0.reports.note_throttled(kind, from, time(wait), now);
        }
        total
    }
}

impl Forget for Inner {
    fn forget(&self, from: IpAddr) {
        let mut table = self.table();
        table.remove(self.hash.hash_one(Key::Client(ip_prefix::of_client(from))));
        table.remove(self.hash.hash_one(Key::of_site(from)));
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, GuessTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ticks(&self, now: Instant) -> Ticks {
        ticks(now.saturating_duration_since(*self.epoch.get_or_init(|| now)))
    }

    /// Whether a site has made no wrong guess at this target for a day, and first guesses are within their limits.
    fn is_first(&self, table: &GuessTable, from: IpAddr, target: u64, now: Ticks) -> bool {
        let known = table.entry(self.hash.hash_one(Key::at(from, target)));
        if known.is_some_and(|entry| now.saturating_sub(entry.last) < MEMORY_TICKS) {
            return false;
        }
        let provider = Key::ProviderFirstGuesses(ip_prefix::of_provider(from), target);
        let wait = self.wait(table, &Key::FirstGuesses(target), MAX_FIRST_GUESSES, MEMORY_TICKS, now);
        wait.max(self.wait(table, &provider, MAX_PROVIDER_FIRST_GUESSES, MEMORY_TICKS, now)) == 0
    }

    /// The ticks until a key with `max` wrong guesses in a window may guess again; 0: now.
    fn wait(&self, table: &GuessTable, key: &Key, max: u32, window: Ticks, now: Ticks) -> Ticks {
        let entry = table.entry(self.hash.hash_one(key)).filter(|entry| entry.count(window, now) >= max);
        entry.map_or(0, |entry| entry.left(window, now))
    }

    fn is_beyond(&self, table: &GuessTable, from: IpAddr, target: Option<u64>, now: Ticks) -> bool {
        let may_retry = target.is_some_and(|target| !self.is_first(table, from, target, now));
        self.wait_of(table, from, may_retry, now) > 0
    }

    fn client_wait(&self, table: &GuessTable, from: IpAddr, now: Ticks) -> Ticks {
        self.wait_of(table, from, true, now)
    }

    /// The ticks until a client may guess again. `may_retry`: a guess once in a while is allowed before the window ends.
    fn wait_of(&self, table: &GuessTable, from: IpAddr, may_retry: bool, now: Ticks) -> Ticks {
        let client = Key::Client(ip_prefix::of_client(from));
        let mut wait = self.wait(table, &client, self.limits.client, WINDOW_TICKS, now);
        if may_retry
            && self.kind.allows_retries()
            && let Some(entry) = table.entry(self.hash.hash_one(client))
        {
            wait = wait.min(entry.last.saturating_add(RETRY_TICKS).saturating_sub(now));
        }
        match from.to_canonical() {
            IpAddr::V4(_) => wait,
            IpAddr::V6(_) => wait.max(self.wait(table, &Key::of_site(from), self.limits.site, WINDOW_TICKS, now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: u32 = 10;
    const MINUTE: Duration = Duration::from_secs(60);

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn codes() -> Guesses {
        Guesses::new(GuessKind::Code, ALLOWED, &GuessReports::default())
    }

    #[test]
    fn blocked_after_the_allowed_number_and_free_after_the_window() {
        let (guesses, start) = (codes(), Instant::now());
        for _ in 0..ALLOWED {
            assert_eq!(guesses.blocked_for(ip("203.0.113.1"), start), None);
            guesses.record(ip("203.0.113.1"), start);
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), later), Some(Duration::from_secs(40)));
        assert_eq!(guesses.blocked_for(ip("::ffff:203.0.113.1"), later), Some(Duration::from_secs(40)));
        assert_eq!(guesses.blocked_for(ip("203.0.113.2"), later), None);
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), start + MINUTE), None);
        guesses.record(ip("203.0.113.1"), start + MINUTE);
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), start + MINUTE), None);
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let (guesses, now) = (codes(), Instant::now());
        (0..ALLOWED).for_each(|host| guesses.record(ip(&format!("2001:db8::{host:x}")), now));
        assert!(guesses.blocked_for(ip("2001:db8::ffff"), now).is_some());
        assert!(guesses.blocked_for(ip("2001:db8:0:1::1"), now).is_none());
    }

    #[test]
    fn a_site_with_many_networks_has_a_bound_of_its_own() {
        let (guesses, now) = (codes(), Instant::now());
        let heard = (0..1000_u32).map(|network| ip(&format!("2001:db8:0:{network:x}::1"))).filter(|from| {
            let heard = guesses.blocked_for(*from, now).is_none();
            guesses.record(*from, now);
            heard
        });
        assert_eq!(heard.count(), (SITE_FACTOR * ALLOWED) as usize);
        assert!(guesses.blocked_for(ip("2001:db8:1::1"), now).is_none(), "another site");
        assert!(guesses.blocked_for(ip("2001:db8:0:1000::1"), now + MINUTE).is_none());
    }

    /// How many wrong guesses get a verdict if so many addresses guess for so many minutes, each as often as it may.
    fn heard(guesses: &Guesses, addresses: u32, minutes: u32, start: Instant) -> u32 {
        let mut heard = 0;
        for minute in 0..minutes {
            let now = start + minute * MINUTE;
            for n in 0..addresses {
                let from = IpAddr::V4((0x0A00_0000 + n).into());
                while guesses.blocked_for(from, now).is_none() {
                    guesses.record(from, now);
                    heard += 1;
                }
            }
        }
        heard
    }

    #[test]
    fn all_addresses_share_one_limit_and_a_first_guess_is_exempt() {
        let (guesses, start) = (codes(), Instant::now());
        assert_eq!(heard(&guesses, 500, 1, start), 500 + MIN_ALL_CLIENTS / 2);
        assert_eq!(heard(&guesses, 500, 10, start + MINUTE), 10 * MIN_ALL_CLIENTS);
        let now = start + 10 * MINUTE;
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), now), None);
        assert_eq!(guesses.blocked_for(ip("2001:db8::1"), now), None);
        guesses.record(ip("203.0.113.1"), now);
        assert!(guesses.blocked_for(ip("203.0.113.1"), now).is_some(), "what is left is for everybody");
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), now + MINUTE), None);
    }

    #[test]
    fn few_addresses_that_go_on_leave_half_to_those_that_were_wrong_before() {
        let (guesses, start) = (codes(), Instant::now());
        let school = ip("203.0.113.1");
        guesses.record(school, start);
        for minute in 1..10 {
            let now = start + minute * MINUTE;
            for n in 0..40 {
                let attacker = IpAddr::V4((0x0A00_0000 + n).into());
                while guesses.blocked_for(attacker, now).is_none() {
                    guesses.record(attacker, now);
                }
            }
            assert_eq!(guesses.blocked_for(school, now), None, "minute {minute}");
        }
    }

    #[test]
    fn a_hundred_thousand_addresses_need_years_for_all_codes() {
        let (guesses, start) = (codes(), Instant::now());
        // If more than eight keys share one group, some addresses have two first guesses.
        let heard = heard(&guesses, 100_000, 2, start);
        assert!((100_000 + MIN_ALL_CLIENTS / 2 + MIN_ALL_CLIENTS..101_000).contains(&heard), "{heard}");
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), start + MINUTE), None);
        let in_a_day = MAX_FIRST_GUESSES + 1440 * MIN_ALL_CLIENTS;
        assert!(729_000_000 / in_a_day > 6 * 365, "{in_a_day}");
    }

    #[test]
    fn more_addresses_than_a_table_remembers_are_heard_no_oftener() {
        let (guesses, now) = (codes(), Instant::now());
        let heard = (0..MAX_FIRST_GUESSES + 50_000).filter(|n| {
            let from = IpAddr::V4((*n).into());
            let heard = guesses.blocked_for(from, now).is_none();
            if heard {
                guesses.record(from, now);
            }
            heard
        });
        assert_eq!(heard.count() as u32, MAX_FIRST_GUESSES + MIN_ALL_CLIENTS);
    }

    #[test]
    fn a_provider_with_many_sites_uses_up_no_first_tries_but_its_own() {
        let (guesses, now) = (codes(), Instant::now());
        let heard = (0..20_000_u32).map(|site| ip(&format!("2001:db8:{site:x}::1"))).filter(|from| {
            let heard = guesses.blocked_for(*from, now).is_none();
            if heard {
                guesses.record(*from, now);
            }
            heard
        });
        assert_eq!(heard.count() as u32, MAX_PROVIDER_FIRST_GUESSES + MIN_ALL_CLIENTS);
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), now), None);
        assert_eq!(guesses.blocked_for(ip("2001:db9::1"), now), None);
    }

    #[test]
    fn the_table_never_forgets_everybody_and_no_flood_washes_one_away() {
        let (guesses, now) = (codes(), Instant::now());
        let guilty = ip("203.0.113.1");
        (0..ALLOWED).for_each(|_| guesses.record(guilty, now));
        for n in 0..2 * TABLE_ENTRIES as u32 {
            guesses.record(IpAddr::V4(n.into()), now);
        }
        assert!(guesses.blocked_for(guilty, now).is_some());
        let known = (0..2 * TABLE_ENTRIES as u32).filter(|n| {
            let key = guesses.0.hash.hash_one(Key::Client(IpAddr::V4((*n).into())));
            guesses.0.table().entry(key).is_some()
        });
        assert!(known.count() > TABLE_ENTRIES * 9 / 10, "the table stays full");
    }

    #[test]
    fn a_client_beyond_its_bound_still_has_a_first_try_at_another_target() {
        let (guesses, start) = (Guesses::new(GuessKind::TurnPassword, ALLOWED, &GuessReports::default()), Instant::now());
        let from = ip("203.0.113.1");
        (0..40).for_each(|_| guesses.record_for_target(from, Some(7), start));
        assert!(guesses.is_beyond(from, None, start) && guesses.blocked_for_target(from, 7, start).is_some());
        assert_eq!(guesses.blocked_for_target(from, 8, start), None);
        guesses.record_for_target(from, Some(8), start);
        assert!(guesses.blocked_for_target(from, 8, start).is_some());
        assert_eq!(
            guesses.blocked_for_target(from, 7, start + Duration::from_secs(3)),
            None,
            "nobody waits longer for a right one"
        );
    }

    #[test]
    fn failures_without_a_line_do_not_hide_guesses() {
        let reports = GuessReports::default();
        let (guesses, start) = (Guesses::new(GuessKind::TurnPassword, 1000, &reports), Instant::now());
        let from = ip("203.0.113.1");
        for n in 1..=25 {
            if [1, 5, 25].contains(&n) {
                guesses.record_without_line(from, None, start);
            } else {
                guesses.record_for_target(from, Some(7), start);
            }
        }
        let line = |failures| GuessLine::Wrong { kind: GuessKind::TurnPassword, address: from, failures };
        assert_eq!(reports.drain(start), [line(1), line(5)]);
        assert_eq!(reports.totals().map(|(_, total)| total).sum::<u64>(), 25);
    }

    #[test]
    fn one_target_has_a_bound_for_everybody() {
        let (guesses, now) = (Guesses::new(GuessKind::TurnPassword, ALLOWED, &GuessReports::default()), Instant::now());
        for n in 0..2 * MIN_ALL_CLIENTS {
            let from = IpAddr::V4(n.into());
            (0..2).for_each(|_| guesses.record_for_target(from, Some(7), now));
        }
        assert!(guesses.blocked_for_target(IpAddr::V4(1.into()), 7, now).is_some());
        assert_eq!(guesses.blocked_for_target(IpAddr::V4(1.into()), 8, now), None);
        assert_eq!(guesses.blocked_for_target(ip("203.0.113.1"), 7, now), None);
        guesses.record_for_target(ip("203.0.113.2"), None, now);
        assert!(!guesses.is_beyond(ip("203.0.113.2"), None, now));
    }

    #[test]
    fn a_throttled_client_is_listed_and_may_guess_again_when_it_is_forgotten() {
        let (reports, now) = (GuessReports::default(), Instant::now());
        let codes = Guesses::new(GuessKind::Code, ALLOWED, &reports);
        let passwords = Guesses::new(GuessKind::OperatorPassword, ALLOWED, &reports);
        let (v4, v6, other) = (ip("::ffff:192.0.2.1"), ip("2001:db8:1:2::3"), ip("192.0.2.2"));
        for from in [v4, v6] {
            for guess in 0..ALLOWED {
                assert!(reports.throttled(now).iter().all(|row| row.client != ip_prefix::of_client(from)), "{guess}");
                codes.record(from, now);
            }
        }
        (0..ALLOWED).for_each(|_| passwords.record(v4, now));
        codes.record(other, now);
        let mut listed: Vec<_> = reports.throttled(now).iter().map(|row| (row.client, row.kind, row.wait)).collect();
        listed.sort_unstable();
        let (kinds, clients) = ([GuessKind::Code, GuessKind::OperatorPassword], [ip("192.0.2.1"), ip("2001:db8:1:2::")]);
        assert_eq!(listed, [(clients[0], kinds[0], MINUTE), (clients[0], kinds[1], MINUTE), (clients[1], kinds[0], MINUTE)]);

        assert!(codes.blocked_for(v4, now).is_some() && passwords.blocked_for(v4, now).is_some());
        assert!(reports.forget(ip("192.0.2.1"), now));
        assert!(codes.blocked_for(v4, now).is_none() && passwords.blocked_for(v4, now).is_none());
        assert!(codes.blocked_for(v6, now).is_some(), "another client waits on");
        assert!(reports.forget(ip("2001:db8:1:2:ffff::"), now), "another address of the same client");
        assert!(codes.blocked_for(v6, now).is_none() && reports.throttled(now).is_empty());
        assert!(!reports.forget(other, now), "it had to wait nowhere");
    }
}
