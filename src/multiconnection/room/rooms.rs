//! The tables of users and rooms; connecting, dropping, leaving, ids and time-outs. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::broadcast::Broadcasts;
use super::description_bytes::DescriptionBytes;
use super::state::Room;
use super::users::{User, UserKey, Users};
use crate::limits::guesses::{GuessKind, GuessReports, Guesses};
use crate::limits::reserved_names;
use crate::limits::waiting_bytes::Ledger;
use crate::multiconnection::model::{Event, OpaqueJson, Output, Refusal, RoomCounts, RoomId, RoomsConfig, UserHandshake, UserId};
use crate::room_driver::numbers::Numbers;
use crate::socketio::gateway::client_id::ClientId;

/// Ids of users that name none have 16 digits, like those that clients draw.
const RANDOM_IDS: std::ops::Range<u64> = 1_000_000_000_000_000..10_000_000_000_000_000;

pub struct Rooms<J> {
    pub(super) config: RoomsConfig,
    pub(super) rng: StdRng,
    pub(super) users: Users<J>,
    pub(super) rooms: HashMap<RoomId, Room<J>>,
    pub(super) numbers: Numbers<RoomId>,
    pub(super) broadcasts: Broadcasts<J>,
    pub(super) descriptions: DescriptionBytes,
    /// The end of the grace period of each user that is away.
    pub(super) timers: BTreeSet<(Instant, UserKey)>,
    pub(super) guesses: Guesses,
    pub(super) admins: BTreeSet<ClientId>,
    /// When admins get their next update; `None`: nothing has changed.
    pub(super) admin_update_due: Option<Instant>,
    /// When admins got their last update.
    pub(super) admin_update_sent: Option<Instant>,
    pub(super) ledger: Ledger,
    pub(super) outputs: VecDeque<Output<J>>,
}

impl<J: OpaqueJson> Rooms<J> {
    /// `seed` is for the ids of users that name none.
    pub fn new(config: RoomsConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            rng: StdRng::from_seed(seed),
            users: Users::default(),
            rooms: HashMap::new(),
            numbers: Numbers::default(),
            broadcasts: Broadcasts::default(),
            descriptions: DescriptionBytes::default(),
            timers: BTreeSet::new(),
            guesses: Guesses::new(GuessKind::RoomPassword, config.max_wrong_passwords_per_minute, &GuessReports::default()),
            admins: BTreeSet::new(),
            admin_update_due: None,
            admin_update_sent: None,
            ledger: Ledger::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Reports wrong passwords to `reports`.
    #[must_use]
    pub fn with_reports(mut self, reports: &GuessReports) -> Self {
        self.guesses = Guesses::new(GuessKind::RoomPassword, self.config.max_wrong_passwords_per_minute, reports);
        self
    }

    /// Counts in `ledger` what waits for users that are away.
    #[must_use]
    pub fn with_ledger(self, ledger: Ledger) -> Self {
        Self { ledger, ..self }
    }

    /// Its numbers go on after those of `before`, which these rooms replace.
    #[must_use]
    pub fn instead_of(self, before: &Self) -> Self {
        Self { numbers: Numbers::continued_from(&before.numbers), ..self }
    }

    /// A client is connected: as the user that it was before, if it proves that; otherwise as a new one, under another id if the one in
    /// its handshake is taken. If the server is full, the user that has been away longest is evicted, or else the newest user of the site
    /// with most users.
    ///
    /// # Errors
    /// `ServerFull`, also if the client's network has too many users.
    pub fn handle_connect(&mut self, client: ClientId, handshake: UserHandshake<J>, now: Instant) -> Result<(), Refusal> {
        if let Some(key) = handshake.proof.and_then(|proof| self.users.by_proof(&proof)) {
            self.resume(key, client);
            return Ok(());
        }
        if let Some(id) = &handshake.id {
            self.release_id(id, handshake.fingerprint, now);
        }
        let users_of_client = self.users.of_client(handshake.from);
        if self.users.len() >= self.config.max_users && users_of_client < self.config.max_users_per_client {
            self.evict_one(handshake.from, now);
        }
        if self.users.len() >= self.config.max_users || users_of_client >= self.config.max_users_per_client {
            return Err(Refusal::ServerFull);
        }
        let taken = handshake.id.clone().filter(|id| self.is_taken(id));
        let id = handshake.id.clone().filter(|_| taken.is_none()).unwrap_or_else(|| self.unused_id());
        // The handshake names another user's id, so its proof would be for that user's place.
        let proof = handshake.proof.filter(|_| taken.is_none());
        let key = self.users.insert(User::new(id.clone(), client, proof, handshake));
        self.update_description_bytes(key);
        if let Some(taken) = taken {
            self.send(key, Event::IdTaken { taken, instead: id });
        }
        self.schedule_admin_update(now);
        Ok(())
    }

    /// Removes the user that has been away longest, or else one of the site with most users.
    fn evict_one(&mut self, from: IpAddr, now: Instant) {
        let away = self.timers.first().map(|(_, key)| *key);
        let Some(key) = away.or_else(|| self.users.user_to_evict(from)) else { return };
        let client = self.users[key].client;
        self.remove(key, now);
        self.outputs.extend(client.map(Output::Disconnect));
    }

    /// A client's connection dropped: its user keeps its place for the grace period, if it has a proof to come back with.
    pub fn handle_drop(&mut self, client: ClientId, now: Instant) {
        self.admins.remove(&client);
        let Some(key) = self.users.by_client(client) else { return };
        if self.users[key].proof.is_none() {
            self.remove(key, now);
            return;
        }
        let due = now + self.config.grace;
        self.users.connect(key, None);
        self.users[key].grace_ends = Some(due);
        self.timers.insert((due, key));
    }

    /// A client leaves on purpose.
    pub fn handle_leave(&mut self, client: ClientId, now: Instant) {
        self.admins.remove(&client);
        if let Some(key) = self.users.by_client(client) {
            self.remove(key, now);
        }
    }

    /// Removes the users whose grace period is over, and sends admins their update.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(_, key)) = self.timers.first().filter(|(due, _)| *due <= now) {
            self.remove(key, now);
        }
        if self.admin_update_due.is_some_and(|due| due <= now) {
            (self.admin_update_due, self.admin_update_sent) = (None, Some(now));
            for to in self.admins.clone() {
                self.send_admin_update(to, None);
            }
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        let update = self.admin_update_due.filter(|_| !self.admins.is_empty());
        self.timers.first().map(|(due, _)| *due).into_iter().chain(update).min()
    }

