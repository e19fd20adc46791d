//! The tables of the cast rooms and their seats; leaving, dropping and time-outs. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::capacity::Capacity;
use super::guess_limits::GuessLimits;
use super::retired_codes::RetiredCodes;
use super::state::{Caster, Room, Seat};
use super::waiting_tvs::WaitingTvs;
use crate::cast::code::Code;
use crate::cast::model::{CastEnd, CastEvent, Dialect, LeaveReason, Notice, Output, Refusal, RoomsConfig};
use crate::cast::resume_token::{Role, TokenKey};
use crate::clock::WallClock;
use crate::limits::guesses::GuessReports;
use crate::limits::waiting_bytes::Ledger;
use crate::room_driver::numbers::Numbers;
use crate::socketio::gateway::client_id::ClientId;

pub struct Rooms<P> {
    pub(super) config: RoomsConfig,
    pub(super) key: TokenKey,
    pub(super) clock: WallClock,
    pub(super) rng: StdRng,
    pub(super) rooms: HashMap<Code, Room<P>>,
    /// The seat of each connected client; agrees with the `client` of the seats.
    pub(super) seats: HashMap<ClientId, (Code, Role)>,
    pub(super) timers: BTreeSet<SeatTimer>,
    /// When codes change; agrees with `scheduled_change` of the rooms.
    pub(super) code_changes: BTreeSet<(Instant, Code)>,
    pub(super) retired_codes: RetiredCodes,
    pub(super) capacity: Capacity,
    pub(super) numbers: Numbers<Code>,
    pub(super) waiting_tvs: WaitingTvs,
    pub(super) evicted: u64,
    pub(super) guess_limits: GuessLimits,
    pub(super) ledger: Ledger,
    pub(super) outputs: VecDeque<Output<P>>,
    pub(super) cast_events: VecDeque<CastEvent>,
}

/// When a seat's credentials or its grace period end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeatTimer {
    pub(super) due: Instant,
    pub(super) code: Code,
    pub(super) is_tv: bool,
}

