//! Time-limited credentials and long-term keys. PURE: secrets, names and the time come in as arguments.
//!
//! Time-limited credentials are those of draft-uberti-behave-turn-rest: the username is `EXPIRY:user` with EXPIRY a Unix time
//! in seconds, the password base64(HMAC-SHA1(key, username)). For scope anyone the key is the secret's text, as in coturn. For the
//! other scopes it is derived from the secret, so that no other server accepts these credentials.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::secret::Secret;
use crate::turn::Scope;
use crate::whole_number;

/// How much further ahead than the longest ttl an expiry may be, and how long ago the expiry of another issuer may have been: the
/// clocks of that issuer and of this relay differ.
pub const CLOCK_SLACK: Duration = Duration::from_secs(300);
/// The key of scope clients is derived with this text, whose number would change with the derivation.
const CLIENTS_KEY_LABEL: &[u8] = b"castway/scope/clients/1";
/// The same for scope own-address.
const OWN_ADDRESS_KEY_LABEL: &[u8] = b"castway/scope/own-address/1";
/// Users of scope own-address have names that begin so. Other names are not tried with the key of that scope.
pub const OWN_ADDRESS_USER_PREFIX: &str = "check-";
/// The users of this server's tests of its own relay: at the start and every now and then, and by `castway doctor`.
pub const SELF_TEST_USER: &str = "castway self-test";
pub const DOCTOR_USER: &str = "castway-doctor";
/// Digits of an expiry in milliseconds, as JavaScript's `Date.now()` has them; in seconds it would be after the year 33,000.
const MILLISECOND_DIGITS: usize = 13;

/// Time-limited credentials, as `GET /turn`, the command line and the cast flow give them to clients.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `EXPIRY:user`.
    pub username: String,
    pub password: Secret<String>,
    /// Lifetime from the moment of issue, in whole seconds.
    pub ttl: Duration,
}

/// The parts of a time-limited username.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimitedUsername<'a> {
    /// Unix seconds.
    pub expiry: u64,
    /// Empty for issuers that send the expiry alone (Prosody does).
    pub user: &'a str,
    /// Castway does not issue this form: `user:EXPIRY`, `EXPIRY:`, `:EXPIRY`, or an expiry in milliseconds. It counts only where the
    /// operator shares the secret with another issuer.
    pub is_foreign: bool,
    /// The expiry was given in milliseconds.
    pub in_milliseconds: bool,
}

impl<'a> TimeLimitedUsername<'a> {
    /// As coturn reads it: what precedes the first `:` is the expiry where it is all digits, otherwise what follows is.
    ///
    /// `None` for anything but plain decimal digits that fit 64 bits, alone or beside a `:` and a user.
    pub fn parse(username: &'a str) -> Option<Self> {
        let (digits, user, is_foreign) = match username.split_once(':') {
            None => (username, "", false),
            Some((front, "")) if whole_number::is_digits(front) => (front, "", true),
            Some((front, user)) if whole_number::is_digits(front) => (front, user, false),
            Some((user, back)) => (back, user, true),
        };
        if !whole_number::is_digits(digits) || digits.starts_with('0') {
            return None;
        }
        let expiry: u64 = digits.parse().ok()?;
        Some(match digits.len() {
            MILLISECOND_DIGITS => Self { expiry: expiry / 1000, user, is_foreign: true, in_milliseconds: true },
            _ => Self { expiry, user, is_foreign, in_milliseconds: false },
        })
    }

    /// Whether a username looks like a time-limited one, even if [`Self::parse`] can't read it, for example because its time has a
    /// fraction, which some languages print unasked. A user with a password may have such a name, unless it begins with digits and a colon.
    pub fn looks_time_limited(username: &'a str) -> bool {
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let looks_like_one = |(front, back): (&str, &str)| is_number(front) || !back.is_empty() && is_number(back);
        username.split_once(':').is_some_and(looks_like_one)
    }

    /// Whether the credentials have not expired at `now`, and end no later than `longest` (and [`CLOCK_SLACK`]) from then. `None`: they
    /// may live for ever.
    pub fn is_unexpired(&self, now: SystemTime, longest: Option<Duration>) -> bool {
        self.expiry > unix_seconds(now) && self.ends_within(now, longest)
    }

    /// The same for credentials of another issuer, whose clock may be [`CLOCK_SLACK`] behind.
    pub fn is_current_elsewhere(&self, now: SystemTime, longest: Option<Duration>) -> bool {
        self.expiry.saturating_add(CLOCK_SLACK.as_secs()) >= unix_seconds(now) && self.ends_within(now, longest)
    }

    fn ends_within(&self, now: SystemTime, longest: Option<Duration>) -> bool {
        let left = self.expiry.saturating_sub(unix_seconds(now));
        longest.is_none_or(|longest| left <= longest.saturating_add(CLOCK_SLACK).as_secs())
    }
}

