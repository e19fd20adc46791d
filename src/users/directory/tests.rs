//! Fixtures: `directory(secrets)` has one snapshot with alice (enabled), mallory (disabled), removed (removed) and 1001 (enabled) of scope
//! anyone, kiosk (enabled), shut (disabled) and former (revoked) of scope clients, and three secrets; `at(s)` is `s` seconds after the time
//! of that snapshot; `reload` replaces its secrets as the follower does.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::handle::Directory;
use super::logins::Login;
use super::state::{DirectoryState, IndexedSnapshot};
use crate::config::secret::Secret;
use crate::config::{Config, CredentialsConfig, Settings};
use crate::turn::Scope::{self, Anyone, Clients};
use crate::turn::codec::integrity::{LongTermKey, PasswordAlgorithm};
use crate::users::credentials;
use crate::users::password::TurnKeys;
use crate::users::store::{SecretInfo, Snapshot, SnapshotUser};

pub(super) const NOW: u64 = 1_800_000_000;

pub(super) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW + seconds)
}

pub(super) fn config(secrets: &str) -> CredentialsConfig {
    Config::read(&settings(secrets)).unwrap().credentials
}

fn settings(secrets: &str) -> Settings {
    Settings { static_auth_secret: Some(secrets.into()), ttl: Some("3600".into()), ..Settings::default() }
}

fn secret(id: i64, value: &str, retired_at: Option<i64>) -> SecretInfo {
    SecretInfo { id, value: Secret::new(value.into()), created: String::new(), retired_at }
}

fn user(name: &str, scope: Scope, enabled: bool) -> (String, SnapshotUser) {
    let user = SnapshotUser {
        enabled,
        admin: None,
        scope,
        realm: "castway".into(),
        prepared: TurnKeys::new(name, "castway", "pw"),
        typed: None,
    };
    (name.into(), user)
}

pub(super) fn directory(secrets: &str) -> Directory {
    Directory(Arc::new(DirectoryState::new(snapshot(), &config(secrets), at(0))))
}

pub(super) fn limited(secrets: &str, max_foreign_ttl: &str) -> Directory {
    let settings = Settings { max_foreign_ttl: Some(max_foreign_ttl.into()), ..settings(secrets) };
    Directory(Arc::new(DirectoryState::new(snapshot(), &Config::read(&settings).unwrap().credentials, at(0))))
}

fn snapshot() -> Snapshot {
    Snapshot {
        secrets: vec![secret(3, "newest", None), secret(2, "older", Some(NOW as i64)), secret(1, "old", Some(0))],
        users: vec![
            user("alice", Anyone, true),
            user("mallory", Anyone, false),
            user("1001", Anyone, true),
            user("kiosk", Clients, true),
            user("shut", Clients, false),
        ],
        revoked: vec![("removed".into(), Anyone), ("former".into(), Clients)],
        ..Snapshot::default()
    }
}

pub(super) fn key(secret: &str, scope: Scope, username: &str) -> (Scope, LongTermKey) {
    let password = credentials::password(secret, scope, username);
    (scope, LongTermKey::Md5(credentials::h_a1_md5(username, "castway", &password)))
}

/// The keys of both scopes.
fn both(secret: &str, username: &str) -> [(Scope, LongTermKey); 2] {
    [Clients, Anyone].map(|scope| key(secret, scope, username))
}

pub(super) fn stored_key(user: &str) -> LongTermKey {
    LongTermKey::Md5(credentials::h_a1_md5(user, "castway", "pw"))
}

impl Directory {
    pub(super) fn md5(&self, username: &str, now: SystemTime) -> Option<Login> {
        self.login(username, "castway", PasswordAlgorithm::Md5, now)
    }

    pub(super) fn keys(&self, username: &str, now: SystemTime) -> Vec<(Scope, LongTermKey)> {
        self.md5(username, now).map(|login| login.keys).unwrap_or_default()
    }

    pub(super) fn scopes(&self, username: &str, now: SystemTime) -> Vec<Scope> {
        self.keys(username, now).into_iter().map(|(scope, _)| scope).collect()
    }
}

