//! The server's own witness: a table of fixed size by client, filled only while a check, a cast or a call watches the client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::observation::{MAX_OTHER_ADDRESSES, Path, Witness};
use crate::turn::RefusalReason;

/// Clients that are watched at the same time.
const MAX_WATCHED: usize = 256;

/// The clients that are watched; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Read for each request, so that nothing is locked while nobody is watched.
    watched: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    watched: HashMap<u64, Watched>,
}

#[derive(Debug)]
struct Watched {
    address: IpAddr,
    /// The user of the client's credentials, without the expiry.
    user: Option<String>,
    witness: Witness,
}

/// A client is watched until this is dropped.
#[derive(Debug)]
pub struct WatchHandle {
    watch: Watch,
    /// `None`: the table was full.
    number: Option<u64>,
}

/// What the relay notes about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A STUN request arrived.
    Request,
    /// A success response was sent.
    Answer,
    /// A 401 response to a request without credentials was sent.
    Challenge,
    /// The credentials of a request were right.
    Authenticated,
    /// An allocation was made.
    Allocated,
    Refused(RefusalReason),
    /// A packet of a peer came to the client's relayed address.
    RelayedIn,
    /// A packet of the client was relayed to a peer.
    RelayedOut,
}

impl Watch {
    /// Whether anybody is watched. One relaxed load.
    pub fn is_open(&self) -> bool {
        self.0.watched.load(Ordering::Relaxed) > 0
    }

    /// Watches the client with this address, and whoever uses credentials of this user. A client that is watched twice has two entries.
    pub fn open(&self, address: IpAddr, user: Option<String>) -> WatchHandle {
        let mut table = self.table();
        if table.watched.len() >= MAX_WATCHED {
            return WatchHandle { watch: self.clone(), number: None };
        }
        let number = table.next;
        table.next += 1;
        table.watched.insert(number, Watched { address: address.to_canonical(), user, witness: Witness::default() });
        self.0.watched.store(table.watched.len(), Ordering::Relaxed);
        WatchHandle { watch: self.clone(), number: Some(number) }
    }

    /// Notes what was seen of a client. `user`: of its credentials, where they were right.
    pub fn note(&self, client: IpAddr, user: Option<&str>, path: Path, seen: Seen, now: Instant) {
        let client = client.to_canonical();
        for watched in self.table().watched.values_mut() {
            let same_user = user.is_some() && watched.user.as_deref() == user;
            if watched.address == client || same_user {
                watched.note(client, path, seen, now);
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn note(&mut self, client: IpAddr, path: Path, seen: Seen, now: Instant) {
        let Self { address, witness, .. } = self;
        if client != *address && !witness.other_addresses.contains(&client) && witness.other_addresses.len() < MAX_OTHER_ADDRESSES
        {
            witness.other_addresses.push(client);
        }
        let of_path = witness.path_mut(path);
        match seen {
            Seen::Request => {
                of_path.requests = of_path.requests.saturating_add(1);
                of_path.last = Some(now);
            }
            Seen::Answer => of_path.answered = of_path.answered.saturating_add(1),
            Seen::Challenge => of_path.challenged = of_path.challenged.saturating_add(1),
            Seen::Authenticated => of_path.authenticated = of_path.authenticated.saturating_add(1),
            Seen::Allocated => of_path.allocated = of_path.allocated.saturating_add(1),
            Seen::Refused(reason) => of_path.refused = Some(reason),
            Seen::RelayedIn => {
                witness.relayed_in += 1;
                witness.last_relayed_in = Some(now);
            }
            Seen::RelayedOut => {
                witness.relayed_out += 1;
                witness.last_relayed_out = Some(now);
            }
        }
    }
}

impl WatchHandle {
    /// What was seen so far.
    pub fn witness(&self) -> Witness {
        let unwatched = || Witness { unwatched: true, ..Witness::default() };
        let table = self.watch.table();
        self.number.and_then(|number| table.watched.get(&number)).map_or_else(unwatched, |watched| watched.witness.clone())
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut table = self.watch.table();
        table.watched.remove(&number);
        self.watch.0.watched.store(table.watched.len(), Ordering::Relaxed);
    }
}
