//! What the database returns, and conversions between columns and values.

use std::time::{Duration, SystemTime};

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use crate::config::secret::Secret;
use crate::turn::Scope;
use crate::users::credentials::unix_seconds;
use crate::users::password::{ImportedKey, KnownKeys, TurnKeys};
use crate::users::scope::{self, scope_named};

/// A user as `castway user list` shows it, without hash and keys.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct UserInfo {
    pub name: String,
    pub enabled: bool,
    pub admin: bool,
    /// The scope of the user's credentials.
    #[serde(serialize_with = "scope::serialize")]
    pub scope: Scope,
    /// The realm that the password was set for; in another realm the user can't log in to the relay with it.
    pub realm: String,
    /// Whether the key of the password as it was typed is stored. Without it, a password that SASLprep changes works on the relay only
    /// in its SASLprep form, which no usual client sends.
    pub has_typed_key: bool,
    /// Which keys are known: all, or the one that was imported from another server.
    pub known_keys: KnownKeys,
    /// UTC, as `2025-01-31T23:59:59Z`.
    pub created: String,
}

/// A secret with its state.
#[derive(Debug, Clone)]
pub struct SecretInfo {
    pub id: i64,
    pub value: Secret<String>,
    /// UTC, as `2025-01-31T23:59:59Z`.
    pub created: String,
    /// Unix seconds; `None` for the secret that signs.
    pub retired_at: Option<i64>,
}

// By hand, since sqlx's derive builds sqlx and SQLite a second time, for the compiler.
impl FromRow<'_, SqliteRow> for UserInfo {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get("name")?,
            enabled: row.try_get("enabled")?,
            admin: row.try_get("admin")?,
            scope: scope(row.try_get("scope")?)?,
            realm: row.try_get("realm")?,
            has_typed_key: row.try_get("has_typed_key")?,
            known_keys: known_keys(&row.try_get::<String, _>("known_keys")?)?,
            created: row.try_get("created")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for SecretInfo {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            value: Secret::new(row.try_get("value")?),
            created: row.try_get("created")?,
            retired_at: row.try_get("retired_at")?,
        })
    }
}

/// A ban as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBan {
    pub id: i64,
    pub target: String,
    /// Unix seconds.
    pub since: i64,
    /// Unix seconds; `None`: until somebody ends it.
    pub until: Option<i64>,
    pub by: String,
}

impl KeptBan {
    pub(in crate::users) fn is_in_force(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| until > seconds(now))
    }
}

/// Everything that a running server needs, read in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Newest first; the first signs. At least one.
    pub secrets: Vec<SecretInfo>,
    pub users: Vec<(String, SnapshotUser)>,
    /// Names whose credentials in a scope are refused.
    pub revoked: Vec<(String, Scope)>,
    pub operators: Vec<(String, SnapshotOperator)>,
    pub bans: Vec<KeptBan>,
    /// Bytes that users may relay in a month.
    pub quotas: Vec<(Scope, String, u64)>,
}

/// Somebody who may sign in at `/admin`.
#[derive(Debug, Clone)]
pub struct SnapshotOperator {
    pub enabled: bool,
    /// The password hash (PHC).
    pub hash: Secret<String>,
    /// Changes with each password, and each time that the operator is disabled or enabled.
    pub stamp: u64,
}

/// An operator as `castway user list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OperatorInfo {
    pub name: String,
    pub enabled: bool,
    /// Always true: users don't have the field.
    pub operator: bool,
    /// UTC, as `2025-01-31T23:59:59Z`.
    pub created: String,
}

#[derive(Clone)]
pub struct SnapshotUser {
    pub enabled: bool,
    /// The password hash (PHC) of an administrator; `None`: the user is not an administrator.
    pub admin: Option<Secret<String>>,
    pub scope: Scope,
    pub realm: String,
    /// Of the password in its SASLprep form.
    pub prepared: TurnKeys,
    /// Of the password as it was typed; `None`: it was set before these keys were stored.
    pub typed: Option<TurnKeys>,
}

impl std::fmt::Debug for SnapshotUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotUser").field("enabled", &self.enabled).field("realm", &self.realm).finish_non_exhaustive()
    }
}

impl SnapshotUser {
    /// Whether the user has these keys: after an import, they are those of the other server.
    #[must_use]
    pub fn has_imported(&self, realm: &str, key: ImportedKey) -> bool {
        let same = match key {
            ImportedKey::Md5(md5) => self.prepared.md5 == md5 || self.typed.is_some_and(|typed| typed.md5 == md5),
            ImportedKey::Sha256(sha256) => {
                self.prepared.sha256 == sha256 || self.typed.is_some_and(|typed| typed.sha256 == sha256)
            }
        };
        self.realm == realm && same
    }
}

/// A user's name, and what a server needs to know of the user.
pub(super) fn named_user(row: &SqliteRow) -> sqlx::Result<(String, SnapshotUser)> {
    let typed = match (row.try_get::<Option<Vec<u8>>, _>("typed_h_a1_md5")?, row.try_get("typed_h_a1_sha256")?) {
        (Some(md5), Some(sha256)) => Some(turn_keys(md5, sha256)?),
        (None, _) | (_, None) => None,
    };
    let user = SnapshotUser {
        enabled: row.try_get("enabled")?,
        admin: row.try_get::<Option<String>, _>("admin")?.map(Secret::new),
        scope: scope(row.try_get("scope")?)?,
        realm: row.try_get("realm")?,
        prepared: turn_keys(row.try_get("h_a1_md5")?, row.try_get("h_a1_sha256")?)?,
        typed,
    };
    Ok((row.try_get("name")?, user))
}

fn turn_keys(md5: Vec<u8>, sha256: Vec<u8>) -> sqlx::Result<TurnKeys> {
    Ok(TurnKeys { md5: fixed(md5)?, sha256: fixed(sha256)? })
}

pub(super) fn scope(name: String) -> Result<Scope, sqlx::Error> {
    scope_named(&name).ok_or_else(|| sqlx::Error::Decode(format!("an unknown scope, {name:?}").into()))
}

fn known_keys(name: &str) -> Result<KnownKeys, sqlx::Error> {
    KnownKeys::named(name).ok_or_else(|| sqlx::Error::Decode(format!("unknown keys, {name:?}").into()))
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
