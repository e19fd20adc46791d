use super::handle::Directory;
use super::tests::at;
use super::usage::QuotaNameError;
use crate::config::{Config, Settings};
use crate::turn::Scope::{Anyone, Clients};
use crate::users::password::{OperatorPassword, PasswordKeys};
use crate::users::store::Store;

async fn directory(rule: &str) -> (tempfile::TempDir, Directory) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), at(0)).await.unwrap();
    for (name, scope) in [("alice", Anyone), ("acme-1", Anyone), ("kiosk", Clients)] {
        let name = name.parse().unwrap();
        store.add(&name, &PasswordKeys::new(&name, "castway", "pw").unwrap(), scope, at(0)).await.unwrap();
    }
    let anna = "anna".parse().unwrap();
    store.add_operator(&anna, &OperatorPassword::new("correct horse battery").unwrap(), at(0)).await.unwrap();
    let settings = Settings { usage_name: Some(rule.into()), ..Settings::default() };
    let config = Config::read(&settings).unwrap().credentials;
    let directory = Directory::open(&store, &config).await.unwrap();
    (folder, directory)
}

#[tokio::test]
async fn a_quota_is_for_a_name_under_which_traffic_is_kept() {
    let (_folder, directory) = directory("before:-").await;
    for (scope, name) in [(Anyone, "alice"), (Anyone, "acme-1"), (Anyone, "acme"), (Clients, "kiosk")] {
        assert_eq!(directory.check_quota_name(scope, name), Ok(()), "{name}");
    }
    let other = QuotaNameError::Other { name: "acme-2".into(), under: "acme".into() };
    assert!(other.to_string().contains("counts under the name \"acme\""));
    assert_eq!(directory.check_quota_name(Anyone, "acme-2"), Err(other));
    assert_eq!(directory.check_quota_name(Clients, "alice"), Err(QuotaNameError::Others("alice".into())));
    assert_eq!(directory.check_quota_name(Anyone, "anna"), Err(QuotaNameError::Operator("anna".into())));
}

#[tokio::test]
async fn where_all_names_count_together_no_name_has_a_quota_but_a_user_has() {
    let (_folder, directory) = directory("none").await;
    assert_eq!(directory.check_quota_name(Anyone, "alice"), Ok(()));
    assert_eq!(directory.check_quota_name(Anyone, "acme"), Err(QuotaNameError::Others("acme".into())));
}
