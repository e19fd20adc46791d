//! Why the relay refuses a login, as far as the evidence goes: credentials that a secret of ours has signed are genuine.

use std::time::{Duration, SystemTime};

use super::handle::Directory;
use super::logins::{scopes_of, stored_keys};
use super::state::{DirectoryState, IndexedSnapshot};
use crate::turn::codec::integrity::{LongTermKey, PasswordAlgorithm};
use crate::turn::{CredentialEvidence, CredentialRefusal, Scope};
use crate::users::credentials::{self, CLOCK_SLACK, TimeLimitedUsername};

impl Directory {
    /// Why a request was refused that none of the keys of [`Directory::login`] has signed: the keys that are not accepted, each with the
    /// reason, and the reason where none of these has signed it either.
    pub fn evidence(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: SystemTime) -> CredentialEvidence {
        let snapshot = self.0.snapshot.load();
        if let Some(user) = snapshot.users.get(username) {
            let otherwise =
                if user.realm == realm { CredentialRefusal::WrongPassword } else { CredentialRefusal::UserOfOtherRealm };
            let keys = if user.enabled { Vec::new() } else { stored_keys(user, algorithm).to_vec() };
            let keys = keys.into_iter().map(|key| (key, CredentialRefusal::UserRefused)).collect();
            return CredentialEvidence { keys, otherwise };
        }
        let Some(name) = TimeLimitedUsername::parse(username) else {
            let is_malformed = TimeLimitedUsername::looks_time_limited(username);
            let otherwise = if is_malformed { CredentialRefusal::Malformed } else { CredentialRefusal::UnknownUser };
            return CredentialEvidence { keys: Vec::new(), otherwise };
        };
        let user = if name.user.is_empty() { username } else { name.user };
        let (readings, secrets) = (self.0.former_clocks.readings(now), self.0.verifying(&snapshot, now));
        let mut keys = Vec::new();
        for scope in scopes_of(&name) {
            let Some(why) = self.0.refusal(&snapshot, scope, &name, user, &readings, now) else { continue };
            for secret in &secrets {
                let password = credentials::password(secret.expose(), scope, username);
                keys.push((LongTermKey::long_term(algorithm, username, realm, &password), why));
            }
        }
        CredentialEvidence { keys, otherwise: CredentialRefusal::WrongSignature }
    }
}

impl DirectoryState {
    /// Why genuine credentials of `scope` are refused; `None`: they are not.
    fn refusal(
        &self,
        snapshot: &IndexedSnapshot,
        scope: Scope,
        name: &TimeLimitedUsername<'_>,
        user: &str,
        readings: &[SystemTime],
        now: SystemTime,
    ) -> Option<CredentialRefusal> {
        if self.is_current(scope, name, readings) {
            return snapshot.is_refused(scope, user).then_some(CredentialRefusal::UserRefused);
        }
        let is_shared = scope == Scope::Anyone && !self.configured.is_empty();
        let seconds = credentials::unix_seconds(now);
        Some(if name.expiry <= seconds {
            CredentialRefusal::Expired { ago: Duration::from_secs(seconds - name.expiry) }
        } else if name.in_milliseconds && !is_shared {
            CredentialRefusal::Milliseconds
        } else if name.is_foreign && !is_shared {
            CredentialRefusal::ForeignForm
        } else {
            let most = if is_shared { self.longest_foreign.unwrap_or(Duration::MAX) } else { self.longest };
            let ahead = Duration::from_secs(name.expiry - seconds);
            CredentialRefusal::TooFarAhead { ahead, most: most.saturating_add(CLOCK_SLACK) }
        })
    }
}
