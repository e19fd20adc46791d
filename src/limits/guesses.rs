//! Wrong guesses of codes, passwords and keys. PURE.
//!
//! One [`Guesses`] counts one kind of secret. It bounds the wrong tries of
//! - a client, by [`ip_prefix::of_client`], to what its owner allows in a minute;
//! - a site, by [`ip_prefix::of_site`], to four times that, since an IPv6 /48 has 65,536 clients;
//! - everybody together at one target (all codes are one target, a TURN user is one), to five times that and a hundred at least. Half
//!   of it is for sites that have not been wrong there within a minute, so that a few which go on don't use up what the others have.
//!
//! The first try of a site at a target in a day passes these three: while an attack from many addresses uses up what everybody has together,
//! a client that has not guessed wrong is still heard. Wrong first tries have bounds of their own, in a day 150,000 at one target and a
//! thousand from one IPv6 /32, which has 65,536 sites; beyond them a first try is like any other. A code of letters and digits is one of
//! 729 million: addresses that guess together day and night, however many, are heard 294,000 times a day and need six years for all codes.
//!
//! The table has a fixed size (`guess_table`) and never forgets everybody.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::guess_table::{Table, Ticks, ticks, time};
use super::ip_prefix;

pub use super::guess_reports::{GuessKind, GuessLine, GuessReports};

const WINDOW: Ticks = ticks(Duration::from_secs(60));
/// How long a wrong try is remembered, so that the next one is no first one.
const MEMORY: Ticks = ticks(Duration::from_secs(86_400));
/// Entries of a table, 32 bytes each once they are used. A hundred thousand addresses find room.
const CAPACITY: usize = 262_144;
/// Wrong first tries at one target in a day.
const FIRST_TRIES: u32 = 150_000;
/// Those of one provider's IPv6 addresses.
const FIRST_TRIES_OF_PROVIDER: u32 = 1_000;
/// What a site has, in times of what a client has.
const SITE: u32 = 4;
/// What everybody together has at one target, in times of what a client has.
const TOGETHER: u32 = 5;
/// The least that everybody together has.
const MIN_TOGETHER: u32 = 100;
/// Where nobody is told how long to wait, a client beyond its bound is heard once in this time.
const PAUSE: Ticks = ticks(Duration::from_secs(3));

/// Where there is one target only.
const ONLY: u64 = 0;

/// Counts wrong tries of one kind; clones share it.
#[derive(Debug, Clone)]
pub struct Guesses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: GuessKind,
    limits: Limits,
    reports: GuessReports,
    hash: RandomState,
    /// What ticks are counted from: the first time that anybody asked.
    epoch: OnceLock<Instant>,
    table: Mutex<Table>,
}

/// Wrong tries in a minute.
#[derive(Debug, Clone, Copy)]
struct Limits {
    client: u32,
    site: u32,
    together: u32,
    /// Of these, by sites that have been wrong within a minute.
    going_on: u32,
}

/// Whose tries are counted.
#[derive(Hash)]
enum Key {
    Client(IpAddr),
    /// Of IPv6 alone: an IPv4 client is its own site.
    Site(IpAddr),
    /// At one of many targets.
    SiteAt(IpAddr, u64),
    Together(u64),
    FirstTries(u64),
    /// Of one provider, at one target.
    FirstTriesOf(IpAddr, u64),
}

impl Key {
    fn of_site(from: IpAddr) -> Self {
        match from.to_canonical() {
            IpAddr::V4(client) => Self::Client(client.into()),
            IpAddr::V6(_) => Self::Site(ip_prefix::of_site(from)),
        }
    }

    /// By which a site's tries at a target are remembered.
    fn at(from: IpAddr, target: u64) -> Self {
        if target == ONLY { Self::of_site(from) } else { Self::SiteAt(ip_prefix::of_site(from), target) }
    }
}

impl Guesses {
    /// `allowed`: wrong tries of one client in a minute.
    #[must_use]
    pub fn new(kind: GuessKind, allowed: u32, reports: &GuessReports) -> Self {
        let together = allowed.saturating_mul(TOGETHER).max(MIN_TOGETHER);
        let limits = Limits { client: allowed, site: allowed.saturating_mul(SITE), together, going_on: together / 2 };
        Self::with(kind, limits, reports)
    }

    /// For what nobody reports, a client may do as often as it likes, and all together `together` times a minute, first times aside.
    #[must_use]
    pub fn together(kind: GuessKind, together: u32) -> Self {
        Self::with(kind, Limits { client: u32::MAX, site: u32::MAX, together, going_on: together }, &GuessReports::default())
    }

    fn with(kind: GuessKind, limits: Limits, reports: &GuessReports) -> Self {
        Self(Arc::new(Inner {
            kind,
            limits,
            reports: reports.clone(),
            hash: RandomState::new(),
            epoch: OnceLock::new(),
            table: Mutex::new(Table::new(CAPACITY)),
        }))
    }

