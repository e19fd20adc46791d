//! Which clients have to wait because of their wrong guesses, and the way to let one guess again. PURE.
//!
//! The tables of wrong guesses know no addresses, only hashes of them. So each client beyond its limit is noted here, in a list of at most
//! `MAX_THROTTLED`; where it is full, the client that waits for the shortest time makes room.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::guess_kind::GuessKind;

/// Clients that are noted.
const MAX_THROTTLED: usize = 500;

/// Forgets the wrong guesses of a client.
pub(super) trait Forget: Send + Sync {
    fn forget(&self, from: IpAddr);
}

/// A client that has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled {
    /// The client: an IPv4 address, or the first address of an IPv6 /64.
    pub client: IpAddr,
    pub kind: GuessKind,
    pub wait: Duration,
}

#[derive(Default)]
pub(super) struct ThrottledClients {
    noted: Mutex<Noted>,
    tables: Mutex<Vec<Weak<dyn Forget>>>,
}

/// Until when each client has to wait, by client and in the order of these times.
#[derive(Debug, Default)]
struct Noted {
    until: HashMap<(IpAddr, GuessKind), Instant>,
    order: BTreeSet<(Instant, IpAddr, GuessKind)>,
}

impl Noted {
    fn insert(&mut self, client: IpAddr, kind: GuessKind, until: Instant) {
        self.remove(client, kind);
        self.until.insert((client, kind), until);
        self.order.insert((until, client, kind));
    }

    /// Returns until when the client had to wait.
    fn remove(&mut self, client: IpAddr, kind: GuessKind) -> Option<Instant> {
        let until = self.until.remove(&(client, kind))?;
        self.order.remove(&(until, client, kind));
        Some(until)
    }
}

impl std::fmt::Debug for ThrottledClients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThrottledClients").field("noted", &self.noted().order.len()).finish_non_exhaustive()
    }
}

impl ThrottledClients {
    /// A table whose clients are noted here.
    pub(super) fn register(&self, table: Weak<dyn Forget>) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.retain(|table| table.strong_count() > 0);
        tables.push(table);
    }

    /// A client may not guess for so long.
    pub(super) fn note(&self, kind: GuessKind, client: IpAddr, wait: Duration, now: Instant) {
        let (mut noted, until) = (self.noted(), now + wait);
        if noted.order.len() >= MAX_THROTTLED
            && !noted.until.contains_key(&(client, kind))
            && let Some(&(shortest, other, other_kind)) = noted.order.first()
        {
            if shortest >= until {
                return;
            }
            noted.remove(other, other_kind);
        }
        noted.insert(client, kind, until);
    }

    /// Those that wait longest first.
    pub(super) fn list(&self, now: Instant) -> Vec<Throttled> {
        let mut noted = self.noted();
        while let Some(&(until, client, kind)) = noted.order.first()
            && until <= now
        {
            noted.remove(client, kind);
        }
        noted.order.iter().rev().map(|&(until, client, kind)| Throttled { client, kind, wait: until - now }).collect()
    }

    /// Forgets the wrong guesses of a client in all tables; `false`: it had to wait nowhere.
    pub(super) fn forget(&self, from: IpAddr, client: IpAddr, now: Instant) -> bool {
        let tables: Vec<_> = self.tables.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tables.iter().filter_map(Weak::upgrade).for_each(|table| table.forget(from));
        let mut noted = self.noted();
        let waited = GuessKind::ALL.map(|kind| noted.remove(client, kind));
        waited.into_iter().flatten().any(|until| until > now)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded_and_those_who_wait_longest_stay() {
        let (clients, start) = (ThrottledClients::default(), Instant::now());
        let ip = |n: u32| IpAddr::V4(n.into());
        for n in 0..2000 {
            clients.note(GuessKind::Code, ip(n), Duration::from_secs(u64::from(n % 1000) + 1), start);
        }
        let list = clients.list(start);
        assert_eq!(list.len(), MAX_THROTTLED);
        assert!(list.is_sorted_by(|one, next| one.wait >= next.wait));
        assert_eq!((list[0].wait, list[1].wait), (Duration::from_secs(1000), Duration::from_secs(1000)));
        assert!(list.last().unwrap().wait >= Duration::from_secs(750), "{:?}", list.last());
        assert_eq!(clients.list(start + Duration::from_secs(1000)), []);
        assert!(clients.noted().order.is_empty() && clients.noted().until.is_empty());
    }

    #[test]
    fn a_client_is_listed_once_for_each_kind() {
        let (clients, now) = (ThrottledClients::default(), Instant::now());
        let client = IpAddr::from([192, 0, 2, 1]);
        for (kind, seconds) in [(GuessKind::Code, 10), (GuessKind::ApiKey, 30), (GuessKind::Code, 20)] {
            clients.note(kind, client, Duration::from_secs(seconds), now);
        }
        let seconds: Vec<_> = clients.list(now).iter().map(|row| (row.kind, row.wait.as_secs())).collect();
        assert_eq!(seconds, [(GuessKind::ApiKey, 30), (GuessKind::Code, 20)]);
        assert!(clients.forget(client, client, now) && !clients.forget(client, client, now));
        assert_eq!(clients.list(now), []);
    }
}
