//! All rooms of the cast flow as one state machine. PURE: no socket, no clock, no lock.
//!
//! Owner: the gateway, by value behind its lock. Inputs: `handle_*`, each with the time; their return value is the verdict
//! (it becomes the ack). Outputs: [`Rooms::poll_output`], drained after every input; [`Rooms::next_timeout`] says when
//! [`Rooms::handle_timeout`] is due.
//!
//! Invariants:
//! - A code is live from `handle_open` until its TV leaves or its grace ends, and nothing but the TV's resume token (or the
//!   device token it came with) takes it over.
//! - A connection has at most one seat. Signals go from a caster's seat to its TV's and back, never anywhere else.
//! - Whatever waits for a side that is away is bounded (`mailbox`), and so is every table.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod guessing;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha256};

use super::code::{Code, CodeAlphabet, Role, TokenKey};
use super::mailbox::Mailbox;
use crate::limits::guesses::{Guesses, Kind, Reports};
use crate::quota::ByteQuota;

pub use super::mailbox::Signal;

/// Bytes that wait for clients that are away, in all rooms together. One room has a MiB and a quarter in each direction at most.
const MAX_WAITING_BYTES: usize = 256 << 20;

/// Names one client connection, for as long as it lives; given by the gateway.
pub type ConnectionId = u64;

/// Which event names and wrappings a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `TV_INIT`, `JOIN_ROOM`, …: bare payloads.
    A,
    /// `TV_REGISTER`, `CONNECT_TO_TV`, …: wrapped payloads.
    B,
}

impl Dialect {
    /// Whether its front ends take ICE servers that they have not asked for. The published caster of dialect B begins a new cast at each
    /// of them.
    pub const fn takes_credentials_unasked(self) -> bool {
        matches!(self, Self::A)
    }
}

/// How the rooms are run.
#[derive(Debug, Clone, Copy)]
pub struct RoomsConfig {
    pub alphabet: CodeAlphabet,
    /// How long a dropped TV or caster keeps its seat.
    pub grace: Duration,
    /// Whether a second caster replaces one that is there.
    pub takeover: bool,
    pub max_rooms: usize,
    /// Wrong codes that one address may try in a minute.
    pub guesses: u32,
    /// How long after credentials were issued fresh ones are due.
    pub refresh: Duration,
}

/// A TV that wants a code.
#[derive(Debug, Clone, Copy)]
pub struct Open<'a> {
    pub connection: ConnectionId,
    pub dialect: Dialect,
    /// For counting wrong guesses: a code that is live is not given to whoever names it.
    pub from: IpAddr,
    /// The code it had before; kept where it can prove that, or (dialect B) where the code is free.
    pub code: Option<&'a str>,
    /// A resume token of ours, or a device token of somebody else's.
    pub token: Option<&'a str>,
    /// The page that reconnects still shows the picture.
    pub live: bool,
}

/// A caster that wants to cast.
#[derive(Debug, Clone, Copy)]
pub struct Join<'a> {
    pub connection: ConnectionId,
    pub dialect: Dialect,
    /// For counting wrong guesses.
    pub from: IpAddr,
    pub code: &'a str,
    pub token: Option<&'a str>,
    pub username: Option<&'a str>,
}

/// A seat was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seated {
    pub code: Code,
    pub resume_token: String,
    /// It is the seat that the client had before.
    pub resumed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no TV shows this code; check the code on the TV")]
    UnknownCode,
    #[error("somebody else is casting to this TV")]
    RoomFull,
    #[error("this server has as many TVs as it may have; try again later")]
    ServerFull,
    #[error("too many wrong codes; wait before you try again")]
    TooManyAttempts {
        /// Until the next try is looked at.
        wait: Duration,
    },
    #[error("not in a room; send TV_INIT or JOIN_ROOM first")]
    NotInRoom,
    #[error("no caster is there to hear this")]
    NoCaster,
    #[error("this belongs to the other side of the room")]
    WrongRole,
    #[error("too many candidates wait for the other side")]
    TooManyWaiting,
    #[error("the other side is away, and as much waits on this server as may; send this again when the other side is back")]
    NoSpace,
}

