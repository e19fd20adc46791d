//! Bounds the connections that have proved nothing yet: those without a known protocol, and those of TURN clients without an allocation. A new
//! connection is never refused. If there are too many, it displaces an older one, because an honest client proves itself immediately.
//!
//! The displaced connection is chosen in this order:
//! 1. If one client or one site has more than half of all slots: one of its own connections.
//! 2. If there are too many in total: the oldest one that is older than `PROTECTED_TIME`, silent ones first; then one of a site with more
//!    than `SMALL_SITE_CONNECTIONS`; then any. So stuck connections never keep new clients out, and an attacker with many new connections
//!    displaces its own.
//! 3. Among several: the oldest of the silent ones or of the ones with progress, whichever are more. So a handshake can complete beside
//!    many silent connections, and a first byte can arrive beside many useless handshakes.
//!
//! Each choice looks at the first element of an ordered set, and never scans.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ip_prefix;

/// One client, and one site, may have the total divided by this: a whole school may connect at the same time behind one address.
const CLIENT_SHARE_DIVISOR: usize = 2;
/// The smallest share of one client or one site.
const MIN_CLIENT_SHARE: usize = 64;
/// The connections of a site with at most so many are displaced last.
const SMALL_SITE_CONNECTIONS: usize = 8;
/// The time that a client on a bad network needs for its first bytes.
const PROTECTED_TIME: Duration = Duration::from_secs(2);

/// All unproven connections. `H` is the handle with which a connection is ended.
#[derive(Debug)]
pub struct UnprovenConnections<H> {
    table: Mutex<Table<H>>,
    max_of_client: usize,
    max: usize,
}

/// One connection, until it has proved itself or ends.
#[derive(Debug)]
pub struct UnprovenConnection<H> {
    connections: Arc<UnprovenConnections<H>>,
    number: u64,
}

#[derive(Debug)]
struct UnprovenEntry<H> {
    has_progress: bool,
    since: Instant,
    /// `None`: a trusted proxy, which brings many clients.
    ip: Option<IpAddr>,
    handle: Option<H>,
}

#[derive(Debug)]
struct Table<H> {
    entries: HashMap<u64, UnprovenEntry<H>>,
    clients: Groups,
    sites: Groups,
    /// The connections of sites with more than [`SMALL_SITE_CONNECTIONS`].
    large_sites: Group,
    /// The connections of all other sites.
    small_sites: Group,
    next: u64,
}

/// A set of connections, by age.
#[derive(Debug, Default)]
struct Group {
    silent: BTreeSet<u64>,
    with_progress: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Groups(HashMap<IpAddr, Group>);

impl<H> UnprovenConnections<H> {
    /// Allows at most `max` connections at the same time.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        let max = max.max(1);
        let table = Table {
            entries: HashMap::new(),
            clients: Groups::default(),
            sites: Groups::default(),
            large_sites: Group::default(),
            small_sites: Group::default(),
            next: 0,
        };
        Arc::new(Self { table: Mutex::new(table), max_of_client: (max / CLIENT_SHARE_DIVISOR).max(MIN_CLIENT_SHARE), max })
    }

    /// Adds a new connection, and returns the handle of the one that it displaces. `ip`: `None` for a trusted proxy, which brings many clients.
    pub fn admit(self: &Arc<Self>, ip: Option<IpAddr>, now: Instant) -> (UnprovenConnection<H>, Option<H>) {
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        table.insert(number, UnprovenEntry { has_progress: false, since: now, ip, handle: None });
        let client = ip.and_then(|ip| table.clients.0.get(&ip_prefix::of_client(ip)));
        let site = ip.and_then(|ip| table.sites.0.get(&ip_prefix::of_site(ip)));
        let displaced = match (client, site) {
            (Some(client), _) if client.len() > self.max_of_client => client.first_to_go(),
            (_, Some(site)) if site.len() > self.max_of_client => site.first_to_go(),
            _ if table.entries.len() > self.max => table.first_to_go(now),
            _ => None,
        };
        let displaced = displaced.and_then(|number| table.remove(number)).and_then(|entry| entry.handle);
        (UnprovenConnection { connections: Arc::clone(self), number }, displaced)
    }

    /// Removes the connection that goes first because another resource is exhausted, and returns its handle.
    pub fn displace(&self, now: Instant) -> Option<H> {
        let mut table = self.lock();
        // A connection without a handle is just being handed over, and its owner finds out when it attaches the handle.
        let number = table.first_to_go(now)?;
        table.remove(number).and_then(|entry| entry.handle)
    }

    /// The number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether no connection is unproven.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Table<H>> {
        // The code under this lock panics only for want of memory, which ends the process.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H> UnprovenConnection<H> {
    /// Sets the handle of the connection. Returns false if the connection has been displaced in the meantime, and has to be
    /// closed.
    pub fn attach(&self, handle: H) -> bool {
        let mut table = self.connections.lock();
        let entry = table.entries.get_mut(&self.number);
        let kept = entry.is_some();
        if let Some(entry) = entry {
            entry.handle = Some(handle);
        }
        kept
    }

