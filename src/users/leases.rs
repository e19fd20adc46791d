//! Credentials that stay good for as long as their client is connected, whatever their expiry says.
//!
//! Some front ends take ICE servers once and keep them: a TV that has shown its code for weeks, a caster whose app starts over
//! when it is sent new ones. A lease names the user of such credentials and the secrets that signed them, so that they outlive
//! their expiry and a rotation of the secret, and end with the connection, or when a secret is revoked.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use crate::secret::Secret;

/// Secrets of one lease at most, the latest; a client gets another one only where it asks again after a rotation.
const MAX_SECRETS: usize = 4;

/// By user; one entry a connected client.
#[derive(Debug, Default)]
pub(super) struct Leases(RwLock<HashMap<String, Vec<Secret<String>>>>);

impl Leases {
    /// What `secret` signs for `user` stays good until [`Self::end`].
    pub(super) fn keep(&self, user: &str, secret: &Secret<String>) {
        let mut leases = self.write();
        let secrets = leases.entry(user.to_owned()).or_default();
        if !secrets.contains(secret) {
            secrets.push(secret.clone());
            let surplus = secrets.len().saturating_sub(MAX_SECRETS);
            secrets.drain(..surplus);
        }
    }

    /// From now on the expiry counts.
    pub(super) fn end(&self, user: &str) {
        self.write().remove(user);
    }

    /// What may have signed the credentials of `user`.
    pub(super) fn secrets(&self, user: &str) -> Vec<Secret<String>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(user).cloned().unwrap_or_default()
    }

    /// What `secret` has signed is no longer good.
    pub(super) fn revoke(&self, secret: &Secret<String>) {
        self.write().values_mut().for_each(|secrets| secrets.retain(|kept| kept != secret));
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Vec<Secret<String>>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_lease_names_the_latest_secrets_until_it_ends() {
        let leases = Leases::default();
        for name in ["a", "b", "b", "c", "d", "e"] {
            leases.keep("cast-1", &secret(name));
        }
        assert_eq!(leases.secrets("cast-1"), ["b", "c", "d", "e"].map(secret));
        assert!(leases.secrets("cast-2").is_empty());
        leases.revoke(&secret("c"));
        assert_eq!(leases.secrets("cast-1"), ["b", "d", "e"].map(secret));
        leases.end("cast-1");
        assert!(leases.secrets("cast-1").is_empty());
        assert!(leases.write().is_empty());
    }
}
