use std::time::Duration;

use super::handle::Directory;
use super::tests::{at, config};
use crate::turn::Scope::{Anyone, Clients, OwnAddress};
use crate::turn::codec::integrity::PasswordAlgorithm::Sha256;
use crate::users::name::UserName;
use crate::users::password::{OperatorPassword, PasswordKeys};
use crate::users::store::{Store, StoreError};

const PASSWORD: &str = "correct horse battery";

async fn store() -> (tempfile::TempDir, Store, UserName) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), at(0)).await.unwrap();
    let anna: UserName = "anna".parse().unwrap();
    store.add_operator(&anna, &OperatorPassword::new(PASSWORD).unwrap(), at(0)).await.unwrap();
    (folder, store, anna)
}

async fn read(store: &Store) -> Directory {
    Directory::open(store, &config("")).await.unwrap()
}

#[tokio::test]
async fn the_stamp_of_an_operator_changes_with_all_that_ends_sessions() {
    let (_folder, store, anna) = store().await;
    let directory = read(&store).await;
    assert!(directory.has_operator());
    let first = directory.operator_stamp("anna");
    assert!(first.is_some());
    assert_eq!(directory.operator_with_password("anna", PASSWORD), first);
    assert_eq!(directory.operator_with_password("anna", "another password"), None);
    assert_eq!(directory.operator_with_password("nobody", PASSWORD), None);
    assert_eq!(directory.operator_stamp("nobody"), None);

    store.set_operator_enabled(&anna, false, at(1)).await.unwrap();
    let directory = read(&store).await;
    assert!(!directory.has_operator());
    assert_eq!((directory.operator_stamp("anna"), directory.operator_with_password("anna", PASSWORD)), (None, None));
    store.set_operator_enabled(&anna, true, at(2)).await.unwrap();
    let second = read(&store).await.operator_stamp("anna");
    assert!(second.is_some() && second != first, "a session of before stays ended");

    store.set_operator_password(&anna, &OperatorPassword::new("another password").unwrap(), at(3)).await.unwrap();
    let directory = read(&store).await;
    let third = directory.operator_stamp("anna");
    assert!(third.is_some() && third != second);
    assert_eq!(directory.operator_with_password("anna", PASSWORD), None);
    assert_eq!(directory.operator_with_password("anna", "another password"), third);

    store.remove_operator(&anna).await.unwrap();
    let directory = read(&store).await;
    assert_eq!((directory.has_operator(), directory.operator_stamp("anna")), (false, None));
    for gone in [
        store.remove_operator(&anna).await,
        store.set_operator_enabled(&anna, true, at(4)).await,
        store.set_operator_password(&anna, &OperatorPassword::new(PASSWORD).unwrap(), at(4)).await,
    ] {
        assert!(matches!(gone, Err(StoreError::NoUser(name)) if name == "anna"));
    }
}

#[tokio::test]
async fn an_operator_has_no_way_into_the_relay() {
    let (_folder, store, _) = store().await;
    let directory = read(&store).await;
    assert!(directory.login("anna", "castway", Sha256, at(1)).is_none(), "no password of the relay");
    assert_eq!(directory.scope_of_password("anna", PASSWORD), None);
    assert!(!directory.is_admin("anna", PASSWORD), "no administrator of RTCMultiConnection");
    assert_eq!(directory.trusted_scope("anna"), None, "no credentials for an API key");
    // As for a user's name: a stranger who uses it is not that operator.
    assert_eq!([Anyone, Clients, OwnAddress].map(|scope| directory.is_refused(scope, "anna")), [true, false, false]);
    let signed = directory.issue("anna", Anyone, Some(Duration::from_secs(60)), at(0));
    let scopes = |directory: &Directory, name: &str| -> Vec<_> {
        let login = directory.login(name, "castway", Sha256, at(1));
        login.into_iter().flat_map(|login| login.keys).map(|(scope, _)| scope).collect()
    };
    assert_eq!(scopes(&directory, &signed.username), [Clients]);
    let other = directory.issue("bert", Anyone, Some(Duration::from_secs(60)), at(0));
    assert_eq!(scopes(&directory, &other.username), [Clients, Anyone]);
}

#[tokio::test]
async fn a_name_is_a_users_or_an_operators() {
    let (_folder, store, anna) = store().await;
    let keys = |name: &UserName| PasswordKeys::new(name, "castway", PASSWORD).unwrap();
    let password = OperatorPassword::new(PASSWORD).unwrap();
    assert!(matches!(store.add(&anna, &keys(&anna), Anyone, at(1)).await, Err(StoreError::OperatorExists(_))));
    assert!(matches!(store.add_operator(&anna, &password, at(1)).await, Err(StoreError::OperatorExists(_))));
    let bert: UserName = "bert".parse().unwrap();
    store.add(&bert, &keys(&bert), Anyone, at(1)).await.unwrap();
    assert!(matches!(store.add_operator(&bert, &password, at(1)).await, Err(StoreError::Exists(_))));
    assert_eq!((store.is_operator(&anna).await.unwrap(), store.is_operator(&bert).await.unwrap()), (true, false));
    let listed = store.operators().await.unwrap();
    assert_eq!(listed.iter().map(|operator| (operator.name.as_str(), operator.enabled)).collect::<Vec<_>>(), [("anna", true)]);
    assert!(!format!("{:?}", store.snapshot().await.unwrap()).contains("argon2id"), "the hash is never printed");
}
