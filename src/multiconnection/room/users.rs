//! The table of users. PURE.
//!
//! Owner: [`Rooms`](super::rooms::Rooms). Invariants: an id, a client and a proof each belong to one user; a user without a client is away,
//! and waits for a client with its proof.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::limits::fair_shares::FairShares;
use crate::limits::waiting_bytes::{Account, KeptValue, Ledger};
use crate::multiconnection::model::{
    Event, Fingerprint, MAX_PARTICIPANTS, OpaqueJson, ReconnectProof, RoomId, UserHandshake, UserId,
};
use crate::socketio::gateway::client_id::ClientId;

/// Names a user, whatever its id; no key is given twice.
pub(super) type UserKey = u64;

/// Events that wait for a user that is away.
const MAX_WAITING_EVENTS: usize = 256;
/// Bytes of those events. The largest description has 512 KiB as JSON.
const MAX_WAITING_BYTES: usize = 768 * 1024;

pub(super) struct User<J> {
    pub(super) id: UserId,
    pub(super) client: Option<ClientId>,
    pub(super) proof: Option<ReconnectProof>,
    pub(super) from: IpAddr,
    pub(super) fingerprint: Fingerprint,
    pub(super) extra: J,
    /// The name of the message event that the user sends and listens to.
    pub(super) message_event: Arc<str>,
    /// The user's events that go to all others in its room.
    pub(super) custom_events: BTreeSet<Arc<str>>,
    /// The user's rooms end when the user goes.
    pub(super) auto_close: bool,
    pub(super) max_participants: usize,
    /// Viewers that one user relays to; `None`: the user takes no part in scalable broadcasts.
    pub(super) max_viewers_per_member: Option<usize>,
    pub(super) room: Option<RoomId>,
    /// The argument by which the user last opened or joined a room; for admins.
    pub(super) request_json: Option<J>,
    /// The users with which it has exchanged a message; mutual.
    pub(super) peers: BTreeSet<UserKey>,
    /// When the user is removed; `None`: the user is connected.
    pub(super) grace_ends: Option<Instant>,
    /// The user has reconnected and has sent no message since then: its page may have been reloaded.
    pub(super) has_reconnected: bool,
    waiting: VecDeque<KeptValue<Event<J>>>,
    waiting_bytes: usize,
    /// Counts what waits in the server's ledger; `None`: nothing has waited yet.
    account: Option<Account>,
}

impl<J: OpaqueJson> User<J> {
    /// `id` and `proof` are the handshake's if the user owns them.
    pub(super) fn new(id: UserId, client: ClientId, proof: Option<ReconnectProof>, handshake: UserHandshake<J>) -> Self {
        Self {
            id,
            client: Some(client),
            proof,
            from: handshake.from,
            fingerprint: handshake.fingerprint,
            extra: handshake.extra,
            message_event: handshake.message_event,
            custom_events: BTreeSet::from([handshake.custom_event]),
            auto_close: handshake.auto_close,
            max_participants: handshake.max_participants.clamp(1, MAX_PARTICIPANTS),
            max_viewers_per_member: handshake.max_viewers_per_member,
            room: None,
            request_json: None,
            peers: BTreeSet::new(),
            grace_ends: None,
            has_reconnected: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            account: None,
        }
    }

    /// Keeps an event of `bytes` until the user is back. An event beyond the user's bounds is lost; all events are lost when the server
    /// holds too much and most of it is this user's.
    pub(super) fn keep(&mut self, event: Event<J>, bytes: usize, ledger: &Ledger) {
        if self.account.as_ref().is_some_and(Account::is_closed) {
            (self.account, self.waiting_bytes) = (None, 0);
            self.waiting.clear();
        }
        if self.waiting.len() >= MAX_WAITING_EVENTS || self.waiting_bytes + bytes > MAX_WAITING_BYTES {
            return;
        }
        if let Some(kept) = self.account.get_or_insert_with(|| ledger.open(None)).keep(event, bytes) {
            self.waiting_bytes += bytes;
            self.waiting.push_back(kept);
        }
    }

    /// Drops the waiting event that says that the user owns this room: another user owns it now.
    pub(super) fn drop_ownership_event(&mut self, id: &str) {
        self.waiting.retain(|event| !event.is(|event| matches!(event, Event::Owner(room) if **room == *id)));
    }

    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = Event<J>> + use<J> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting).into_iter().filter_map(KeptValue::take)
    }
}

