//! All rooms and users of RTCMultiConnection as one state machine. PURE: no socket, no clock, no lock.
//!
//! Owner: the gateway, by value behind its lock. Inputs: `handle_*`; their return value is the verdict (it becomes the ack).
//! Outputs: [`Rooms::poll_output`], drained after every input; [`Rooms::next_timeout`] says when [`Rooms::handle_timeout`] is
//! due. The rest are questions.
//!
//! Invariants:
//! - An id belongs to one user, and whatever a user sends bears its id: the client's word for it is not asked.
//! - A user is in at most one room; a room has an owner and is gone with its last participant.
//! - A user whose connection drops stays for the grace period, as everybody sees it; events to it wait, within bounds. Its
//!   place goes to whoever shows its [`Proof`], also while the old connection still seems to live. `succession` says what a new
//!   user from the same [`Whereabouts`] gets; nobody else gets anything.
//! - Every table is bounded: users in all and by network, so rooms too; participants; peers and custom events of a user, and peers of all
//!   users; bytes of what all users say of themselves and of their rooms (`descriptions`).
//!
//! **The proof.** An unmodified client has no secret to show. What it does is repeat its handshake, word for word, from where it
//! was: so the proof is a hash of the client's network, `Origin`, `User-Agent` and the whole query (`userid`, `sessionid`,
//! `extra`, …) but for what is Engine.IO's own. Others in a room know the id and `extra`, and the `sessionid` where the page
//! gives its room's name for it. So a place can be taken by whoever knows all that and also is in the same network (behind the
//! same NAT) with the same browser on the same page: two tabs of one page with a fixed id, of which the last one counts, or a
//! colleague with a grudge. A client that comes back from another network is a stranger until its grace is over; then its id
//! is free again. Cookies would prove more, but only to pages of the same site, and there are none here.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod admin;
mod descriptions;
mod exchange;
mod membership;
mod outputs;
mod scalable;
mod succession;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use self::descriptions::Descriptions;
pub use self::outputs::{Event, Output, RoomInfo};
use super::broadcast::{Broadcasts, Departure, Member};
use super::users::{User, UserKey, Users};
use crate::config::secret::Secret;
use crate::limits::guesses::{GuessKind, GuessReports, Guesses};
use crate::limits::reserved_names;
use crate::limits::waiting_bytes::Ledger;
use crate::socketio::client_id::ClientId;

pub type UserId = Arc<str>;
pub type RoomId = Arc<str>;
/// SHA-256 of what a client repeats when it reconnects.
pub type Proof = [u8; 32];
/// SHA-256 of a client's network, `Origin` and `User-Agent`.
pub type Whereabouts = [u8; 32];

/// Participants of a room at most, whatever its owner wishes.
pub const MAX_PARTICIPANTS: usize = 1000;
/// Other users that one has exchanged messages with, at most.
const MAX_PEERS: usize = 2 * MAX_PARTICIPANTS;
/// Peers of all users at most, each counted for both; about 20 bytes each.
const MAX_PEERS_OF_ALL: usize = 256 * 1024;
/// Peers that a user may have however many all have.
const PEERS_OF_EACH: usize = 64;
/// Custom events of one user at most.
const MAX_CUSTOM: usize = 16;
/// Rooms in one list at most, and bytes of what they say of themselves; a room with more is left out.
const MAX_LISTED: usize = 256;
const MAX_LISTED_BYTES: usize = 56 * 1024;
/// Admins at once.
const MAX_ADMINS: usize = 16;
/// How often admins hear of changes at most.
const NEWS: Duration = Duration::from_secs(1);

/// JSON that is passed on as it came; cheap to copy.
pub trait Opaque: Clone + Send + 'static {
    /// How much it holds.
    fn bytes(&self) -> usize;

    /// What stands for nothing said.
    fn empty() -> Self;
}

/// How the rooms are run.
#[derive(Debug, Clone, Copy)]
pub struct RoomsConfig {
    /// How long a dropped user keeps its place.
    pub grace: Duration,
    pub max_users: usize,
    /// Users from one network (an IPv6 /64 counts as one) at most.
    pub max_users_per_address: usize,
    /// Wrong passwords that one address may try in a minute.
    pub guesses: u32,
}

/// A client's handshake.
#[derive(Debug, Clone)]
pub struct Hello<J> {
    /// `None`: the client named none, and gets a random one.
    pub id: Option<UserId>,
    pub proof: Option<Proof>,
    pub from: IpAddr,
    pub whereabouts: Whereabouts,
    pub extra: J,
    pub message_event: Arc<str>,
    pub custom_event: Arc<str>,
    pub auto_close: bool,
    pub max_participants: usize,
    /// Viewers that one user relays to, for those who take part in scalable broadcasts.
    pub relay_limit: Option<usize>,
}

