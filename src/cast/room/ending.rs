//! What the two sides of a cast tell each other while it runs: the caster its state, the TV that it ends the cast. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Instant;

use super::rooms::Rooms;
use super::state::EndedCast;
use crate::cast::model::{LeaveReason, Notice, Output, Refusal};
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
        let room = self.rooms.get_mut(&code).expect("a seat is in a live room");
        let caster = room.caster.as_ref().ok_or(Refusal::NoCaster)?;
        room.ended = Some(EndedCast { token: caster.token.clone(), told: caster.seat.client });
        self.notify_caster(code, Notice::EndedByTv);
        self.remove_caster(code, LeaveReason::EndedByTv, now);
        Ok(())
    }
}
