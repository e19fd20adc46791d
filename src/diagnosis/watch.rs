//! The server's own witness: a table of fixed size by client, filled only while a check, a cast or a call watches the client.
//!
//! Owner: the relay, whose shards note what they see; whoever watches holds a [`WatchHandle`]. Noting takes no lock that another
//! note of the kind waits for: clients are found in an index that is replaced as a whole, and counters are atomic. What is rare (a
//! reason, an address or a port of a client that was not known yet) takes a lock of the client's own. A client is an IPv4 address or an
//! IPv6 /64, as for limits, and a site is an IPv4 address or an IPv6 /48; where several watched clients share it, packets belong to the one whose credentials the five-tuple has used.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::observation::{MAX_OTHER_ADDRESSES, Path, PathWitness, Witness};
use super::other_networks::OtherNetworks;
use crate::limits::ip_prefix;
use crate::turn::RefusalReason;

/// Clients that are watched at the same time.
const MAX_WATCHED: usize = 256;
/// Of them, those behind one address.
const MAX_WATCHED_OF_ADDRESS: usize = 32;
/// Ports that are known to be a client's, by its credentials. A page has about three for each attempt to connect.
const MAX_KNOWN_PORTS: usize = 16;

/// The clients that are watched; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Read for each request, so that nothing else is done while nobody is watched.
    watched: AtomicUsize,
    index: ArcSwap<Index>,
    table: Mutex<Table>,
    /// The first time that was noted; others are stored as the nanoseconds since then, and one more, since 0 means never.
    epoch: OnceLock<Instant>,
    other_networks: [OtherNetworks; 3],
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// The oldest first.
    watched: BTreeMap<u64, Arc<Watched>>,
}

/// The table as the relay reads it.
#[derive(Debug, Default)]
struct Index {
    by_client: HashMap<IpAddr, Vec<Arc<Watched>>>,
    by_user: HashMap<Arc<str>, Vec<Arc<Watched>>>,
}

#[derive(Debug)]
struct Watched {
    /// As [`ip_prefix::of_client`] gives it.
    client: IpAddr,
    /// It never has to yield.
    of_check: bool,
    /// The user of the client's credentials, without the expiry.
    user: Option<Arc<str>>,
    /// The entry had to yield to another client's.
    displaced: AtomicBool,
    paths: [PathCounts; 3],
    relayed_in: Counted,
    relayed_out: Counted,
    /// Addresses and ports that have used the client's credentials.
    ports: ArcSwap<Vec<(SocketAddr, Path)>>,
    rare: Mutex<Rare>,
}

#[derive(Debug, Default)]
struct PathCounts {
    requests: AtomicU32,
    answered: AtomicU32,
    challenged: AtomicU32,
    authenticated: AtomicU32,
    allocated: AtomicU32,
    rejected: AtomicU32,
    /// Of the last request; 0: there was none.
    last: AtomicU64,
}

/// A count, and when it was last raised; 0: never.
#[derive(Debug, Default)]
struct Counted {
    count: AtomicU64,
    last: AtomicU64,
}

#[derive(Debug, Default)]
struct Rare {
    refused: [Option<RefusalReason>; 3],
    other_addresses: Vec<IpAddr>,
}

/// A client is watched until this is dropped.
#[derive(Debug)]
pub struct WatchHandle {
    watch: Watch,
    /// `None`: there was no room.
    entry: Option<(u64, Arc<Watched>)>,
}

/// What the relay notes about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A STUN request arrived.
    Request,
    /// A success response was sent.
    Answer,
    /// A nonce was sent: 401 to a request without credentials, or 438.
    Challenge,
    /// The credentials of a request were right.
    Authenticated,
    /// An allocation was made.
    Allocated,
    /// The client gave up a TLS handshake since it does not trust the certificate.
    RejectedCertificate,
    Refused(RefusalReason),
    /// A connectivity check of a peer came to the client's relayed address.
    RelayedIn,
    /// A connectivity check of the client was relayed to a peer.
    RelayedOut,
}

impl Watch {
    /// Whether anybody is watched. One relaxed load.
    pub fn is_open(&self) -> bool {
        self.0.watched.load(Ordering::Relaxed) > 0
    }

