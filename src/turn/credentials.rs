//! Who may allocate: long-term credentials (RFC 8489 §9.2), TURN REST usernames and static users.
//!
//! The engine asks a [`CredentialSource`]; what stands behind it (the database, a list that is reloaded) is the shell's. Wall-clock time is mapped
//! to `Instant` once, by the [`WallClock`] that the shell anchors.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::codec::integrity::{LongTermKey, PasswordAlgorithm};

/// Looks users up. Called on a shard's thread: it must not block.
pub trait CredentialSource: Send + Sync {
    /// The account of this username now; `None`: unknown, expired, malformed or disabled.
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys>;

    /// Whether the password of this username may be one that people choose. One that was made from 16 characters or more is found by no
    /// number of tries, so that a client is heard with it however often others behind its address have been wrong.
    fn is_guessable(&self, username: &str) -> bool {
        let _ = username;
        true
    }

    /// Somebody has proved to have a key of this username.
    fn authenticated(&self, username: &str) {
        let _ = username;
    }

    /// The username behind a USERHASH (RFC 8489 §14.4), where users can be enumerated.
    fn username(&self, userhash: &[u8; 32], realm: &str) -> Option<String> {
        let _ = (userhash, realm);
        None
    }
}

/// What is known about a user.
#[derive(Debug, Clone)]
pub struct UserKeys {
    /// Who it is in quotas and for `revoke`: for `EXPIRY:user`, the user.
    pub user: String,
    /// Any of these keys will do: one for each live secret, or for each way to prepare the password.
    pub keys: Vec<LongTermKey>,
    /// When the credentials end; what that means for a live allocation is a setting.
    pub expires: Option<Instant>,
}

/// SHA-256 of `username:realm` (RFC 8489 §14.4).
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(username);
    digest.update(":");
    digest.update(realm);
    digest.finalize().into()
}

/// The first that knows a user answers.
impl CredentialSource for Vec<Arc<dyn CredentialSource>> {
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys> {
        self.iter().find_map(|credentials| credentials.user_keys(username, realm, algorithm, now))
    }

    fn authenticated(&self, username: &str) {
        self.iter().for_each(|credentials| credentials.authenticated(username));
    }

    fn username(&self, userhash: &[u8; 32], realm: &str) -> Option<String> {
        self.iter().find_map(|credentials| credentials.username(userhash, realm))
    }
}

/// A pair of readings of the two clocks, taken together at the edge.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    pub instant: Instant,
    /// Unix time at `instant`.
    pub unix: Duration,
}

impl WallClock {
    fn unix_at(&self, now: Instant) -> Duration {
        match now.checked_duration_since(self.instant) {
            Some(later) => self.unix.saturating_add(later),
            None => self.unix.saturating_sub(self.instant.saturating_duration_since(now)),
        }
    }
}

/// Bytes of a secret that nobody finds by trying.
pub const MIN_UNGUESSABLE_SECRET_BYTES: usize = 16;

/// TURN REST credentials: username `EXPIRY:user`, password base64(HMAC-SHA1(secret, username)).
pub struct RestSecrets {
    secrets: Vec<Vec<u8>>,
    clock: WallClock,
    /// An EXPIRY further ahead than this is refused: it was written in milliseconds, or for ever.
    longest: Option<Duration>,
}

impl RestSecrets {
    pub fn new(secrets: impl IntoIterator<Item = Vec<u8>>, clock: WallClock, longest: Option<Duration>) -> Self {
        Self { secrets: secrets.into_iter().collect(), clock, longest }
    }

    /// The user and the seconds that are left.
    fn parse<'a>(&self, username: &'a str, now: Instant) -> Option<(&'a str, Duration)> {
        let (expiry, user) = match username.split_once(':') {
            Some((expiry, user)) => (expiry, if user.is_empty() { username } else { user }),
            None => (username, username),
        };
        // `parse` alone would take a plus sign.
        if expiry.is_empty() || !expiry.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let expiry = Duration::from_secs(expiry.parse().ok()?);
        let left = expiry.checked_sub(self.clock.unix_at(now)).filter(|left| !left.is_zero())?;
        // A minute of grace: the clocks of two servers differ.
        let longest = self.longest.map(|longest| longest.saturating_add(Duration::from_secs(60)));
        longest.is_none_or(|longest| left <= longest).then_some((user, left))
    }
}

impl CredentialSource for RestSecrets {
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys> {
        let (user, left) = self.parse(username, now)?;
        let keys: Vec<LongTermKey> = self
            .secrets
            .iter()
            .map(|secret| LongTermKey::long_term(algorithm, username, realm, &rest_password(secret, username)))
            .collect();
        (!keys.is_empty()).then(|| UserKeys { user: user.to_owned(), keys, expires: now.checked_add(left) })
    }