    /// How long `from` has to wait before it may try again; `None`: it may now.
    #[must_use]
    pub fn blocked_for(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        self.blocked_at(from, ONLY, now)
    }

    /// Counts a wrong guess.
    pub fn record(&self, from: IpAddr, now: Instant) {
        self.record_at(from, Some(ONLY), now);
    }

    /// As [`Self::blocked_for`], at one of many targets.
    #[must_use]
    pub fn blocked_at(&self, from: IpAddr, target: u64, now: Instant) -> Option<Duration> {
        let now = self.0.ticks(now);
        let table = self.0.table();
        if self.0.is_first(&table, from, target, now) {
            return None;
        }
        let Limits { together, going_on, .. } = self.0.limits;
        let known = table.entry(self.0.hash.hash_one(Key::at(from, target)));
        let goes_on = known.is_some_and(|entry| entry.count(WINDOW, now) > 0);
        let together = self.0.wait(&table, &Key::Together(target), if goes_on { going_on } else { together }, WINDOW, now);
        let wait = self.0.client_wait(&table, from, now).max(together);
        (wait > 0).then(|| time(wait))
    }

    /// Whether a client, or its site, is beyond its bound at all targets together with a try that [`Self::blocked_at`] lets pass, or
    /// that is at no target. One that is heard although its client is beyond the bound, as one in a while is, is not beyond it.
    #[must_use]
    pub fn is_beyond(&self, from: IpAddr, target: Option<u64>, now: Instant) -> bool {
        let now = self.0.ticks(now);
        self.0.is_beyond(&self.0.table(), from, target, now)
    }