/// Why somebody is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    Left,
    /// Its connection dropped and the grace period is over.
    Lost,
    TakenOver,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// To a TV.
    CasterJoined {
        username: Option<String>,
        resumed: bool,
    },
    CasterAway,
    CasterLeft {
        username: Option<String>,
        why: Departure,
    },
    /// To a caster.
    TvAway,
    /// `reloaded`: the TV has lost the picture and needs a new offer.
    TvBack {
        reloaded: bool,
    },
    TvLeft {
        why: Departure,
    },
    TakenOver,
    /// To either: another connection has proved that the seat is its own.
    Replaced,
    /// To either side of dialect A: fresh TURN credentials are due.
    Credentials,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<P> {
    Deliver { to: ConnectionId, dialect: Dialect, signal: Signal<P> },
    Notify { to: ConnectionId, dialect: Dialect, notice: Notice },
}

/// Where a client sits; it outlives the connection by the grace period.
struct Seat {
    connection: Option<ConnectionId>,
    dialect: Dialect,
    /// The one entry in `timers` about this seat: credentials while connected, grace while not.
    due: Instant,
}

struct Room<P> {
    tv: Seat,
    tv_token: String,
    /// SHA-256 of the device token that the TV came with.
    device: Option<[u8; 32]>,
    /// The TV named this free code without any proof, so whoever has a proof takes it back.
    claimed: bool,
    caster: Option<Caster>,
    /// The TV may still be answering a caster that is gone: what it says is not for the present one before its offer.
    answering_another: bool,
    /// The TV has been reloaded while the caster was away.
    reloaded: bool,
    to_tv: Mailbox<P>,
    to_caster: Mailbox<P>,
}

struct Caster {
    seat: Seat,
    token: String,
    username: Option<String>,
}

pub struct Rooms<P> {
    config: RoomsConfig,
    key: TokenKey,
    rng: StdRng,
    rooms: HashMap<Code, Room<P>>,
    /// Who sits where; agrees with the `connection` of the seats.
    seats: HashMap<ConnectionId, (Code, Role)>,
    timers: BTreeSet<(Instant, Code, bool)>,
    guesses: Guesses,
    claims: Guesses,
    waiting: ByteQuota,
    outputs: VecDeque<Output<P>>,
}

impl<P> Rooms<P> {
    /// `key` signs resume tokens and should survive restarts; `seed` is for codes and tokens and must be unpredictable.
    pub fn new(config: RoomsConfig, key: TokenKey, seed: [u8; 32]) -> Self {
        Self {
            config,
            key,
            rng: StdRng::from_seed(seed),
            rooms: HashMap::new(),
            seats: HashMap::new(),
            timers: BTreeSet::new(),
            guesses: Guesses::new(Kind::Code, config.guesses, &Reports::default()),
            claims: Guesses::together(Kind::Code, guessing::CLAIMS),
            waiting: ByteQuota::new(MAX_WAITING_BYTES),
            outputs: VecDeque::new(),
        }
    }