#[test]
fn the_newest_secret_signs_and_live_ones_verify() {
    let directory = directory("");
    let issued = directory.issue("alice", Anyone, None, at(0));
    assert_eq!(issued.ttl, Duration::from_secs(3600));
    assert!(credentials::verify("newest", Anyone, &issued.username, issued.password.expose()));
    let keys = directory.keys(&issued.username, at(1));
    assert_eq!(keys, [both("newest", &issued.username), both("older", &issued.username)].concat());
    let later = directory.issue("alice", Anyone, None, at(3601));
    assert_eq!(directory.keys(&later.username, at(3601)), both("newest", &later.username));
    let sha256 = directory.login(&later.username, "castway", PasswordAlgorithm::Sha256, at(3601)).unwrap().keys;
    let expected = credentials::h_a1_sha256(&later.username, "castway", later.password.expose());
    assert_eq!(sha256[1], (Anyone, LongTermKey::Sha256(expected)));
    assert_eq!(sha256.len(), 2);
}

#[test]
fn issued_credentials_are_good_until_they_expire() {
    for secrets in ["", "north"] {
        let directory = directory(secrets);
        let issued = directory.issue("alice", Anyone, Some(Duration::from_secs(60)), at(0));
        let left = |username: &str, password: &str, now| directory.remaining_ttl(username, password, at(now));
        let (username, password) = (issued.username.as_str(), issued.password.expose().as_str());
        assert_eq!(left(username, password, 20), Some(Duration::from_secs(40)));
        assert_eq!(left(username, password, 5000), None);
        let (expiry, _) = username.split_once(':').unwrap();
        let longer = format!("{}:alice", expiry.parse::<u64>().unwrap() + 60);
        for (username, password) in
            [(username, ""), (username, "x"), (longer.as_str(), password), (expiry, password), ("alice", password), ("", "")]
        {
            assert_eq!(left(username, password, 20), None, "{username}");
        }
    }
}

/// The key that verifies a request decides the scope.
#[test]
fn each_scope_is_signed_with_a_key_of_its_own() {
    for (secrets, signs) in [("", "newest"), ("north", "north")] {
        let directory = directory(secrets);
        let [clients, anyone] = [Clients, Anyone].map(|scope| directory.issue("bob", scope, None, at(0)));
        assert_eq!(clients.username, anyone.username);
        assert!(credentials::verify(signs, Clients, &clients.username, clients.password.expose()));
        assert!(credentials::verify(signs, Anyone, &anyone.username, anyone.password.expose()));
        assert_eq!(directory.keys(&clients.username, at(1))[..2], both(signs, &clients.username));
    }
}

/// A stranger chooses the name, and must not choose the expiry, nor the user, with it.
#[test]
fn a_name_of_digits_revives_nothing() {
    for secrets in ["", "north"] {
        let directory = directory(secrets);
        for name in ["1900000000", "1900000000000", "1900000000:x", "x:1900000000", "1900000000:1900000000"] {
            let issued = directory.issue(name, Clients, None, at(0));
            let (username, password) = (&issued.username, issued.password.expose());
            let opened = |username: &str, now| {
                let login = directory.md5(username, now)?;
                let made = LongTermKey::Md5(credentials::h_a1_md5(username, "castway", password));
                login.keys.iter().find(|(_, key)| *key == made).map(|(scope, _)| (*scope, login.user.clone()))
            };
            assert_eq!(opened(username, at(1)), Some((Clients, name.to_owned())));
            assert_eq!(opened(username, at(3600 + 301)), None, "{username} has expired");
            for other in [name, &format!("{name}:{name}"), &format!("{name}:"), &format!("{name}:x"), &format!("x:{name}")] {
                assert_eq!(opened(other, at(1)), None, "{other} with the password of {username}");
            }
        }
    }
}

/// A user's name stands for the user, even where it could be read as an expiry.
#[test]
fn a_users_name_is_no_time_limited_username() {
    let mut users = snapshot();
    let names = [(NOW + 60).to_string(), format!("bob:{}", NOW + 60)];
    users.users.extend(names.iter().map(|name| user(name, Clients, true)));
    let directory = Directory(Arc::new(DirectoryState::new(users, &config("north"), at(0))));
    for name in &names {
        let login = directory.md5(name, at(0)).unwrap();
        assert_eq!((login.user, login.keys), (name.clone(), vec![(Clients, stored_key(name)); 2]));
        assert_eq!((login.remaining, login.is_leased), (None, false), "a password does not expire");
    }
}

/// Of other issuers' forms, scope clients has none: they are signed with the shared secret.
#[test]
fn other_issuers_have_scope_anyone() {
    let directory = directory("north");
    for name in [format!("bob:{}", NOW + 60), format!("{}:bob", (NOW + 60) * 1000), format!("{}:bob", NOW + 365 * 86_400)] {
        assert_eq!(directory.scopes(&name, at(0)), [Anyone], "{name}");
    }
    assert_eq!(directory.scopes(&format!("{}:bob", NOW + 60), at(0)), [Clients, Anyone]);
}