    /// As [`Self::record`], at one of many targets; `None`: at one that is not there, so nobody else pays for it.
    pub fn record_at(&self, from: IpAddr, target: Option<u64>, now: Instant) {
        let Inner { kind, reports, .. } = &*self.0;
        let at = self.0.ticks(now);
        let mut table = self.0.table();
        // What is looked at beyond the bound in any case doesn't use up what is heard once in a while: clients with old credentials would
        // keep everybody else behind their address out.
        let unheard = kind.has_pause() && self.0.is_beyond(&table, from, target, at);
        if let Some(target) = target {
            if self.0.is_first(&table, from, target, at) {
                table.count(self.0.hash.hash_one(Key::FirstTries(target)), MEMORY, at);
                if from.to_canonical().is_ipv6() {
                    let provider = Key::FirstTriesOf(ip_prefix::of_provider(from), target);
                    table.count(self.0.hash.hash_one(provider), MEMORY, at);
                }
            } else {
                table.count(self.0.hash.hash_one(Key::Together(target)), WINDOW, at);
            }
            if target != ONLY {
                table.count(self.0.hash.hash_one(Key::at(from, target)), WINDOW, at);
            }
        }
        if from.to_canonical().is_ipv6() {
            table.count(self.0.hash.hash_one(Key::of_site(from)), WINDOW, at);
        }
        let client = self.0.hash.hash_one(Key::Client(ip_prefix::of_client(from)));
        let client = if unheard { table.count_unheard(client, WINDOW, at) } else { table.count(client, WINDOW, at) };
        drop(table);
        reports.note(*kind, from, client.total, now);
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ticks(&self, now: Instant) -> Ticks {
        ticks(now.saturating_duration_since(*self.epoch.get_or_init(|| now)))
    }

    /// Whether a site has not tried wrong at this target within a day, and there is room for such tries.
    fn is_first(&self, table: &Table, from: IpAddr, target: u64, now: Ticks) -> bool {
        let known = table.entry(self.hash.hash_one(Key::at(from, target)));
        if known.is_some_and(|entry| now.saturating_sub(entry.last) < MEMORY) {
            return false;
        }
        let provider = Key::FirstTriesOf(ip_prefix::of_provider(from), target);
        let wait = self.wait(table, &Key::FirstTries(target), FIRST_TRIES, MEMORY, now);
        wait.max(self.wait(table, &provider, FIRST_TRIES_OF_PROVIDER, MEMORY, now)) == 0
    }

    /// Until a key with so many wrong tries in a window may try again; 0: now.
    fn wait(&self, table: &Table, key: &Key, most: u32, window: Ticks, now: Ticks) -> Ticks {
        let entry = table.entry(self.hash.hash_one(key)).filter(|entry| entry.count(window, now) >= most);
        entry.map_or(0, |entry| entry.left(window, now))
    }

    fn is_beyond(&self, table: &Table, from: IpAddr, target: Option<u64>, now: Ticks) -> bool {
        let is_heard_once = target.is_some_and(|target| !self.is_first(table, from, target, now));
        self.wait_of(table, from, is_heard_once, now) > 0
    }

    fn client_wait(&self, table: &Table, from: IpAddr, now: Ticks) -> Ticks {
        self.wait_of(table, from, true, now)
    }

    /// Until a client may try again; `is_heard_once`: where it may be heard once in a while before its window ends.
    fn wait_of(&self, table: &Table, from: IpAddr, is_heard_once: bool, now: Ticks) -> Ticks {
        let client = Key::Client(ip_prefix::of_client(from));
        let mut wait = self.wait(table, &client, self.limits.client, WINDOW, now);
        if is_heard_once
            && self.kind.has_pause()
            && let Some(entry) = table.entry(self.hash.hash_one(client))
        {
            wait = wait.min(entry.last.saturating_add(PAUSE).saturating_sub(now));
        }
        match from.to_canonical() {
            IpAddr::V4(_) => wait,
            IpAddr::V6(_) => wait.max(self.wait(table, &Key::of_site(from), self.limits.site, WINDOW, now)),
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
        assert_eq!(heard.count(), (SITE * ALLOWED) as usize);
        assert!(guesses.blocked_for(ip("2001:db8:1::1"), now).is_none(), "another site");
        assert!(guesses.blocked_for(ip("2001:db8:0:1000::1"), now + MINUTE).is_none());
    }

    /// Guesses of so many addresses, as often as they are heard, for so many minutes.
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
    fn many_addresses_together_are_heard_so_often_and_who_has_not_guessed_always() {
        let (guesses, start) = (codes(), Instant::now());
        assert_eq!(heard(&guesses, 500, 1, start), 500 + MIN_TOGETHER / 2);
        assert_eq!(heard(&guesses, 500, 10, start + MINUTE), 10 * MIN_TOGETHER);
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
        // Where more than eight fall on the same eight places, some are heard twice.
        let heard = heard(&guesses, 100_000, 2, start);
        assert!((100_000 + MIN_TOGETHER / 2 + MIN_TOGETHER..101_000).contains(&heard), "{heard}");
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), start + MINUTE), None);
        let in_a_day = FIRST_TRIES + 1440 * MIN_TOGETHER;
        assert!(729_000_000 / in_a_day > 6 * 365, "{in_a_day}");
    }

    #[test]
    fn more_addresses_than_a_table_remembers_are_heard_no_oftener() {
        let (guesses, now) = (codes(), Instant::now());
        let heard = (0..FIRST_TRIES + 50_000).filter(|n| {
            let from = IpAddr::V4((*n).into());
            let heard = guesses.blocked_for(from, now).is_none();
            if heard {
                guesses.record(from, now);
            }
            heard
        });
        assert_eq!(heard.count() as u32, FIRST_TRIES + MIN_TOGETHER);
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
        assert_eq!(heard.count() as u32, FIRST_TRIES_OF_PROVIDER + MIN_TOGETHER);
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), now), None);
        assert_eq!(guesses.blocked_for(ip("2001:db9::1"), now), None);
    }

    #[test]
    fn the_table_never_forgets_everybody_and_no_flood_washes_one_away() {
        let (guesses, now) = (codes(), Instant::now());
        let guilty = ip("203.0.113.1");
        (0..ALLOWED).for_each(|_| guesses.record(guilty, now));
        for n in 0..2 * CAPACITY as u32 {
            guesses.record(IpAddr::V4(n.into()), now);
        }
        assert!(guesses.blocked_for(guilty, now).is_some());
        let known = (0..2 * CAPACITY as u32).filter(|n| {
            let key = guesses.0.hash.hash_one(Key::Client(IpAddr::V4((*n).into())));
            guesses.0.table().entry(key).is_some()
        });
        assert!(known.count() > CAPACITY * 9 / 10, "the table stays full");
    }

    #[test]
    fn a_client_beyond_its_bound_still_has_a_first_try_at_another_target() {
        let (guesses, start) = (Guesses::new(GuessKind::TurnPassword, ALLOWED, &GuessReports::default()), Instant::now());
        let from = ip("203.0.113.1");
        (0..40).for_each(|_| guesses.record_at(from, Some(7), start));
        assert!(guesses.is_beyond(from, None, start) && guesses.blocked_at(from, 7, start).is_some());
        assert_eq!(guesses.blocked_at(from, 8, start), None);
        guesses.record_at(from, Some(8), start);
        assert!(guesses.blocked_at(from, 8, start).is_some());
        assert_eq!(guesses.blocked_at(from, 7, start + Duration::from_secs(3)), None, "nobody waits longer for a right one");
    }

    #[test]
    fn one_target_has_a_bound_for_everybody() {
        let (guesses, now) = (Guesses::new(GuessKind::TurnPassword, ALLOWED, &GuessReports::default()), Instant::now());
        for n in 0..2 * MIN_TOGETHER {
            let from = IpAddr::V4(n.into());
            (0..2).for_each(|_| guesses.record_at(from, Some(7), now));
        }
        assert!(guesses.blocked_at(IpAddr::V4(1.into()), 7, now).is_some());
        assert_eq!(guesses.blocked_at(IpAddr::V4(1.into()), 8, now), None);
        assert_eq!(guesses.blocked_at(ip("203.0.113.1"), 7, now), None);
        guesses.record_at(ip("203.0.113.2"), None, now);
        assert!(!guesses.is_beyond(ip("203.0.113.2"), None, now));
    }
}
