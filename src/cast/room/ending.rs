//! What the two sides of a cast tell each other while it runs: the caster its state, the TV that it ends the cast; and how an operator ends
//! it. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Instant;

use super::rooms::Rooms;
use super::state::EndedCast;
use crate::cast::code::Code;
use crate::cast::model::{Ender, LeaveReason, Notice, OperatorRefusal, Output, Refusal};
use crate::cast::resume_token::Role;
use crate::socketio::gateway::client_id::ClientId;

impl<P: Send + 'static> Rooms<P> {
    /// A caster tells its TV the state of its cast. A TV that is away is told nothing, and nothing is kept for it.
    ///
    /// # Errors
    /// `NotInRoom`; `WrongRole` for a TV.
    pub fn handle_cast_state(&mut self, from: ClientId, state: P) -> Result<(), Refusal> {
        match self.seats.get(&from) {
            None => Err(Refusal::NotInRoom),
            Some((_, Role::Tv)) => Err(Refusal::WrongRole),
            Some((code, Role::Caster)) => {
                self.outputs.extend(self.rooms[code].tv.client.map(|to| Output::CastState { to, state }));
                Ok(())
            }
        }
    }

    /// A TV ends the cast to it. A caster that comes back by another connection is told then, since it may not have heard of it.
    ///
    /// # Errors
    /// `NotInRoom`; `WrongRole` for a caster; `NoCaster`.
    pub fn handle_end_cast(&mut self, client: ClientId, now: Instant) -> Result<(), Refusal> {
        let code = match self.seats.get(&client) {
            None => return Err(Refusal::NotInRoom),
            Some((_, Role::Caster)) => return Err(Refusal::WrongRole),
            Some(&(code, Role::Tv)) => code,
        };
        if self.end_cast(code, Ender::Tv, now) { Ok(()) } else { Err(Refusal::NoCaster) }
    }

    /// The user who casts in the room with this code may no longer: that is an operator's doing.
    pub fn handle_former_user(&mut self, code: Code, now: Instant) {
        if self.rooms.contains_key(&code) {
            self.end_cast(code, Ender::Operator, now);
        }
    }

    /// An operator ends the cast to the TV with this number. Its ends are told as if the TV had ended it, and by whom it was ended. Returns the
    /// TV's code.
    ///
    /// # Errors
    /// `NoTv`, `NoCast`.
    pub fn handle_operator_end(&mut self, number: u64, now: Instant) -> Result<Code, OperatorRefusal> {
        let &code = self.numbers.name(number).ok_or(OperatorRefusal::NoTv)?;
        if self.end_cast(code, Ender::Operator, now) { Ok(code) } else { Err(OperatorRefusal::NoCast) }
    }

    /// `false`: nobody casts.
    fn end_cast(&mut self, code: Code, by: Ender, now: Instant) -> bool {
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let Some(caster) = &room.caster else { return false };
        room.ended = Some(EndedCast { by, token: caster.token.clone(), told: caster.seat.client });
        self.notify_caster(code, Notice::CastEnded { by });
        let reason = match by {
            Ender::Tv => LeaveReason::EndedByTv,
            Ender::Operator => LeaveReason::EndedByOperator,
        };
        self.remove_caster(code, reason, now);
        true
    }
}
