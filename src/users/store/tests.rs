use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::connection::Store;
use super::error::StoreError;
use crate::config::secret::Secret;
use crate::turn::Scope::{Anyone, Clients};
use crate::users::name::UserName;
use crate::users::password::PasswordKeys;
use crate::users::store::CheckKind;

const DAY: Duration = Duration::from_secs(86_400);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), at(0)).await.unwrap();
    (folder, store)
}

fn keys(name: &UserName) -> PasswordKeys {
    PasswordKeys::new(name, "castway", "correct horse").unwrap()
}

#[tokio::test]
async fn a_user_is_added_once_changed_and_removed() {
    let (_folder, store) = store().await;
    let alice: UserName = "alice".parse().unwrap();
    store.add(&alice, &keys(&alice), Anyone, at(0)).await.unwrap();
    assert!(matches!(store.add(&alice, &keys(&alice), Anyone, at(1)).await, Err(StoreError::Exists(_))));
    let listed = store.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].created, "2027-01-15T08:00:00Z");
    assert!(listed[0].enabled);

    store.set_enabled(&alice, false, at(2)).await.unwrap();
    assert!(!store.list().await.unwrap()[0].enabled);
    let new = PasswordKeys::new(&alice, "elsewhere", "battery staple").unwrap();
    store.passwd(&alice, &new, at(3)).await.unwrap();
    assert_eq!(store.list().await.unwrap()[0].realm, "elsewhere");

    store.remove(&alice, at(4)).await.unwrap();
    assert!(store.list().await.unwrap().is_empty());
    assert_eq!(store.snapshot().await.unwrap().revoked, [("alice".to_owned(), Anyone)]);
    assert!(matches!(store.remove(&alice, at(5)).await, Err(StoreError::NoUser(_))));
    assert!(matches!(store.set_enabled(&alice, true, at(5)).await, Err(StoreError::NoUser(_))));
    assert!(matches!(store.passwd(&alice, &new, at(5)).await, Err(StoreError::NoUser(_))));

    store.add(&alice, &keys(&alice), Anyone, at(6)).await.unwrap();
    assert!(store.snapshot().await.unwrap().revoked.is_empty());
}

#[tokio::test]
async fn a_user_who_gets_another_scope_is_revoked_in_the_former_one() {
    let (_folder, store) = store().await;
    let kiosk: UserName = "kiosk".parse().unwrap();
    let name = || "kiosk".to_owned();
    let revoked = async || {
        let mut revoked = store.snapshot().await.unwrap().revoked;
        revoked.sort();
        revoked
    };
    assert!(matches!(store.set_scope(&kiosk, Clients, at(0)).await, Err(StoreError::NoUser(_))));
    store.add(&kiosk, &keys(&kiosk), Anyone, at(0)).await.unwrap();
    store.set_scope(&kiosk, Anyone, at(1)).await.unwrap();
    assert_eq!(revoked().await, []);
    store.set_scope(&kiosk, Clients, at(2)).await.unwrap();
    assert_eq!(store.list().await.unwrap()[0].scope, Clients);
    assert_eq!(store.snapshot().await.unwrap().users[0].1.scope, Clients);
    assert_eq!(revoked().await, [(name(), Anyone)]);
    store.set_scope(&kiosk, Anyone, at(3)).await.unwrap();
    assert_eq!(revoked().await, [(name(), Clients)]);
    store.set_scope(&kiosk, Clients, at(4)).await.unwrap();
    store.remove(&kiosk, at(5)).await.unwrap();
    assert_eq!(revoked().await, [(name(), Clients), (name(), Anyone)], "no credentials of scope anyone come back");
    store.add(&kiosk, &keys(&kiosk), Clients, at(6)).await.unwrap();
    assert_eq!(revoked().await, [(name(), Anyone)]);
}

#[tokio::test]
async fn r77_both_forms_of_a_password_are_stored_and_users_without_them_are_known() {
    let (_folder, store) = store().await;
    let alice: UserName = "alice".parse().unwrap();
    let of = |typed: &str| PasswordKeys::new(&alice, "castway", typed).unwrap();
    let stored = async || {
        let user = store.snapshot().await.unwrap().users.remove(0).1;
        assert_eq!(store.list().await.unwrap()[0].has_typed_key, user.typed.is_some());
        (user.prepared, user.typed)
    };
    let first = of("\u{FF11}\u{FF12}\u{FF13}");
    store.add(&alice, &first, Anyone, at(0)).await.unwrap();
    assert!(stored().await == (first.prepared, Some(first.typed)));
    // As a former version left it.
    sqlx::query("UPDATE users SET typed_h_a1_md5 = NULL, typed_h_a1_sha256 = NULL").execute(&store.pool).await.unwrap();
    assert!(stored().await == (first.prepared, None));
    let second = of("caf\u{65}\u{301}");
    store.passwd(&alice, &second, at(1)).await.unwrap();
    assert!(stored().await == (second.prepared, Some(second.typed)));
}

#[tokio::test]
async fn text_that_looks_like_sql_is_a_name() {
    let (_folder, store) = store().await;
    let name: UserName = "x'); DROP TABLE users; --".parse().unwrap();
    store.add(&name, &keys(&name), Anyone, at(0)).await.unwrap();
    assert_eq!(store.list().await.unwrap()[0].name, name.as_str());
}