impl<P: Send + 'static> Rooms<P> {
    /// `key` signs resume tokens and should survive restarts; `seed` is for codes and tokens and must be unpredictable; `clock` dates the
    /// tokens.
    pub fn new(config: RoomsConfig, key: TokenKey, seed: [u8; 32], clock: WallClock) -> Self {
        Self {
            config,
            key,
            clock,
            rng: StdRng::from_seed(seed),
            rooms: HashMap::new(),
            seats: HashMap::new(),
            timers: BTreeSet::new(),
            code_changes: BTreeSet::new(),
            retired_codes: RetiredCodes::default(),
            capacity: Capacity::new(config.max_rooms),
            numbers: Numbers::default(),
            waiting_tvs: WaitingTvs::new(),
            evicted: 0,
            guess_limits: GuessLimits::new(config.max_wrong_codes_per_minute, &GuessReports::default()),
            ledger: Ledger::default(),
            outputs: VecDeque::new(),
            cast_events: VecDeque::new(),
        }
    }

    /// Reports wrong codes to `reports`.
    #[must_use]
    pub fn with_reports(self, reports: &GuessReports) -> Self {
        Self { guess_limits: GuessLimits::new(self.config.max_wrong_codes_per_minute, reports), ..self }
    }

    /// Counts in `ledger` what waits for clients that are away.
    #[must_use]
    pub fn with_ledger(self, ledger: Ledger) -> Self {
        Self { ledger, ..self }
    }

    /// Its numbers go on after those of `before`, which these rooms replace.
    #[must_use]
    pub fn instead_of(self, before: &Self) -> Self {
        Self { numbers: Numbers::continued_from(&before.numbers), ..self }
    }

    /// A client leaves on purpose: a TV ends its room, a caster frees its TV.
    ///
    /// # Errors
    /// `NotInRoom`.
    pub fn handle_leave(&mut self, client: ClientId, now: Instant) -> Result<(), Refusal> {
        match self.seats.get(&client) {
            None if self.waiting_tvs.remove(client) => Ok(()),
            None => Err(Refusal::NotInRoom),
            Some(&(code, Role::Tv)) => {
                self.close_room(code, LeaveReason::Left);
                Ok(())
            }
            Some((_, Role::Caster)) => {
                self.remove_caster_of(client, LeaveReason::Left, now);
                Ok(())
            }
        }
    }

    /// A client's connection dropped: its seat is kept for the grace period.
    pub fn handle_drop(&mut self, client: ClientId, now: Instant) {
        self.waiting_tvs.remove(client);
        let Some((code, role)) = self.seats.remove(&client) else { return };
        let due = now + self.config.grace;
        self.change_seat(code, role, |seat| {
            seat.client = None;
            seat.due = due;
        });
        self.schedule_code_change(code);
        self.update_eviction_class(code, now);
        match role {
            Role::Tv => self.notify_caster(code, Notice::TvAway),
            Role::Caster => self.notify_tv(code, Notice::CasterAway),
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        let seat = self.timers.first().map(|timer| timer.due);
        let change = self.code_changes.first().map(|(due, _)| *due);
        seat.into_iter().chain(change).chain(self.waiting_tvs.next_timeout()).min()
    }

    /// Ends the seats whose grace period is over, asks for fresh credentials, changes codes, and gives codes to TVs that waited.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&SeatTimer { due, code, is_tv }) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            let room = self.rooms.get_mut(&code).expect("a timer belongs to a live room");
            let seat = if is_tv { &mut room.tv } else { &mut room.caster.as_mut().expect("a timer belongs to a live seat").seat };
            if let Some(to) = seat.client {
                seat.due = now + self.config.credentials_refresh_interval;
                self.timers.insert(SeatTimer { due: seat.due, code, is_tv });
                self.outputs.extend(credentials_due(to, seat.dialect));
                if is_tv && room.token_is_outdated {
                    self.replace_token(code, now);
                }
            } else if is_tv {
                self.close_room(code, LeaveReason::Lost);
            } else {
                self.remove_caster(code, LeaveReason::Lost, now);
            }
        }
        self.change_due_codes(now);
        self.serve_waiting_tvs(now);
    }

    /// The next output, in order.
    pub fn poll_output(&mut self) -> Option<Output<P>> {
        self.outputs.pop_front()
    }

    /// What has happened to the casts, in order. Drained like the outputs.
    pub fn poll_cast_event(&mut self) -> Option<CastEvent> {
        self.cast_events.pop_front()
    }

    /// The code of the room in which the client has a seat.
    pub fn code_of(&self, client: ClientId) -> Option<Code> {
        self.seats.get(&client).map(|(code, _)| *code)
    }

    /// The clock that dates tokens.
    pub const fn clock(&self) -> WallClock {
        self.clock
    }

    /// How many TVs have a code.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// How many TVs wait for a code.
    pub fn waiting(&self) -> usize {
        self.waiting_tvs.len()
    }

    /// How many TVs have been evicted since the start.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Gives a client a seat and starts the timer of its credentials.
    pub(super) fn assign_seat(&mut self, code: Code, role: Role, client: ClientId, dialect: Dialect, now: Instant) -> Seat {
        self.seats.insert(client, (code, role));
        let seat = Seat { client: Some(client), dialect, due: now + self.config.credentials_refresh_interval };
        self.timers.insert(SeatTimer::of(&seat, code, role));
        seat
    }

    /// Changes a seat, and its timer with it.
    pub(super) fn change_seat(&mut self, code: Code, role: Role, change: impl FnOnce(&mut Seat)) {
        let room = self.rooms.get_mut(&code).expect("a seat is in a live room");
        let seat = match role {
            Role::Tv => &mut room.tv,
            Role::Caster => &mut room.caster.as_mut().expect("a caster's seat is in its room").seat,
        };
        self.timers.remove(&SeatTimer::of(seat, code, role));
        change(seat);
        self.timers.insert(SeatTimer::of(seat, code, role));
    }

    /// Removes a seat's timer, and its client from the table of seats.
    pub(super) fn release_seat(&mut self, code: Code, role: Role, seat: &Seat) {
        self.timers.remove(&SeatTimer::of(seat, code, role));
        if let Some(client) = seat.client {
            self.seats.remove(&client);
        }
    }

    /// Ends a room: its code is free again.
    pub(super) fn close_room(&mut self, code: Code, reason: LeaveReason) {
        self.notify_caster(code, Notice::TvLeft { reason });
        let Some(room) = self.rooms.remove(&code) else { return };
        self.capacity.remove(&room.capacity_entry);
        self.numbers.remove(room.number);
        self.release_seat(code, Role::Tv, &room.tv);
        self.retire_after_cast(code, &room);
        if let Some(caster) = room.caster {
            self.release_seat(code, Role::Caster, &caster.seat);
            self.cast_events.push_back(CastEvent::Ended { code, reason: CastEnd::Tv(reason) });
        }
    }

    pub(super) fn notify_tv(&mut self, code: Code, notice: Notice) {
        let seat = &self.rooms[&code].tv;
        if let Some(to) = seat.client {
            self.outputs.push_back(Output::Notify { to, dialect: seat.dialect, notice });
        }
    }

    pub(super) fn notify_caster(&mut self, code: Code, notice: Notice) {
        let Some(Caster { seat, .. }) = &self.rooms[&code].caster else { return };
        if let Some(to) = seat.client {
            self.outputs.push_back(Output::Notify { to, dialect: seat.dialect, notice });
        }
    }
}

impl SeatTimer {
    pub(super) fn of(seat: &Seat, code: Code, role: Role) -> Self {
        Self { due: seat.due, code, is_tv: role == Role::Tv }
    }
}

fn credentials_due<P>(to: ClientId, dialect: Dialect) -> Option<Output<P>> {
    dialect.accepts_unasked_credentials().then_some(Output::Notify { to, dialect, notice: Notice::Credentials })
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
