//! What bounds the guessing of codes besides the count of wrong ones.

use std::time::Instant;

use super::{Dialect, Open, Rooms};
use crate::cast::code::Code;
use crate::limits::guesses::{Guesses, Kind, Reports};

/// Free codes that TVs of all addresses may ask for in a minute without a proof that they had them: whoever gets the code that it asked
/// for learns that no other TV shows it. Beyond that a TV gets another code.
pub(super) const CLAIMS: u32 = 200;

impl<P> Rooms<P> {
    /// Wrong codes are reported there.
    #[must_use]
    pub fn with_reports(mut self, reports: &Reports) -> Self {
        self.guesses = Guesses::new(Kind::Code, self.config.guesses, reports);
        self
    }

    /// Whether a TV may ask for a code without a resume token; counts it.
    pub(super) fn may_claim(&self, code: Code, open: &Open<'_>, now: Instant) -> bool {
        let moves = self.seats.get(&open.connection).is_none_or(|(seat, _)| *seat != code);
        let tells = open.dialect == Dialect::B && moves && !self.rooms.contains_key(&code);
        if tells && self.claims.blocked_for(open.from, now).is_some() {
            return false;
        }
        if tells {
            self.claims.record(open.from, now);
        }
        true
    }
}
