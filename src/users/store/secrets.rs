//! The table `secrets`: the secrets that sign time-limited credentials.

use std::time::{Duration, SystemTime};

use super::connection::{Store, random_secret};
use super::error::StoreError;
use super::rows::{SecretInfo, before, seconds};
use super::snapshot::select_secrets;

impl Store {
    /// All secrets, newest first.
    ///
    /// # Errors
    /// `Database`.
    pub async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError> {
        Ok(select_secrets(&mut *self.pool.acquire().await?).await?)
    }

    /// Generates a new secret, which signs from now on, and returns its id. The older ones are retired, or dropped where
    /// `revoke_old`.
    ///
    /// # Errors
    /// `Database`.
    pub async fn rotate(&self, revoke_old: bool, now: SystemTime) -> Result<i64, StoreError> {
        let mut transaction = self.begin_write().await?;
        if revoke_old {
            sqlx::query("DELETE FROM secrets").execute(&mut *transaction).await?;
        } else {
            let retire = sqlx::query("UPDATE secrets SET retired_at = ?1 WHERE retired_at IS NULL");
            retire.bind(seconds(now)).execute(&mut *transaction).await?;
        }
        let insert = sqlx::query("INSERT INTO secrets (value, created_at) VALUES (?1, ?2)");
        let inserted = insert.bind(random_secret()).bind(seconds(now)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(inserted.last_insert_rowid())
    }

    /// Removes a retired secret; what it signed stops working.
    ///
    /// # Errors
    /// `NoSecret`, `Signs`, `Database`.
    pub async fn remove_secret(&self, id: i64) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        let newest: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM secrets").fetch_one(&mut *transaction).await?;
        if newest == Some(id) {
            return Err(StoreError::Signs(id));
        }
        let delete = sqlx::query("DELETE FROM secrets WHERE id = ?1").bind(id).execute(&mut *transaction).await?;
        if delete.rows_affected() == 0 {
            return Err(StoreError::NoSecret(id));
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets secrets that were retired more than `longest` ago.
    ///
    /// # Errors
    /// `Database`.
    pub async fn purge(&self, longest: Duration, now: SystemTime) -> Result<(), StoreError> {
        let retired = sqlx::query("DELETE FROM secrets WHERE retired_at < ?1").bind(before(longest, now));
        retired.execute(&self.pool).await?;
        Ok(())
    }
}