/// A stranger who calls himself alice is not alice.
#[test]
fn a_user_is_refused_in_its_own_scope() {
    let directory = directory("");
    let scopes = |user: &str| directory.scopes(&format!("{}:{user}", NOW + 3700), at(3601));
    for (user, expected) in [
        ("bob", &[Clients, Anyone][..]),
        ("alice", &[Clients, Anyone]),
        ("mallory", &[Clients]),
        ("removed", &[Clients]),
        ("kiosk", &[Clients]),
        ("shut", &[]),
        ("former", &[Anyone]),
    ] {
        assert_eq!(scopes(user), expected, "{user}");
        for scope in [Clients, Anyone] {
            assert_eq!(directory.is_refused(scope, user), !expected.contains(&scope), "{scope:?} {user}");
        }
    }
    assert_eq!(directory.keys("kiosk", at(0)), [(Clients, stored_key("kiosk")); 2]);
    assert_eq!(directory.keys("shut", at(0)), []);
    let trusted = ["bob", "alice", "kiosk", "former", "mallory", "shut", "removed"].map(|user| directory.trusted_scope(user));
    assert_eq!(trusted, [Some(Anyone), Some(Anyone), Some(Clients), Some(Anyone), None, None, None]);
}

#[test]
fn a_password_proves_its_enabled_user() {
    let directory = directory("");
    assert_eq!(directory.scope_of_password("alice", "pw"), Some(Anyone));
    assert_eq!(directory.scope_of_password("kiosk", "pw"), Some(Clients));
    for (user, password) in
        [("alice", "pW"), ("alice", ""), ("mallory", "pw"), ("shut", "pw"), ("nobody", "pw"), ("removed", "pw")]
    {
        assert_eq!(directory.scope_of_password(user, password), None, "{user} {password}");
    }
}

#[test]
fn configured_secrets_replace_those_of_the_database() {
    let directory = directory("north, south");
    let issued = directory.issue("anyone", Anyone, None, at(0));
    assert!(credentials::verify("north", Anyone, &issued.username, issued.password.expose()));
    let keys = directory.keys(&issued.username, at(1));
    assert_eq!(keys, [both("north", &issued.username), both("south", &issued.username)].concat());
}

#[test]
fn a_wished_ttl_is_clamped() {
    let directory = directory("");
    for (wish, ttl) in [(0, 1), (1, 1), (60, 60), (3600, 3600), (u64::MAX, 3600)] {
        assert_eq!(directory.issue("alice", Anyone, Some(Duration::from_secs(wish)), at(0)).ttl, Duration::from_secs(ttl));
    }
}

/// Requirement 23.
#[test]
fn bad_expiries_have_no_key() {
    let directory = directory("");
    let names = [NOW, NOW + 3901, NOW * 1000 + 60_000].map(|expiry| format!("{expiry}:alice"));
    let foreign = [format!("bob:{}", NOW + 60), format!("{}:", NOW + 60)];
    let never = ["x:alice", "-1:alice", "99999999999999999999999:alice"].map(str::to_owned);
    for name in names.iter().chain(&foreign).chain(&never) {
        assert!(directory.keys(name, at(0)).is_empty(), "{name}");
    }
    assert!(!directory.keys(&format!("{}:alice", NOW + 3900), at(0)).is_empty(), "within the slack");
}

#[test]
fn a_configured_secret_has_issuers_of_its_own() {
    let year = 365 * 86_400;
    let names = [
        format!("{}:@bob:example.org", NOW + year),
        format!("{}:alice", (NOW + year) * 1000),
        format!("bob:{}", NOW + 60),
        format!("{}:", NOW + 60),
        format!("{}", (NOW + 60) * 1000),
    ];
    let open = directory("north");
    for name in &names {
        assert_eq!(open.keys(name, at(0)), [key("north", Anyone, name)], "{name}");
    }
    let late = NOW - 300;
    for name in [format!("{late}:bob"), format!("bob:{late}"), format!("{}:bob", late * 1000)] {
        assert!(!open.keys(&name, at(0)).is_empty(), "{name}: within the slack");
        assert!(open.keys(&name, at(1)).is_empty(), "{name}");
    }
    assert!(open.keys(&format!("mallory:{}", NOW + 60), at(0)).is_empty(), "a disabled user");
    let limited = limited("north", "7200");
    for (ahead, good) in [(7200, true), (7500, true), (7501, false), (year, false)] {
        for name in [format!("{}:bob", NOW + ahead), format!("bob:{}", (NOW + ahead) * 1000)] {
            assert_eq!(!limited.keys(&name, at(0)).is_empty(), good, "{name}");
        }
    }
}

