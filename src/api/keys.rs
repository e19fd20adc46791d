//! API keys: whether a request has one, and how often it may be wrong.

use std::net::IpAddr;
use std::time::Instant;

use axum::http::{HeaderMap, header};

use super::Error;
use crate::config::secret::Secret;
use crate::limits::guesses::{Guesses, Kind, Reports};
use crate::users::credentials;

/// Wrong keys of one client in a minute.
const WRONG_KEYS: u32 = 20;
/// Characters of a key that nobody finds by trying.
const LONG: usize = 16;

/// The keys that are good here.
#[derive(Debug)]
pub struct ApiKeys {
    known: Vec<Secret<String>>,
    guesses: Guesses,
}

impl ApiKeys {
    /// Wrong ones are reported to `reports`.
    #[must_use]
    pub fn new(known: Vec<Secret<String>>, reports: &Reports) -> Self {
        Self { known, guesses: Guesses::new(Kind::ApiKey, WRONG_KEYS, reports) }
    }

    /// Whether one of the keys of a request is good.
    ///
    /// # Errors
    /// `Unauthorized`; `TooManyRequests` for a client that has given too many wrong ones. Where all keys are long, a good one passes
    /// even then: others behind the same address guess, too.
    pub(super) fn check(&self, given: &[Secret<String>], from: IpAddr, now: Instant) -> Result<(), Error> {
        if given.is_empty() {
            return Err(Error::Unauthorized);
        }
        let wait = self.guesses.blocked_for(from, now);
        let short = self.known.iter().any(|key| key.expose().len() < LONG);
        if let Some(wait) = wait.filter(|_| short) {
            return Err(Error::TooManyRequests(wait));
        }
        if fits(given, &self.known) {
            return Ok(());
        }
        self.guesses.record(from, now);
        Err(wait.map_or(Error::Unauthorized, Error::TooManyRequests))
    }
}

/// Compares every key with every other, so that the time does not tell which one nearly fits.
fn fits(given: &[Secret<String>], known: &[Secret<String>]) -> bool {
    given
        .iter()
        .flat_map(|given| known.iter().map(|key| credentials::same(key.expose(), given.expose())))
        .fold(false, |any, fit| any | fit)
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_bearer_token_is_a_key() {
        let bearer = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            super::bearer(&headers).map(str::to_owned)
        };
        assert_eq!(bearer("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(bearer("bearer abc").as_deref(), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
    }

    #[test]
    fn wrong_keys_are_bounded_and_a_long_right_one_passes() {
        let (from, now) = ("192.0.2.1".parse().unwrap(), Instant::now());
        for (right, passes) in [("short", false), ("a-key-of-sixteen-or-more", true)] {
            let keys = ApiKeys::new(vec![Secret::new(right.to_owned())], &Reports::default());
            let key = |text: &str| [Secret::new(text.to_owned())];
            assert!(matches!(keys.check(&[], from, now), Err(Error::Unauthorized)));
            let wrong = (0..100).filter(|n| matches!(keys.check(&key(&n.to_string()), from, now), Err(Error::Unauthorized)));
            assert_eq!(wrong.count(), WRONG_KEYS as usize);
            assert!(matches!(keys.check(&key("wrong"), from, now), Err(Error::TooManyRequests(_))));
            assert_eq!(keys.check(&key(right), from, now).is_ok(), passes);
            assert!(keys.check(&key(right), "192.0.2.2".parse().unwrap(), now).is_ok(), "another client");
        }
    }
}