    /// The connection has begun to prove itself.
    pub fn note_progress(&self) {
        let mut table = self.connections.lock();
        if let Some(entry) = table.remove(self.number) {
            table.insert(self.number, UnprovenEntry { has_progress: true, ..entry });
        }
    }
}

impl<H> Drop for UnprovenConnection<H> {
    fn drop(&mut self) {
        self.connections.lock().remove(self.number);
    }
}

impl<H> Table<H> {
    fn first_to_go(&self, now: Instant) -> Option<u64> {
        let oldest = |one: &BTreeSet<u64>, other: &BTreeSet<u64>| one.first().into_iter().chain(other.first()).min().copied();
        let is_late = |number: &u64| {
            let entry = self.entries.get(number);
            entry.is_some_and(|entry| now.saturating_duration_since(entry.since) >= PROTECTED_TIME)
        };
        let silent = oldest(&self.large_sites.silent, &self.small_sites.silent).filter(is_late);
        let late = silent.or_else(|| oldest(&self.large_sites.with_progress, &self.small_sites.with_progress).filter(is_late));
        late.or_else(|| self.large_sites.first_to_go()).or_else(|| self.small_sites.first_to_go())
    }

    fn insert(&mut self, number: u64, entry: UnprovenEntry<H>) {
        let (ip, has_progress) = (entry.ip, entry.has_progress);
        self.entries.insert(number, entry);
        let Some(ip) = ip else { return self.small_sites.insert(number, has_progress) };
        self.clients.insert(ip_prefix::of_client(ip), number, has_progress);
        let site = self.sites.insert(ip_prefix::of_site(ip), number, has_progress);
        if site.len() <= SMALL_SITE_CONNECTIONS {
            self.small_sites.insert(number, has_progress);
        } else if site.len() == SMALL_SITE_CONNECTIONS + 1 {
            // The site is now a large one.
            site.move_all(&mut self.small_sites, &mut self.large_sites);
        } else {
            self.large_sites.insert(number, has_progress);
        }
    }

    fn remove(&mut self, number: u64) -> Option<UnprovenEntry<H>> {
        let entry = self.entries.remove(&number)?;
        for group in [&mut self.large_sites, &mut self.small_sites] {
            group.remove(number);
        }
        if let Some(ip) = entry.ip {
            self.clients.remove(ip_prefix::of_client(ip), number);
            let left = self.sites.remove(ip_prefix::of_site(ip), number);
            // The site is a small one again.
            if let Some(site) = left.filter(|site| site.len() == SMALL_SITE_CONNECTIONS) {
                site.move_all(&mut self.large_sites, &mut self.small_sites);
            }
        }
        Some(entry)
    }
}

impl Group {
    fn len(&self) -> usize {
        self.silent.len() + self.with_progress.len()
    }

    fn first_to_go(&self) -> Option<u64> {
        let more = if self.silent.len() >= self.with_progress.len() { &self.silent } else { &self.with_progress };
        more.first().copied()
    }

    fn insert(&mut self, number: u64, has_progress: bool) {
        if has_progress { &mut self.with_progress } else { &mut self.silent }.insert(number);
    }

    fn remove(&mut self, number: u64) {
        self.silent.remove(&number);
        self.with_progress.remove(&number);
    }

    /// Moves all connections of this group from one group to another.
    fn move_all(&self, from: &mut Self, to: &mut Self) {
        for (numbers, has_progress) in [(&self.silent, false), (&self.with_progress, true)] {
            for number in numbers {
                from.remove(*number);
                to.insert(*number, has_progress);
            }
        }
    }
}

impl Groups {
    fn insert(&mut self, key: IpAddr, number: u64, has_progress: bool) -> &Group {
        let group = self.0.entry(key).or_default();
        group.insert(number, has_progress);
        group
    }

