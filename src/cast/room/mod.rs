//! All rooms of the cast flow as one state machine. PURE: no socket, no clock, no lock.
//!
//! Owner: the gateway, by value behind its lock. Inputs: `handle_*`, each with the time; their return value is the verdict
//! (it becomes the ack). Outputs: [`Rooms::poll_output`], drained after every input; [`Rooms::next_timeout`] says when
//! [`Rooms::handle_timeout`] is due.
//!
//! Invariants:
//! - A code is live from `handle_open` until its TV leaves, its grace ends or the code changes (`new_code`), and nothing but the TV's
//!   resume token (or the device token it came with) takes it over.
//! - A connection has at most one seat. Signals go from a caster's seat to its TV's and back, never anywhere else.
//! - Whatever waits for a side that is away is bounded (`mailbox`), and so is every table: TVs in all and by address (`places`), and
//!   those that wait for a code (`arrivals`).

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod arrivals;
mod casters;
mod guessing;
mod model;
mod new_code;
mod places;
mod signals;
mod tvs;

use crate::socketio::client_id::ClientId;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::code::{Code, Role, TokenKey};
use crate::clock::WallClock;
use crate::limits::guesses::{GuessKind, GuessReports, Guesses};
use crate::limits::waiting_bytes::Ledger;
use arrivals::Arrivals;
use model::{Caster, Room, Seat};
use new_code::RetiredCodes;
use places::Places;

pub use super::mailbox::Signal;
pub use model::{Departure, Dialect, Full, Join, NewCodeReason, Notice, Open, Opened, Output, Refusal, RoomsConfig, Seated};

/// How often the TV of a room may come back or ask again, and casters may join with a proof: so often at once, and once more each
/// interval. Everybody in the room hears of each.
const MOVES: (u32, Duration) = (20, Duration::from_secs(1));

pub struct Rooms<P> {
    config: RoomsConfig,
    key: TokenKey,
    clock: WallClock,
    rng: StdRng,
    rooms: HashMap<Code, Room<P>>,
    /// Who sits where; agrees with the `connection` of the seats.
    seats: HashMap<ClientId, (Code, Role)>,
    timers: BTreeSet<(Instant, Code, bool)>,
    /// When codes change; agrees with `armed` of the rooms.
    changes: BTreeSet<(Instant, Code)>,
    retired: RetiredCodes,
    places: Places,
    arrivals: Arrivals,
    /// TVs that made way, ever.
    evicted: u64,
    guesses: Guesses,
    claims: Guesses,
    ledger: Ledger,
    outputs: VecDeque<Output<P>>,
}

impl<P: Send + 'static> Rooms<P> {
    /// `key` signs resume tokens and should survive restarts; `seed` is for codes and tokens and must be unpredictable; `clock`
    /// dates tokens.
    pub fn new(config: RoomsConfig, key: TokenKey, seed: [u8; 32], clock: WallClock) -> Self {
        Self {
            config,
            key,
            clock,
            rng: StdRng::from_seed(seed),
            rooms: HashMap::new(),
            seats: HashMap::new(),
            timers: BTreeSet::new(),
            changes: BTreeSet::new(),
            retired: RetiredCodes::default(),
            places: Places::new(config.max_rooms),
            arrivals: Arrivals::new(),
            evicted: 0,
            guesses: Guesses::new(GuessKind::Code, config.guesses, &GuessReports::default()),
            claims: Guesses::of_all_clients(GuessKind::Code, guessing::CLAIMS),
            ledger: Ledger::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Has what waits for clients that are away counted in this.
    #[must_use]
    pub fn counted_in(self, ledger: Ledger) -> Self {
        Self { ledger, ..self }
    }

    /// A client leaves on purpose: a TV ends its room, a caster frees the TV.
    ///
    /// # Errors
    /// `NotInRoom`.
    pub fn handle_leave(&mut self, connection: ClientId, now: Instant) -> Result<(), Refusal> {
        match self.seats.get(&connection) {
            None if self.arrivals.remove(connection) => Ok(()),
            None => Err(Refusal::NotInRoom),
            Some(&(code, Role::Tv)) => {
                self.close(code, Departure::Left);
                Ok(())
            }
            Some((_, Role::Caster)) => {
                self.remove_caster_of(connection, Departure::Left, now);
                Ok(())
            }
        }
    }

    /// A connection is gone; its seat is kept for the grace period.
    pub fn handle_drop(&mut self, connection: ClientId, now: Instant) {
        self.arrivals.remove(connection);
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
        self.arm_change(code);
        self.rank(code, now);
        match role {
            Role::Tv => self.notify_caster(code, Notice::TvAway),
            Role::Caster => self.notify_tv(code, Notice::CasterAway),
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        let (seat, change) = (self.timers.first().map(|(due, ..)| *due), self.changes.first().map(|(due, _)| *due));
        seat.into_iter().chain(change).chain(self.arrivals.due()).min()
    }

    /// Ends what has been away too long, asks for fresh credentials, changes codes, and gives codes to TVs that waited.
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
                self.remove_caster(code, Departure::Lost, now);
            }
        }
        self.change_due_codes(now);
        self.serve_arrivals(now);
    }

    /// What is to be sent next, in order.
    pub fn poll_output(&mut self) -> Option<Output<P>> {
        self.outputs.pop_front()
    }

    /// The wall clock has been set: tokens that are made from now on bear its time, and so do the fresh credentials that everybody gets
    /// who takes them unasked.
    pub fn handle_clock(&mut self, clock: WallClock) {
        self.clock = clock;
        self.handle_new_secret();
    }

    /// What tokens are dated by.
    pub const fn clock(&self) -> WallClock {
        self.clock
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

    /// How many TVs wait for a code, and how many ever made way for another one.
    pub fn waiting_and_evicted(&self) -> (usize, u64) {
        (self.arrivals.len(), self.evicted)
    }

    /// Seats a connection and starts the clock of its credentials.
    fn seat(&mut self, code: Code, role: Role, connection: ClientId, dialect: Dialect, now: Instant) -> Seat {
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

    /// Ends a room: its code is free again.
    fn close(&mut self, code: Code, why: Departure) {
        self.notify_caster(code, Notice::TvLeft { why });
        let Some(room) = self.rooms.remove(&code) else { return };
        self.places.leave(&room.entry);
        self.vacate(code, Role::Tv, &room.tv);
        self.retire_after_cast(code, &room);
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
}

fn credentials_due<P>(to: ClientId, dialect: Dialect) -> Option<Output<P>> {
    dialect.takes_credentials_unasked().then_some(Output::Notify { to, dialect, notice: Notice::Credentials })
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
