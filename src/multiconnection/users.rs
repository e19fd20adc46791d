//! Who is there, and under which id. PURE.
//!
//! Owner: [`super::room::Rooms`]. Invariants: an id, a connection and a proof each belong to one user; a user without a
//! connection is away and waits for its proof to come back.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use crate::socketio::client_id::ClientId;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::room::{Event, Hello, MAX_PARTICIPANTS, Opaque, Proof, RoomId, UserId, Whereabouts};
use crate::limits::fair_shares::FairShares;
use crate::limits::waiting_bytes::{Account, KeptValue, Ledger};

/// Names a user whatever its id is; never given twice.
pub(super) type UserKey = u64;

/// What waits for a user that is away: events, and bytes of what they carry. The largest description has 512 KiB as JSON.
const WAITING: (usize, usize) = (256, 768 * 1024);

pub(super) struct User<J> {
    pub(super) id: UserId,
    pub(super) connection: Option<ClientId>,
    pub(super) proof: Option<Proof>,
    pub(super) from: IpAddr,
    pub(super) whereabouts: Whereabouts,
    pub(super) extra: J,
    /// The name of the relay event that it sends and listens to.
    pub(super) message_event: Arc<str>,
    /// Events that go to everybody in its room.
    pub(super) custom_events: BTreeSet<Arc<str>>,
    /// Its rooms end when it goes.
    pub(super) auto_close: bool,
    pub(super) max_participants: usize,
    /// Viewers that one user relays to; `Some`: it takes part in scalable broadcasts.
    pub(super) relay_limit: Option<usize>,
    pub(super) room: Option<RoomId>,
    /// What it said when it came into a room; for admins.
    pub(super) about: Option<J>,
    /// Whom it has exchanged a message with; mutual.
    pub(super) peers: BTreeSet<UserKey>,
    /// When its place is given up; `None`: it is here.
    pub(super) due: Option<Instant>,
    /// It has come back and sent nobody a message since then: its page may have been loaded anew.
    pub(super) came_back: bool,
    waiting: VecDeque<KeptValue<Event<J>>>,
    waiting_bytes: usize,
    /// What waits, among what waits on the whole server; `None`: nothing has waited yet.
    account: Option<Account>,
}

impl<J: Opaque> User<J> {
    /// `id` and `proof` are those of the handshake where they are its own.
    pub(super) fn new(id: UserId, connection: ClientId, proof: Option<Proof>, hello: Hello<J>) -> Self {
        Self {
            id,
            connection: Some(connection),
            proof,
            from: hello.from,
            whereabouts: hello.whereabouts,
            extra: hello.extra,
            message_event: hello.message_event,
            custom_events: BTreeSet::from([hello.custom_event]),
            auto_close: hello.auto_close,
            max_participants: hello.max_participants.clamp(1, MAX_PARTICIPANTS),
            relay_limit: hello.relay_limit,
            room: None,
            about: None,
            peers: BTreeSet::new(),
            due: None,
            came_back: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            account: None,
        }
    }

    /// Keeps an event of `bytes` for when the user is back; beyond the user's bounds it is lost, and so is all that waits where the
    /// server holds too much and this user has most.
    pub(super) fn keep(&mut self, event: Event<J>, bytes: usize, ledger: &Ledger) {
        if self.account.as_ref().is_some_and(Account::is_closed) {
            (self.account, self.waiting_bytes) = (None, 0);
            self.waiting.clear();
        }
        if self.waiting.len() >= WAITING.0 || self.waiting_bytes + bytes > WAITING.1 {
            return;
        }
        if let Some(kept) = self.account.get_or_insert_with(|| ledger.open(None)).keep(event, bytes) {
            self.waiting_bytes += bytes;
            self.waiting.push_back(kept);
        }
    }

    /// Somebody else owns the room that this user was to hear is its own.
    pub(super) fn forget_owning(&mut self, id: &str) {
        self.waiting.retain(|event| !event.is(|event| matches!(event, Event::Owner(room) if **room == *id)));
    }

    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = Event<J>> + use<J> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting).into_iter().filter_map(KeptValue::take)
    }
}

pub(super) struct Users<J> {
    users: HashMap<UserKey, User<J>>,
    ids: HashMap<UserId, UserKey>,
    connections: HashMap<ClientId, UserKey>,
    proofs: HashMap<Proof, UserKey>,
    /// Of each network, the newest first.
    shares: FairShares<Reverse<UserKey>>,
    next: UserKey,
    /// Peers of all, each counted for both.
    peers: usize,
}

impl<J> Default for Users<J> {
    fn default() -> Self {
        Self {
            users: HashMap::new(),
            ids: HashMap::new(),
            connections: HashMap::new(),
            proofs: HashMap::new(),
            shares: FairShares::default(),
            next: 0,
            peers: 0,
        }
    }
}