    /// Watches the client with this address, and whoever uses credentials of this user. A client that is watched twice has two
    /// entries. Where the table is full, the site with the most entries loses its oldest one.
    pub fn open(&self, address: IpAddr, user: Option<String>) -> WatchHandle {
        self.open_entry(Watched::new(ip_prefix::of_client(address), user.map(Arc::from), false))
    }

    /// The same for a check, which the operator has asked for: strangers can't take its place. The caller bounds the number of checks.
    pub fn open_check(&self, address: IpAddr, user: Option<String>) -> WatchHandle {
        self.open_entry(Watched::new(ip_prefix::of_client(address), user.map(Arc::from), true))
    }

    fn open_entry(&self, entry: Watched) -> WatchHandle {
        let mut table = self.table();
        if !table.make_room(&entry) {
            return WatchHandle { watch: self.clone(), entry: None };
        }
        let number = table.next;
        table.next += 1;
        let entry = Arc::new(entry);
        table.watched.insert(number, Arc::clone(&entry));
        self.publish(&table);
        drop(table);
        WatchHandle { watch: self.clone(), entry: Some((number, entry)) }
    }

    /// Notes what was seen of a client. `user`: of its credentials, where it named one.
    pub fn note(&self, from: SocketAddr, user: Option<&str>, path: Path, seen: Seen, now: Instant) {
        let at = self.nanos(now);
        let from = ip_prefix::canonical(from);
        let client = ip_prefix::of_client(from.ip());
        let index = self.0.index.load();
        if let Some(entries) = user.and_then(|user| index.by_user.get(user)) {
            for entry in entries {
                entry.count(path, seen, at);
                let is_new = seen == Seen::Authenticated && entry.learn((from, path), client);
                if is_new {
                    self.publish(&self.table());
                }
            }
            return;
        }
        let Some(entries) = index.by_client.get(&client) else { return };
        let is_known = |entry: &&Arc<Watched>| entry.ports.load().contains(&(from, path));
        let known = entries.len() > 1 && entries.iter().any(|entry| is_known(&entry));
        entries.iter().filter(|entry| !known || is_known(entry)).for_each(|entry| entry.count(path, seen, at));
    }

    /// A client had an answer that it went on to use: its credentials were right. Noted whether anybody is watched or not.
    pub fn note_reached(&self, from: IpAddr, path: Path, now: Instant) {
        self.0.other_networks[path as usize].note(from, self.nanos(now) / 1_000_000_000, now);
    }

    /// When a client of another network last reached the relay over this path.
    pub fn last_elsewhere(&self, path: Path, client: IpAddr) -> Option<Instant> {
        self.0.other_networks[path as usize].last(client)
    }

    fn publish(&self, table: &Table) {
        self.0.index.store(Arc::new(Index::of(table)));
        self.0.watched.store(table.watched.len(), Ordering::Relaxed);
    }

    /// Never 0.
    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(*self.0.epoch.get_or_init(|| now)).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn time(&self, nanos: u64) -> Option<Instant> {
        let epoch = self.0.epoch.get().filter(|_| nanos > 0)?;
        epoch.checked_add(Duration::from_nanos(nanos - 1))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Whether there is room for one more entry. Visits all entries.
    fn make_room(&mut self, new: &Watched) -> bool {
        let own = self.watched.values().filter(|entry| entry.client == new.client && !entry.of_check).count();
        if own >= MAX_WATCHED_OF_ADDRESS && !new.of_check {
            return false;
        }
        if self.watched.len() < MAX_WATCHED {
            return true;
        }
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        let may_yield = || self.watched.iter().filter(|(_, entry)| !entry.of_check);
        may_yield().for_each(|(_, entry)| *counts.entry(entry.site()).or_default() += 1);
        let most = counts.values().copied().max().unwrap_or_default();
        if most <= counts.get(&new.site()).copied().unwrap_or_default() + 1 && !new.of_check {
            return false;
        }
        let oldest = may_yield().find(|(_, entry)| counts.get(&entry.site()) == Some(&most)).map(|(number, _)| *number);
        let displaced = oldest.and_then(|number| self.watched.remove(&number));
        displaced.is_some_and(|entry| {
            entry.displaced.store(true, Ordering::Relaxed);
            true
        })
    }
}

impl Index {
    fn of(table: &Table) -> Self {
        let mut index = Self::default();
        for entry in table.watched.values() {
            let mut clients = vec![entry.client];
            clients.extend(entry.rare().other_addresses.iter().map(|ip| ip_prefix::of_client(*ip)));
            clients.dedup();
            for client in clients {
                index.by_client.entry(client).or_default().push(Arc::clone(entry));
            }
            if let Some(user) = &entry.user {
                index.by_user.entry(Arc::clone(user)).or_default().push(Arc::clone(entry));
            }
        }
        index
    }
}

impl Watched {
    fn new(client: IpAddr, user: Option<Arc<str>>, of_check: bool) -> Self {
        Self {
            client,
            of_check,
            user,
            displaced: AtomicBool::new(false),
            paths: Default::default(),
            relayed_in: Counted::default(),
            relayed_out: Counted::default(),
            ports: ArcSwap::default(),
            rare: Mutex::default(),
        }
    }

