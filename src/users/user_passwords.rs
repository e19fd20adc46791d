//! Users' passwords, as requests send them: checks them, and bounds how often a client may guess.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::directory::Directory;
use super::password::looks_generated;
use crate::config::secret::Secret;
use crate::limits::guesses::{GuessKind, GuessReports, Guesses};
use crate::turn::Scope;

/// The limit of each client.
const MAX_WRONG_PASSWORDS_PER_MINUTE: u32 = 20;

/// Checks passwords, at `/turn` and where casters sign in. Clones share the counts.
#[derive(Debug, Clone)]
pub struct UserPasswords {
    guesses: Guesses,
    /// Makes the target of a guess from the user's name.
    hash: RandomState,
}

/// Why a password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordRefusal {
    /// For unknown and disabled users too.
    Wrong,
    /// The password is right, and the user is banned.
    Banned,
    /// After too many wrong passwords, of the client or for the user: how long it has to wait.
    TooMany(Duration),
}

impl UserPasswords {
    /// Wrong passwords are reported to `reports`.
    #[must_use]
    pub fn new(reports: &GuessReports) -> Self {
        let guesses = Guesses::new(GuessKind::UserPassword, MAX_WRONG_PASSWORDS_PER_MINUTE, reports);
        Self { guesses, hash: RandomState::new() }
    }

    /// The scope of the enabled user with this name and password.
    ///
    /// # Errors
    /// [`PasswordRefusal`]. A generated password is checked even after too many wrong ones, because nobody finds it by trying.
    pub fn check(
        &self,
        directory: &Directory,
        name: &str,
        password: &Secret<String>,
        from: IpAddr,
        now: Instant,
    ) -> Result<Scope, PasswordRefusal> {
        let target = self.hash.hash_one(name).max(1);
        let wait = self.guesses.blocked_for(from, now).max(self.guesses.blocked_for_target(from, target, now));
        if let Some(wait) = wait.filter(|_| !looks_generated(password.expose())) {
            return Err(PasswordRefusal::TooMany(wait));
        }
        directory.scope_of_password(name, password.expose()).ok_or_else(|| {
            if directory.is_banned_with_password(name, password.expose()) {
                return PasswordRefusal::Banned;
            }
            self.guesses.record_for_target(from, Some(target), now);
            wait.map_or(PasswordRefusal::Wrong, PasswordRefusal::TooMany)
        })
    }
}
