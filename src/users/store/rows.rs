//! What the database returns, and conversions between columns and values.

use std::time::{Duration, SystemTime};

use crate::config::secret::Secret;
use crate::users::credentials::unix_seconds;

/// A user as `castway user list` shows it, without hash and keys.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct UserInfo {
    pub name: String,
    pub enabled: bool,
    pub admin: bool,
    /// The realm that the password was set for; in another realm the user can't log in to the relay with it.
    pub realm: String,
    /// UTC, as `2025-01-31T23:59:59Z`.
    pub created: String,
}

/// A secret with its state.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SecretInfo {
    pub id: i64,
    #[sqlx(try_from = "String")]
    pub value: Secret<String>,
    /// UTC, as `2025-01-31T23:59:59Z`.
    pub created: String,
    /// Unix seconds; `None` for the secret that signs.
    pub retired_at: Option<i64>,
}

/// Everything that a running server needs, read in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Newest first; the first signs. At least one.
    pub secrets: Vec<SecretInfo>,
    pub users: Vec<(String, SnapshotUser)>,
    pub revoked: Vec<String>,
}

#[derive(Clone)]
pub struct SnapshotUser {
    pub enabled: bool,
    /// The password hash (PHC) of an administrator; `None`: the user is not an administrator.
    pub admin: Option<Secret<String>>,
    pub realm: String,
    pub h_a1_md5: [u8; 16],
    pub h_a1_sha256: [u8; 32],
}

impl std::fmt::Debug for SnapshotUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotUser").field("enabled", &self.enabled).field("realm", &self.realm).finish_non_exhaustive()
    }
}

pub(super) fn fixed<const N: usize>(value: Vec<u8>) -> Result<[u8; N], sqlx::Error> {
    value.try_into().map_err(|value: Vec<u8>| sqlx::Error::Decode(format!("a key of {} bytes, not {N}", value.len()).into()))
}

/// The Unix time `age` before `now`.
pub(super) fn before(age: Duration, now: SystemTime) -> i64 {
    seconds(now).saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
}

pub(super) fn seconds(now: SystemTime) -> i64 {
    i64::try_from(unix_seconds(now)).unwrap_or(i64::MAX)
}
