//! Users' passwords: checks that of a request, and bounds how often a client may guess.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::ApiError;
use super::keys::authorization;
use crate::config::secret::Secret;
use crate::limits::guesses::{GuessKind, GuessReports, Guesses};
use crate::turn::Scope;
use crate::users::{Directory, looks_generated};

/// The limit of each client.
const MAX_WRONG_PASSWORDS_PER_MINUTE: u32 = 20;

/// Checks passwords of `/turn`.
#[derive(Debug)]
pub struct UserPasswords {
    guesses: Guesses,
    /// Makes the target of a guess from the user's name.
    hash: RandomState,
}

impl UserPasswords {
    /// Wrong passwords are reported to `reports`.
    #[must_use]
    pub fn new(reports: &GuessReports) -> Self {
        let guesses = Guesses::new(GuessKind::UserPassword, MAX_WRONG_PASSWORDS_PER_MINUTE, reports);
        Self { guesses, hash: RandomState::new() }
    }

    /// The scope of the enabled user with this name and password.
    ///
    /// # Errors
    /// `Forbidden` for a banned user with the right password; `NotSignedIn`, for unknown users too; `TooManyRequests` after too many wrong passwords, of the client or for the user. A generated
    /// password is checked even then, because nobody finds it by trying.
    pub(super) fn check(
        &self,
        directory: &Directory,
        name: &str,
        password: &Secret<String>,
        from: IpAddr,
        now: Instant,
    ) -> Result<Scope, ApiError> {
        let target = self.hash.hash_one(name).max(1);
        let wait = self.guesses.blocked_for(from, now).max(self.guesses.blocked_for_target(from, target, now));
        if let Some(wait) = wait.filter(|_| !looks_generated(password.expose())) {
            return Err(ApiError::TooManyRequests(wait));
        }
        directory.scope_of_password(name, password.expose()).ok_or_else(|| {
            if directory.is_banned_with_password(name, password.expose()) {
                return ApiError::Forbidden;
            }
            self.guesses.record_for_target(from, Some(target), now);
            wait.map_or(ApiError::NotSignedIn, ApiError::TooManyRequests)
        })
    }
}

/// The name and the password of HTTP Basic authentication (RFC 7617 §2).
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let bytes = STANDARD.decode(authorization(headers, "basic")?).ok()?;
    // Browsers may send Latin-1, whose characters are the first 256 of Unicode.
    let text = String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};

    use super::*;

    #[test]
    fn a_name_and_a_password_come_in_a_header() {
        let basic = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
            super::basic(&headers)
        };
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        let encoded = |text: &[u8]| format!("Basic {}", STANDARD.encode(text));
        // The vectors of RFC 7617 §2 and §2.1.
        assert_eq!(basic("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(basic("basic dGVzdDoxMjPCow=="), pair("test", "123£"));
        assert_eq!(basic(&encoded(b"test:123\xa3")), pair("test", "123£"));
        assert_eq!(basic(&encoded(b"alice:a:b")), pair("alice", "a:b"));
        for none in ["Basic", "Basic %", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", &encoded(b"alice")] {
            assert_eq!(basic(none), None, "{none}");
        }
    }
}