impl<J> std::ops::Index<UserKey> for Users<J> {
    type Output = User<J>;

    fn index(&self, key: UserKey) -> &User<J> {
        &self.users[&key]
    }
}

impl<J> std::ops::IndexMut<UserKey> for Users<J> {
    fn index_mut(&mut self, key: UserKey) -> &mut User<J> {
        self.users.get_mut(&key).expect("keys are of users that are there")
    }
}

impl<J> Users<J> {
    /// `user.id` and `user.proof` must be free.
    pub(super) fn insert(&mut self, user: User<J>) -> UserKey {
        self.next += 1;
        let key = self.next;
        self.ids.insert(user.id.clone(), key);
        self.connections.extend(user.connection.map(|connection| (connection, key)));
        self.proofs.extend(user.proof.map(|proof| (proof, key)));
        self.shares.insert(user.from, Reverse(key));
        self.users.insert(key, user);
        key
    }

    pub(super) fn remove(&mut self, key: UserKey) -> Option<User<J>> {
        let user = self.users.remove(&key)?;
        self.ids.remove(&user.id);
        user.connection.and_then(|connection| self.connections.remove(&connection));
        user.proof.and_then(|proof| self.proofs.remove(&proof));
        self.shares.remove(user.from, Reverse(key));
        Some(user)
    }

    /// Gives a user another id; `false`: somebody else has it.
    #[must_use]
    pub(super) fn rename(&mut self, key: UserKey, id: UserId) -> bool {
        if self.ids.contains_key(&id) {
            return false;
        }
        let old = std::mem::replace(&mut self[key].id, id.clone());
        self.ids.remove(&old);
        self.ids.insert(id, key);
        true
    }

    /// Gives a user another connection, or none; returns the one it had.
    pub(super) fn connect(&mut self, key: UserKey, connection: Option<ClientId>) -> Option<ClientId> {
        let old = std::mem::replace(&mut self[key].connection, connection);
        old.and_then(|old| self.connections.remove(&old));
        self.connections.extend(connection.map(|connection| (connection, key)));
        old
    }

    /// Two users have to do with each other from now on.
    pub(super) fn pair(&mut self, one: UserKey, other: UserKey) {
        for (one, other) in [(one, other), (other, one)] {
            self.peers += usize::from(self[one].peers.insert(other));
        }
    }

    pub(super) fn part(&mut self, one: UserKey, other: UserKey) {
        for (one, other) in [(one, other), (other, one)] {
            self.peers -= usize::from(self[one].peers.remove(&other));
        }
    }

    /// Peers of all users, each counted for both.
    pub(super) const fn peers(&self) -> usize {
        self.peers
    }

    pub(super) fn find(&self, key: UserKey) -> Option<&User<J>> {
        self.users.get(&key)
    }

    pub(super) fn by_id(&self, id: &str) -> Option<UserKey> {
        self.ids.get(id).copied()
    }

    pub(super) fn by_connection(&self, connection: ClientId) -> Option<UserKey> {
        self.connections.get(&connection).copied()
    }

    pub(super) fn by_proof(&self, proof: &Proof) -> Option<UserKey> {
        self.proofs.get(proof).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    pub(super) fn away(&self) -> usize {
        self.users.len() - self.connections.len()
    }

    /// How many come from the network of `from`.
    pub(super) fn in_network(&self, from: IpAddr) -> usize {
        self.shares.of_client(from)
    }

    /// Whose place one more user at `from` gets: the newest of the site (an IPv4 address, an IPv6 /48) that has most, if it still has
    /// as many as that of `from` then.
    pub(super) fn makes_way(&self, from: IpAddr) -> Option<UserKey> {
        let (count, Reverse(newest)) = self.shares.first_of_all()?;
        (count > self.shares.of_site(from) + 1).then_some(newest)
    }

    /// Whether all tables agree.
    #[cfg(test)]
    pub(super) fn agree(&self) -> bool {
        let users = || self.users.iter();
        self.ids.len() == self.users.len()
            && users().all(|(key, user)| self.ids.get(&user.id) == Some(key))
            && self.connections.len() == users().filter(|(_, user)| user.connection.is_some()).count()
            && self.connections.iter().all(|(connection, key)| self[*key].connection == Some(*connection))
            && self.proofs.len() == users().filter(|(_, user)| user.proof.is_some()).count()
            && self.proofs.iter().all(|(proof, key)| self[*key].proof == Some(*proof))
            && self.shares.len() == self.users.len()
            && users().all(|(key, user)| user.peers.iter().all(|peer| peer != key && self[*peer].peers.contains(key)))
            && self.peers == users().map(|(_, user)| user.peers.len()).sum::<usize>()
            && users().all(|(_, user)| user.connection.is_none() == user.due.is_some())
    }
}
