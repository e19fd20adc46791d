//! Fixtures: `directory(secrets)` has one snapshot with alice (enabled), mallory (disabled), removed (removed) and three secrets; `at(s)` is
//! `s` seconds after the time of that snapshot; `reload` replaces its secrets as the follower does.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::follower::Follower;
use super::handle::Directory;
use super::state::{DirectoryState, IndexedSnapshot};
use crate::config::secret::Secret;
use crate::config::{Config, CredentialsConfig, Settings};
use crate::users::credentials;
use crate::users::store::{SecretInfo, Snapshot, SnapshotUser, Store};

const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW + seconds)
}

fn config(secrets: &str) -> CredentialsConfig {
    Config::read(&settings(secrets)).unwrap().credentials
}

fn settings(secrets: &str) -> Settings {
    Settings { static_auth_secret: Some(secrets.into()), ttl: Some("3600".into()), ..Settings::default() }
}

fn secret(id: i64, value: &str, retired_at: Option<i64>) -> SecretInfo {
    SecretInfo { id, value: Secret::new(value.into()), created: String::new(), retired_at }
}

fn user(name: &str, enabled: bool) -> (String, SnapshotUser) {
    let user = SnapshotUser {
        enabled,
        admin: None,
        realm: "castway".into(),
        h_a1_md5: credentials::h_a1_md5(name, "castway", "pw"),
        h_a1_sha256: credentials::h_a1_sha256(name, "castway", "pw"),
    };
    (name.into(), user)
}

fn directory(secrets: &str) -> Directory {
    Directory(Arc::new(DirectoryState::new(snapshot(), &config(secrets))))
}

fn limited(secrets: &str, max_foreign_ttl: &str) -> Directory {
    let settings = Settings { max_foreign_ttl: Some(max_foreign_ttl.into()), ..settings(secrets) };
    Directory(Arc::new(DirectoryState::new(snapshot(), &Config::read(&settings).unwrap().credentials)))
}

fn snapshot() -> Snapshot {
    Snapshot {
        secrets: vec![secret(3, "newest", None), secret(2, "older", Some(NOW as i64)), secret(1, "old", Some(0))],
        users: vec![user("alice", true), user("mallory", false), user("1001", true)],
        revoked: vec!["removed".into()],
    }
}

fn key(secret: &str, username: &str) -> [u8; 16] {
    credentials::h_a1_md5(username, "castway", &credentials::password(secret, username))
}

#[test]
fn the_newest_secret_signs_and_live_ones_verify() {
    let directory = directory("");
    let issued = directory.issue("alice", None, at(0));
    assert_eq!(issued.ttl, Duration::from_secs(3600));
    assert!(credentials::verify("newest", &issued.username, issued.password.expose()));
    let keys = directory.long_term_keys(&issued.username, "castway", at(1));
    assert_eq!(keys, [key("newest", &issued.username), key("older", &issued.username)]);
    let later = directory.issue("alice", None, at(3601));
    assert_eq!(directory.long_term_keys(&later.username, "castway", at(3601)), [key("newest", &later.username)]);
    assert_eq!(directory.long_term_keys_sha256(&later.username, "castway", at(3601)).len(), 1);
}

#[test]
fn credentials_live_as_long_as_they_were_given_whichever_way_the_clock_is_set() {
    const DECADE: u64 = 315_360_000;
    for (secrets, slack) in [("", 0), ("north", 300)] {
        for (was, is) in [(0, DECADE), (DECADE, 0), (0, 1800), (1800, 0)] {
            let (directory, by) = (directory(secrets), is.cast_signed() - was.cast_signed());
            let issued = directory.issue("bob", None, at(was));
            let good = |seconds| !directory.long_term_keys(&issued.username, "castway", at(seconds)).is_empty();
            let long_past = format!("{}:bob", NOW + was - 301);
            directory.note_clock_set(by, at(is + 100));
            assert!(good(is + 100) && good(is + 3599), "{was} → {is}");
            if is > was {
                assert!(directory.long_term_keys(&long_past, "castway", at(is + 100)).is_empty(), "no former clock revives it");
                assert_eq!(directory.life(&issued.username, at(is + 100)), Some(Duration::from_secs(3500)));
                assert!(!good(is + 3600 + slack + 1), "{was} → {is}");
            }
            // The clock is set again, and then back to the original time.
            directory.note_clock_set(7, at(is + 207));
            directory.note_clock_set(-by, at(was + 307));
            assert!(good(was + 3599), "{was} → {is} → {was}");
            assert!(!good(was + 307 + 3600 + 301), "no former clock counts for ever");
        }
    }
}

