//! Counts the bytes of what users say about themselves, and finds the user that says too much. PURE.
//!
//! A user with no more than [`MIN_BYTES_PER_USER`] loses nothing, whatever others say. Of users with the same number of bytes the newest loses
//! first.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeSet, HashMap};

use super::users::UserKey;

/// Bytes of all descriptions together.
pub(super) const MAX_SHARED_BYTES: usize = 4 << 20;
/// Bytes by which the bound grows with each user, and that each user may hold whatever the others hold.
pub(super) const MIN_BYTES_PER_USER: usize = 1024;

/// The bytes of each user's descriptions.
#[derive(Default)]
pub(super) struct DescriptionBytes {
    by_user: HashMap<UserKey, usize>,
    /// The same by size, the largest last.
    by_bytes: BTreeSet<(usize, UserKey)>,
    total: usize,
}

impl DescriptionBytes {
    pub(super) fn set(&mut self, user: UserKey, bytes: usize) {
        self.remove(user);
        self.by_user.insert(user, bytes);
        self.by_bytes.insert((bytes, user));
        self.total += bytes;
    }

    pub(super) fn remove(&mut self, user: UserKey) {
        if let Some(bytes) = self.by_user.remove(&user) {
            self.by_bytes.remove(&(bytes, user));
            self.total -= bytes;
        }
    }

    /// The user that has to lose a description, if all users together hold too much.
    pub(super) fn in_excess(&self) -> Option<UserKey> {
        let most = MAX_SHARED_BYTES + MIN_BYTES_PER_USER * self.by_user.len();
        self.by_bytes.last().filter(|_| self.total > most).map(|(_, user)| *user)
    }

    /// The bytes of all users together.
    #[cfg(test)]
    pub(super) const fn bytes(&self) -> usize {
        self.total
    }

    /// Whether the tables agree with each other, and with what so many users hold.
    #[cfg(test)]
    pub(super) fn agree(&self, users: usize, described: impl Fn(UserKey) -> Option<usize>) -> bool {
        self.by_user.len() == users
            && self.by_user.iter().all(|(user, bytes)| described(*user) == Some(*bytes))
            && self.total == self.by_user.values().sum::<usize>()
            && self.by_bytes.len() == self.by_user.len()
            && self.by_bytes.iter().all(|(bytes, user)| self.by_user.get(user) == Some(bytes))
            && self.in_excess().is_none()
    }
}
