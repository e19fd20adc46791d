//! API keys: checks those of a request, and bounds how often a client may guess.

use std::net::IpAddr;
use std::time::Instant;

use super::error::ApiError;
use crate::config::secret::{MIN_UNGUESSABLE_SECRET_BYTES, Secret};
use crate::limits::guesses::{GuessKind, GuessReports, Guesses};
use crate::users::credentials;

/// The limit of each client.
const MAX_WRONG_KEYS_PER_MINUTE: u32 = 20;

/// The configured keys.
#[derive(Debug)]
pub struct ApiKeys {
    known: Vec<Secret<String>>,
    guesses: Guesses,
    /// Of requests that need no key.
    unneeded: Guesses,
}

impl ApiKeys {
    /// Wrong keys are reported to `reports`.
    #[must_use]
    pub fn new(known: Vec<Secret<String>>, reports: &GuessReports) -> Self {
        let guesses = |reports| Guesses::new(GuessKind::ApiKey, MAX_WRONG_KEYS_PER_MINUTE, reports);
        Self { known, guesses: guesses(reports), unneeded: guesses(&GuessReports::default()) }
    }

    /// Accepts a request if one of its keys is known.
    ///
    /// # Errors
    /// `Unauthorized`; `TooManyRequests` after too many wrong keys. If all configured keys are long, a known key is accepted even
    /// then: somebody else behind the same address may be guessing.
    pub(super) fn check(&self, given: &[Secret<String>], from: IpAddr, now: Instant) -> Result<(), ApiError> {
        if given.is_empty() || self.known.is_empty() {
            return Err(ApiError::Unauthorized);
        }
        let wait = self.guesses.blocked_for(from, now);
        if let Some(wait) = wait.filter(|_| self.are_guessable()) {
            return Err(ApiError::TooManyRequests(wait));
        }
        if any_known(given, &self.known) {
            return Ok(());
        }
        self.guesses.record(from, now);
        Err(wait.map_or(ApiError::Unauthorized, ApiError::TooManyRequests))
    }

    /// Whether one of the keys of a request that needs none is known. Many front ends always send the key of a tutorial, so a wrong one
    /// is not reported; but it counts as a guess where keys can be guessed, and after too many none is known.
    pub(super) fn any_is_known(&self, given: &[Secret<String>], from: IpAddr, now: Instant) -> bool {
        if given.is_empty() || self.are_guessable() && self.unneeded.blocked_for(from, now).is_some() {
            return false;
        }
        let known = any_known(given, &self.known);
        if !known && self.are_guessable() {
            self.unneeded.record(from, now);
        }
        known
    }

    /// The verdict on a key that a guessable secret may have signed, which is `right` or not.
    ///
    /// # Errors
    /// `Unauthorized`; `TooManyRequests` after too many wrong keys, whether this one is right or not.
    pub(super) fn check_signed(&self, right: bool, from: IpAddr, now: Instant) -> Result<(), ApiError> {
        if let Some(wait) = self.guesses.blocked_for(from, now) {
            return Err(ApiError::TooManyRequests(wait));
        }
        if right {
            return Ok(());
        }
        self.guesses.record(from, now);
        Err(ApiError::Unauthorized)
    }

    fn are_guessable(&self) -> bool {
        self.known.iter().any(|key| key.expose().len() < MIN_UNGUESSABLE_SECRET_BYTES)
    }
}

/// Compares every given key with every known one, so that the time does not reveal a near match.
fn any_known(given: &[Secret<String>], known: &[Secret<String>]) -> bool {
    given
        .iter()
        .flat_map(|given| known.iter().map(|key| credentials::same(key.expose(), given.expose())))
        .fold(false, |any, same| any | same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unneeded_keys_are_bounded_and_not_reported() {
        let (from, now) = ("192.0.2.1".parse().unwrap(), Instant::now());
        for (right, passes) in [("short", false), ("a-key-of-sixteen-or-more", true)] {
            let reports = GuessReports::default();
            let keys = ApiKeys::new(vec![Secret::new(right.to_owned())], &reports);
            let key = |text: &str| [Secret::new(text.to_owned())];
            assert!(keys.any_is_known(&key(right), from, now) && !keys.any_is_known(&[], from, now));
            assert!((0..100).all(|n| !keys.any_is_known(&key(&n.to_string()), from, now)));
            assert_eq!(keys.any_is_known(&key(right), from, now), passes);
            assert_eq!(reports.totals().map(|(_, total)| total).sum::<u64>(), 0);
            assert!(keys.check(&key(right), from, now).is_ok(), "a request that needs a key");
        }
    }

    #[test]
    fn keys_that_a_guessable_secret_signs_are_bounded_and_reported() {
        let (from, now) = ("192.0.2.1".parse().unwrap(), Instant::now());
        let reports = GuessReports::default();
        let keys = ApiKeys::new(Vec::new(), &reports);
        assert!(keys.check_signed(true, from, now).is_ok());
        let wrong = (0..100).filter(|_| matches!(keys.check_signed(false, from, now), Err(ApiError::Unauthorized)));
        assert_eq!(wrong.count(), MAX_WRONG_KEYS_PER_MINUTE as usize);
        assert!(matches!(keys.check_signed(true, from, now), Err(ApiError::TooManyRequests(_))));
        assert!(keys.check_signed(true, "192.0.2.2".parse().unwrap(), now).is_ok(), "another client");
        assert_eq!(reports.totals().map(|(_, total)| total).sum::<u64>(), u64::from(MAX_WRONG_KEYS_PER_MINUTE));
    }

    #[test]
    fn wrong_keys_are_bounded_and_a_long_right_one_passes() {
        let (from, now) = ("192.0.2.1".parse().unwrap(), Instant::now());
        for (right, passes) in [("short", false), ("a-key-of-sixteen-or-more", true)] {
            let keys = ApiKeys::new(vec![Secret::new(right.to_owned())], &GuessReports::default());
            let key = |text: &str| [Secret::new(text.to_owned())];
            assert!(matches!(keys.check(&[], from, now), Err(ApiError::Unauthorized)));
            let wrong = (0..100).filter(|n| matches!(keys.check(&key(&n.to_string()), from, now), Err(ApiError::Unauthorized)));
            assert_eq!(wrong.count(), MAX_WRONG_KEYS_PER_MINUTE as usize);
            assert!(matches!(keys.check(&key("wrong"), from, now), Err(ApiError::TooManyRequests(_))));
            assert_eq!(keys.check(&key(right), from, now).is_ok(), passes);
            assert!(keys.check(&key(right), "192.0.2.2".parse().unwrap(), now).is_ok(), "another client");
        }
        let reports = GuessReports::default();
        let none = ApiKeys::new(Vec::new(), &reports);
        assert!(matches!(none.check(&[Secret::new("any".to_owned())], from, now), Err(ApiError::Unauthorized)));
        assert_eq!(reports.totals().map(|(_, total)| total).sum::<u64>(), 0, "no key can be guessed where there is none");
    }
}
