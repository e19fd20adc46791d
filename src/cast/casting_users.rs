//! Which signed-in user has which caster's seat.
//!
//! Owner: the gateway. It follows the rooms' [`CastEvent`]s, so that a seat keeps its user while the caster is away.

use std::collections::HashMap;

use super::code::Code;
use super::model::CastEvent;
use super::resume_token::Role;
use crate::admission::ProvenUser;
use crate::socketio::gateway::client_id::ClientId;

#[derive(Debug, Default)]
pub(super) struct CastingUsers(HashMap<Code, ProvenUser>);

impl CastingUsers {
    /// `user_of`: the user that a connected client has proved.
    pub(super) fn handle(&mut self, event: CastEvent, user_of: impl Fn(ClientId) -> Option<ProvenUser>) {
        match event {
            CastEvent::Began { code, caster: client, .. } | CastEvent::Returned { code, role: Role::Caster, client } => {
                if let Some(user) = user_of(client) {
                    self.0.insert(code, user);
                }
            }
            CastEvent::Returned { role: Role::Tv, .. } => {}
            CastEvent::Ended { code, .. } => drop(self.0.remove(&code)),
        }
    }

    /// The user who casts in the room with this code.
    pub(super) fn of(&self, code: Code) -> Option<&ProvenUser> {
        self.0.get(&code)
    }

    /// The codes of the casts whose users fail the test.
    pub(super) fn failing(&self, passes: impl Fn(&ProvenUser) -> bool) -> Vec<Code> {
        self.0.iter().filter(|(_, user)| !passes(user)).map(|(code, _)| *code).collect()
    }
}