#[tokio::test]
async fn what_was_written_by_a_clock_that_was_set_is_moved() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), at(0)).await.unwrap();
    let bob = "bob".parse().unwrap();
    store.add(&bob, &crate::users::PasswordKeys::new(&bob, "castway", "correct horse").unwrap(), at(0)).await.unwrap();
    // The server boots with a clock that is a month slow.
    let directory = Directory::open(&store, &config("")).await.unwrap();
    let mut follower = Follower::new(Arc::clone(&directory.0), store.clone());
    follower.started = NOW;
    let issued = directory.issue("bob", None, at(5));
    store.remove(&bob, at(10)).await.unwrap();
    store.rotate(false, at(10)).await.unwrap();
    let month: u64 = 30 * 86_400;
    directory.note_clock_set(month.cast_signed() - 5, at(20 + month - 5));
    directory.note_clock_set(5, at(20 + month));
    assert!(follower.apply_clock_jumps(at(20 + month)).await);
    assert!(!follower.apply_clock_jumps(at(20 + month)).await);
    follower.purge(at(21 + month)).await.unwrap();
    follower.poll().await;
    assert!(directory.is_refused("bob"), "forgotten, and credentials of the right time would be good again");
    assert!(directory.long_term_keys(&issued.username, "castway", at(21 + month)).is_empty());
    let carol = credentials::issue(store.secrets().await.unwrap()[1].value.expose(), "carol", Duration::from_secs(60), at(month));
    assert_eq!(directory.long_term_keys(&carol.username, "castway", at(21 + month)).len(), 2, "a retired secret lives on");
}

#[test]
fn configured_secrets_replace_those_of_the_database() {
    let directory = directory("north, south");
    let issued = directory.issue("anyone", None, at(0));
    assert!(credentials::verify("north", &issued.username, issued.password.expose()));
    let keys = directory.long_term_keys(&issued.username, "castway", at(1));
    assert_eq!(keys, [key("north", &issued.username), key("south", &issued.username)]);
}

#[test]
fn a_wished_ttl_is_clamped() {
    let directory = directory("");
    for (wish, ttl) in [(0, 1), (1, 1), (60, 60), (3600, 3600), (u64::MAX, 3600)] {
        assert_eq!(directory.issue("alice", Some(Duration::from_secs(wish)), at(0)).ttl, Duration::from_secs(ttl));
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
        assert!(directory.long_term_keys(name, "castway", at(0)).is_empty(), "{name}");
    }
    assert!(!directory.long_term_keys(&format!("{}:alice", NOW + 3900), "castway", at(0)).is_empty(), "within the slack");
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
        assert_eq!(open.long_term_keys(name, "castway", at(0)), [key("north", name)], "{name}");
    }
    let late = NOW - 300;
    for name in [format!("{late}:bob"), format!("bob:{late}"), format!("{}:bob", late * 1000)] {
        assert!(!open.long_term_keys(&name, "castway", at(0)).is_empty(), "{name}: within the slack");
        assert!(open.long_term_keys(&name, "castway", at(1)).is_empty(), "{name}");
    }
    assert!(open.long_term_keys(&format!("mallory:{}", NOW + 60), "castway", at(0)).is_empty(), "a disabled user");
    let limited = limited("north", "7200");
    for (ahead, good) in [(7200, true), (7500, true), (7501, false), (year, false)] {
        for name in [format!("{}:bob", NOW + ahead), format!("bob:{}", (NOW + ahead) * 1000)] {
            assert_eq!(!limited.long_term_keys(&name, "castway", at(0)).is_empty(), good, "{name}");
        }
    }
}

/// Changes the database's secrets.
fn reload(directory: &Directory, secrets: Vec<SecretInfo>, seconds: u64) {
    let before = directory.0.snapshot.swap(Arc::new(IndexedSnapshot::from(Snapshot { secrets, ..Snapshot::default() })));
    directory.0.revoke_missing(&before, &directory.0.snapshot.load(), at(seconds));
}

