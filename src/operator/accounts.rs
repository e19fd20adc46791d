//! Users, what they have relayed, and their quotas.

use serde::{Deserialize, Serialize};

use super::error::ActError;
use super::handle::Operator;
use super::rows::{Page, PageRequest};

/// A user: one of the database, or a name that a key or another issuer has signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserRow {
    pub name: String,
    /// `clients` or `anyone`; empty for an operator, and for the row of all others.
    pub scope: String,
    /// `user`, `operator`, `signed` (a name that a key or another issuer signs), or `others` (all that have no row of their own).
    pub kind: String,
    pub enabled: bool,
    /// An administrator of RTCMultiConnection.
    pub admin: bool,
    /// Live allocations.
    pub allocations: u32,
    /// Bytes relayed today and in this month (UTC).
    pub today: u64,
    pub month: u64,
    /// Bytes a month; `None`: no quota.
    pub quota: Option<u64>,
}

/// What was relayed for a user on a day, or in a month.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UsageRow {
    /// `2026-11-29` or `2026-11`, UTC.
    pub period: String,
    pub scope: String,
    pub name: String,
    pub bytes: u64,
}

impl Operator {
    /// By name.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn users(&self, _request: &PageRequest) -> Result<Page<UserRow>, ActError> {
        Ok(Page::default())
    }

    /// The usage of all users or of one, the newest first. `months`: by month instead of by day.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn usage(&self, _user: Option<&str>, _months: bool) -> Result<Vec<UsageRow>, ActError> {
        Ok(Vec::new())
    }

    /// Enables or disables a user of the database.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn set_enabled(&self, name: &str, _enabled: bool, _by: &str) -> Result<String, ActError> {
        Err(ActError::NotFound(format!("there is no user {name:?}")))
    }

    /// Gives a user a generated password, and returns it.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn new_password(&self, name: &str, _by: &str) -> Result<String, ActError> {
        Err(ActError::NotFound(format!("there is no user {name:?}")))
    }

    /// Bytes that a user may relay in a month; `None`: any number.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn set_quota(&self, scope: &str, name: &str, _quota: Option<u64>, _by: &str) -> Result<String, ActError> {
        Err(ActError::NotFound(format!("there is no user {name:?} of scope {scope:?}")))
    }
}
