//! Credentials that stay good for as long as their client is connected, whatever their expiry says.
//!
//! Some front ends take ICE servers once and keep them: a TV that has shown its code for weeks, a caster whose app starts over
//! when it is sent new ones. A lease holds such credentials, so that they outlive their expiry and a rotation of the secret. It
//! ends with the client's connection, or when the secret that signed the credentials is revoked. It holds no secret, so it keeps no
//! other credentials alive.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use super::credentials::Credentials;
use crate::config::secret::Secret;

/// Maximum number of leased credentials of one client: the first, which some front ends keep, and the latest.
const MAX_LEASED_PER_CLIENT: usize = 4;

/// The leased credentials by user; each connected client has one entry.
#[derive(Debug, Default)]
pub(super) struct CredentialLeases(RwLock<HashMap<String, ClientLeases>>);

/// The leased credentials of one client.
#[derive(Debug, Default)]
struct ClientLeases {
    kept: Vec<Lease>,
    group: Option<u64>,
}

#[derive(Debug)]
struct Lease {
    /// `EXPIRY:user`.
    username: String,
    password: Secret<String>,
    /// The database's number of the secret that signed; `None`: a configured secret.
    secret: Option<i64>,
}

impl CredentialLeases {
    /// `credentials` of `user` stay good until [`Self::end`].
    pub(super) fn keep(&self, user: &str, credentials: &Credentials, secret: Option<i64>) {
        let mut leases = self.write();
        let kept = &mut leases.entry(user.to_owned()).or_default().kept;
        kept.retain(|lease| lease.username != credentials.username);
        kept.push(Lease { username: credentials.username.clone(), password: credentials.password.clone(), secret });
        if kept.len() > MAX_LEASED_PER_CLIENT {
            kept.remove(1);
        }
    }

    /// The client belongs to a group with others from now on, until [`Self::end`].
    pub(super) fn join(&self, user: &str, group: u64) {
        self.write().entry(user.to_owned()).or_default().group = Some(group);
    }

    /// The group of the client, if it has one.
    pub(super) fn group(&self, user: &str) -> Option<u64> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(user)?.group
    }

    /// From now on the expiry of the user's credentials counts.
    pub(super) fn end(&self, user: &str) {
        self.write().remove(user);
    }

    /// Whether the credentials are leased; `user` is the user in `username`.
    pub(super) fn has(&self, user: &str, username: &str) -> bool {
        let leases = self.0.read().unwrap_or_else(PoisonError::into_inner);
        leases.get(user).is_some_and(|client| client.kept.iter().any(|lease| lease.username == username))
    }

    /// The password of leased credentials; `user` is the user in `username`.
    pub(super) fn password(&self, user: &str, username: &str) -> Option<Secret<String>> {
        let leases = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let lease = leases.get(user)?.kept.iter().find(|lease| lease.username == username)?;
        Some(lease.password.clone())
    }

    /// Ends the leases on credentials that `revoked` secrets have signed.
    pub(super) fn revoke(&self, revoked: impl Fn(i64) -> bool) {
        self.write().values_mut().for_each(|client| client.kept.retain(|lease| !lease.secret.is_some_and(&revoked)));
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, ClientLeases>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lease_holds_the_first_and_the_latest_credentials_until_it_ends() {
        let leases = CredentialLeases::default();
        for (secret, username) in (1..).zip(["1:a", "2:a", "2:a", "3:a", "4:a", "5:a"]) {
            let password = Secret::new(format!("{secret}"));
            let credentials = Credentials { username: username.to_owned(), password, ttl: Duration::ZERO };
            leases.keep("a", &credentials, Some(secret));
        }
        let passwords =
            || ["1:a", "2:a", "3:a", "4:a", "5:a"].map(|name| leases.password("a", name).map(|kept| kept.expose().clone()));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(passwords(), [some("1"), None, some("4"), some("5"), some("6")]);
        assert_eq!(leases.password("b", "5:a"), None);
        leases.revoke(|secret| secret == 4);
        assert_eq!(passwords(), [some("1"), None, None, some("5"), some("6")]);
        assert_eq!(leases.group("a"), None);
        leases.join("a", 7);
        assert_eq!((leases.group("a"), leases.group("b")), (Some(7), None));
        leases.end("a");
        assert_eq!(leases.group("a"), None);
        assert_eq!(passwords(), [None, None, None, None, None]);
        assert!(leases.write().is_empty());
    }
}
