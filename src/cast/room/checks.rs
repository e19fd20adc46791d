//! Tells what a join with a code would lead to, and changes no seat. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::sync::Arc;
use std::time::Instant;

use super::rooms::Rooms;
use crate::cast::code::Code;
use crate::cast::model::{CheckRequest, CodeCheck, PresentCaster, Refusal, TvDetails};

impl<P: Send + 'static> Rooms<P> {
    /// Somebody asks what a join would lead to. A wrong code costs what it costs in a join, and the answer to one that must not guess is the
    /// same for all codes; otherwise checks would find live codes cheaper than joins.
    ///
    /// # Errors
    /// `UnknownCode` (counted like that of a join), `TooManyAttempts`; `WrongRole` for a client that is a TV.
    pub fn handle_check(&self, check: CheckRequest<'_>, now: Instant) -> Result<CodeCheck, Refusal> {
        if self.is_tv(check.client) {
            return Err(Refusal::WrongRole);
        }
        let proof = check.token.filter(|token| self.proves_code(token, check.code));
        let code = self.live_code(check.from, check.code, proof.is_some(), now)?;
        let room = &self.rooms[&code];
        let caster = room.caster.as_ref().map(|caster| PresentCaster {
            username: caster.username.clone(),
            is_own: caster.seat.client == Some(check.client) || proof == Some(caster.token.as_str()),
        });
        let takes_over = self.config.takeover && caster.as_ref().is_some_and(|caster| !caster.is_own);
        Ok(CodeCheck { code, details: room.details.clone(), tv_is_away: room.tv.client.is_none(), caster, takes_over })
    }

    /// A code in the form in which TVs show it; `None`: it is none.
    pub fn spelled(&self, code: &str) -> Option<String> {
        Code::parse(code, self.config.alphabet).map(|code| code.as_str().to_owned())
    }

    /// What the TV with a live code says of itself.
    pub fn tv_details(&self, code: Code) -> Option<&Arc<TvDetails>> {
        self.rooms.get(&code)?.details.as_ref()
    }
}