    /// A TV wants a code: the one it had, if it can prove that, or a new one.
    ///
    /// # Errors
    /// `ServerFull`; `WrongRole` for a connection that is casting.
    pub fn handle_open(&mut self, open: Open<'_>, now: Instant) -> Result<Seated, Refusal> {
        let device = open.token.filter(|token| !token.is_empty()).map(|token| Sha256::digest(token).into());
        let wanted = open.code.and_then(|code| Code::parse(code, self.config.alphabet));
        let issued = open.token.and_then(|token| Some((self.key.verify(Role::Tv, token, self.config.alphabet)?, token)));
        let wanted = wanted.filter(|code| issued.is_some() || self.may_claim(*code, &open, now));
        let claim = issued.map(|(code, _)| code).or(wanted);
        let live = claim.and_then(|code| self.rooms.get(&code));
        let proved = live.is_some_and(|room| match issued {
            Some((_, token)) => room.tv_token == token,
            None => device.is_some() && room.device == device,
        });
        let free = live.is_none() || (issued.is_some() && live.is_some_and(|room| room.claimed));
        match self.seats.get(&open.connection).copied() {
            Some((_, Role::Caster)) => return Err(Refusal::WrongRole),
            Some((code, Role::Tv)) => {
                // It came in with a new code and now asks for the one it had before (TV_REGISTER, then TV_GETINFO).
                let moves = claim.is_some_and(|claim| claim != code) && (proved || free);
                if !moves || self.rooms[&code].caster.is_some() {
                    return Ok(self.seated_tv(code, true));
                }
                self.close(code, Departure::Left);
            }
            None => {}
        }
        if let Some(code) = claim {
            if proved {
                self.resume_tv(code, open, now);
                return Ok(self.seated_tv(code, true));
            }
            if free {
                if self.rooms.contains_key(&code) {
                    self.replace_tv(code);
                }
            } else if issued.is_none() {
                // Otherwise this would tell which codes are live, as often as one likes.
                if let Some(wait) = self.guesses.blocked_for(open.from, now) {
                    return Err(Refusal::TooManyAttempts { wait });
                }
                self.guesses.record(open.from, now);
            }
        }
        if self.rooms.len() >= self.config.max_rooms {
            return Err(Refusal::ServerFull);
        }
        let (code, tv_token, resumed) = match (claim.filter(|_| free), issued) {
            // Ours from before a restart, or from before the grace ended: the code and the token stay what they were.
            (Some(code), Some((_, token))) => (code, token.to_owned(), true),
            (Some(code), None) if open.dialect == Dialect::B => (code, self.key.issue(Role::Tv, code, &mut self.rng), false),
            _ => {
                let code = self.unused_code();
                (code, self.key.issue(Role::Tv, code, &mut self.rng), false)
            }
        };
        let claimed = issued.is_none() && claim == Some(code);
        let tv = self.seat(code, Role::Tv, open.connection, open.dialect, now);
        let room = Room {
            tv,
            tv_token,
            device: device.filter(|_| issued.is_none()),
            claimed,
            caster: None,
            answering_another: false,
            reloaded: false,
            to_tv: Mailbox::default(),
            to_caster: Mailbox::default(),
        };
        self.rooms.insert(code, room);
        Ok(self.seated_tv(code, resumed))
    }

    /// A caster wants to cast to the TV that shows `code`.
    ///
    /// # Errors
    /// `UnknownCode` (counted per address, unless the caster proves that it had the code from us), `TooManyAttempts`,
    /// `RoomFull`; `WrongRole` for a connection that is a TV.
    pub fn handle_join(&mut self, join: Join<'_>, now: Instant) -> Result<Seated, Refusal> {
        if let Some((_, Role::Tv)) = self.seats.get(&join.connection) {
            return Err(Refusal::WrongRole);
        }
        let code = Code::parse(join.code, self.config.alphabet);
        let issued = |token| self.key.verify(Role::Caster, token, self.config.alphabet);
        let proved = join.token.filter(|token| code.is_some() && issued(token) == code);
        if proved.is_none()
            && let Some(wait) = self.guesses.blocked_for(join.from, now)
        {
            return Err(Refusal::TooManyAttempts { wait });
        }
        let Some((code, room)) = code.and_then(|code| Some((code, self.rooms.get(&code)?))) else {
            if proved.is_none() {
                self.guesses.record(join.from, now);
            }
            return Err(Refusal::UnknownCode);
        };
        let its_own = proved.is_some_and(|token| room.caster.as_ref().is_none_or(|caster| caster.token == token));
        if room.caster.as_ref().is_some_and(|caster| caster.seat.connection == Some(join.connection)) {
            return Ok(self.join_again(code, &join));
        }
        if room.caster.is_some() && !its_own && !self.config.takeover {
            return Err(Refusal::RoomFull);
        }
        // A seat in another room is given up only now that this one is certain.
        if self.seats.get(&join.connection).is_some_and(|(elsewhere, _)| *elsewhere != code) {
            self.remove_caster_of(join.connection, Departure::Left);
        }
        self.replace_caster(code, join.connection, its_own);
        let token = match proved.filter(|_| its_own) {
            Some(token) => token.to_owned(),
            None => self.key.issue(Role::Caster, code, &mut self.rng),
        };
        let username = join.username.map(str::to_owned);
        let seat = self.seat(code, Role::Caster, join.connection, join.dialect, now);
        let room = self.rooms.get_mut(&code).expect("looked up above");
        room.caster = Some(Caster { seat, token: token.clone(), username: username.clone() });
        let reloaded = std::mem::take(&mut room.reloaded);
        let tv_is_there = room.tv.connection.is_some();
        if !its_own {
            room.answering_another |= room.to_caster.is_open();
            room.to_tv = Mailbox::default();
            room.to_caster = Mailbox::default();
        }
        self.notify_tv(code, Notice::CasterJoined { username, resumed: its_own });
        if !tv_is_there {
            self.notify_caster(code, Notice::TvAway);
        } else if its_own && reloaded {
            self.notify_caster(code, Notice::TvBack { reloaded });
        }
        self.flush(code);
        Ok(Seated { code, resume_token: token, resumed: its_own })
    }

