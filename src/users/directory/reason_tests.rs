//! The reasons for which logins are refused, and how far the clock of another issuer may be off. The fixtures are those of `tests`.

use std::time::{Duration, SystemTime};

use super::handle::Directory;
use super::tests::{NOW, at, directory, key, limited, stored_key};
use crate::turn::CredentialRefusal;
use crate::turn::Scope::{self, Anyone, Clients};
use crate::turn::codec::integrity::PasswordAlgorithm;

impl Directory {
    /// What the log says of a request with this username that `secret` has signed in `scope`, or that nobody has.
    fn why(&self, username: &str, signer: Option<(&str, Scope)>, now: SystemTime) -> CredentialRefusal {
        let evidence = self.evidence(username, "castway", PasswordAlgorithm::Md5, now);
        let signed = signer.map(|(secret, scope)| key(secret, scope, username).1);
        assert!(signed.is_none_or(|signed| self.keys(username, now).iter().all(|(_, key)| *key != signed)), "it is accepted");
        let genuine = evidence.keys.iter().find(|(key, _)| Some(*key) == signed);
        genuine.map_or(evidence.otherwise, |(_, why)| *why)
    }
}

/// Requirement 23: the log says why.
#[test]
fn r23_each_refused_login_has_its_reason() {
    use CredentialRefusal::*;

    let directory = directory("");
    for (username, why) in [("nobody", UnknownUser), ("x:alice", UnknownUser), ("alice", WrongPassword), ("", UnknownUser)] {
        assert_eq!(directory.why(username, None, at(0)), why, "{username}");
    }
    for username in ["01800000060:bob", "1800000060.25:bob", "bob:1800000060.25", "99999999999999999999999:bob", ":", ":bob"] {
        assert_eq!(directory.why(username, None, at(0)), Malformed, "{username}");
    }
    let elsewhere = directory.evidence("alice", "elsewhere", PasswordAlgorithm::Md5, at(0));
    assert_eq!((elsewhere.keys.len(), elsewhere.otherwise), (0, UserOfOtherRealm));
    // The right password of a disabled user, in both forms.
    assert_eq!(
        directory.evidence("mallory", "castway", PasswordAlgorithm::Md5, at(0)).keys,
        [(stored_key("mallory"), UserRefused); 2]
    );
    let (name, expired) = (|seconds: u64, user: &str| format!("{seconds}:{user}"), Expired { ago: Duration::from_secs(10_800) });
    let ahead = TooFarAhead { ahead: Duration::from_secs(3901), most: Duration::from_secs(3900) };
    let cases = [
        (name(NOW - 10_800, "bob"), expired),
        (name(NOW + 3901, "bob"), ahead),
        (name((NOW + 60) * 1000, "bob"), Milliseconds),
        (format!("bob:{}", NOW + 60), ForeignForm),
        (format!("{}:", NOW + 60), ForeignForm),
    ];
    for scope in [Clients, Anyone] {
        for (username, why) in &cases {
            for secret in ["newest", "older"] {
                assert_eq!(directory.why(username, Some((secret, scope)), at(0)), *why, "{username}");
            }
            assert_eq!(directory.why(username, Some(("another", scope)), at(0)), WrongSignature, "{username}");
        }
    }
    for (user, scope) in [("mallory", Anyone), ("removed", Anyone), ("former", Clients), ("shut", Clients), ("kiosk", Anyone)] {
        assert_eq!(directory.why(&name(NOW + 60, user), Some(("newest", scope)), at(0)), UserRefused, "{user}");
    }
}

#[test]
fn r23_the_reason_for_credentials_of_another_issuer() {
    use CredentialRefusal::*;

    let north = Some(("north", Anyone));
    let (open, limited) = (directory("north"), limited("north", "7200"));
    assert_eq!(open.why(&format!("{}:bob", NOW - 301), north, at(0)), Expired { ago: Duration::from_secs(301) });
    assert_eq!(open.why(&format!("{}:mallory", NOW + 60), north, at(0)), UserRefused);
    assert_eq!(open.why(&format!("{}:bob", NOW + 60), Some(("south", Anyone)), at(0)), WrongSignature);
    assert_eq!(open.why(&format!("{}:bob", NOW + 60), Some(("newest", Anyone)), at(0)), WrongSignature, "of the database");
    let ahead = TooFarAhead { ahead: Duration::from_secs(7501), most: Duration::from_secs(7500) };
    for username in [format!("{}:bob", NOW + 7501), format!("bob:{}", NOW + 7501), ((NOW + 7501) * 1000).to_string()] {
        assert_eq!(limited.why(&username, north, at(0)), ahead, "{username}");
    }
}

/// Issuers give a day, or something else, by a clock that is up to five minutes ahead or behind.
#[test]
fn r23_the_clock_of_another_issuer_may_be_five_minutes_off() {
    let day = 86_400;
    let issued = |clock: i64, life: u64| NOW.saturating_add_signed(clock) + life;
    for life in [1, 60, 3600, day] {
        for clock in [-300, -299, 0, 300] {
            let expiry = issued(clock, life);
            for name in [format!("{expiry}:@bob:example.org"), format!("{expiry}"), format!("bob:{expiry}"), format!("{expiry}:")]
            {
                let limited = limited("north", &life.max(60).to_string());
                for directory in [directory("north"), limited] {
                    assert!(directory.keys(&name, at(0)).contains(&key("north", Anyone, &name)), "{name}, {clock} s");
                }
            }
        }
    }
    // Our own secrets: the issuer is this server, or one whose clock is as far ahead.
    let own = |clock: i64| directory("").keys(&format!("{}:bob", issued(clock, 3600)), at(0)).len();
    assert_eq!([own(-300), own(0), own(300), own(301)], [4, 4, 4, 0]);
}