    const fn site(&self) -> IpAddr {
        ip_prefix::of_site(self.client)
    }

    fn count(&self, path: Path, seen: Seen, at: u64) {
        let counts = &self.paths[path as usize];
        let count = match seen {
            Seen::Request => {
                counts.last.store(at, Ordering::Relaxed);
                &counts.requests
            }
            Seen::Answer => &counts.answered,
            Seen::Challenge => &counts.challenged,
            Seen::Authenticated => &counts.authenticated,
            Seen::Allocated => &counts.allocated,
            Seen::RejectedCertificate => &counts.rejected,
            Seen::Refused(reason) => {
                self.rare().refused[path as usize] = Some(reason);
                return;
            }
            Seen::RelayedIn => return self.relayed_in.raise(at),
            Seen::RelayedOut => return self.relayed_out.raise(at),
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The credentials of the client were used from this port. Returns whether the address is a new one, by which the client is to be
    /// found as well.
    fn learn(&self, port: (SocketAddr, Path), client: IpAddr) -> bool {
        if self.ports.load().contains(&port) {
            return false;
        }
        let mut rare = self.rare();
        let mut ports = Vec::clone(&self.ports.load());
        if ports.len() >= MAX_KNOWN_PORTS {
            ports.remove(0);
        }
        ports.push(port);
        self.ports.store(Arc::new(ports));
        let others = &mut rare.other_addresses;
        let is_known = client == self.client || others.iter().any(|other| ip_prefix::of_client(*other) == client);
        let is_new = !is_known && others.len() < MAX_OTHER_ADDRESSES;
        if is_new {
            others.push(port.0.ip());
        }
        is_new
    }

    fn rare(&self) -> MutexGuard<'_, Rare> {
        self.rare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn raise(&self, at: u64) {
        self.last.store(at, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl WatchHandle {
    /// What was seen so far.
    pub fn witness(&self) -> Witness {
        let Some((_, entry)) = &self.entry else { return Witness { unwatched: true, ..Witness::default() } };
        let time = |nanos: &AtomicU64| self.watch.time(nanos.load(Ordering::Relaxed));
        let rare = entry.rare();
        let path = |path: Path| {
            let counts = &entry.paths[path as usize];
            let count = |count: &AtomicU32| count.load(Ordering::Relaxed);
            PathWitness {
                requests: count(&counts.requests),
                answered: count(&counts.answered),
                challenged: count(&counts.challenged),
                authenticated: count(&counts.authenticated),
                allocated: count(&counts.allocated),
                rejected: count(&counts.rejected),
                refused: rare.refused[path as usize],
                last: time(&counts.last),
            }
        };
        Witness {
            unwatched: entry.displaced.load(Ordering::Relaxed),
            paths: Path::ALL.map(path),
            relayed_in: entry.relayed_in.count.load(Ordering::Relaxed),
            relayed_out: entry.relayed_out.count.load(Ordering::Relaxed),
            last_relayed_in: time(&entry.relayed_in.last),
            last_relayed_out: time(&entry.relayed_out.last),
            other_addresses: rare.other_addresses.clone(),
        }
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        let Some((number, _)) = &self.entry else { return };
        let mut table = self.watch.table();
        if table.watched.remove(number).is_some() {
            self.watch.publish(&table);
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
