//! Connections that have proved nothing yet. They are few, and nobody is refused for it: where there are too many, one of those that
//! wait already goes for the newcomer, because who means well proves itself at once.
//!
//! Who goes first:
//! - Where one client or one site has more than half of all places, one of its own.
//! - Where there are too many in all, the oldest that has had its time (`PROTECTED_TIME`), silent ones first; then one of those sites that
//!   have more than a few (`SMALL_SITE`); then any. So connections that come no further, wherever they are from, lock nobody out, and an
//!   attacker that opens new ones without end displaces its own.
//! - Of several, the oldest of those that are silent or of those that have begun to prove themselves, whichever are more: beside silent
//!   ones a handshake goes on, and beside those that begin many for nothing there is time for a first word.
//!
//! Each choice is a look at the front of an ordered set, never a scan.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ip_prefix;

/// Which part of all places one client may have, and one site: a whole school begins at once behind one address. Where there are few
/// places, so many in any case.
const CLIENT_SHARE_DIVISOR: usize = 2;
const MIN_CLIENT_SHARE: usize = 64;
/// So many connections of one site go last.
const SMALL_SITE: usize = 8;
/// What a client with a bad connection needs for its first bytes.
const PROTECTED_TIME: Duration = Duration::from_secs(2);

/// Shared by those who take connections in. `H` tells how to end one.
#[derive(Debug)]
pub struct UnprovenConnections<H> {
    table: Mutex<Table<H>>,
    of_one: usize,
    in_all: usize,
}

/// One connection's place, until it has proved itself or ends.
#[derive(Debug)]
pub struct UnprovenConnection<H> {
    connections: Arc<UnprovenConnections<H>>,
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
    crowds: Group,
    others: Group,
    next: u64,
}

/// Some of them, by age.
#[derive(Debug, Default)]
struct Group {
    silent: BTreeSet<u64>,
    asked: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Groups(HashMap<IpAddr, Group>);

impl<H> UnprovenConnections<H> {
    /// `in_all` at once.
    #[must_use]
    pub fn new(in_all: usize) -> Arc<Self> {
        let in_all = in_all.max(1);
        let table = Table {
            entries: HashMap::new(),
            clients: Groups::default(),
            sites: Groups::default(),
            crowds: Group::default(),
            others: Group::default(),
            next: 0,
        };
        Arc::new(Self { table: Mutex::new(table), of_one: (in_all / CLIENT_SHARE_DIVISOR).max(MIN_CLIENT_SHARE), in_all })
    }

    /// A place for a connection that has come, and whom it displaces. `ip`: `None` where it is of a proxy, which brings many.
    pub fn admit(self: &Arc<Self>, ip: Option<IpAddr>, now: Instant) -> (UnprovenConnection<H>, Option<H>) {
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        table.insert(number, Entry { asked: false, since: now, ip, handle: None });
        let client = ip.and_then(|ip| table.clients.0.get(&ip_prefix::of_client(ip)));
        let site = ip.and_then(|ip| table.sites.0.get(&ip_prefix::of_site(ip)));
        let displaced = match (client, site) {
            (Some(client), _) if client.len() > self.of_one => client.first_to_go(),
            (_, Some(site)) if site.len() > self.of_one => site.first_to_go(),
            _ if table.entries.len() > self.in_all => table.first_to_go(now),
            _ => None,
        };
        let displaced = displaced.and_then(|number| table.remove(number)).and_then(|entry| entry.handle);
        (UnprovenConnection { connections: Arc::clone(self), number }, displaced)
    }