#[tokio::test]
async fn a_secret_is_made_once_and_rotated() {
    let (folder, store) = store().await;
    let first = store.secrets().await.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].value.expose().len(), 43);
    store.close().await;
    let store = Store::open(folder.path(), at(1)).await.unwrap();
    assert_eq!(store.secrets().await.unwrap()[0].value, first[0].value);

    let second = store.rotate(false, at(10)).await.unwrap();
    let secrets = store.secrets().await.unwrap();
    assert_eq!((secrets[0].id, secrets[0].retired_at), (second, None));
    assert_eq!(secrets[1].retired_at, Some(1_800_000_010));
    store.purge(DAY, at(10 + 86_400)).await.unwrap();
    assert_eq!(store.secrets().await.unwrap().len(), 2);
    store.purge(DAY, at(11 + 86_400)).await.unwrap();
    assert_eq!(store.secrets().await.unwrap().len(), 1);

    assert!(matches!(store.remove_secret(second).await, Err(StoreError::Signs(_))));
    assert!(matches!(store.remove_secret(99).await, Err(StoreError::NoSecret(99))));
    let third = store.rotate(false, at(20)).await.unwrap();
    store.remove_secret(second).await.unwrap();
    let fourth = store.rotate(true, at(30)).await.unwrap();
    assert!(fourth > third);
    assert_eq!(store.secrets().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_removed_user_is_remembered_past_the_longest_life_of_credentials() {
    let (_folder, store) = store().await;
    let alice: UserName = "alice".parse().unwrap();
    store.add(&alice, &keys(&alice), Anyone, at(0)).await.unwrap();
    store.remove(&alice, at(0)).await.unwrap();
    store.forget_removed(DAY, at(DAY.as_secs() + 600)).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().revoked.len(), 1);
    store.forget_removed(DAY, at(DAY.as_secs() + 601)).await.unwrap();
    assert!(store.snapshot().await.unwrap().revoked.is_empty());
}

#[tokio::test]
async fn a_named_key_stays_the_same() {
    let (folder, store) = store().await;
    let resume = store.key("resume", at(0)).await.unwrap();
    assert_ne!(store.key("other", at(0)).await.unwrap(), resume);
    store.close().await;
    let store = Store::open(folder.path(), at(1)).await.unwrap();
    assert_eq!(store.key("resume", at(1)).await.unwrap(), resume);
}

#[tokio::test]
async fn a_database_without_a_secret_is_an_error_until_the_next_start() {
    let (folder, store) = store().await;
    sqlx::query("DELETE FROM secrets").execute(&store.pool).await.unwrap();
    assert!(matches!(store.snapshot().await, Err(StoreError::Database(_))));
    store.close().await;
    let store = Store::open(folder.path(), at(1)).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().secrets.len(), 1);
}

#[tokio::test]
async fn each_start_replaces_what_the_one_before_recorded() {
    let (_folder, store) = store().await;
    assert_eq!(store.recorded().await.unwrap(), None);
    for settings in [r#"{"static_auth_secret":"north"}"#, "{}"] {
        let settings = Secret::new(settings.to_owned());
        store.record(&settings, at(1)).await.unwrap();
        assert_eq!(store.recorded().await.unwrap(), Some(settings));
        assert_eq!(store.started_at().await.unwrap(), Some(1_800_000_001));
    }
}

#[tokio::test]
async fn a_watch_tells_of_each_change_once() {
    let (_folder, store) = store().await;
    let mut watcher = store.watch().await.unwrap();
    assert!(watcher.changed().await.unwrap().is_some());
    assert!(watcher.changed().await.unwrap().is_none());
    store.rotate(false, at(1)).await.unwrap();
    assert_eq!(watcher.changed().await.unwrap().map(|snapshot| snapshot.secrets.len()), Some(2));
    assert!(watcher.changed().await.unwrap().is_none());
}

#[tokio::test]
async fn the_newest_50_of_each_kind_are_kept_and_strangers_push_out_no_check() {
    let (_folder, store) = store().await;
    let keep = async |kind: CheckKind, host: u8, number: u64| {
        let result = format!("{{\"number\":{number}}}");
        store.keep_check(kind, [192, 0, 2, host].into(), &result, at(number)).await.unwrap();
    };
    for number in 0..53 {
        keep(CheckKind::Check, 1, number).await;
    }
    for number in 100..160_u8 {
        keep(CheckKind::Cast, number, number.into()).await;
    }
    let kept = store.checks().await.unwrap();
    let of = |kind: &str| kept.iter().filter(|check| check.kind == kind).map(|check| check.at).collect::<Vec<_>>();
    let times = |numbers: std::ops::Range<i64>| numbers.rev().map(|number| 1_800_000_000 + number).collect::<Vec<_>>();
    assert_eq!((of("check"), of("cast")), (times(3..53), times(110..160)));
    assert_eq!((kept[0].result.as_str(), kept[0].address.as_str()), (r#"{"number":159}"#, "192.0.2.159"));

    for number in 200..220 {
        keep(CheckKind::Cast, 1, number).await;
    }
    let kept = store.checks().await.unwrap();
    let of_one = kept.iter().filter(|check| check.kind == "cast" && check.address == "192.0.2.1").count();
    assert_eq!(of_one, 10, "one address keeps ten");
    let long = "x".repeat(16_385);
    assert!(store.keep_check(CheckKind::Check, [192, 0, 2, 1].into(), &long, at(99)).await.is_err());
}
