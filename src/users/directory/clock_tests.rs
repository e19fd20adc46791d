//! The wall clock is set while the server runs. The fixtures are those of `tests`.

use std::sync::Arc;
use std::time::Duration;

use super::follower::Follower;
use super::handle::Directory;
use super::tests::{NOW, at, config, directory};
use crate::turn::Scope::Anyone;
use crate::users::store::Store;
use crate::users::{PasswordKeys, UserName, credentials};

#[test]
fn credentials_live_as_long_as_they_were_given_whichever_way_the_clock_is_set() {
    const DECADE: u64 = 315_360_000;
    for (secrets, slack) in [("", 0), ("north", 300)] {
        for (was, is) in [(0, DECADE), (DECADE, 0), (0, 1800), (1800, 0)] {
            let (directory, by) = (directory(secrets), is.cast_signed() - was.cast_signed());
            let issued = directory.issue("bob", Anyone, None, at(was));
            let good = |seconds| !directory.keys(&issued.username, at(seconds)).is_empty();
            let long_past = format!("{}:bob", NOW + was - 301);
            directory.note_clock_set(by, at(is + 100));
            assert!(good(is + 100) && good(is + 3599), "{was} → {is}");
            if is > was {
                assert!(directory.keys(&long_past, at(is + 100)).is_empty(), "no former clock revives it");
                assert_eq!(directory.md5(&issued.username, at(is + 100)).unwrap().remaining, Some(Duration::from_secs(3500)));
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

/// A database with the user bob, in a folder of its own.
async fn with_bob() -> (tempfile::TempDir, Store, UserName) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), at(0)).await.unwrap();
    let bob = "bob".parse().unwrap();
    let keys = PasswordKeys::new(&bob, "castway", "correct horse").unwrap();
    store.add(&bob, &keys, Anyone, at(0)).await.unwrap();
    (folder, store, bob)
}

#[tokio::test]
async fn times_written_by_a_former_clock_are_moved() {
    let (_folder, store, bob) = with_bob().await;
    // The server boots with a clock that is a month slow.
    let directory = Directory::open(&store, &config("")).await.unwrap();
    let mut follower = Follower::new(Arc::clone(&directory.0), store.clone());
    follower.started = NOW;
    let issued = directory.issue("bob", Anyone, None, at(5));
    store.remove(&bob, at(10)).await.unwrap();
    store.rotate(false, at(10)).await.unwrap();
    let month: u64 = 30 * 86_400;
    directory.note_clock_set(month.cast_signed() - 5, at(20 + month - 5));
    directory.note_clock_set(5, at(20 + month));
    assert!(follower.apply_clock_jumps(at(20 + month)).await);
    assert!(!follower.apply_clock_jumps(at(20 + month)).await);
    follower.purge(at(21 + month)).await.unwrap();
    follower.poll().await;
    assert!(directory.is_refused(Anyone, "bob"), "forgotten, and credentials of the right time would be good again");
    assert!(!directory.scopes(&issued.username, at(21 + month)).contains(&Anyone));
    let secret = &store.secrets().await.unwrap()[1].value;
    let carol = credentials::issue(secret.expose(), Anyone, "carol", Duration::from_secs(60), at(month));
    assert_eq!(directory.keys(&carol.username, at(21 + month)).len(), 4, "a retired secret lives on");
}

/// The user was removed and the secret retired before this run, by the right clock.
#[tokio::test]
async fn a_clock_that_is_years_ahead_for_a_while_makes_nobody_forget_a_removed_user() {
    let (_folder, store, bob) = with_bob().await;
    let before = Directory::open(&store, &config("")).await.unwrap();
    let (removed, kept) = (before.issue("bob", Anyone, None, at(5)), before.issue("carol", Anyone, None, at(5)));
    store.remove(&bob, at(10)).await.unwrap();
    store.rotate(false, at(10)).await.unwrap();

    let directory = Directory::open(&store, &config("")).await.unwrap();
    let mut follower = Follower::new(Arc::clone(&directory.0), store.clone());
    follower.started = NOW + 100;
    let year: u64 = 365 * 86_400;
    directory.note_clock_set(year.cast_signed(), at(200 + year));
    assert!(follower.apply_clock_jumps(at(200 + year)).await);
    follower.purge(at(3000 + year)).await.unwrap();
    follower.poll().await;
    assert!(directory.scopes(&kept.username, at(3000 + year)).contains(&Anyone), "the retired secret still verifies");
    assert!(!directory.scopes(&removed.username, at(3000 + year)).contains(&Anyone), "the removed user is still known");
    directory.note_clock_set(-year.cast_signed(), at(3100));
    assert!(follower.apply_clock_jumps(at(3100)).await);
    assert!(directory.is_refused(Anyone, "bob"));
    assert!(directory.scopes(&kept.username, at(3200)).contains(&Anyone));
}