/// Credentials of `scope` for `user` that end `ttl` after `now`.
pub fn issue(secret: &str, scope: Scope, user: &str, ttl: Duration, now: SystemTime) -> Credentials {
    let username = format!("{}:{user}", unix_seconds(now) + ttl.as_secs());
    let password = Secret::new(password(secret, scope, &username));
    Credentials { username, password, ttl: Duration::from_secs(ttl.as_secs()) }
}

/// base64(HMAC-SHA1(key, username)), with the key of `scope`.
pub fn password(secret: &str, scope: Scope, username: &str) -> String {
    match scope {
        Scope::Anyone => sign(secret.as_bytes(), username),
        Scope::Clients => sign(&derived_key(secret, CLIENTS_KEY_LABEL), username),
        Scope::OwnAddress => sign(&derived_key(secret, OWN_ADDRESS_KEY_LABEL), username),
    }
}

fn derived_key(secret: &str, label: &[u8]) -> [u8; 32] {
    let mut key = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    key.update(label);
    key.finalize().into_bytes().into()
}

fn sign(key: &[u8], username: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The first bytes of HMAC-SHA256 over what is stored of a user's password.
pub(super) fn stamp(key: &[u8; 32], name: &str, stored: &[u8; 32]) -> u64 {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    let mac = mac.chain_update(b"stamp").chain_update(stored).chain_update(name).finalize().into_bytes();
    mac.iter().take(size_of::<u64>()).fold(0, |stamp, &byte| stamp << 8 | u64::from(byte))
}

/// Whether `given` is the password that `secret` signs `username` with in `scope`, in constant time.
pub fn verify(secret: &str, scope: Scope, username: &str, given: &str) -> bool {
    same(&password(secret, scope, username), given)
}

/// Compares two secrets in a time that does not depend on where they differ or how long they are.
pub fn same(one: &str, other: &str) -> bool {
    Sha256::digest(one.as_bytes()).as_slice().ct_eq(Sha256::digest(other.as_bytes()).as_slice()).into()
}

/// The long-term key MD5(username ":" realm ":" password), with one form of the password (RFC 8489, 9.2.2, asks for SASLprep).
pub fn h_a1_md5(username: &str, realm: &str, password: &str) -> [u8; 16] {
    Md5::digest(format!("{username}:{realm}:{password}")).into()
}

/// The long-term key for PASSWORD-ALGORITHM SHA-256 (RFC 8489, 18.5.1).
pub fn h_a1_sha256(username: &str, realm: &str, password: &str) -> [u8; 32] {
    Sha256::digest(format!("{username}:{realm}:{password}")).into()
}

/// Seconds since 1970; 0 for a clock before that, which makes every expiry too far ahead.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A username as Castway issues it.
    fn own(expiry: u64, user: &str) -> TimeLimitedUsername<'_> {
        TimeLimitedUsername { expiry, user, is_foreign: false, in_milliseconds: false }
    }

    #[test]
    fn the_password_of_the_published_vector() {
        assert_eq!(password("north", Scope::Anyone, "1266890800:mbzrxpgjys"), "nbRcrnq5h6xXhyNhlwk+lDLvVVo=");
        assert!(verify("north", Scope::Anyone, "1266890800:mbzrxpgjys", "nbRcrnq5h6xXhyNhlwk+lDLvVVo="));
        assert!(!verify("south", Scope::Anyone, "1266890800:mbzrxpgjys", "nbRcrnq5h6xXhyNhlwk+lDLvVVo="));
    }

    /// The value was computed with another implementation of HMAC.
    #[test]
    fn scope_clients_signs_with_a_derived_key() {
        let (username, other) = ("1266890800:mbzrxpgjys", "nbRcrnq5h6xXhyNhlwk+lDLvVVo=");
        assert_eq!(password("north", Scope::Clients, username), "yieejYgWxgxp6jEWrKK7m6y8ZTc=");
        assert!(!verify("north", Scope::Clients, username, other));
        assert!(!verify("north", Scope::Anyone, username, "yieejYgWxgxp6jEWrKK7m6y8ZTc="));
    }

    #[test]
    fn issued_credentials_verify_until_they_expire() {
        let now = at(1_800_000_000);
        for scope in [Scope::Clients, Scope::Anyone] {
            let issued = issue("north", scope, "alice", DAY, now);
            assert_eq!(issued.username, "1800086400:alice");
            assert!(verify("north", scope, &issued.username, issued.password.expose()));
        }
        let issued = issue("north", Scope::Clients, "alice", DAY, now);
        let name = TimeLimitedUsername::parse(&issued.username).expect("issued names parse");
        assert!(name.is_unexpired(now, Some(DAY)));
        assert!(name.is_unexpired(now + DAY - Duration::from_secs(1), Some(DAY)));
        assert!(!name.is_unexpired(now + DAY, Some(DAY)));
    }

    /// Requirement 23: expired, malformed, huge, negative, too far ahead.
    #[test]
    fn a_bad_expiry_is_no_credential() {
        let now = at(1_800_000_000);
        let bad = [
            "1799999999:a",
            "1800000000:a",
            "1799999999999:a",
            "a:1800000000",
            "-1800000010:a",
            "+1800000010:a",
            " 1800000010:a",
            "1800000010 :a",
            "01800000010:a",
            "0x6b49d20a:a",
            "1.8e9:a",
            "１８０００００１００:a",
            "18446744073709551616:a",
            "99999999999999999999999999999999:a",
            ":",
            ":a",
            "a:",
            "a:b:1800000010",
            "a:1800000010:b",
            "alice",
            "",
        ];
        for name in bad {
            assert!(!TimeLimitedUsername::parse(name).is_some_and(|name| name.is_unexpired(now, None)), "{name:?}");
        }
        for good in ["1800000010:a", "1800000010", "1800086700:a", "1800000010:@alice:example.org", "1800000010:392938130"] {
            assert!(
                TimeLimitedUsername::parse(good).is_some_and(|name| name.is_unexpired(now, Some(DAY)) && !name.is_foreign),
                "{good:?}"
            );
        }
        let far = TimeLimitedUsername { expiry: 1_800_086_701, user: "a", is_foreign: false, in_milliseconds: false };
        assert!(!far.is_unexpired(now, Some(DAY)) && far.is_unexpired(now, None));
    }

    #[test]
    fn the_user_is_all_after_the_first_colon() {
        assert_eq!(TimeLimitedUsername::parse("17:@a:b"), Some(own(17, "@a:b")));
        assert_eq!(TimeLimitedUsername::parse("17:18"), Some(own(17, "18")));
    }

    /// Whatever the name looks like, the expiry is the one that was signed.
    #[test]
    fn a_name_of_digits_is_no_expiry() {
        let now = at(1_800_000_000);
        for name in ["1900000000", "1900000000000", "1900000000:x", "x:1900000000", ":1900000000", "01900000000"] {
            let issued = issue("north", Scope::Clients, name, DAY, now);
            let read = TimeLimitedUsername::parse(&issued.username);
            assert_eq!(read, Some(own(1_800_086_400, name)), "{name}");
            let later = now + DAY + CLOCK_SLACK + Duration::from_secs(1);
            assert!(
                read.is_some_and(|read| !read.is_unexpired(later, None) && !read.is_current_elsewhere(later, None)),
                "{name}"
            );
        }
    }

    /// As coturn 4.17 takes them.
    #[test]
    fn usernames_of_other_issuers_are_read_and_marked() {
        let (seconds, milliseconds) = (1_800_000_010, "1800000010999");
        for (name, user) in [
            ("alice:1800000010", "alice"),
            ("1800000010:", ""),
            (":1800000010", ""),
            ("a1:1800000010", "a1"),
            (&format!("{milliseconds}:alice"), "alice"),
            (&format!("alice:{milliseconds}"), "alice"),
            (milliseconds, ""),
        ] {
            let in_milliseconds = name.contains(milliseconds);
            let read = TimeLimitedUsername { expiry: seconds, user, is_foreign: true, in_milliseconds };
            assert_eq!(TimeLimitedUsername::parse(name), Some(read), "{name:?}");
        }
    }

    /// RFC 5389, 15.4.
    #[test]
    fn the_long_term_key_of_rfc_5389() {
        let key: [u8; 16] = 0x8493_fbc5_3ba5_82fb_4c04_4c45_6bdc_40eb_u128.to_be_bytes();
        assert_eq!(h_a1_md5("user", "realm", "pass"), key);
    }

    /// RFC 5769, 2.4: the request's MESSAGE-INTEGRITY is made with the key of a password that SASLprep changes.
    #[test]
    fn the_long_term_key_of_rfc_5769() {
        let username = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
        let mut message = Vec::from(*b"\x00\x01\x00\x60\x21\x12\xa4\x42\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e");
        message.extend(b"\x00\x06\x00\x12");
        message.extend(username.as_bytes());
        message.extend(b"\0\0\x00\x15\x00\x1cf//499k954d6OL34oL9FSTvy64sA\x00\x14\x00\x0bexample.org\0");
        let integrity = b"\xf6\x70\x24\x65\x6d\xd6\x4a\x3e\x02\xb8\xe0\x71\x2e\x85\xc9\xa2\x8c\xa8\x96\x66";
        let password = stringprep::saslprep("The\u{AD}M\u{AA}tr\u{2168}").unwrap();
        let mut mac = Hmac::<Sha1>::new_from_slice(&h_a1_md5(username, "example.org", &password)).unwrap();
        mac.update(&message);
        assert_eq!(mac.finalize().into_bytes().as_slice(), integrity);
    }

    #[test]
    fn comparing_secrets_is_comparing_texts() {
        assert!(same("abc", "abc"));
        assert!(!same("abc", "abcd"));
        assert!(!same("", "a"));
    }
}