    fn is_guessable(&self, _: &str) -> bool {
        self.secrets.iter().any(|secret| secret.len() < MIN_UNGUESSABLE_SECRET_BYTES)
    }
}

/// Secrets never reach a log.
impl fmt::Debug for RestSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestSecrets").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

/// base64(HMAC-SHA1(secret, username)).
pub fn rest_password(secret: &[u8], username: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Users that do not expire, by name; only their keys are kept.
#[derive(Debug, Default)]
pub struct StaticUsers {
    users: HashMap<String, Vec<LongTermKey>>,
    by_hash: HashMap<[u8; 32], String>,
}

impl StaticUsers {
    /// Adds a user or a further password. Clients differ in whether they prepare a password (SASLprep, RFC 4013): both ways are accepted.
    pub fn insert(&mut self, username: &str, realm: &str, password: &str) {
        let prepared = stringprep::saslprep(password).ok().filter(|prepared| prepared.as_ref() != password);
        for password in [Some(password), prepared.as_deref()].into_iter().flatten() {
            for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
                self.insert_key(username, realm, LongTermKey::long_term(algorithm, username, realm, password));
            }
        }
    }

    /// Adds a key that was computed before.
    pub fn insert_key(&mut self, username: &str, realm: &str, key: LongTermKey) {
        self.users.entry(username.to_owned()).or_default().push(key);
        self.by_hash.insert(userhash(username, realm), username.to_owned());
    }
}

impl CredentialSource for StaticUsers {
    fn user_keys(&self, username: &str, _realm: &str, algorithm: PasswordAlgorithm, _now: Instant) -> Option<UserKeys> {
        let keys: Vec<LongTermKey> =
            self.users.get(username)?.iter().filter(|key| key.algorithm() == algorithm).copied().collect();
        (!keys.is_empty()).then(|| UserKeys { user: username.to_owned(), keys, expires: None })
    }

    fn username(&self, userhash: &[u8; 32], _realm: &str) -> Option<String> {
        self.by_hash.get(userhash).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(longest: Option<Duration>) -> (RestSecrets, Instant) {
        let instant = Instant::now();
        let clock = WallClock { instant, unix: Duration::from_secs(1_000_000) };
        (RestSecrets::new([b"north".to_vec(), b"south".to_vec()], clock, longest), instant)
    }

    #[test]
    fn r61_the_password_is_the_contracts_vector() {
        assert_eq!(rest_password(b"north", "1266890800:mbzrxpgjys"), "nbRcrnq5h6xXhyNhlwk+lDLvVVo=");
    }

    #[test]
    fn r23_usernames_that_are_no_credentials() {
        let (secrets, now) = secrets(Some(Duration::from_secs(86_400)));
        let account = |username: &str, now| secrets.user_keys(username, "realm", PasswordAlgorithm::Md5, now);
        for bad in [
            "999999:alice",
            "1000000:alice",
            "-5:alice",
            "+1000100:alice",
            " 1000100:alice",
            "1000100 :alice",
            "1e9:alice",
            "alice",
            "",
            ":",
            "99999999999999999999999999:alice",
            "18446744073709551615:alice",
            "1086461:alice",
            "1000100000:alice",
        ] {
            assert!(account(bad, now).is_none(), "{bad}");
        }
        let alice = account("1000100:alice", now).expect("a good one");
        assert_eq!((alice.user.as_str(), alice.keys.len(), alice.expires), ("alice", 2, Some(now + Duration::from_secs(100))));
        assert!(account("1000100:alice", now + Duration::from_secs(100)).is_none());
        assert!(account("1086460:alice", now).is_some());
        assert_eq!(account("1000100:a:b", now).expect("a colon in the user").user, "a:b");
        assert_eq!(account("1000100", now).expect("no user").user, "1000100");
    }

    #[test]
    fn r27_a_password_is_taken_raw_and_prepared() {
        let mut users = StaticUsers::default();
        // RFC 4013 §3: a soft hyphen is mapped to nothing.
        users.insert("user", "realm", "I\u{AD}X");
        let keys = users.user_keys("user", "realm", PasswordAlgorithm::Md5, Instant::now()).expect("known").keys;
        for password in ["IX", "I\u{AD}X"] {
            assert!(keys.contains(&LongTermKey::long_term(PasswordAlgorithm::Md5, "user", "realm", password)));
        }
        assert_eq!(users.username(&userhash("user", "realm"), "realm").as_deref(), Some("user"));
    }
}
