//! Users and their keys, as the engines ask for them.
//!
//! The engine verifies requests with [`CredentialSource`]; the shards also ask, when [`RelayUsers::revision`] has changed, which
//! users of their allocations may stay.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::config::secret::MIN_UNGUESSABLE_SECRET_BYTES;
use crate::limits::bans::BannedAddresses;
use crate::turn::codec::integrity::PasswordAlgorithm;
use crate::turn::{CredentialEvidence, CredentialSource, Scope, UserAccount, UserKeys};
use crate::users::Directory;
use crate::users::credentials::TimeLimitedUsername;

/// Tells which users may allocate, and which may keep their allocations. It is called on the shards' threads, so it must not
/// block.
pub trait RelayUsers: CredentialSource {
    /// Whether a [`UserKeys::user`] may keep its allocations.
    fn may_continue(&self, scope: Scope, user: &str) -> bool;

    /// The addresses whose clients are not served.
    fn banned_addresses(&self) -> BannedAddresses {
        BannedAddresses::default()
    }

    /// Changes whenever the answers of [`Self::may_continue`], or the banned addresses, may have changed.
    fn revision(&self) -> u64;
}

/// The users and secrets of the database.
impl CredentialSource for Directory {
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys> {
        let login = self.login(username, realm, algorithm, SystemTime::now())?;
        let expires = login.remaining.and_then(|life| now.checked_add(life));
        Some(UserKeys { user: login.user, keys: login.keys, expires, leased: login.is_leased, group: login.group })
    }

    fn evidence(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, _now: Instant) -> CredentialEvidence {
        Self::evidence(self, username, realm, algorithm, SystemTime::now())
    }

    fn is_guessable(&self, username: &str) -> bool {
        let is_time_limited = TimeLimitedUsername::parse(username).is_some() || TimeLimitedUsername::looks_time_limited(username);
        !is_time_limited || self.has_password(username) || self.shortest_secret() < MIN_UNGUESSABLE_SECRET_BYTES
    }

    fn is_leased(&self, username: &str) -> bool {
        Self::is_leased(self, username)
    }

    fn account(&self, scope: Scope, user: &str) -> Arc<UserAccount> {
        Self::account(self, scope, user)
    }

    fn authenticated(&self, username: &str) {
        self.note_long_lived(username, SystemTime::now());
    }
}

impl RelayUsers for Directory {
    fn may_continue(&self, scope: Scope, user: &str) -> bool {
        !self.is_refused(scope, user)
    }

    fn banned_addresses(&self) -> BannedAddresses {
        Self::banned_addresses(self).clone()
    }

    fn revision(&self) -> u64 {
        Self::revision(self)
    }
}
