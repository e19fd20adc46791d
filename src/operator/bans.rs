//! Bans of users, addresses and networks, and addresses that are throttled because of wrong guesses.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ActError;
use super::handle::Operator;

/// A ban.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BanRow {
    /// `ban-N`.
    pub id: String,
    /// An address, a network, or `user:NAME`.
    pub target: String,
    pub since: u64,
    /// `None`: until somebody ends it.
    pub until: Option<u64>,
    /// The operator's name, or `command line`.
    pub by: String,
}

/// An address that has to wait because of its wrong guesses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThrottledRow {
    /// The address, or the network that counts as one client.
    pub address: String,
    /// What it guessed, as the log names it: `code`, `turn_password` ….
    pub kind: String,
    /// In seconds.
    pub wait: u64,
}

impl Operator {
    /// The newest first.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn bans(&self) -> Result<Vec<BanRow>, ActError> {
        Ok(Vec::new())
    }

    /// Bans an address, a network or `user:NAME`, ends what it has here, and returns a sentence.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn block(&self, target: &str, _time: Option<Duration>, _by: &str) -> Result<String, ActError> {
        Err(ActError::Refused(format!("{target:?} can't be blocked")))
    }

    /// Ends a ban (its id or its target), or lets an address guess again.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn unblock(&self, target: &str, _by: &str) -> Result<String, ActError> {
        Err(ActError::NotFound(format!("{target:?} is not blocked")))
    }

    /// Those that wait longest first; at most 500.
    #[must_use]
    pub fn throttled(&self) -> Vec<ThrottledRow> {
        Vec::new()
    }
}