#[test]
fn leased_credentials_outlive_their_expiry_and_their_secret() {
    let directory = directory("");
    let leased = directory.lease("cast-1", at(0));
    assert_eq!(leased.ttl, Duration::from_secs(3600));
    let has_key =
        |name: &str, secret: &str, seconds| directory.long_term_keys(name, "castway", at(seconds)).contains(&key(secret, name));
    // The secret is rotated, and the retired secret is forgotten much later.
    reload(&directory, vec![secret(4, "next", None), secret(3, "newest", Some(NOW as i64))], 1);
    assert!(has_key(&leased.username, "newest", 1));
    reload(&directory, vec![secret(4, "next", None)], 100_000);
    assert!(has_key(&leased.username, "newest", 100_000));
    assert_eq!(directory.life(&leased.username, at(100_000)), Some(Duration::from_secs(3600)));
    // The lease is for this username only: neither another expiry nor another name is accepted.
    let forged = format!("{}:cast-1", NOW + 10);
    assert!(!has_key(&forged, "newest", 100_000) && directory.long_term_keys(&forged, "castway", at(100_000)).is_empty());
    let other = directory.issue("cast-2", None, at(0));
    assert!(directory.long_term_keys(&other.username, "castway", at(100_000)).is_empty());
    directory.end_lease("cast-1");
    assert!(directory.long_term_keys(&leased.username, "castway", at(100_000)).is_empty());
    assert_eq!(directory.life(&leased.username, at(100_000)), Some(Duration::ZERO));
}

/// An allocation in strict mode ends after this time.
#[test]
fn the_life_of_credentials_ends_with_their_expiry_or_with_the_slack() {
    let directory = directory("north");
    let life = |name: &str| directory.life(name, at(0)).map(|life| life.as_secs());
    assert_eq!(life(&format!("{}:bob", NOW + 60)), Some(60));
    assert_eq!(life(&format!("bob:{}", (NOW + 60) * 1000)), Some(60));
    assert_eq!(life(&format!("{}:bob", NOW - 60)), Some(240));
    assert_eq!(life(&format!("{}:bob", NOW - 400)), Some(0));
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
    assert!(!directory.long_term_keys(&first.username, "castway", at(2)).contains(&key("newest", &first.username)));
    assert!(directory.long_term_keys(&second.username, "castway", at(9000)).contains(&key("next", &second.username)));
    // When all secrets are revoked, leases signed by forgotten secrets end too.
    reload(&directory, vec![secret(5, "later", None), secret(4, "next", Some(NOW as i64))], 3);
    reload(&directory, vec![secret(5, "later", None)], 9000);
    assert!(!directory.long_term_keys(&second.username, "castway", at(9000)).is_empty(), "forgotten, and not revoked");
    reload(&directory, vec![secret(6, "last", None)], 9001);
    assert!(directory.long_term_keys(&second.username, "castway", at(9001)).is_empty());
}

#[test]
fn disabled_and_removed_users_have_no_key_and_are_not_live() {
    let directory = directory("");
    for user in ["mallory", "removed"] {
        let name = format!("{}:{user}", NOW + 60);
        assert!(directory.long_term_keys(&name, "castway", at(0)).is_empty(), "{user}");
        assert!(!directory.is_live(&name), "{user}");
        assert!(!directory.is_live(user), "{user}");
        assert!(!directory.is_allowed(user), "{user}");
        assert!(directory.is_refused(user), "{user}");
    }
    assert!(directory.long_term_keys("mallory", "castway", at(0)).is_empty());
    // Other issuers share the secret and have users of their own.
    let foreign = format!("{}:@bob:example.org", NOW + 60);
    assert!(directory.is_live(&foreign));
    assert_eq!(directory.long_term_keys(&foreign, "castway", at(0)).len(), 2);
    assert!(!directory.is_allowed("@bob:example.org"));
    assert!(!directory.is_refused("@bob:example.org"));
}

#[test]
fn a_static_user_has_the_stored_key_in_its_realm() {
    let directory = directory("");
    assert_eq!(directory.long_term_keys("alice", "castway", at(0)), [credentials::h_a1_md5("alice", "castway", "pw")]);
    assert_eq!(directory.long_term_keys_sha256("alice", "castway", at(0)).len(), 1);
    assert!(directory.long_term_keys("alice", "elsewhere", at(0)).is_empty());
    assert!(directory.long_term_keys("nobody", "castway", at(0)).is_empty());
    assert!(directory.is_live("alice") && directory.is_live("1001"));
    assert!(!directory.is_live("nobody"));
    assert_eq!(directory.long_term_keys("1001", "castway", at(0)), [credentials::h_a1_md5("1001", "castway", "pw")]);
    assert_eq!(directory.users_of_other_realms("elsewhere"), ["1001", "alice"]);
    assert!(directory.users_of_other_realms("castway").is_empty());
}

/// Prosody issues usernames that consist of the expiry only.
#[test]
fn an_expiry_alone_is_a_credential() {
    let name = (NOW + 60).to_string();
    assert_eq!(directory("").long_term_keys(&name, "castway", at(0))[0], key("newest", &name));
    assert!(directory("").is_live(&name));
}
