//! Adds the users of coturn to the database.

use std::collections::HashMap;
use std::time::SystemTime;

use anyhow::bail;

use super::credential::{CoturnUser, Credential};
use crate::cli::escape::printable_part;
use crate::turn::Scope;
use crate::users::credentials::h_a1_md5;
use crate::users::{ImportedKey, NameError, PasswordKeys, Snapshot, Store, UserName};

/// What became of the users, by name.
#[derive(Debug, Default)]
pub(super) struct Added {
    pub(super) added: Vec<String>,
    /// They are there already, with the same password.
    pub(super) same: Vec<String>,
    /// There is a user or an operator of this name with another password.
    pub(super) others: Vec<String>,
    /// With the reason.
    pub(super) refused: Vec<(String, String)>,
}

/// Users with the names that they get, and names that are refused, with the reason.
type Sorted = (Vec<(UserName, CoturnUser)>, Vec<(String, NameError)>);

/// Each name once, the last one of it; and the names that users of this server can't have, each with the reason.
pub(super) fn usable(users: Vec<CoturnUser>) -> Sorted {
    let last: HashMap<String, usize> = users.iter().enumerate().map(|(index, user)| (user.name.clone(), index)).collect();
    let (mut usable, mut refused) = (Vec::new(), Vec::new());
    for (index, user) in users.into_iter().enumerate() {
        if last.get(&user.name) != Some(&index) {
            continue;
        }
        match user.name.parse::<UserName>() {
            Ok(name) => usable.push((name, user)),
            Err(error) => refused.push((user.name, error)),
        }
    }
    (usable, refused)
}

/// Refuses keys of realm `realm` for a server of another one, where they open nothing.
pub(super) fn require_realm(users: &[CoturnUser], realm: &str, server_realm: &str) -> anyhow::Result<()> {
    let has_key = |user: &CoturnUser| matches!(user.credential, Credential::Key(_)) && user.name.parse::<UserName>().is_ok();
    if realm != server_realm && users.iter().any(has_key) {
        bail!(
            "the keys of these users hold in the realm {realm:?} alone, and the server has the realm {server_realm:?}: set CASTWAY_REALM={}, \
             restart the server, and run the command again",
            printable_part(realm)
        );
    }
    Ok(())
}

/// Adds users to a server of realm `server_realm`, which [`require_realm`] has found to be that of their keys.
pub(super) async fn add(store: &Store, users: Vec<CoturnUser>, server_realm: &str) -> anyhow::Result<Added> {
    let (users, refused) = usable(users);
    let snapshot = store.snapshot().await?;
    let mut done =
        Added { refused: refused.into_iter().map(|(name, error)| (name, error.to_string())).collect(), ..Added::default() };
    for (name, user) in users {
        match known(&snapshot, &name, &user, server_realm) {
            Some(true) => done.same.push(user.name),
            Some(false) => done.others.push(user.name),
            None => match keys(&name, &user.credential, server_realm) {
                Ok(keys) => {
                    store.add(&name, &keys, Scope::Anyone, SystemTime::now()).await?;
                    done.added.push(user.name);
                }
                Err(why) => done.refused.push((user.name, why)),
            },
        }
    }
    Ok(done)
}

fn keys(name: &UserName, credential: &Credential, realm: &str) -> Result<PasswordKeys, String> {
    match credential {
        Credential::Key(key) => Ok(PasswordKeys::imported(realm, *key)),
        Credential::Password(password) => PasswordKeys::new(name, realm, password.expose()).map_err(|error| error.to_string()),
    }
}

/// Whether there is a user of this name, and whether it has the same key.
fn known(snapshot: &Snapshot, name: &UserName, user: &CoturnUser, realm: &str) -> Option<bool> {
    if snapshot.operators.iter().any(|(operator, _)| operator == name.as_str()) {
        return Some(false);
    }
    let key = match &user.credential {
        Credential::Key(key) => *key,
        Credential::Password(password) => ImportedKey::Md5(h_a1_md5(name.as_str(), realm, password.expose())),
    };
    let (_, known) = snapshot.users.iter().find(|(known, _)| known == name.as_str())?;
    Some(known.has_imported(realm, key))
}
