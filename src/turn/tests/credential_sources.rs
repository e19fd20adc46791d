//! Credential sources of the test kit: TURN REST usernames signed with secrets, and static users.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::config::secret::MIN_UNGUESSABLE_SECRET_BYTES;
use crate::turn::codec::integrity::{LongTermKey, PasswordAlgorithm};
use crate::turn::{CredentialSource, Scope, UserKeys};

/// SHA-256 of `username:realm` (RFC 8489 §14.4).
pub(super) fn userhash(username: &str, realm: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(username);
    digest.update(":");
    digest.update(realm);
    digest.finalize().into()
}

/// Both clocks, read at the same time at the edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct TestClock {
    pub(super) instant: Instant,
    /// Unix time at `instant`.
    pub(super) unix: Duration,
}

impl TestClock {
    fn unix_at(&self, now: Instant) -> Duration {
        match now.checked_duration_since(self.instant) {
            Some(later) => self.unix.saturating_add(later),
            None => self.unix.saturating_sub(self.instant.saturating_duration_since(now)),
        }
    }
}

/// TURN REST credentials: username `EXPIRY:user`, password base64(HMAC-SHA1(secret, username)).
pub(super) struct RestSecrets {
    secrets: Vec<Vec<u8>>,
    clock: TestClock,
    /// An EXPIRY that is further ahead is refused: it was written in milliseconds, or was meant to be unlimited.
    longest: Option<Duration>,
}

impl RestSecrets {
    pub(super) fn new(secrets: impl IntoIterator<Item = Vec<u8>>, clock: TestClock, longest: Option<Duration>) -> Self {
        Self { secrets: secrets.into_iter().collect(), clock, longest }
    }

    /// The user, and the time that is left.
    fn parse<'a>(&self, username: &'a str, now: Instant) -> Option<(&'a str, Duration)> {
        let (expiry, user) = match username.split_once(':') {
            Some((expiry, user)) => (expiry, if user.is_empty() { username } else { user }),
            None => (username, username),
        };
        // `parse` alone would accept a plus sign.
        if expiry.is_empty() || !expiry.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let expiry = Duration::from_secs(expiry.parse().ok()?);
        let left = expiry.checked_sub(self.clock.unix_at(now)).filter(|left| !left.is_zero())?;
        // The clocks of two servers may differ by a minute.
        let longest = self.longest.map(|longest| longest.saturating_add(Duration::from_secs(60)));
        longest.is_none_or(|longest| left <= longest).then_some((user, left))
    }
}

impl CredentialSource for RestSecrets {
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys> {
        let (user, left) = self.parse(username, now)?;
        let keys: Vec<(Scope, LongTermKey)> = self
            .secrets
            .iter()
            .map(|secret| (Scope::Anyone, LongTermKey::long_term(algorithm, username, realm, &rest_password(secret, username))))
            .collect();
        (!keys.is_empty()).then(|| UserKeys {
            user: user.to_owned(),
            keys,
            expires: now.checked_add(left),
            leased: false,
            group: None,
        })
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
pub(super) fn rest_password(secret: &[u8], username: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Users that do not expire, by name; only their keys are kept.
#[derive(Debug, Default)]
pub(in crate::turn) struct StaticUsers {
    users: HashMap<String, Vec<(Scope, LongTermKey)>>,
    by_hash: HashMap<[u8; 32], String>,
}

impl StaticUsers {
    /// Adds a user or a further password. Clients differ in whether they prepare a password (SASLprep, RFC 4013): both ways are
    /// accepted.
    pub(super) fn insert(&mut self, username: &str, realm: &str, password: &str) {
        self.insert_in_scope(Scope::Anyone, username, realm, password);
    }

    /// As [`Self::insert`], for a scope.
    pub(super) fn insert_in_scope(&mut self, scope: Scope, username: &str, realm: &str, password: &str) {
        let prepared = stringprep::saslprep(password).ok().filter(|prepared| prepared.as_ref() != password);
        for password in [Some(password), prepared.as_deref()].into_iter().flatten() {
            for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
                self.insert_key(scope, username, realm, LongTermKey::long_term(algorithm, username, realm, password));
            }
        }
    }

    /// Adds a key that was computed before.
    pub(super) fn insert_key(&mut self, scope: Scope, username: &str, realm: &str, key: LongTermKey) {
        self.users.entry(username.to_owned()).or_default().push((scope, key));
        self.by_hash.insert(userhash(username, realm), username.to_owned());
    }
}

impl CredentialSource for StaticUsers {
    fn user_keys(&self, username: &str, _realm: &str, algorithm: PasswordAlgorithm, _now: Instant) -> Option<UserKeys> {
        let matching = self.users.get(username)?.iter().filter(|(_, key)| key.algorithm() == algorithm);
        let keys: Vec<(Scope, LongTermKey)> = matching.copied().collect();
        (!keys.is_empty()).then(|| UserKeys { user: username.to_owned(), keys, expires: None, leased: false, group: None })
    }

    fn username_of(&self, userhash: &[u8; 32], _realm: &str) -> Option<String> {
        self.by_hash.get(userhash).cloned()
    }
}

fn secrets(longest: Option<Duration>) -> (RestSecrets, Instant) {
    let instant = Instant::now();
    let clock = TestClock { instant, unix: Duration::from_secs(1_000_000) };
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
        assert!(keys.contains(&(Scope::Anyone, LongTermKey::long_term(PasswordAlgorithm::Md5, "user", "realm", password))));
    }
    assert_eq!(users.username_of(&userhash("user", "realm"), "realm").as_deref(), Some("user"));
}