    pub fn poll_output(&mut self) -> Option<Output<J>> {
        self.outputs.pop_front()
    }

    pub fn counts(&self) -> RoomCounts {
        RoomCounts { users: self.users.len(), away: self.users.away(), rooms: self.rooms.len() }
    }

    /// A user changes its id; `false`: the id is another user's, and the user is told so.
    pub fn handle_rename(&mut self, client: ClientId, id: UserId, now: Instant) -> bool {
        let Some(key) = self.users.by_client(client) else { return false };
        let old = self.users[key].id.clone();
        if old == id {
            return true;
        }
        self.release_id(&id, self.users[key].fingerprint, now);
        if self.is_taken(&id) || !self.users.rename(key, id.clone()) {
            self.send(key, Event::IdTaken { taken: id, instead: old });
            return false;
        }
        self.schedule_admin_update(now);
        true
    }

    fn is_taken(&self, id: &str) -> bool {
        id == "admin" || reserved_names::is_property_of_peers(id) || self.users.by_id(id).is_some()
    }

    fn unused_id(&mut self) -> UserId {
        loop {
            let id = self.rng.random_range(RANDOM_IDS).to_string();
            if self.users.by_id(&id).is_none() {
                return id.into();
            }
        }
    }

    /// A user is back, or has a new connection while the old one still seems to live.
    fn resume(&mut self, key: UserKey, client: ClientId) {
        if let Some(old) = self.users.connect(key, Some(client)) {
            self.outputs.push_back(Output::Disconnect(old));
        }
        let user = &mut self.users[key];
        user.has_reconnected = true;
        if let Some(due) = user.grace_ends.take() {
            self.timers.remove(&(due, key));
        }
        if let Some(room) = user.room.as_ref().and_then(|room| self.rooms.get_mut(room)).filter(|room| room.owner == key) {
            room.successor = None;
        }
        let waiting = user.take_waiting();
        self.outputs.extend(waiting.map(|event| Output::Send { to: client, event }));
    }

    /// Removes a user from its room, its broadcast and its peers.
    pub(super) fn remove(&mut self, key: UserKey, now: Instant) {
        for peer in self.users[key].peers.clone() {
            self.part(key, peer);
        }
        self.leave_room(key);
        self.leave_broadcast(key);
        if let Some(due) = self.users.remove(key).and_then(|user| user.grace_ends) {
            self.timers.remove(&(due, key));
        }
        self.update_description_bytes(key);
        self.schedule_admin_update(now);
    }

    /// Sends a user an event, or keeps it while the user is away.
    pub(super) fn send(&mut self, to: UserKey, event: Event<J>) {
        let user = &mut self.users[to];
        match user.client {
            Some(to) => self.outputs.push_back(Output::Send { to, event }),
            None => {
                let bytes = event.bytes();
                user.keep(event, bytes, &self.ledger);
            }
        }
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