    /// Makes room where something else is short: how to end the one that goes first.
    pub fn displace(&self, now: Instant) -> Option<H> {
        let mut table = self.lock();
        // One that is on its way from one place to another can't be ended there.
        let number = table.first_to_go(now)?;
        table.remove(number).and_then(|entry| entry.handle)
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

impl<H> UnprovenConnection<H> {
    /// It is there now. False: it was displaced meanwhile, and has to go.
    pub fn attach(&self, handle: H) -> bool {
        let mut table = self.connections.lock();
        let entry = table.entries.get_mut(&self.number);
        let kept = entry.is_some();
        if let Some(entry) = entry {
            entry.handle = Some(handle);
        }
        kept
    }

    /// It has begun to prove itself.
    pub fn note_progress(&self) {
        let mut table = self.connections.lock();
        if let Some(entry) = table.remove(self.number) {
            table.insert(self.number, Entry { asked: true, ..entry });
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
        let silent = oldest(&self.crowds.silent, &self.others.silent).filter(is_late);
        let late = silent.or_else(|| oldest(&self.crowds.asked, &self.others.asked).filter(is_late));
        late.or_else(|| self.crowds.first_to_go()).or_else(|| self.others.first_to_go())
    }

    fn insert(&mut self, number: u64, entry: Entry<H>) {
        let (ip, asked) = (entry.ip, entry.asked);
        self.entries.insert(number, entry);
        let Some(ip) = ip else { return self.others.insert(number, asked) };
        self.clients.insert(ip_prefix::of_client(ip), number, asked);
        let site = self.sites.insert(ip_prefix::of_site(ip), number, asked);
        if site.len() <= SMALL_SITE {
            self.others.insert(number, asked);
        } else if site.len() == SMALL_SITE + 1 {
            // It has become a crowd.
            site.go_over(&mut self.others, &mut self.crowds);
        } else {
            self.crowds.insert(number, asked);
        }
    }

    fn remove(&mut self, number: u64) -> Option<Entry<H>> {
        let entry = self.entries.remove(&number)?;
        for group in [&mut self.crowds, &mut self.others] {
            group.remove(number);
        }
        if let Some(ip) = entry.ip {
            self.clients.remove(ip_prefix::of_client(ip), number);
            let left = self.sites.remove(ip_prefix::of_site(ip), number);
            // It is a crowd no more.
            if let Some(site) = left.filter(|site| site.len() == SMALL_SITE) {
                site.go_over(&mut self.crowds, &mut self.others);
            }
        }
        Some(entry)
    }
}

impl Group {
    fn len(&self) -> usize {
        self.silent.len() + self.asked.len()
    }

    fn first_to_go(&self) -> Option<u64> {
        let more = if self.silent.len() >= self.asked.len() { &self.silent } else { &self.asked };
        more.first().copied()
    }

    fn insert(&mut self, number: u64, asked: bool) {
        if asked { &mut self.asked } else { &mut self.silent }.insert(number);
    }

    fn remove(&mut self, number: u64) {
        self.silent.remove(&number);
        self.asked.remove(&number);
    }

    /// Moves all of this one from one group to another.
    fn go_over(&self, from: &mut Self, to: &mut Self) {
        for (numbers, asked) in [(&self.silent, false), (&self.asked, true)] {
            for number in numbers {
                from.remove(*number);
                to.insert(*number, asked);
            }
        }
    }
}

impl Groups {
    fn insert(&mut self, key: IpAddr, number: u64, asked: bool) -> &Group {
        let group = self.0.entry(key).or_default();
        group.insert(number, asked);
        group
    }

    /// What is left of the group.
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

    /// Takes connections in, each under a number of its own, and tells whom they displaced.
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
        // Behind one address.
        let (crowd, displaced) = world.admit("192.0.2.1", 20);
        assert_eq!(displaced, (0..20).collect::<Vec<_>>());
        assert!(crowd.iter().all(|place| place.attach(0)));
        drop(held);
    }

    #[test]
    fn a_flood_of_new_ones_displaces_its_own() {
        let mut world = World::new(200);
        let (alone, _) = world.admit("192.0.2.1", 1);
        let (few, _) = world.admit("2001:db8::1", SMALL_SITE);
        let mut flood = Vec::new();
        for round in 0..20 {
            for n in 0..13 {
                let (places, displaced) = world.admit(&format!("198.51.100.{n}"), 15);
                flood.extend(places);
                assert!(displaced.iter().all(|gone| *gone > SMALL_SITE as u32), "{round}: {displaced:?}");
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
        let (others, displaced) = world.admit("198.51.100.4", 90);
        assert_eq!(displaced, (100..190).collect::<Vec<_>>());
        drop((silent, others));
        // Only then.
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
        // A crowd behind one address that has said nothing yet.
        let (crowd, displaced) = world.admit("192.0.2.1", 80);
        assert!(displaced.len() >= 80 && crowd.iter().all(|place| place.attach(0)), "{displaced:?}");
        drop(asking);
    }

    #[test]
    fn places_are_given_back_and_nothing_is_left_behind() {
        let mut world = World::new(1000);
        let (places, _) = world.admit("192.0.2.1", 3 * SMALL_SITE);
        places.iter().step_by(2).for_each(UnprovenConnection::note_progress);
        let (proxied, _) = world.connections.admit(None, world.now);
        drop((places, proxied));
        let table = world.connections.lock();
        let sizes = [table.entries.len(), table.crowds.len(), table.others.len()];
        assert_eq!((sizes, table.clients.0.len(), table.sites.0.len()), ([0; 3], 0, 0));
    }
}
