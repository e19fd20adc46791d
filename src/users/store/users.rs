//! The table `users`, and `revoked`, which remembers removed users.

use std::time::{Duration, SystemTime};

use sqlx::sqlite::SqliteConnection;

use super::connection::Store;
use super::error::StoreError;
use super::operators::has_operator;
use super::rows::{UserInfo, before, seconds};
use crate::turn::Scope;
use crate::users::credentials::CLOCK_SLACK;
use crate::users::name::UserName;
use crate::users::password::{NO_HASH, PasswordKeys};
use crate::users::scope::scope_name;

impl Store {
    /// Adds a user. A removed user of the same name and scope is no longer remembered.
    ///
    /// # Errors
    /// `Exists`, `OperatorExists`, `Database`.
    pub async fn add(&self, name: &UserName, keys: &PasswordKeys, scope: Scope, now: SystemTime) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        if has_operator(&mut transaction, name).await? {
            return Err(StoreError::OperatorExists(name.to_string()));
        }
        let added = sqlx::query(
            "INSERT INTO users (name, password_hash, realm, h_a1_md5, h_a1_sha256, typed_h_a1_md5, typed_h_a1_sha256, created_at,
                                updated_at, scope, known_keys)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.as_str())
        .bind(&keys.argon2id)
        .bind(&keys.realm)
        .bind(&keys.prepared.md5[..])
        .bind(&keys.prepared.sha256[..])
        .bind(&keys.typed.md5[..])
        .bind(&keys.typed.sha256[..])
        .bind(seconds(now))
        .bind(scope_name(scope))
        .bind(keys.known.name())
        .execute(&mut *transaction)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::Exists(name.to_string()));
        }
        restore(&mut transaction, name, scope).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// All users by name.
    ///
    /// # Errors
    /// `Database`.
    pub async fn list(&self) -> Result<Vec<UserInfo>, StoreError> {
        let users = sqlx::query_as(
            "SELECT name, enabled, admin, scope, realm, typed_h_a1_md5 IS NOT NULL AS has_typed_key, known_keys,
                    strftime('%Y-%m-%dT%H:%M:%SZ', created_at, 'unixepoch') AS created
             FROM users ORDER BY name",
        );
        Ok(users.fetch_all(&self.pool).await?)
    }

    /// Enables or disables. A disabled user keeps password and name.
    ///
    /// # Errors
    /// `NoUser`, `Database`.
    pub async fn set_enabled(&self, name: &UserName, enabled: bool, now: SystemTime) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE users SET enabled = ?2, updated_at = ?3 WHERE name = ?1");
        let done = update.bind(name.as_str()).bind(enabled).bind(seconds(now)).execute(&self.pool).await?;
        found(name, done.rows_affected())
    }

    /// Makes a user an administrator, or an ordinary user again.
    ///
    /// # Errors
    /// `NoUser`, `NoPassword`, `Database`.
    pub async fn set_admin(&self, name: &UserName, admin: bool, now: SystemTime) -> Result<(), StoreError> {
        let hash: Option<String> = sqlx::query_scalar("SELECT password_hash FROM users WHERE name = ?1")
            .bind(name.as_str())
            .fetch_optional(&self.pool)
            .await?;
        if admin && hash.is_some_and(|hash| hash == NO_HASH) {
            return Err(StoreError::NoPassword(name.to_string()));
        }
        let update = sqlx::query("UPDATE users SET admin = ?2, updated_at = ?3 WHERE name = ?1");
        let done = update.bind(name.as_str()).bind(admin).bind(seconds(now)).execute(&self.pool).await?;
        found(name, done.rows_affected())
    }

    /// Gives a user another scope. Credentials that were issued in the former scope end now, as for a removed user.
    ///
    /// # Errors
    /// `NoUser`, `Database`.
    pub async fn set_scope(&self, name: &UserName, scope: Scope, now: SystemTime) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        let former: Option<String> = sqlx::query_scalar("SELECT scope FROM users WHERE name = ?1")
            .bind(name.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let former = former.ok_or_else(|| StoreError::NoUser(name.to_string()))?;
        if former == scope_name(scope) {
            return Ok(());
        }
        let update = sqlx::query("UPDATE users SET scope = ?2, updated_at = ?3 WHERE name = ?1").bind(name.as_str());
        update.bind(scope_name(scope)).bind(seconds(now)).execute(&mut *transaction).await?;
        let quota = sqlx::query("UPDATE OR REPLACE quotas SET scope = ?2 WHERE name = ?1 AND scope = ?3").bind(name.as_str());
        quota.bind(scope_name(scope)).bind(&former).execute(&mut *transaction).await?;
        let revoke = sqlx::query("INSERT OR REPLACE INTO revoked (name, scope, revoked_at) VALUES (?1, ?2, ?3)");
        revoke.bind(name.as_str()).bind(former).bind(seconds(now)).execute(&mut *transaction).await?;
        restore(&mut transaction, name, scope).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Removes a user, and remembers the name until the last credentials issued to it have expired, so that they end now.
    /// Adding a user of that name again brings them back for what is left of their life.
    ///
    /// # Errors
    /// `NoUser`, `Database`.
    pub async fn remove(&self, name: &UserName, now: SystemTime) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        // No user of scope clients has credentials of scope anyone, so those of an earlier time must not come back.
        let revoke = sqlx::query(
            "INSERT OR REPLACE INTO revoked (name, scope, revoked_at)
             SELECT name, scope, ?2 FROM users WHERE name = ?1 UNION SELECT ?1, 'anyone', ?2",
        );
        revoke.bind(name.as_str()).bind(seconds(now)).execute(&mut *transaction).await?;
        let quota = sqlx::query("DELETE FROM quotas WHERE name = ?1 AND scope = (SELECT scope FROM users WHERE name = ?1)");
        quota.bind(name.as_str()).execute(&mut *transaction).await?;
        let delete = sqlx::query("DELETE FROM users WHERE name = ?1").bind(name.as_str());
        found(name, delete.execute(&mut *transaction).await?.rows_affected())?;
        transaction.commit().await?;
        Ok(())
    }

    /// Replaces a user's password and with it the realm of its keys.
    ///
    /// # Errors
    /// `NoUser`, `Database`.
    pub async fn passwd(&self, name: &UserName, keys: &PasswordKeys, now: SystemTime) -> Result<(), StoreError> {
        let done = sqlx::query(
            "UPDATE users SET password_hash = ?2, realm = ?3, h_a1_md5 = ?4, h_a1_sha256 = ?5, typed_h_a1_md5 = ?6,
                    typed_h_a1_sha256 = ?7, updated_at = ?8, known_keys = ?9 WHERE name = ?1",
        )
        .bind(name.as_str())
        .bind(&keys.argon2id)
        .bind(&keys.realm)
        .bind(&keys.prepared.md5[..])
        .bind(&keys.prepared.sha256[..])
        .bind(&keys.typed.md5[..])
        .bind(&keys.typed.sha256[..])
        .bind(seconds(now))
        .bind(keys.known.name())
        .execute(&self.pool)
        .await?;
        found(name, done.rows_affected())
    }

    /// Forgets removed users whose credentials have all expired; `longest` is the longest lifetime that any can have.
    ///
    /// # Errors
    /// `Database`.
    pub async fn forget_removed(&self, longest: Duration, now: SystemTime) -> Result<(), StoreError> {
        let revoked = sqlx::query("DELETE FROM revoked WHERE revoked_at < ?1").bind(before(longest + 2 * CLOCK_SLACK, now));
        revoked.execute(&self.pool).await?;
        Ok(())
    }
}

/// The name is no longer revoked in `scope`.
async fn restore(connection: &mut SqliteConnection, name: &UserName, scope: Scope) -> Result<(), sqlx::Error> {
    let restore = sqlx::query("DELETE FROM revoked WHERE name = ?1 AND scope = ?2").bind(name.as_str());
    restore.bind(scope_name(scope)).execute(connection).await?;
    Ok(())
}

fn found(name: &UserName, rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NoUser(name.to_string())) } else { Ok(()) }
}
