//! When a TV's code has served its time, and the change to a new one. PURE.
//!
//! Without changes anybody who has seen a code could cast to its TV for ever. A code changes only if its TV has announced that it
//! understands new codes, only while the TV is connected, and never while a caster has a seat. The old code stops working entirely: nobody
//! joins with it, its casters' resume tokens no longer work, and its TV's token leads to the new code.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::{Duration, Instant};

use super::rooms::{Rooms, SeatTimer};
use super::state::{Room, VerifiedOpen};
use crate::cast::code::{Code, NewCodePolicy};
use crate::cast::model::{NewCodeReason, Notice, OperatorRefusal, Refusal, Seated};
use crate::cast::resume_token::{Role, Times};
use crate::socketio::gateway::client_id::ClientId;

/// How long after its last cast, or after it was made if there was none, a code changes.
const MAX_CODE_IDLE_TIME: Duration = Duration::from_secs(12 * 3600);
/// Between two new codes that one TV asks for.
const MIN_NEW_CODE_INTERVAL: Duration = Duration::from_secs(5);

impl<P: Send + 'static> Rooms<P> {
    /// A TV asks for a new code.
    ///
    /// # Errors
    /// `NotInRoom`; `WrongRole` for a caster; `CastRunning` while a caster has a seat, also during its grace period; `RateLimited` too soon
    /// after the previous request.
    pub fn handle_new_code(&mut self, client: ClientId, now: Instant) -> Result<Seated, Refusal> {
        let code = match self.seats.get(&client) {
            None => return Err(Refusal::NotInRoom),
            Some((_, Role::Caster)) => return Err(Refusal::WrongRole),
            Some(&(code, Role::Tv)) => code,
        };
        let room = self.rooms.get_mut(&code).expect("a seat is in a live room");
        if room.caster.is_some() {
            return Err(Refusal::CastRunning);
        }
        if let Some(wait) = room
            .next_request_at
            .map(|next_request_at| next_request_at.saturating_duration_since(now))
            .filter(|wait| !wait.is_zero())
        {
            return Err(Refusal::RateLimited { wait });
        }
        room.next_request_at = Some(now + MIN_NEW_CODE_INTERVAL);
        let code = self.change_code(code, NewCodeReason::Asked, now);
        Ok(self.seated_tv(code, false))
    }

    /// An operator gives a TV a new code. Returns that.
    ///
    /// # Errors
    /// `NoTv`; `KeepsCode`; `CastRunning` while a caster has a seat, also during its grace period; `TvAway`: its token would be worth nothing.
    pub fn handle_operator_new_code(&mut self, number: u64, now: Instant) -> Result<Code, OperatorRefusal> {
        let &code = self.numbers.name(number).ok_or(OperatorRefusal::NoTv)?;
        let room = &self.rooms[&code];
        if !room.understands_new_codes {
            return Err(OperatorRefusal::KeepsCode);
        }
        if room.caster.is_some() {
            return Err(OperatorRefusal::CastRunning);
        }
        if room.tv.client.is_none() {
            return Err(OperatorRefusal::TvAway);
        }
        Ok(self.change_code(code, NewCodeReason::Asked, now))
    }

    /// When the code of a new room changes; `times` are those of its TV's token.
    pub(super) fn code_change_due_at_open(&self, request: &VerifiedOpen, times: Times, now: Instant) -> Option<Instant> {
        let now_unix = self.clock.unix_seconds(now);
        // A caster may come back within the grace period; a server that was restarted does not remember it.
        let not_before = (request.casting || request.shows_picture).then_some(now + self.config.grace);
        match self.config.new_code {
            NewCodePolicy::Never => None,
            NewCodePolicy::AfterIdle => {
                // The age of a token without times is unknown, so it counts from now on.
                let made = if times == Times::LONG_AGO { now_unix } else { times.made };
                let due = now + MAX_CODE_IDLE_TIME.saturating_sub(Duration::from_secs(now_unix.saturating_sub(made)));
                Some(not_before.map_or(due, |not_before| not_before.max(due)))
            }
            NewCodePolicy::AfterCast => not_before,
        }
    }

    /// The cast in a room has ended.
    pub(super) fn cast_ended(&mut self, code: Code, now: Instant) {
        let Some(room) = self.rooms.get_mut(&code) else { return };
        room.change_due = match self.config.new_code {
            NewCodePolicy::Never => None,
            NewCodePolicy::AfterIdle => Some(now + MAX_CODE_IDLE_TIME),
            NewCodePolicy::AfterCast => Some(now),
        };
        if self.config.new_code == NewCodePolicy::AfterIdle && room.understands_new_codes {
            self.replace_token(code, now);
        }
        self.schedule_code_change(code);
    }

    /// Gives the TV a token of the present time instead of its own.
    pub(super) fn replace_token(&mut self, code: Code, now: Instant) {
        self.renew_token(code, now);
        let notice = Notice::NewToken { code, resume_token: self.rooms[&code].tv_token.clone() };
        self.notify_tv(code, notice);
    }

    /// Keeps a room's one entry in `code_changes` up to date: the entry exists while the code may change.
    pub(super) fn schedule_code_change(&mut self, code: Code) {
        let Some(room) = self.rooms.get_mut(&code) else { return };
        let may = room.understands_new_codes && room.caster.is_none() && room.tv.client.is_some();
        let due = room.change_due.filter(|_| may);
        if let Some(scheduled_change) = std::mem::replace(&mut room.scheduled_change, due) {
            self.code_changes.remove(&(scheduled_change, code));
        }
        self.code_changes.extend(due.map(|due| (due, code)));
    }

    /// Changes the codes that are due.
    pub(super) fn change_due_codes(&mut self, now: Instant) {
        while let Some(&(due, code)) = self.code_changes.first()
            && due <= now
        {
            self.change_code(code, self.change_reason(), now);
        }
    }

    /// Changes the code of a TV that has just been seated, if the change is due. Returns the present code.
    pub(super) fn changed_if_due(&mut self, code: Code, now: Instant) -> Code {
        match self.rooms[&code].scheduled_change {
            Some(due) if due <= now => self.change_code(code, self.change_reason(), now),
            Some(_) | None => code,
        }
    }

    /// Notes whether a seated TV's front end understands new codes, and tells it why the code that it wanted was changed.
    pub(super) fn note_new_code_support(&mut self, code: Code, request: &VerifiedOpen) {
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        room.understands_new_codes |= request.understands_new_codes;
        if let Some(reason) = request.retired.filter(|_| room.understands_new_codes) {
            let notice = Notice::CodeChanged { code, resume_token: room.tv_token.clone(), reason };
            self.notify_tv(code, notice);
        }
        self.schedule_code_change(code);
    }

    /// Replaces the TV's token by one for the same code with the present time, so that the time of the last cast survives a restart.
    pub(super) fn renew_token(&mut self, code: Code, now: Instant) {
        let made = self.clock.unix_seconds(now);
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let token = self.key.issue(Role::Tv, code, Times { since: room.since, made }, &mut self.rng);
        room.token_is_outdated = false;
        let before = std::mem::replace(&mut room.tv_token, token);
        room.previous_tv_token.get_or_insert(before);
    }

    /// A room ends: after a cast its code is retired.
    pub(super) fn retire_after_cast(&mut self, code: Code, room: &Room<P>) {
        if let Some(scheduled_change) = room.scheduled_change {
            self.code_changes.remove(&(scheduled_change, code));
        }
        let cast = room.caster.is_some() || room.change_due.is_some();
        if self.config.new_code == NewCodePolicy::AfterCast && room.understands_new_codes && cast {
            self.retired_codes.insert(code, NewCodeReason::CastEnded);
        }
    }

    const fn change_reason(&self) -> NewCodeReason {
        match self.config.new_code {
            NewCodePolicy::Never | NewCodePolicy::AfterIdle => NewCodeReason::Idle,
            NewCodePolicy::AfterCast => NewCodeReason::CastEnded,
        }
    }

    /// Moves a room without a caster to a new code, with a new token of the same `since`, and tells its TV.
    fn change_code(&mut self, old: Code, reason: NewCodeReason, now: Instant) -> Code {
        let code = self.unused_code();
        let mut room = self.rooms.remove(&old).expect("the caller looked it up");
        if let Some(scheduled_change) = room.scheduled_change.take() {
            self.code_changes.remove(&(scheduled_change, old));
        }
        self.retired_codes.insert(old, reason);
        room.capacity_entry = self.capacity.rename(&room.capacity_entry, code);
        self.numbers.rename(room.number, code);
        let times = Times { since: room.since, made: self.clock.unix_seconds(now) };
        room.tv_token = self.key.issue(Role::Tv, code, times, &mut self.rng);
        room.previous_tv_token = None;
        room.token_is_outdated = false;
        room.claimed_without_proof = false;
        room.change_due = (self.config.new_code == NewCodePolicy::AfterIdle).then(|| now + MAX_CODE_IDLE_TIME);
        self.timers.remove(&SeatTimer::of(&room.tv, old, Role::Tv));
        self.timers.insert(SeatTimer::of(&room.tv, code, Role::Tv));
        if let Some(client) = room.tv.client {
            self.seats.insert(client, (code, Role::Tv));
        }
        let notice = Notice::CodeChanged { code, resume_token: room.tv_token.clone(), reason };
        self.rooms.insert(code, room);
        self.schedule_code_change(code);
        self.notify_tv(code, notice);
        code
    }
}
