use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::follower::Follower;
use super::handle::Directory;
use super::state::{DirectoryState, IndexedSnapshot};
use super::tests::{at, config};
use crate::turn::Scope::{Anyone, Clients};
use crate::turn::codec::integrity::PasswordAlgorithm::Sha256;
use crate::users::name::UserName;
use crate::users::password::PasswordKeys;
use crate::users::store::Store;

const HOUR: Duration = Duration::from_secs(3600);

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), at(0)).await.unwrap();
    for (name, scope) in [("alice", Anyone), ("kiosk", Clients)] {
        let name: UserName = name.parse().unwrap();
        store.add(&name, &PasswordKeys::new(&name, "castway", "pw").unwrap(), scope, at(0)).await.unwrap();
    }
    (folder, store)
}

async fn ban(store: &Store, target: &str, time: Option<Duration>, now: SystemTime) {
    store.ban(&target.parse().unwrap(), time, "anna", now).await.unwrap();
}

async fn read(store: &Store, now: SystemTime) -> Directory {
    Directory(Arc::new(DirectoryState::new(store.snapshot().await.unwrap(), &config(""), now)))
}

#[tokio::test]
async fn a_banned_user_is_refused_like_a_disabled_one_and_a_stranger_of_that_name_is_not() {
    let (_folder, store) = store().await;
    for name in ["user:alice", "user:kiosk", "user:signed"] {
        ban(&store, name, Some(HOUR), at(1)).await;
    }
    let refused = |directory: &Directory| {
        ["alice", "kiosk", "signed"].map(|name| [Anyone, Clients].map(|scope| directory.is_refused(scope, name)))
    };
    let directory = read(&store, at(2)).await;
    assert_eq!(refused(&directory), [[true, false], [true, true], [true, false]]);
    for user in ["alice", "kiosk"] {
        assert!(directory.login(user, "castway", Sha256, at(2)).is_none() && !directory.is_allowed(user), "{user}");
        assert_eq!((directory.scope_of_password(user, "pw"), directory.trusted_scope(user)), (None, None), "{user}");
        assert!(directory.is_banned_with_password(user, "pw") && !directory.is_banned_with_password(user, "wrong"), "{user}");
    }
    let signed = directory.issue("signed", Anyone, None, at(2)).username;
    let login = directory.login(&signed, "castway", Sha256, at(3)).unwrap();
    assert!(login.keys.iter().all(|(scope, _)| *scope == Clients), "what strangers call themselves means nothing");

    let directory = read(&store, at(1) + HOUR).await;
    assert_eq!(refused(&directory), [[false, false], [true, false], [false, false]], "the bans are over");
    assert!(directory.login("alice", "castway", Sha256, at(1)).is_some() && !directory.is_banned_with_password("alice", "pw"));
}

#[tokio::test]
async fn bans_are_in_force_from_the_first_moment_of_a_server() {
    let (_folder, store) = store().await;
    ban(&store, "198.51.100.0/24", None, at(1)).await;
    ban(&store, "203.0.113.9", Some(HOUR), at(1)).await;
    let directory = read(&store, at(2)).await;
    let banned = |ip: &str| directory.banned_addresses().contain(ip.parse().unwrap());
    assert!(banned("198.51.100.77") && banned("203.0.113.9") && !banned("203.0.113.8"));
    let later = read(&store, at(1) + HOUR).await;
    assert!(!later.banned_addresses().contain([203, 0, 113, 9].into()));
    assert!(later.banned_addresses().contain([198, 51, 100, 77].into()));
}