/// Changes the database's secrets.
fn reload(directory: &Directory, secrets: Vec<SecretInfo>, seconds: u64) {
    let before = directory.0.snapshot.swap(Arc::new(IndexedSnapshot::new(Snapshot { secrets, ..Snapshot::default() }, at(0))));
    directory.0.revoke_missing(&before, &directory.0.snapshot.load(), at(seconds));
}

#[test]
fn leased_credentials_outlive_their_expiry_and_their_secret() {
    let directory = directory("");
    let leased = directory.lease("cast-1", at(0));
    assert_eq!(leased.ttl, Duration::from_secs(3600));
    let has_key = |name: &str, secret: &str, seconds| directory.keys(name, at(seconds)).contains(&key(secret, Clients, name));
    // The secret is rotated, and the retired secret is forgotten much later.
    reload(&directory, vec![secret(4, "next", None), secret(3, "newest", Some(NOW as i64))], 1);
    assert!(has_key(&leased.username, "newest", 1));
    reload(&directory, vec![secret(4, "next", None)], 100_000);
    assert!(has_key(&leased.username, "newest", 100_000));
    let login = directory.md5(&leased.username, at(100_000)).unwrap();
    assert_eq!((login.remaining, login.is_leased), (Some(Duration::from_secs(3600)), true));
    assert_eq!(login.keys, [key("newest", Clients, &leased.username)]);
    assert!(directory.is_leased(&leased.username));
    // The lease is for this username only: neither another expiry nor another name is accepted.
    let forged = format!("{}:cast-1", NOW + 10);
    assert!(!has_key(&forged, "newest", 100_000) && directory.keys(&forged, at(100_000)).is_empty());
    let other = directory.issue("cast-2", Clients, None, at(0));
    assert!(!directory.is_leased(&other.username) && !directory.is_leased(&forged) && !directory.is_leased("cast-1"));
    assert!(directory.keys(&other.username, at(100_000)).is_empty());
    directory.end_lease("cast-1");
    assert!(directory.keys(&leased.username, at(100_000)).is_empty());
    assert!(!directory.is_leased(&leased.username));
}

/// An allocation in strict mode ends after this time.
#[test]
fn the_life_of_credentials_ends_with_their_expiry_or_with_the_slack() {
    let directory = directory("north");
    let life = |name: &str| directory.md5(name, at(0)).and_then(|login| login.remaining).map(|life| life.as_secs());
    assert_eq!(life(&format!("{}:bob", NOW + 60)), Some(60));
    assert_eq!(life(&format!("bob:{}", (NOW + 60) * 1000)), Some(60));
    assert_eq!(life(&format!("{}:bob", NOW - 60)), Some(240));
    assert!(directory.md5(&format!("{}:bob", NOW - 400), at(0)).is_none());
    assert_eq!(life("alice"), None, "a static user's never ends");
}

#[test]
fn a_revoked_secret_ends_leases() {
    let directory = directory("");
    let first = directory.lease("cast-1", at(0));
    let retired = secret(3, "newest", Some(NOW as i64));
    reload(&directory, vec![secret(4, "next", None), retired], 1);
    let second = directory.lease("cast-2", at(1));
    // The retired secret is removed before its time, so the credentials that it signed end.
    reload(&directory, vec![secret(4, "next", None)], 2);
    assert!(!directory.keys(&first.username, at(2)).contains(&key("newest", Clients, &first.username)));
    assert!(directory.keys(&second.username, at(9000)).contains(&key("next", Clients, &second.username)));
    // When all secrets are revoked, leases signed by forgotten secrets end too.
    reload(&directory, vec![secret(5, "later", None), secret(4, "next", Some(NOW as i64))], 3);
    reload(&directory, vec![secret(5, "later", None)], 9000);
    assert!(!directory.keys(&second.username, at(9000)).is_empty(), "forgotten, and not revoked");
    reload(&directory, vec![secret(6, "last", None)], 9001);
    assert!(directory.keys(&second.username, at(9001)).is_empty());
}

