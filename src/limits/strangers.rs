//! Connections that have proved nothing yet. They are few, and nobody is refused for it: where there are too many, one of those that
//! wait already goes for the newcomer, because who means well proves itself at once.
//!
//! Who goes first:
//! - Where one client (an IPv6 /64) or one site (a /48) has more than its share, the oldest of that one. Those that have begun to
//!   prove themselves come after those that are silent.
//! - Where there are too many in all, the oldest silent one that has had its time ([`PATIENCE`]); then, in the same order, one of a site
//!   that has more than a few ([`FEW`]); then any. So silent connections, wherever they are from, lock nobody out, and an attacker
//!   that opens new ones without end displaces its own.
//!
//! Each choice is a look at the front of an ordered set, never a scan.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ip_prefix;

/// Connections of one client, and of one site, at most, and never more than a quarter and a half of all.
const OF_CLIENT: usize = 256;
const OF_SITE: usize = 512;
/// So many connections of one site go last.
const FEW: usize = 8;
/// What a client with a bad connection needs for its first bytes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Shared by those who take connections in. `H` tells how to end one.
#[derive(Debug)]
pub struct Strangers<H> {
    table: Mutex<Table<H>>,
    of_client: usize,
    of_site: usize,
    in_all: usize,
}

/// One connection's place, until it has proved itself or ends.
#[derive(Debug)]
pub struct Stranger<H> {
    strangers: Arc<Strangers<H>>,
    number: u64,
}

/// The order in which they go: silent ones first, then by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    asked: bool,
    number: u64,
}

#[derive(Debug)]
struct Entry<H> {
    asked: bool,
    since: Instant,
    /// `None`: a proxy, which brings many.
    ip: Option<IpAddr>,
    handle: Option<H>,
}

#[derive(Debug)]
struct Table<H> {
    entries: HashMap<u64, Entry<H>>,
    clients: Groups,
    sites: Groups,
    /// Those of sites with more than a few, and the others.
    crowds: BTreeSet<Rank>,
    others: BTreeSet<Rank>,
    /// By age.
    silent: BTreeSet<u64>,
    next: u64,
}

#[derive(Debug, Default)]
struct Groups(HashMap<IpAddr, BTreeSet<Rank>>);

impl<H> Strangers<H> {
    /// `in_all` at once.
    #[must_use]
    pub fn new(in_all: usize) -> Arc<Self> {
        let in_all = in_all.max(1);
        let table = Table {
            entries: HashMap::new(),
            clients: Groups::default(),
            sites: Groups::default(),
            crowds: BTreeSet::new(),
            others: BTreeSet::new(),
            silent: BTreeSet::new(),
            next: 0,
        };
        let share = |most: usize, part: usize| most.min((in_all / part).max(1));
        Arc::new(Self { table: Mutex::new(table), of_client: share(OF_CLIENT, 4), of_site: share(OF_SITE, 2), in_all })
    }

    /// A place for a connection that has come, and whom it displaces. `ip`: `None` where it is of a proxy, which brings many.
    pub fn enter(self: &Arc<Self>, ip: Option<IpAddr>, now: Instant) -> (Stranger<H>, Option<H>) {
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        table.insert(Rank { asked: false, number }, Entry { asked: false, since: now, ip, handle: None });
        let client = ip.map(|ip| table.clients.of(ip_prefix::of_client(ip)));
        let site = ip.map(|ip| table.sites.of(ip_prefix::of_site(ip)));
        let displaced = match (client, site) {
            (Some(client), _) if client.len() > self.of_client => client.first().copied(),
            (_, Some(site)) if site.len() > self.of_site => site.first().copied(),
            _ if table.entries.len() > self.in_all => table.first_to_go(now),
            _ => None,
        };
        let displaced = displaced.and_then(|rank| table.remove(rank.number)).and_then(|entry| entry.handle);
        (Stranger { strangers: Arc::clone(self), number }, displaced)
    }

