//! The table `operators`: who may sign in at `/admin`.

use std::time::SystemTime;

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::connection::Store;
use super::error::StoreError;
use super::rows::{OperatorInfo, SnapshotOperator, seconds};
use crate::config::secret::Secret;
use crate::users::name::UserName;
use crate::users::password::OperatorPassword;

impl Store {
    /// Adds an operator.
    ///
    /// # Errors
    /// `Exists` where a user has the name, `OperatorExists`, `Database`.
    pub async fn add_operator(&self, name: &UserName, password: &OperatorPassword, now: SystemTime) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        let user = sqlx::query("SELECT 1 FROM users WHERE name = ?1").bind(name.as_str());
        if user.fetch_optional(&mut *transaction).await?.is_some() {
            return Err(StoreError::Exists(name.to_string()));
        }
        let added = sqlx::query(
            "INSERT INTO operators (name, password_hash, stamp, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (name) DO NOTHING",
        );
        let added = added.bind(name.as_str()).bind(&password.0).bind(new_stamp()).bind(seconds(now));
        if added.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Err(StoreError::OperatorExists(name.to_string()));
        }
        transaction.commit().await?;
        Ok(())
    }

    /// All operators by name.
    ///
    /// # Errors
    /// `Database`.
    pub async fn operators(&self) -> Result<Vec<OperatorInfo>, StoreError> {
        let operators = sqlx::query(
            "SELECT name, enabled, strftime('%Y-%m-%dT%H:%M:%SZ', created_at, 'unixepoch') AS created FROM operators ORDER BY name",
        );
        let info = |row: &SqliteRow| {
            Ok(OperatorInfo {
                name: row.try_get("name")?,
                enabled: row.try_get("enabled")?,
                operator: true,
                created: row.try_get("created")?,
            })
        };
        Ok(operators.fetch_all(&self.pool).await?.iter().map(info).collect::<sqlx::Result<_>>()?)
    }

    /// Whether there is an operator of this name, enabled or not.
    ///
    /// # Errors
    /// `Database`.
    pub async fn is_operator(&self, name: &UserName) -> Result<bool, StoreError> {
        Ok(has_operator(&mut *self.pool.acquire().await?, name).await?)
    }

    /// Enables or disables. Either way the operator's sessions end.
    ///
    /// # Errors
    /// `NoUser`, `Database`.
    pub async fn set_operator_enabled(&self, name: &UserName, enabled: bool, now: SystemTime) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE operators SET enabled = ?2, stamp = ?3, updated_at = ?4 WHERE name = ?1");
        let update = update.bind(name.as_str()).bind(enabled).bind(new_stamp()).bind(seconds(now));
        found(name, update.execute(&self.pool).await?.rows_affected())
    }

    /// Replaces an operator's password. The operator's sessions end.
    ///
    /// # Errors
    /// `NoUser`, `Database`.
    pub async fn set_operator_password(
        &self,
        name: &UserName,
        password: &OperatorPassword,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE operators SET password_hash = ?2, stamp = ?3, updated_at = ?4 WHERE name = ?1");
        let update = update.bind(name.as_str()).bind(&password.0).bind(new_stamp()).bind(seconds(now));
        found(name, update.execute(&self.pool).await?.rows_affected())
    }

    /// Removes an operator, whose sessions end.
    ///
    /// # Errors
    /// `NoUser`, `Database`.
    pub async fn remove_operator(&self, name: &UserName) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM operators WHERE name = ?1").bind(name.as_str());
        found(name, delete.execute(&self.pool).await?.rows_affected())
    }
}

pub(super) async fn has_operator(connection: &mut SqliteConnection, name: &UserName) -> Result<bool, sqlx::Error> {
    let operator = sqlx::query("SELECT 1 FROM operators WHERE name = ?1").bind(name.as_str());
    Ok(operator.fetch_optional(connection).await?.is_some())
}

pub(super) async fn select_operators(connection: &mut SqliteConnection) -> Result<Vec<(String, SnapshotOperator)>, sqlx::Error> {
    let rows = sqlx::query("SELECT name, enabled, password_hash, stamp FROM operators").fetch_all(connection).await?;
    let operator = |row: &SqliteRow| {
        let stamp = row.try_get::<i64, _>("stamp")?.cast_unsigned();
        let hash = Secret::new(row.try_get("password_hash")?);
        Ok((row.try_get("name")?, SnapshotOperator { enabled: row.try_get("enabled")?, hash, stamp }))
    };
    rows.iter().map(operator).collect()
}

/// A number that no former session has.
fn new_stamp() -> i64 {
    rand::random()
}

fn found(name: &UserName, rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NoUser(name.to_string())) } else { Ok(()) }
}
