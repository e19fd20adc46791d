//! Casters: who casts to a TV, and who takes over. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use crate::socketio::client_id::ClientId;
use std::time::Instant;

use super::Rooms;
use super::model::{Caster, Departure, Join, Notice, Output, Refusal, Seated};
use crate::cast::code::{Code, Role, Times};
use crate::cast::mailbox::Mailbox;

impl<P: Send + 'static> Rooms<P> {
    /// A caster wants to cast to the TV that shows `code`.
    ///
    /// # Errors
    /// `UnknownCode` (counted per address, unless the caster proves that it had the code from us), `TooManyAttempts`,
    /// `TooOften` (with a proof; without one the gateway counts them per address), `RoomFull`; `WrongRole` for a connection that is a TV.
    pub fn handle_join(&mut self, join: Join<'_>, now: Instant) -> Result<Seated, Refusal> {
        let is_tv = matches!(self.seats.get(&join.connection), Some((_, Role::Tv)));
        if is_tv || self.arrivals.contains(join.connection) {
            return Err(Refusal::WrongRole);
        }
        let code = Code::parse(join.code, self.config.alphabet);
        let issued = |token| self.key.verify(Role::Caster, token, self.config.alphabet).map(|issued| issued.code);
        let proved = join.token.filter(|token| code.is_some() && issued(token) == code);
        if proved.is_none()
            && let Some(wait) = self.guesses.blocked_for(join.from, now)
        {
            return Err(Refusal::TooManyAttempts { wait });
        }
        let Some((code, room)) = code.and_then(|code| Some((code, self.rooms.get_mut(&code)?))) else {
            if proved.is_none() {
                self.guesses.record(join.from, now);
            }
            return Err(Refusal::UnknownCode);
        };
        if proved.is_some() {
            room.caster_moves.take(now).map_err(|wait| Refusal::TooOften { wait })?;
        }
        let its_own = proved.is_some_and(|token| room.caster.as_ref().is_none_or(|caster| caster.token == token));
        if room.caster.as_ref().is_some_and(|caster| caster.seat.connection == Some(join.connection)) {
            return Ok(self.join_again(code, &join));
        }
        if room.caster.is_some() && !its_own && !self.config.takeover {
            return Err(Refusal::RoomFull);
        }
        // A seat in another room is given up only now that this one is certain.
        if self.seats.get(&join.connection).is_some_and(|(elsewhere, _)| *elsewhere != code) {
            self.remove_caster_of(join.connection, Departure::Left, now);
        }
        self.replace_caster(code, join.connection, its_own);
        let token = match proved.filter(|_| its_own) {
            Some(token) => token.to_owned(),
            None => self.key.issue(Role::Caster, code, Times::new(self.clock.unix_seconds(now)), &mut self.rng),
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
        self.arm_change(code);
        self.rank(code, now);
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

    /// Whether `token` is a resume token of ours for casting to `code`.
    pub fn knows_caster(&self, token: &str, code: &str) -> bool {
        let code = Code::parse(code, self.config.alphabet);
        code.is_some() && self.key.verify(Role::Caster, token, self.config.alphabet).map(|issued| issued.code) == code
    }

    /// Makes way for a caster: `its_own` seat moves over silently, somebody else is told and the TV too.
    fn replace_caster(&mut self, code: Code, by: ClientId, its_own: bool) {
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

    pub(super) fn remove_caster_of(&mut self, connection: ClientId, why: Departure, now: Instant) {
        if let Some(&(code, Role::Caster)) = self.seats.get(&connection) {
            self.remove_caster(code, why, now);
        }
    }

    pub(super) fn remove_caster(&mut self, code: Code, why: Departure, now: Instant) {
        let room = self.rooms.get_mut(&code).expect("a caster is in a live room");
        let Some(caster) = room.caster.take() else { return };
        room.answering_another |= room.to_caster.is_open();
        room.reloaded = false;
        room.to_tv = Mailbox::default();
        room.to_caster = Mailbox::default();
        self.vacate(code, Role::Caster, &caster.seat);
        self.rank(code, now);
        self.notify_tv(code, Notice::CasterLeft { username: caster.username, why });
        self.cast_ended(code, now);
    }
}
