//! The server's own witness: a table of fixed size by client, filled only while a check, a cast or a call watches the client.
//!
//! Owner: the relay, whose shards note what they see; whoever watches holds a [`WatchHandle`]. Noting takes no lock that another
//! note of the kind waits for: clients are found in an index whose parts are replaced, and counters are atomic. What is rare (a
//! reason, an address or a port of a client that was not known yet) takes a lock of the client's own, and a new address that of the
//! table.
//!
//! A client is an IPv4 address or an IPv6 /64, as for limits, and a site is an IPv4 address or an IPv6 /48. Where several watched
//! clients share an address, packets belong to the one whose credentials the five-tuple has used.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::observation::{MAX_OTHER_ADDRESSES, Path, PathWitness, Witness};
use super::other_networks::OtherNetworks;
use super::watch_index::WatchIndex;
use crate::limits::fair_shares::FairShares;
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
    /// By addresses, as [`ip_prefix::of_client`] gives them. Both indexes are changed under the lock of the table.
    by_client: WatchIndex<IpAddr, Watched>,
    by_user: WatchIndex<Arc<str>, Watched>,
    table: Mutex<Table>,
    /// The first time that was noted; others are stored as the nanoseconds since then, and one more, since 0 means never.
    epoch: OnceLock<Instant>,
    other_networks: [OtherNetworks; 3],
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// The oldest first.
    watched: BTreeMap<u64, Row>,
    /// The entries that may have to yield, all but those of checks.
    may_yield: FairShares<u64>,
}

#[derive(Debug)]
struct Row {
    entry: Arc<Watched>,
    /// The addresses by which the index has it.
    clients: Vec<IpAddr>,
}

#[derive(Debug)]
struct Watched {
    /// Its key in the table.
    number: u64,
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
    entry: Option<Arc<Watched>>,
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
        self.open_entry(|number| Watched::new(number, address, user.map(Arc::from), false))
    }

    /// The same for a check, which the operator has asked for: strangers can't take its place. The caller bounds the number of checks.
    pub fn open_check(&self, address: IpAddr, user: Option<String>) -> WatchHandle {
        self.open_entry(|number| Watched::new(number, address, user.map(Arc::from), true))
    }

    fn open_entry(&self, entry: impl FnOnce(u64) -> Watched) -> WatchHandle {
        let mut table = self.table();
        let number = table.next;
        let entry = Arc::new(entry(number));
        if !self.make_room(&mut table, &entry) {
            return WatchHandle { watch: self.clone(), entry: None };
        }
        table.next += 1;
        if !entry.of_check {
            table.may_yield.insert(entry.client, number);
        }
        table.watched.insert(number, Row { entry: Arc::clone(&entry), clients: vec![entry.client] });
        self.0.by_client.add(entry.client, Arc::clone(&entry));
        if let Some(user) = &entry.user {
            self.0.by_user.add(Arc::clone(user), Arc::clone(&entry));
        }
        self.0.watched.store(table.watched.len(), Ordering::Relaxed);
        drop(table);
        WatchHandle { watch: self.clone(), entry: Some(entry) }
    }

    /// Whether there is room for one more entry.
    fn make_room(&self, table: &mut Table, new: &Watched) -> bool {
        if table.may_yield.of_client(new.client) >= MAX_WATCHED_OF_ADDRESS && !new.of_check {
            return false;
        }
        if table.watched.len() < MAX_WATCHED {
            return true;
        }
        let most = table.may_yield.first_of_all().map_or(0, |(most, _)| most);
        if most <= table.may_yield.of_site(new.client) + 1 && !new.of_check {
            return false;
        }
        let yields = |row: &Row| !row.entry.of_check && table.may_yield.of_site(row.entry.client) == most;
        let oldest = table.watched.iter().find(|(_, row)| yields(row)).map(|(number, _)| *number);
        let displaced = oldest.and_then(|number| self.remove(table, number));
        displaced.is_some_and(|entry| {
            entry.displaced.store(true, Ordering::Relaxed);
            true
        })
    }

    fn remove(&self, table: &mut Table, number: u64) -> Option<Arc<Watched>> {
        let Row { entry, clients } = table.watched.remove(&number)?;
        table.may_yield.remove(entry.client, number);
        clients.iter().for_each(|client| self.0.by_client.remove(client, &entry));
        entry.user.iter().for_each(|user| self.0.by_user.remove(user, &entry));
        self.0.watched.store(table.watched.len(), Ordering::Relaxed);
        Some(entry)
    }

    /// An entry is found by one more address.
    fn add_client(&self, number: u64, client: IpAddr) {
        let mut table = self.table();
        let Some(row) = table.watched.get_mut(&number) else { return };
        if !row.clients.contains(&client) {
            row.clients.push(client);
            self.0.by_client.add(client, Arc::clone(&row.entry));
        }
    }

    /// Notes what was seen of a client. `user`: of its credentials, where it named one.
    pub fn note(&self, from: SocketAddr, user: Option<&str>, path: Path, seen: Seen, now: Instant) {
        let at = self.nanos(now);
        let from = ip_prefix::canonical(from);
        let client = ip_prefix::of_client(from.ip());
        if let Some(user) = user {
            let found = self.0.by_user.find(user);
            let mut entries = found.of(user).peekable();
            if entries.peek().is_some() {
                for entry in entries {
                    entry.count(path, seen, at);
                    if seen == Seen::Authenticated && entry.learn((from, path), client) {
                        self.add_client(entry.number, client);
                    }
                }
                return;
            }
        }
        let found = self.0.by_client.find(&client);
        let entries = found.of(&client);
        let is_known = |entry: &&Arc<Watched>| entry.ports.load().contains(&(from, path));
        let known = entries.clone().nth(1).is_some() && entries.clone().any(|entry| is_known(&entry));
        entries.filter(|entry| !known || is_known(entry)).for_each(|entry| entry.count(path, seen, at));
    }

    /// A client had an answer that it went on to use: its credentials were right. Noted whether anybody is watched or not.
    pub fn note_reached(&self, from: IpAddr, path: Path, now: Instant) {
        self.0.other_networks[path as usize].note(from, self.nanos(now) / 1_000_000_000, now);
    }

    /// When a client of another network last reached the relay over this path.
    pub fn last_elsewhere(&self, path: Path, client: IpAddr) -> Option<Instant> {
        self.0.other_networks[path as usize].last(client)
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

impl Watched {
    fn new(number: u64, address: IpAddr, user: Option<Arc<str>>, of_check: bool) -> Self {
        Self {
            number,
            client: ip_prefix::of_client(address),
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
        let Some(entry) = &self.entry else { return Witness { unwatched: true, ..Witness::default() } };
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
        if let Some(entry) = &self.entry {
            self.watch.remove(&mut self.watch.table(), entry.number);
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