    /// The connection that has the caster's seat joins once more: nothing changes but how it is spoken to.
    fn join_again(&mut self, code: Code, join: &Join<'_>) -> Seated {
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let caster = room.caster.as_mut().expect("the caller looked it up");
        caster.seat.dialect = join.dialect;
        if join.username.is_some() {
            caster.username = join.username.map(str::to_owned);
        }
        Seated { code, resume_token: caster.token.clone(), resumed: true }
    }

    /// A client sends its room's other side something of so many bytes.
    ///
    /// # Errors
    /// `NotInRoom`; `NoCaster`; `WrongRole` for a TV's offer or a caster's answer; `TooManyWaiting`; `NoSpace`.
    pub fn handle_signal(&mut self, from: ConnectionId, signal: Signal<P>, bytes: usize) -> Result<(), Refusal> {
        let &(code, role) = self.seats.get(&from).ok_or(Refusal::NotInRoom)?;
        let room = self.rooms.get_mut(&code).expect("a seat is in a live room");
        let (mailbox, to) = match (role, &signal) {
            (Role::Caster, Signal::Offer(_) | Signal::Candidate(_)) => (&mut room.to_tv, room.tv.connection),
            (Role::Tv, Signal::Answer(_) | Signal::Candidate(_)) => {
                let caster = room.caster.as_ref().ok_or(Refusal::NoCaster)?;
                if room.answering_another {
                    return Ok(());
                }
                (&mut room.to_caster, caster.seat.connection)
            }
            (Role::Caster, Signal::Answer(_)) | (Role::Tv, Signal::Offer(_)) => return Err(Refusal::WrongRole),
        };
        let waits = to.is_none() || !mailbox.passes(&signal);
        let held = if waits { Some(self.waiting.take(bytes).ok_or(Refusal::NoSpace)?) } else { None };
        let is_offer = matches!(signal, Signal::Offer(_));
        let fits = mailbox.put(signal, bytes, held);
        if is_offer {
            room.answering_another = false;
            room.to_caster.open();
        }
        self.flush(code);
        if fits { Ok(()) } else { Err(Refusal::TooManyWaiting) }
    }

    /// The connection of the other side of a client's room.
    pub fn other_side(&self, connection: ConnectionId) -> Option<ConnectionId> {
        let &(code, role) = self.seats.get(&connection)?;
        let room = self.rooms.get(&code)?;
        match role {
            Role::Tv => room.caster.as_ref()?.seat.connection,
            Role::Caster => room.tv.connection,
        }
    }

    /// A client leaves on purpose: a TV ends its room, a caster frees the TV.
    ///
    /// # Errors
    /// `NotInRoom`.
    pub fn handle_leave(&mut self, connection: ConnectionId) -> Result<(), Refusal> {
        match self.seats.get(&connection) {
            None => Err(Refusal::NotInRoom),
            Some(&(code, Role::Tv)) => {
                self.close(code, Departure::Left);
                Ok(())
            }
            Some((_, Role::Caster)) => {
                self.remove_caster_of(connection, Departure::Left);
                Ok(())
            }
        }
    }

