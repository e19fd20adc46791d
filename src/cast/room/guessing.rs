//! What bounds the guessing of codes besides the count of wrong ones.

use std::time::Instant;

use super::Rooms;
use super::model::{Dialect, Wish};
use crate::limits::guesses::{GuessKind, GuessReports, Guesses};

/// Free codes that TVs of all addresses may ask for in a minute without a proof that they had them: whoever gets the code that it asked
/// for learns that no other TV shows it. Beyond that a TV gets another code.
pub(super) const CLAIMS: u32 = 500;

impl<P: Send + 'static> Rooms<P> {
    /// Wrong codes are reported there.
    #[must_use]
    pub fn with_reports(mut self, reports: &GuessReports) -> Self {
        self.guesses = Guesses::new(GuessKind::Code, self.config.guesses, reports);
        self
    }

    /// Whether a TV may have the code that it names. Wrong guesses are counted: otherwise this would tell which codes are live, as often
    /// as one likes. A TV that must not guess gets another code, whether or not that one is free.
    pub(super) fn may_claim(&self, wish: &Wish, is_free: bool, now: Instant) -> bool {
        if wish.resume.is_some() || wish.code.is_none() {
            return true;
        }
        // Its code is not among what it may name.
        if is_free && wish.dialect == Dialect::A {
            return false;
        }
        let guesses = if is_free { &self.claims } else { &self.guesses };
        if self.guesses.is_beyond(wish.from, None, now) || guesses.blocked_for(wish.from, now).is_some() {
            return false;
        }
        guesses.record(wish.from, now);
        true
    }
}