#[tokio::test]
async fn a_running_server_follows_bans_and_their_end() {
    let (_folder, store) = store().await;
    let directory = Directory::open(&store, &config("")).await.unwrap();
    let mut follower = Follower::new(Arc::clone(&directory.0), store.clone());
    let address = [198, 51, 100, 7].into();
    follower.poll().await;
    assert!(!directory.banned_addresses().contain(address) && !directory.is_refused(Anyone, "alice"));

    let before = directory.revision();
    ban(&store, "198.51.100.7", Some(Duration::from_secs(3)), SystemTime::now()).await;
    ban(&store, "user:alice", Some(Duration::from_secs(3)), SystemTime::now()).await;
    follower.poll().await;
    assert!(directory.banned_addresses().contain(address) && directory.is_refused(Anyone, "alice"));
    assert!(directory.revision() > before, "the relay looks again");

    // Nobody writes to the database at the end of a ban.
    let ended = async {
        while directory.banned_addresses().contain(address) || directory.is_refused(Anyone, "alice") {
            tokio::time::sleep(Duration::from_millis(20)).await;
            follower.poll().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
    assert!(directory.is_allowed("alice"));

    ban(&store, "198.51.100.7", None, SystemTime::now()).await;
    follower.poll().await;
    assert!(directory.banned_addresses().contain(address));
    store.unban(&"198.51.100.7".parse().unwrap(), SystemTime::now()).await.unwrap();
    follower.poll().await;
    assert!(!directory.banned_addresses().contain(address));
}

#[tokio::test]
async fn a_ban_lasts_as_long_as_it_was_given_although_the_clock_was_set() {
    let (_folder, store) = store().await;
    ban(&store, "198.51.100.7", Some(HOUR), at(10)).await;
    // The clock was ten days ahead, and is set back.
    let day = 86_400;
    let from = crate::users::credentials::unix_seconds(at(0));
    store.move_times(from, from + 20, -10 * day).await.unwrap();
    let kept = store.bans(SystemTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(kept[0].until.unwrap() - kept[0].since, 3600);
    assert_eq!(kept[0].since, i64::try_from(from).unwrap() + 10 - 10 * day);
}

#[tokio::test]
async fn what_was_committed_is_in_force_once_the_directory_has_caught_up() {
    let (_folder, store) = store().await;
    let directory = Directory::open(&store, &config("")).await.unwrap();
    let follower = tokio::spawn(directory.clone().follow(store.clone()));
    for end in 1..=20 {
        let ip: IpAddr = [198, 51, 100, end].into();
        ban(&store, &ip.to_string(), None, SystemTime::now()).await;
        directory.catch_up().await;
        assert!(directory.banned_addresses().contain(ip), "{ip}");
    }
    follower.abort();
}

#[tokio::test]
async fn a_ban_that_a_clock_ahead_has_lifted_is_in_force_again_when_the_clock_is_set_back() {
    let (_folder, store) = store().await;
    let now = SystemTime::now();
    ban(&store, "198.51.100.7", Some(HOUR), now - HOUR / 2).await;
    ban(&store, "user:alice", Some(HOUR), now - HOUR / 2).await;
    let directory = Directory::open(&store, &config("")).await.unwrap();
    let mut follower = Follower::new(Arc::clone(&directory.0), store.clone());
    let in_force = || directory.banned_addresses().contain([198, 51, 100, 7].into()) && directory.is_refused(Anyone, "alice");
    follower.poll().await;
    assert!(in_force());

    // What a poll by a clock that is a day ahead leads to.
    let ahead = IndexedSnapshot::new(store.snapshot().await.unwrap(), now + 24 * HOUR);
    directory.0.banned.replace(&ahead.banned_networks);
    directory.0.snapshot.store(Arc::new(ahead));
    assert!(!in_force());

    directory.note_clock_set(-86_400, now);
    assert!(follower.apply_clock_jumps(now).await);
    follower.poll().await;
    assert!(in_force());
}

#[tokio::test]
async fn an_operator_who_blocks_somebody_by_a_clock_that_is_ahead_ends_no_ban() {
    let (_folder, store) = store().await;
    let ahead = at(3) + 24 * HOUR;
    for target in ["198.51.100.7", "user:alice", "user:kiosk"] {
        ban(&store, target, Some(HOUR), at(1)).await;
    }
    ban(&store, "203.0.113.9", None, ahead).await;
    assert_eq!(store.bans(at(4)).await.unwrap().len(), 4);
    // Whom the operator lets in stays let in.
    let kiosk = store.bans(at(4)).await.unwrap().into_iter().find(|ban| ban.target == "user:kiosk").unwrap().id;
    assert_eq!(store.unban_id(kiosk, ahead).await.unwrap(), None, "it is over already");
    assert!(!store.unban(&"user:alice".parse().unwrap(), ahead).await.unwrap());
    let left = store.bans(at(4)).await.unwrap().into_iter().map(|ban| ban.target);
    assert_eq!(left.collect::<Vec<_>>(), ["203.0.113.9", "198.51.100.7"]);
}
