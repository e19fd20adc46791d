//! What the rooms keep about one room. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Instant;

use super::users::UserKey;
use crate::config::secret::Secret;
use crate::multiconnection::model::Fingerprint;

pub(super) struct Room<J> {
    pub(super) number: u64,
    pub(super) opened: Instant,
    pub(super) owner: UserKey,
    /// The fingerprint of the client that opened the room.
    pub(super) opened_from: Fingerprint,
    /// The user that joined with the owner's fingerprint while the owner was away.
    pub(super) successor: Option<UserKey>,
    /// In the order in which they came.
    pub(super) participants: Vec<UserKey>,
    pub(super) max_participants: usize,
    pub(super) identifier: Option<String>,
    pub(super) password: Option<Secret<String>>,
    pub(super) session: J,
    pub(super) one_way: bool,
    pub(super) extra: J,
}

impl<J> Room<J> {
    pub(super) fn is_full(&self) -> bool {
        self.participants.len() >= self.max_participants
    }
}