/// `open-room` and `join-room`.
#[derive(Debug, Clone)]
pub struct Entry<J> {
    pub room: RoomId,
    /// What users of scalable broadcasts mean instead of `room`.
    pub broadcast: Option<RoomId>,
    pub session: J,
    /// Only the owner sends, so the room ends with it.
    pub one_way: bool,
    pub extra: J,
    /// What lists of public rooms find it by; `open-room` only.
    pub identifier: Option<String>,
    pub password: Option<Secret<String>>,
    /// All of it but the password, for admins.
    pub about: J,
}

/// A relay event.
#[derive(Debug, Clone)]
pub struct Message<J> {
    /// A user's id, or a room's where it asks to participate.
    pub to: String,
    pub message: J,
    pub participation: bool,
    /// A farewell, which connects nobody.
    pub user_left: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Room not available")]
    NotAvailable,
    #[error("Invalid password")]
    InvalidPassword,
    #[error("Room full")]
    Full,
    #[error("This room do not have any password.")]
    NoPassword,
    #[error("Room permission denied")]
    PermissionDenied,
    #[error("Did not join any room yet")]
    NotInRoom,
    #[error("User ID does not exist")]
    NoUser,
    #[error("Too many wrong passwords, try again later")]
    TooManyGuesses,
    #[error("Server full")]
    ServerFull,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub users: usize,
    /// Of them, those within their grace period.
    pub away: usize,
    pub rooms: usize,
}

struct Room<J> {
    owner: UserKey,
    /// Where it was opened from.
    opened_from: Whereabouts,
    /// Who has joined from the owner's whereabouts while the owner is away.
    successor: Option<UserKey>,
    /// In the order they came.
    participants: Vec<UserKey>,
    max_participants: usize,
    identifier: Option<String>,
    password: Option<Secret<String>>,
    session: J,
    one_way: bool,
    extra: J,
}

impl<J> Room<J> {
    fn is_full(&self) -> bool {
        self.participants.len() >= self.max_participants
    }
}

pub struct Rooms<J> {
    config: RoomsConfig,
    rng: StdRng,
    users: Users<J>,
    rooms: HashMap<RoomId, Room<J>>,
    broadcasts: Broadcasts<J>,
    descriptions: Descriptions,
    /// One for each user that is away.
    timers: BTreeSet<(Instant, UserKey)>,
    guesses: Guesses,
    admins: BTreeSet<ClientId>,
    /// When admins hear of changes; `None`: there are none to hear of.
    news_due: Option<Instant>,
    /// When they last did.
    news_sent: Option<Instant>,
    ledger: Ledger,
    outputs: VecDeque<Output<J>>,
}