    /// Returns the rest of the group.
    fn remove(&mut self, key: IpAddr, number: u64) -> Option<&Group> {
        let group = self.0.get_mut(&key)?;
        group.remove(number);
        if group.len() == 0 {
            self.0.remove(&key);
        }
        self.0.get(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Places = Vec<UnprovenConnection<u32>>;

    /// Admits connections, each under a number of its own, and returns the numbers that they displaced.
    struct World {
        connections: Arc<UnprovenConnections<u32>>,
        now: Instant,
        next: u32,
    }

    impl World {
        fn new(in_all: usize) -> Self {
            Self { connections: UnprovenConnections::new(in_all), now: Instant::now(), next: 0 }
        }

        fn admit(&mut self, ip: &str, count: usize) -> (Places, Vec<u32>) {
            let (mut places, mut displaced) = (Vec::new(), Vec::new());
            for _ in 0..count {
                let (place, gone) = self.connections.admit(Some(ip.parse().unwrap()), self.now);
                assert!(place.attach(self.next));
                self.next += 1;
                places.push(place);
                displaced.extend(gone);
            }
            (places, displaced)
        }
    }

    #[test]
    fn the_oldest_of_one_client_goes_for_the_newcomer_and_the_silent_ones_first() {
        let mut world = World::new(1024);
        let (places, displaced) = world.admit("2001:db8::1", 512);
        assert_eq!((displaced, world.connections.len()), (vec![], 512));
        places[0].note_progress();
        let (_more, displaced) = world.admit("2001:db8::ffff", 2);
        assert_eq!(displaced, [1, 2], "0 has asked");
        assert!(!places[1].attach(7) && places[0].attach(0));
        let (_other, displaced) = world.admit("192.0.2.1", 1);
        assert!(displaced.is_empty());
        drop(places);
        assert_eq!(world.connections.len(), 3);
    }

    #[test]
    fn many_networks_of_one_site_count_together() {
        let mut world = World::new(1024);
        let mut held = Vec::new();
        let mut gone = 0;
        // A /58 has 64 networks.
        for network in 0..64 {
            let (places, displaced) = world.admit(&format!("2001:db8:0:{network:x}::1"), 20);
            held.extend(places);
            gone += displaced.len();
        }
        assert_eq!((gone, world.connections.len()), (64 * 20 - 512, 512));
    }

    #[test]
    fn silent_connections_that_have_had_their_time_go_first_wherever_they_are_from() {
        let mut world = World::new(100);
        let held: Vec<_> = (0..100).map(|n| world.admit(&format!("198.51.100.{n}"), 1)).collect();
        world.now += PROTECTED_TIME;
        // All of them are behind one address.
        let (crowd, displaced) = world.admit("192.0.2.1", 20);
        assert_eq!(displaced, (0..20).collect::<Vec<_>>());
        assert!(crowd.iter().all(|place| place.attach(0)));
        drop(held);
    }

    #[test]
    fn a_flood_of_new_ones_displaces_its_own() {
        let mut world = World::new(200);
        let (alone, _) = world.admit("192.0.2.1", 1);
        let (few, _) = world.admit("2001:db8::1", SMALL_SITE_CONNECTIONS);
        let mut flood = Vec::new();
        for round in 0..20 {
            for n in 0..13 {
                let (places, displaced) = world.admit(&format!("198.51.100.{n}"), 15);
                flood.extend(places);
                assert!(displaced.iter().all(|gone| *gone > SMALL_SITE_CONNECTIONS as u32), "{round}: {displaced:?}");
            }
        }
        assert!(alone.iter().chain(&few).all(|place| place.attach(0)));
        assert_eq!(world.connections.len(), 200);
    }

    #[test]
    fn who_has_begun_to_prove_itself_goes_after_the_silent_ones() {
        let mut world = World::new(400);
        let (asking, _) = world.admit("192.0.2.1", 100);
        asking.iter().for_each(UnprovenConnection::note_progress);
        let silent: Vec<_> = (1..=3).map(|n| world.admit(&format!("198.51.100.{n}"), 100)).collect();
        let (small_sites, displaced) = world.admit("198.51.100.4", 90);
        assert_eq!(displaced, (100..190).collect::<Vec<_>>());
        drop((silent, small_sites));
        // Only now is a connection with progress displaced.
        assert_eq!(world.connections.displace(world.now), Some(0));
        assert_eq!(world.connections.len(), 99);
        drop(asking);
        assert!(world.connections.is_empty() && world.connections.displace(world.now).is_none());
    }

    #[test]
    fn beginning_to_prove_oneself_for_nothing_locks_out_nobody() {
        let mut world = World::new(400);
        let asking: Vec<_> = (1..=13).map(|n| world.admit(&format!("198.51.100.{n}"), 31)).collect();
        asking.iter().flat_map(|(places, _)| places).for_each(UnprovenConnection::note_progress);
        // A crowd behind one address that has sent nothing yet.
        let (crowd, displaced) = world.admit("192.0.2.1", 80);
        assert!(displaced.len() >= 80 && crowd.iter().all(|place| place.attach(0)), "{displaced:?}");
        drop(asking);
    }

    #[test]
    fn places_are_given_back_and_nothing_is_left_behind() {
        let mut world = World::new(1000);
        let (places, _) = world.admit("192.0.2.1", 3 * SMALL_SITE_CONNECTIONS);
        places.iter().step_by(2).for_each(UnprovenConnection::note_progress);
        let (proxied, _) = world.connections.admit(None, world.now);
        drop((places, proxied));
        let table = world.connections.lock();
        let sizes = [table.entries.len(), table.large_sites.len(), table.small_sites.len()];
        assert_eq!((sizes, table.clients.0.len(), table.sites.0.len()), ([0; 3], 0, 0));
    }
}