    /// A connection is gone; its seat is kept for the grace period.
    pub fn handle_drop(&mut self, connection: ConnectionId, now: Instant) {
        let Some((code, role)) = self.seats.remove(&connection) else { return };
        let room = self.rooms.get_mut(&code).expect("a seat is in a live room");
        let seat = match role {
            Role::Tv => &mut room.tv,
            Role::Caster => &mut room.caster.as_mut().expect("a caster's seat is in its room").seat,
        };
        self.timers.remove(&(seat.due, code, role == Role::Tv));
        seat.connection = None;
        seat.due = now + self.config.grace;
        self.timers.insert((seat.due, code, role == Role::Tv));
        match role {
            Role::Tv => self.notify_caster(code, Notice::TvAway),
            Role::Caster => self.notify_tv(code, Notice::CasterAway),
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, ..)| *due)
    }

    /// Ends what has been away too long and asks for fresh credentials.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, code, is_tv)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            let room = self.rooms.get_mut(&code).expect("a timer is of a live room");
            let seat = if is_tv { &mut room.tv } else { &mut room.caster.as_mut().expect("a timer is of a live seat").seat };
            if let Some(to) = seat.connection {
                seat.due = now + self.config.refresh;
                self.timers.insert((seat.due, code, is_tv));
                self.outputs.extend(credentials_due(to, seat.dialect));
            } else if is_tv {
                self.close(code, Departure::Lost);
            } else {
                self.remove_caster(code, Departure::Lost);
            }
        }
    }

    /// What is to be sent next, in order.
    pub fn poll_output(&mut self) -> Option<Output<P>> {
        self.outputs.pop_front()
    }

    /// Whether `token` is a TV's resume token of ours: its bearer is no stranger.
    pub fn knows_tv(&self, token: &str) -> bool {
        self.key.verify(Role::Tv, token, self.config.alphabet).is_some()
    }

    /// Whether `token` is a resume token of ours for casting to `code`.
    pub fn knows_caster(&self, token: &str, code: &str) -> bool {
        let code = Code::parse(code, self.config.alphabet);
        code.is_some() && self.key.verify(Role::Caster, token, self.config.alphabet) == code
    }

    /// What signs credentials has changed: everybody who takes them unasked gets fresh ones.
    pub fn handle_new_secret(&mut self) {
        for room in self.rooms.values() {
            let caster = room.caster.as_ref().map(|caster| &caster.seat);
            for seat in [Some(&room.tv), caster].into_iter().flatten() {
                self.outputs.extend(seat.connection.and_then(|to| credentials_due(to, seat.dialect)));
            }
        }
    }

    /// How many TVs have a code.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    fn seated_tv(&self, code: Code, resumed: bool) -> Seated {
        Seated { code, resume_token: self.rooms[&code].tv_token.clone(), resumed }
    }

    fn unused_code(&mut self) -> Code {
        loop {
            let code = Code::random(self.config.alphabet, &mut self.rng);
            if !self.rooms.contains_key(&code) {
                return code;
            }
        }
    }

    /// Seats a connection and starts the clock of its credentials.
    fn seat(&mut self, code: Code, role: Role, connection: ConnectionId, dialect: Dialect, now: Instant) -> Seat {
        self.seats.insert(connection, (code, role));
        let due = now + self.config.refresh;
        self.timers.insert((due, code, role == Role::Tv));
        Seat { connection: Some(connection), dialect, due }
    }

    /// Frees a seat's connection and timer.
    fn vacate(&mut self, code: Code, role: Role, seat: &Seat) {
        self.timers.remove(&(seat.due, code, role == Role::Tv));
        if let Some(connection) = seat.connection {
            self.seats.remove(&connection);
        }
    }

    fn resume_tv(&mut self, code: Code, open: Open<'_>, now: Instant) {
        let seat = self.seat(code, Role::Tv, open.connection, open.dialect, now);
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let old = std::mem::replace(&mut room.tv, seat);
        let kept = room.tv.due;
        self.vacate(code, Role::Tv, &old);
        // Both seats may be due at the same instant, which is one entry in the set.
        self.timers.insert((kept, code, true));
        if let Some(to) = old.connection {
            self.outputs.push_back(Output::Notify { to, dialect: old.dialect, notice: Notice::Replaced });
        }
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        if !open.live {
            room.to_tv.expect_offer();
        }
        match &room.caster {
            Some(Caster { seat: Seat { connection: Some(_), .. }, username, .. }) => {
                let joined = Notice::CasterJoined { username: username.clone(), resumed: true };
                self.notify_tv(code, joined);
                self.notify_caster(code, Notice::TvBack { reloaded: !open.live });
            }
            Some(_) => {
                room.reloaded |= !open.live;
                self.notify_tv(code, Notice::CasterAway);
            }
            None => {}
        }
        self.flush(code);
    }

    /// Ends a room whose TV only named its code, in favour of one that can prove it.
    fn replace_tv(&mut self, code: Code) {
        let seat = &self.rooms[&code].tv;
        if let Some(to) = seat.connection {
            self.outputs.push_back(Output::Notify { to, dialect: seat.dialect, notice: Notice::Replaced });
        }
        self.close(code, Departure::Left);
    }

    /// Makes way for a caster: `its_own` seat moves over silently, somebody else is told and the TV too.
    fn replace_caster(&mut self, code: Code, by: ConnectionId, its_own: bool) {
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let Some(old) = room.caster.take() else { return };
        self.vacate(code, Role::Caster, &old.seat);
        if let Some(to) = old.seat.connection.filter(|&to| to != by) {
            let notice = if its_own { Notice::Replaced } else { Notice::TakenOver };
            self.outputs.push_back(Output::Notify { to, dialect: old.seat.dialect, notice });
        }
        if !its_own && old.seat.connection != Some(by) {
            self.notify_tv(code, Notice::CasterLeft { username: old.username, why: Departure::TakenOver });
        }
    }

    fn remove_caster_of(&mut self, connection: ConnectionId, why: Departure) {
        if let Some(&(code, Role::Caster)) = self.seats.get(&connection) {
            self.remove_caster(code, why);
        }
    }

    fn remove_caster(&mut self, code: Code, why: Departure) {
        let room = self.rooms.get_mut(&code).expect("a caster is in a live room");
        let Some(caster) = room.caster.take() else { return };
        room.answering_another |= room.to_caster.is_open();
        room.reloaded = false;
        room.to_tv = Mailbox::default();
        room.to_caster = Mailbox::default();
        self.vacate(code, Role::Caster, &caster.seat);
        self.notify_tv(code, Notice::CasterLeft { username: caster.username, why });
    }

    /// Ends a room: its code is free again.
    fn close(&mut self, code: Code, why: Departure) {
        self.notify_caster(code, Notice::TvLeft { why });
        let Some(room) = self.rooms.remove(&code) else { return };
        self.vacate(code, Role::Tv, &room.tv);
        if let Some(caster) = room.caster {
            self.vacate(code, Role::Caster, &caster.seat);
        }
    }

    fn notify_tv(&mut self, code: Code, notice: Notice) {
        let seat = &self.rooms[&code].tv;
        if let Some(to) = seat.connection {
            self.outputs.push_back(Output::Notify { to, dialect: seat.dialect, notice });
        }
    }

    fn notify_caster(&mut self, code: Code, notice: Notice) {
        let Some(Caster { seat, .. }) = &self.rooms[&code].caster else { return };
        if let Some(to) = seat.connection {
            self.outputs.push_back(Output::Notify { to, dialect: seat.dialect, notice });
        }
    }

    /// Delivers what waits in a room to the sides that are there.
    fn flush(&mut self, code: Code) {
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let caster = room.caster.as_ref().map(|caster| &caster.seat);
        for (seat, mailbox) in [(Some(&room.tv), &mut room.to_tv), (caster, &mut room.to_caster)] {
            let Some((dialect, to)) = seat.and_then(|seat| Some((seat.dialect, seat.connection?))) else { continue };
            self.outputs.extend(std::iter::from_fn(|| mailbox.take()).map(|signal| Output::Deliver { to, dialect, signal }));
        }
    }
}

fn credentials_due<P>(to: ConnectionId, dialect: Dialect) -> Option<Output<P>> {
    dialect.takes_credentials_unasked().then_some(Output::Notify { to, dialect, notice: Notice::Credentials })
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
