//! Users and secrets as the engine asks for them.

use std::time::{Instant, SystemTime};

use crate::turn::codec::integrity::{Key, PasswordAlgorithm};
use crate::turn::{Account, Credentials, LONG_SECRET};
use crate::users::Directory;
use crate::users::credentials::TimeLimitedUsername;

/// Who may allocate, and who may not go on. Called on the shards' threads: it must not block.
pub trait Accounts: Credentials {
    /// Whether the allocations of an [`Account::user`] may go on.
    fn is_live(&self, user: &str) -> bool;

    /// Changes whenever [`Self::is_live`] may answer otherwise than before.
    fn revision(&self) -> u64;
}

/// The users and secrets of the database.
impl Credentials for Directory {
    fn account(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<Account> {
        let wall = SystemTime::now();
        let keys: Vec<Key> = match algorithm {
            PasswordAlgorithm::Md5 => self.long_term_keys(username, realm, wall).into_iter().map(Key::Md5).collect(),
            PasswordAlgorithm::Sha256 => self.long_term_keys_sha256(username, realm, wall).into_iter().map(Key::Sha256).collect(),
        };
        if keys.is_empty() {
            return None;
        }
        let name = TimeLimitedUsername::parse(username);
        let user = name.map(|name| name.user).filter(|user| !user.is_empty()).unwrap_or(username);
        let expires = self.life(username, wall).and_then(|life| now.checked_add(life));
        Some(Account { user: user.to_owned(), keys, expires })
    }

    fn is_guessable(&self, username: &str) -> bool {
        TimeLimitedUsername::parse(username).is_none() || self.has_password(username) || self.shortest_secret() < LONG_SECRET
    }

    fn proved(&self, username: &str) {
        self.note_long_lived(username, SystemTime::now());
    }
}

impl Accounts for Directory {
    fn is_live(&self, user: &str) -> bool {
        !self.is_refused(user)
    }

    fn revision(&self) -> u64 {
        Self::revision(self)
    }
}
