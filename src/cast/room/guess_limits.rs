//! Bounds on the guessing of codes: by casters that join with a wrong one, and by TVs that ask for a code which they have not had. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::state::VerifiedOpen;
use crate::cast::model::Dialect;
use crate::limits::guesses::{GuessKind, GuessReports, Guesses};

/// Free codes that TVs of all addresses together may get in a minute without proving that they had them. A TV that gets the code which it
/// asked for learns that no other TV shows it; beyond this bound a TV gets another code.
pub(super) const MAX_CLAIMED_CODES_PER_MINUTE: u32 = 500;

pub(super) struct GuessLimits {
    wrong_codes: Guesses,
    claimed_codes: Guesses,
}

impl GuessLimits {
    /// `max_wrong_codes`: those that one address may try in a minute; they are reported to `reports`.
    pub(super) fn new(max_wrong_codes: u32, reports: &GuessReports) -> Self {
        Self {
            wrong_codes: Guesses::new(GuessKind::Code, max_wrong_codes, reports),
            claimed_codes: Guesses::of_all_clients(GuessKind::Code, MAX_CLAIMED_CODES_PER_MINUTE),
        }
    }

    /// How long an address has to wait before its next try.
    pub(super) fn blocked_for(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        self.wrong_codes.blocked_for(from, now)
    }

    pub(super) fn record_wrong_code(&self, from: IpAddr, now: Instant) {
        self.wrong_codes.record(from, now);
    }

    /// Whether a TV may have the code that it names. A TV's guesses are counted, since the answer would tell which codes are live. A TV
    /// that must not guess gets another code, whether or not the named one is free.
    pub(super) fn may_claim(&self, request: &VerifiedOpen, is_free: bool, now: Instant) -> bool {
        if request.resume.is_some() || request.code.is_none() {
            return true;
        }
        // In dialect A a TV can't choose its code.
        if is_free && request.dialect == Dialect::A {
            return false;
        }
        let guesses = if is_free { &self.claimed_codes } else { &self.wrong_codes };
        if self.wrong_codes.is_beyond(request.from, None, now) || guesses.blocked_for(request.from, now).is_some() {
            return false;
        }
        guesses.record(request.from, now);
        true
    }
}