    /// Makes room where something else is short: how to end the one that goes first.
    pub fn displace(&self, now: Instant) -> Option<H> {
        let mut table = self.lock();
        // One that is on its way from one place to another can't be ended there.
        let rank = table.first_to_go(now)?;
        table.remove(rank.number).and_then(|entry| entry.handle)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Table<H>> {
        // Nothing in here panics but for want of memory, which ends the process.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H> Stranger<H> {
    /// It is there now. False: it was displaced meanwhile, and has to go.
    pub fn settle(&self, handle: H) -> bool {
        let mut table = self.strangers.lock();
        let entry = table.entries.get_mut(&self.number);
        let kept = entry.is_some();
        if let Some(entry) = entry {
            entry.handle = Some(handle);
        }
        kept
    }

    /// It has begun to prove itself.
    pub fn asked(&self) {
        let mut table = self.strangers.lock();
        if let Some(entry) = table.remove(self.number) {
            table.insert(Rank { asked: true, number: self.number }, Entry { asked: true, ..entry });
        }
    }
}

impl<H> Drop for Stranger<H> {
    fn drop(&mut self) {
        self.strangers.lock().remove(self.number);
    }
}

impl<H> Table<H> {
    fn first_to_go(&self, now: Instant) -> Option<Rank> {
        let oldest = self.silent.first().filter(|number| {
            let entry = self.entries.get(number);
            entry.is_some_and(|entry| now.saturating_duration_since(entry.since) >= PATIENCE)
        });
        let late = oldest.map(|number| Rank { asked: false, number: *number });
        late.or_else(|| self.crowds.first().copied()).or_else(|| self.others.first().copied())
    }

    fn insert(&mut self, rank: Rank, entry: Entry<H>) {
        if !rank.asked {
            self.silent.insert(rank.number);
        }
        let ip = entry.ip;
        self.entries.insert(rank.number, entry);
        let Some(ip) = ip else {
            self.others.insert(rank);
            return;
        };
        self.clients.insert(ip_prefix::of_client(ip), rank);
        let site = self.sites.insert(ip_prefix::of_site(ip), rank);
        match site.len() {
            ..=FEW => {
                self.others.insert(rank);
            }
            // It has become a crowd.
            len if len == FEW + 1 => {
                site.iter().for_each(|rank| {
                    self.others.remove(rank);
                });
                self.crowds.extend(site);
            }
            _ => {
                self.crowds.insert(rank);
            }
        }
    }

    fn remove(&mut self, number: u64) -> Option<Entry<H>> {
        let entry = self.entries.remove(&number)?;
        let rank = Rank { asked: entry.asked, number };
        self.silent.remove(&number);
        self.crowds.remove(&rank);
        self.others.remove(&rank);
        if let Some(ip) = entry.ip {
            self.clients.remove(ip_prefix::of_client(ip), rank);
            let left = self.sites.remove(ip_prefix::of_site(ip), rank);
            // It is a crowd no more.
            if let Some(site) = left.filter(|site| site.len() == FEW) {
                site.iter().for_each(|rank| {
                    self.crowds.remove(rank);
                });
                self.others.extend(site);
            }
        }
        Some(entry)
    }
}

impl Groups {
    fn of(&self, key: IpAddr) -> &BTreeSet<Rank> {
        const NONE: &BTreeSet<Rank> = &BTreeSet::new();
        self.0.get(&key).unwrap_or(NONE)
    }

    fn insert(&mut self, key: IpAddr, rank: Rank) -> &BTreeSet<Rank> {
        let group = self.0.entry(key).or_default();
        group.insert(rank);
        group
    }

    /// What is left of the group.
    fn remove(&mut self, key: IpAddr, rank: Rank) -> Option<&BTreeSet<Rank>> {
        let group = self.0.get_mut(&key)?;
        group.remove(&rank);
        if group.is_empty() {
            self.0.remove(&key);
            return None;
        }
        self.0.get(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Places = Vec<Stranger<u32>>;

    /// Takes connections in, each under a number of its own, and tells whom they displaced.
    struct World {
        strangers: Arc<Strangers<u32>>,
        now: Instant,
        next: u32,
    }

    impl World {
        fn new(in_all: usize) -> Self {
            Self { strangers: Strangers::new(in_all), now: Instant::now(), next: 0 }
        }

        fn enter(&mut self, ip: &str, count: usize) -> (Places, Vec<u32>) {
            let (mut places, mut displaced) = (Vec::new(), Vec::new());
            for _ in 0..count {
                let (place, gone) = self.strangers.enter(Some(ip.parse().unwrap()), self.now);
                assert!(place.settle(self.next));
                self.next += 1;
                places.push(place);
                displaced.extend(gone);
            }
            (places, displaced)
        }
    }

    #[test]
    fn the_oldest_of_one_client_goes_for_the_newcomer_and_the_silent_ones_first() {
        let mut world = World::new(10_000);
        let (places, displaced) = world.enter("2001:db8::1", OF_CLIENT);
        assert_eq!((displaced, world.strangers.len()), (vec![], OF_CLIENT));
        places[0].asked();
        let (_more, displaced) = world.enter("2001:db8::ffff", 2);
        assert_eq!(displaced, [1, 2], "0 has asked");
        assert!(!places[1].settle(7) && places[0].settle(0));
        let (_other, displaced) = world.enter("192.0.2.1", 1);
        assert!(displaced.is_empty());
        drop(places);
        assert_eq!(world.strangers.len(), 3);
    }

    #[test]
    fn many_networks_of_one_site_count_together() {
        let mut world = World::new(10_000);
        let mut held = Vec::new();
        let mut gone = 0;
        // A /58 has 64 networks.
        for network in 0..64 {
            let (places, displaced) = world.enter(&format!("2001:db8:0:{network:x}::1"), 20);
            held.extend(places);
            gone += displaced.len();
        }
        assert_eq!((gone, world.strangers.len()), (64 * 20 - OF_SITE, OF_SITE));
    }

    #[test]
    fn silent_connections_that_have_had_their_time_go_first_wherever_they_are_from() {
        let mut world = World::new(100);
        let held: Vec<_> = (0..100).map(|n| world.enter(&format!("198.51.100.{n}"), 1)).collect();
        world.now += PATIENCE;
        // Behind one address.
        let (crowd, displaced) = world.enter("192.0.2.1", 20);
        assert_eq!(displaced, (0..20).collect::<Vec<_>>());
        assert!(crowd.iter().all(|place| place.settle(0)));
        drop(held);
    }

    #[test]
    fn a_flood_of_new_ones_displaces_its_own() {
        let mut world = World::new(200);
        let (alone, _) = world.enter("192.0.2.1", 1);
        let (few, _) = world.enter("2001:db8::1", FEW);
        let mut flood = Vec::new();
        for round in 0..20 {
            for n in 0..13 {
                let (places, displaced) = world.enter(&format!("198.51.100.{n}"), 15);
                flood.extend(places);
                assert!(displaced.iter().all(|gone| *gone > FEW as u32), "{round}: {displaced:?}");
            }
        }
        assert!(alone.iter().chain(&few).all(|place| place.settle(0)));
        assert_eq!(world.strangers.len(), 200);
    }

    #[test]
    fn who_has_begun_to_prove_itself_goes_after_the_silent_ones() {
        let mut world = World::new(400);
        let (asking, _) = world.enter("192.0.2.1", 100);
        asking.iter().for_each(Stranger::asked);
        let silent: Vec<_> = (1..=3).map(|n| world.enter(&format!("198.51.100.{n}"), 100)).collect();
        let (others, displaced) = world.enter("198.51.100.4", 90);
        assert_eq!(displaced, (100..190).collect::<Vec<_>>());
        drop((silent, others));
        // Only then.
        assert_eq!(world.strangers.displace(world.now), Some(0));
        assert_eq!(world.strangers.len(), 99);
        drop(asking);
        assert!(world.strangers.is_empty() && world.strangers.displace(world.now).is_none());
    }

    #[test]
    fn places_are_given_back_and_nothing_is_left_behind() {
        let mut world = World::new(1000);
        let (places, _) = world.enter("192.0.2.1", 3 * FEW);
        places.iter().step_by(2).for_each(Stranger::asked);
        let (proxied, _) = world.strangers.enter(None, world.now);
        drop((places, proxied));
        let table = world.strangers.lock();
        let sizes = [table.entries.len(), table.crowds.len(), table.others.len(), table.silent.len()];
        assert_eq!((sizes, table.clients.0.len(), table.sites.0.len()), ([0; 4], 0, 0));
    }
}