#[test]
fn disabled_and_removed_users_have_no_key_and_are_refused() {
    let directory = directory("");
    for user in ["mallory", "removed"] {
        let name = format!("{}:{user}", NOW + 60);
        assert!(!directory.scopes(&name, at(0)).contains(&Anyone), "{user}");
        assert!(!directory.is_allowed(user), "{user}");
        assert!(directory.is_refused(Anyone, user), "{user}");
    }
    assert!(directory.keys("mallory", at(0)).is_empty());
    // Other issuers share the secret and have users of their own.
    let foreign = format!("{}:@bob:example.org", NOW + 60);
    assert_eq!(directory.keys(&foreign, at(0)).len(), 4);
    assert!(!directory.is_allowed("@bob:example.org"));
    assert!(!directory.is_refused(Anyone, "@bob:example.org"));
}

#[test]
fn a_static_user_has_the_stored_key_in_its_realm() {
    let directory = directory("");
    assert_eq!(directory.keys("alice", at(0)), [(Anyone, stored_key("alice")); 2]);
    let sha256 = directory.login("alice", "castway", PasswordAlgorithm::Sha256, at(0)).unwrap().keys;
    assert_eq!(sha256, [(Anyone, LongTermKey::Sha256(credentials::h_a1_sha256("alice", "castway", "pw"))); 2]);
    assert!(directory.login("alice", "elsewhere", PasswordAlgorithm::Md5, at(0)).is_none());
    assert!(directory.keys("nobody", at(0)).is_empty());
    assert!(!directory.is_refused(Anyone, "alice") && !directory.is_refused(Anyone, "1001"));
    assert_eq!(directory.keys("1001", at(0)), [(Anyone, stored_key("1001")); 2]);
    assert_eq!(directory.users_of_other_realms("elsewhere"), ["1001", "alice", "kiosk"]);
    assert!(directory.users_of_other_realms("castway").is_empty());
}

#[test]
fn r77_a_user_has_the_keys_of_both_forms_of_the_password() {
    let mut snapshot = snapshot();
    snapshot.users[0].1.typed = Some(TurnKeys::new("alice", "castway", "\u{FF50}\u{FF57}"));
    let directory = Directory(Arc::new(DirectoryState::new(snapshot, &config(""), at(0))));
    for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
        let keys = directory.login("alice", "castway", algorithm, at(0)).unwrap().keys;
        let of = |password: &str| (Anyone, LongTermKey::long_term(algorithm, "alice", "castway", password));
        assert_eq!(keys, [of("\u{FF50}\u{FF57}"), of("pw")]);
        // A password costs as many HMACs, whether or not SASLprep changes it.
        assert_eq!(directory.login("1001", "castway", algorithm, at(0)).unwrap().keys.len(), keys.len());
    }
    for form in ["pw", "\u{FF50}\u{FF57}", "p\u{AD}w"] {
        assert_eq!(directory.scope_of_password("alice", form), Some(Anyone), "{form:?}");
    }
}

/// Prosody issues usernames that consist of the expiry only.
#[test]
fn an_expiry_alone_is_a_credential() {
    let name = (NOW + 60).to_string();
    assert_eq!(directory("").keys(&name, at(0))[..2], both("newest", &name));
    assert_eq!(directory("").md5(&name, at(0)).unwrap().user, name);
}

#[test]
fn r81_only_the_key_of_scope_own_address_signs_its_credentials() {
    for secrets in ["", "north"] {
        let directory = directory(secrets);
        let issued = directory.issue("check-1", Scope::OwnAddress, Some(Duration::from_secs(300)), at(0));
        let key = LongTermKey::long_term(PasswordAlgorithm::Md5, &issued.username, "castway", issued.password.expose());
        let scopes = |seconds| -> Vec<Scope> {
            let login = directory.login(&issued.username, "castway", PasswordAlgorithm::Md5, at(seconds));
            let keys = login.map(|login| login.keys).unwrap_or_default();
            keys.into_iter().filter(|(_, accepted)| *accepted == key).map(|(scope, _)| scope).collect()
        };
        assert_eq!(scopes(1), [Scope::OwnAddress]);
        assert!(scopes(300 + 301).is_empty());
        let login = directory.login(&format!("{}:alice", NOW + 300), "castway", PasswordAlgorithm::Md5, at(0));
        assert!(login.is_some_and(|login| login.keys.iter().all(|(scope, _)| *scope != Scope::OwnAddress)));
    }
}
