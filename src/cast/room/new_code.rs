//! When a TV's code has served its time, and the change to a new one. PURE.
//!
//! Whoever has seen a code could otherwise cast to its TV for ever. A code changes only for a TV that has announced that it understands
//! that, only while the TV is connected, and never while a caster has a seat. What the old code gave ends with it: it opens nothing, its
//! casters' resume tokens lead nowhere, and its TV's token leads to a new code.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use crate::socketio::client_id::ClientId;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Rooms;
use super::model::{NewCodeReason, Notice, Refusal, Room, Seated, Wish};
use crate::cast::code::{Code, NewCode, Role, Times};

/// How long after its last cast, or after it was made if there was none, a code changes.
const MAX_IDLE: Duration = Duration::from_secs(12 * 3600);
/// Between two codes that one TV asks for.
const MIN_BETWEEN_REQUESTS: Duration = Duration::from_secs(5);
/// Changed codes that are remembered, so that nobody gets them.
const MAX_RETIRED: usize = 1 << 16;

/// The codes that were changed lately. Bounded: the oldest is forgotten for a new one.
#[derive(Default)]
pub(super) struct RetiredCodes {
    reasons: HashMap<Code, NewCodeReason>,
    order: VecDeque<Code>,
}

impl RetiredCodes {
    /// Why the code was changed; `None`: it was not, or that is forgotten.
    pub(super) fn reason(&self, code: &Code) -> Option<NewCodeReason> {
        self.reasons.get(code).copied()
    }

    pub(super) fn insert(&mut self, code: Code, reason: NewCodeReason) {
        if self.reasons.insert(code, reason).is_none() {
            self.order.push_back(code);
        }
        if self.order.len() > MAX_RETIRED
            && let Some(oldest) = self.order.pop_front()
        {
            self.reasons.remove(&oldest);
        }
    }
}