impl<J> User<J> {
    pub(super) const fn is_away(&self) -> bool {
        self.grace_ends.is_some()
    }
}

pub(super) struct Users<J> {
    users: HashMap<UserKey, User<J>>,
    ids: HashMap<UserId, UserKey>,
    clients: HashMap<ClientId, UserKey>,
    proofs: HashMap<ReconnectProof, UserKey>,
    /// The users of each network, the newest first.
    shares: FairShares<Reverse<UserKey>>,
    last_key: UserKey,
    /// Peers of all users, where each pair counts twice.
    peers: usize,
}

impl<J> Default for Users<J> {
    fn default() -> Self {
        Self {
            users: HashMap::new(),
            ids: HashMap::new(),
            clients: HashMap::new(),
            proofs: HashMap::new(),
            shares: FairShares::default(),
            last_key: 0,
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
        self.users.get_mut(&key).expect("keys are of present users")
    }
}

impl<J> Users<J> {
    /// `user.id` and `user.proof` must be free.
    pub(super) fn insert(&mut self, user: User<J>) -> UserKey {
        self.last_key += 1;
        let key = self.last_key;
        self.ids.insert(user.id.clone(), key);
        self.clients.extend(user.client.map(|client| (client, key)));
        self.proofs.extend(user.proof.map(|proof| (proof, key)));
        self.shares.insert(user.from, Reverse(key));
        self.users.insert(key, user);
        key
    }

    pub(super) fn remove(&mut self, key: UserKey) -> Option<User<J>> {
        let user = self.users.remove(&key)?;
        self.ids.remove(&user.id);
        user.client.and_then(|client| self.clients.remove(&client));
        user.proof.and_then(|proof| self.proofs.remove(&proof));
        self.shares.remove(user.from, Reverse(key));
        Some(user)
    }

    /// Gives a user another id; `false`: another user has it.
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

    /// Gives a user another client, or none; returns the previous one.
    pub(super) fn connect(&mut self, key: UserKey, client: Option<ClientId>) -> Option<ClientId> {
        let old = std::mem::replace(&mut self[key].client, client);
        old.and_then(|old| self.clients.remove(&old));
        self.clients.extend(client.map(|client| (client, key)));
        old
    }

    /// Makes two users peers.
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

    /// Peers of all users, where each pair counts twice.
    pub(super) const fn peers(&self) -> usize {
        self.peers
    }

    pub(super) fn find(&self, key: UserKey) -> Option<&User<J>> {
        self.users.get(&key)
    }

    pub(super) fn by_id(&self, id: &str) -> Option<UserKey> {
        self.ids.get(id).copied()
    }

    pub(super) fn by_client(&self, client: ClientId) -> Option<UserKey> {
        self.clients.get(&client).copied()
    }

    pub(super) fn by_proof(&self, proof: &ReconnectProof) -> Option<UserKey> {
        self.proofs.get(proof).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    pub(super) fn away(&self) -> usize {
        self.users.len() - self.clients.len()
    }

    /// How many users come from the network of `from`.
    pub(super) fn of_client(&self, from: IpAddr) -> usize {
        self.shares.of_client(from)
    }

    /// The user that is evicted for one more at `from`: the newest of the site (an IPv4 address, an IPv6 /48) with most users, if that site
    /// still has at least as many users as that of `from` afterwards.
    pub(super) fn user_to_evict(&self, from: IpAddr) -> Option<UserKey> {
        let (count, Reverse(newest)) = self.shares.first_of_all()?;
        (count > self.shares.of_site(from) + 1).then_some(newest)
    }

    /// Whether all tables agree.
    #[cfg(test)]
    pub(super) fn agree(&self) -> bool {
        let users = || self.users.iter();
        self.ids.len() == self.users.len()
            && users().all(|(key, user)| self.ids.get(&user.id) == Some(key))
            && self.clients.len() == users().filter(|(_, user)| user.client.is_some()).count()
            && self.clients.iter().all(|(client, key)| self[*key].client == Some(*client))
            && self.proofs.len() == users().filter(|(_, user)| user.proof.is_some()).count()
            && self.proofs.iter().all(|(proof, key)| self[*key].proof == Some(*proof))
            && self.shares.len() == self.users.len()
            && users().all(|(key, user)| user.peers.iter().all(|peer| peer != key && self[*peer].peers.contains(key)))
            && self.peers == users().map(|(_, user)| user.peers.len()).sum::<usize>()
            && users().all(|(_, user)| user.client.is_none() == user.is_away())
    }
}