impl<J: Opaque> Rooms<J> {
    /// `seed` is for the ids of users that name none.
    pub fn new(config: RoomsConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            rng: StdRng::from_seed(seed),
            users: Users::default(),
            rooms: HashMap::new(),
            broadcasts: Broadcasts::default(),
            descriptions: Descriptions::default(),
            timers: BTreeSet::new(),
            guesses: Guesses::new(GuessKind::RoomPassword, config.guesses, &GuessReports::default()),
            admins: BTreeSet::new(),
            news_due: None,
            news_sent: None,
            ledger: Ledger::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Wrong passwords are reported there.
    #[must_use]
    pub fn with_reports(mut self, reports: &GuessReports) -> Self {
        self.guesses = Guesses::new(GuessKind::RoomPassword, self.config.guesses, reports);
        self
    }

    /// Has what waits for users that are away counted in this.
    #[must_use]
    pub fn counted_in(self, ledger: Ledger) -> Self {
        Self { ledger, ..self }
    }

    /// A client is connected: as the user that it was before, where it proves that; else as a new one, under another id if the
    /// wished one is taken. Where there are as many as there may be, the one that has been away longest makes way, or else the newest of the
    /// site that has most.
    ///
    /// # Errors
    /// `ServerFull`, also for too many users from one network.
    pub fn handle_connect(&mut self, connection: ClientId, hello: Hello<J>, now: Instant) -> Result<(), Refusal> {
        if let Some(key) = hello.proof.and_then(|proof| self.users.by_proof(&proof)) {
            self.resume(key, connection);
            return Ok(());
        }
        if let Some(id) = &hello.id {
            self.release_id(id, hello.whereabouts, now);
        }
        let crowd = self.users.in_network(hello.from);
        if self.users.len() >= self.config.max_users && crowd < self.config.max_users_per_address {
            self.make_way(hello.from, now);
        }
        if self.users.len() >= self.config.max_users || crowd >= self.config.max_users_per_address {
            return Err(Refusal::ServerFull);
        }
        let taken = hello.id.clone().filter(|id| self.is_taken(id));
        let id = hello.id.clone().filter(|_| taken.is_none()).unwrap_or_else(|| self.unused_id());
        // The handshake names an id that is not this user's: it would prove somebody else's place.
        let proof = hello.proof.filter(|_| taken.is_none());
        let key = self.users.insert(User::new(id.clone(), connection, proof, hello));
        self.weigh(key);
        if let Some(taken) = taken {
            self.send(key, Event::IdTaken { taken, instead: id });
        }
        self.changed(now);
        Ok(())
    }

    fn make_way(&mut self, from: IpAddr, now: Instant) {
        let away = self.timers.first().map(|(_, key)| *key);
        let Some(key) = away.or_else(|| self.users.makes_way(from)) else { return };
        let connection = self.users[key].connection;
        self.remove(key, now);
        self.outputs.extend(connection.map(Output::Close));
    }

    /// A connection is gone without a word: the user's place is kept for the grace period, if it can prove that it is its own.
    pub fn handle_drop(&mut self, connection: ClientId, now: Instant) {
        self.admins.remove(&connection);
        let Some(key) = self.users.by_connection(connection) else { return };
        if self.users[key].proof.is_none() {
            self.remove(key, now);
            return;
        }
        let due = now + self.config.grace;
        self.users.connect(key, None);
        self.users[key].due = Some(due);
        self.timers.insert((due, key));
    }

    /// A client says farewell.
    pub fn handle_leave(&mut self, connection: ClientId, now: Instant) {
        self.admins.remove(&connection);
        if let Some(key) = self.users.by_connection(connection) {
            self.remove(key, now);
        }
    }

    /// Gives up the places whose grace is over, and tells admins the news.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(_, key)) = self.timers.first().filter(|(due, _)| *due <= now) {
            self.remove(key, now);
        }
        if self.news_due.is_some_and(|due| due <= now) {
            (self.news_due, self.news_sent) = (None, Some(now));
            for to in self.admins.clone() {
                self.tell_admin(to, None);
            }
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        let news = self.news_due.filter(|_| !self.admins.is_empty());
        self.timers.first().map(|(due, _)| *due).into_iter().chain(news).min()
    }

    pub fn poll_output(&mut self) -> Option<Output<J>> {
        self.outputs.pop_front()
    }

    pub fn counts(&self) -> Counts {
        Counts { users: self.users.len(), away: self.users.away(), rooms: self.rooms.len() }
    }

    /// A user takes another id; `false`: it is somebody else's, and the user is told so.
    pub fn handle_rename(&mut self, connection: ClientId, id: UserId, now: Instant) -> bool {
        let Some(key) = self.users.by_connection(connection) else { return false };
        let old = self.users[key].id.clone();
        if old == id {
            return true;
        }
        self.release_id(&id, self.users[key].whereabouts, now);
        if self.is_taken(&id) || !self.users.rename(key, id.clone()) {
            self.send(key, Event::IdTaken { taken: id, instead: old });
            return false;
        }
        self.changed(now);
        true
    }

    fn is_taken(&self, id: &str) -> bool {
        id == "admin" || reserved_names::is_property_of_peers(id) || self.users.by_id(id).is_some()
    }

    fn unused_id(&mut self) -> UserId {
        loop {
            let id = self.rng.random_range(1_000_000_000_000_000_u64..10_000_000_000_000_000).to_string();
            if self.users.by_id(&id).is_none() {
                return id.into();
            }
        }
    }

    /// A user is back, or has a new connection while the old one seems to live.
    fn resume(&mut self, key: UserKey, connection: ClientId) {
        if let Some(old) = self.users.connect(key, Some(connection)) {
            self.outputs.push_back(Output::Close(old));
        }
        let user = &mut self.users[key];
        user.came_back = true;
        if let Some(due) = user.due.take() {
            self.timers.remove(&(due, key));
        }
        if let Some(room) = user.room.as_ref().and_then(|room| self.rooms.get_mut(room)).filter(|room| room.owner == key) {
            room.successor = None;
        }
        let waiting = user.take_waiting();
        self.outputs.extend(waiting.map(|event| Output::Send { to: connection, event }));
    }

    fn remove(&mut self, key: UserKey, now: Instant) {
        for peer in self.users[key].peers.clone() {
            self.part(key, peer);
        }
        self.leave_room(key);
        self.leave_broadcast(key);
        if let Some(due) = self.users.remove(key).and_then(|user| user.due) {
            self.timers.remove(&(due, key));
        }
        self.weigh(key);
        self.changed(now);
    }

    fn send(&mut self, to: UserKey, event: Event<J>) {
        let user = &mut self.users[to];
        match user.connection {
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