impl<P: Send + 'static> Rooms<P> {
    /// A TV asks for a new code.
    ///
    /// # Errors
    /// `NotInRoom`; `WrongRole` for a caster; `CastRunning` while a caster has a seat, be it only for the grace period; `TooOften` after
    /// the code that it asked for last.
    pub fn handle_new_code(&mut self, connection: ClientId, now: Instant) -> Result<Seated, Refusal> {
        let code = match self.seats.get(&connection) {
            None => return Err(Refusal::NotInRoom),
            Some((_, Role::Caster)) => return Err(Refusal::WrongRole),
            Some(&(code, Role::Tv)) => code,
        };
        let room = self.rooms.get_mut(&code).expect("a seat is in a live room");
        if room.caster.is_some() {
            return Err(Refusal::CastRunning);
        }
        if let Some(wait) = room.may_ask.map(|may_ask| may_ask.saturating_duration_since(now)).filter(|wait| !wait.is_zero()) {
            return Err(Refusal::TooOften { wait });
        }
        room.may_ask = Some(now + MIN_BETWEEN_REQUESTS);
        let code = self.change_code(code, NewCodeReason::Asked, now);
        Ok(self.seated_tv(code, false))
    }

    /// When the code of a TV changes that has just got a seat in a room of its own; `times` are its token's.
    pub(super) fn due_at_open(&self, wish: &Wish, times: Times, now: Instant) -> Option<Instant> {
        let now_unix = self.clock.unix_seconds(now);
        // Its caster may come back within the grace period; a server that was restarted knows of none.
        let spared = (wish.casting || wish.live).then_some(now + self.config.grace);
        match self.config.new_code {
            NewCode::Never => None,
            NewCode::AfterIdle => {
                // Of a token without times the age is unknown, and counts from now on.
                let made = if times == Times::LONG_AGO { now_unix } else { times.made };
                let due = now + MAX_IDLE.saturating_sub(Duration::from_secs(now_unix.saturating_sub(made)));
                Some(spared.map_or(due, |spared| spared.max(due)))
            }
            NewCode::AfterCast => spared,
        }
    }

    /// The cast in a room has ended.
    pub(super) fn cast_ended(&mut self, code: Code, now: Instant) {
        let Some(room) = self.rooms.get_mut(&code) else { return };
        room.change_due = match self.config.new_code {
            NewCode::Never => None,
            NewCode::AfterIdle => Some(now + MAX_IDLE),
            NewCode::AfterCast => Some(now),
        };
        if self.config.new_code == NewCode::AfterIdle && room.announces {
            self.renew_token(code, now);
            let notice = Notice::NewToken { code, resume_token: self.rooms[&code].tv_token.clone() };
            self.notify_tv(code, notice);
        }
        self.arm_change(code);
    }

    /// Follows what has changed in a room: its one entry in `changes` is there while its code may change.
    pub(super) fn arm_change(&mut self, code: Code) {
        let Some(room) = self.rooms.get_mut(&code) else { return };
        let may = room.announces && room.caster.is_none() && room.tv.connection.is_some();
        let due = room.change_due.filter(|_| may);
        if let Some(armed) = std::mem::replace(&mut room.armed, due) {
            self.changes.remove(&(armed, code));
        }
        self.changes.extend(due.map(|due| (due, code)));
    }

    /// Changes the codes that are due.
    pub(super) fn change_due_codes(&mut self, now: Instant) {
        while let Some(&(due, code)) = self.changes.first()
            && due <= now
        {
            self.change_code(code, self.reason(), now);
        }
    }

    /// The code of a room whose TV has just got its seat: a new one, if the one that it came for is due.
    pub(super) fn changed_if_due(&mut self, code: Code, now: Instant) -> Code {
        match self.rooms[&code].armed {
            Some(due) if due <= now => self.change_code(code, self.reason(), now),
            Some(_) | None => code,
        }
    }

    /// The front end of a TV that has its seat says whether it understands new codes, and hears why the code that it came for is gone.
    pub(super) fn announces(&mut self, code: Code, wish: &Wish) {
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        room.announces |= wish.announces;
        if let Some(reason) = wish.retired.filter(|_| room.announces) {
            let notice = Notice::CodeChanged { code, resume_token: room.tv_token.clone(), reason };
            self.notify_tv(code, notice);
        }
        self.arm_change(code);
    }

    /// A token for the same code, with the present time: that of the last cast outlives this server's memory of it.
    pub(super) fn renew_token(&mut self, code: Code, now: Instant) {
        let made = self.clock.unix_seconds(now);
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let token = self.key.issue(Role::Tv, code, Times { since: room.since, made }, &mut self.rng);
        let before = std::mem::replace(&mut room.tv_token, token);
        room.shown_token.get_or_insert(before);
    }

    /// A room ends. After a cast its code may not come back.
    pub(super) fn retire_after_cast(&mut self, code: Code, room: &Room<P>) {
        if let Some(armed) = room.armed {
            self.changes.remove(&(armed, code));
        }
        let cast = room.caster.is_some() || room.change_due.is_some();
        if self.config.new_code == NewCode::AfterCast && room.announces && cast {
            self.retired.insert(code, NewCodeReason::CastEnded);
        }
    }

    const fn reason(&self) -> NewCodeReason {
        match self.config.new_code {
            NewCode::Never | NewCode::AfterIdle => NewCodeReason::Idle,
            NewCode::AfterCast => NewCodeReason::CastEnded,
        }
    }

    /// The room moves to a new code, with a new token of the same `since`, and its TV is told. Nobody casts in it.
    fn change_code(&mut self, old: Code, reason: NewCodeReason, now: Instant) -> Code {
        let code = self.unused_code();
        let mut room = self.rooms.remove(&old).expect("the caller looked it up");
        if let Some(armed) = room.armed.take() {
            self.changes.remove(&(armed, old));
        }
        self.retired.insert(old, reason);
        room.entry = self.places.rename(&room.entry, code);
        let times = Times { since: room.since, made: self.clock.unix_seconds(now) };
        room.tv_token = self.key.issue(Role::Tv, code, times, &mut self.rng);
        room.shown_token = None;
        room.claimed = false;
        room.change_due = (self.config.new_code == NewCode::AfterIdle).then(|| now + MAX_IDLE);
        self.timers.remove(&(room.tv.due, old, true));
        self.timers.insert((room.tv.due, code, true));
        if let Some(connection) = room.tv.connection {
            self.seats.insert(connection, (code, Role::Tv));
        }
        let notice = Notice::CodeChanged { code, resume_token: room.tv_token.clone(), reason };
        self.rooms.insert(code, room);
        self.arm_change(code);
        self.notify_tv(code, notice);
        code
    }
}
