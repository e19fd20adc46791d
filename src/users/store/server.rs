//! The tables `keys` and `server`: the server's own keys, and what it records for the commands beside it.

use std::time::SystemTime;

use super::connection::Store;
use super::error::StoreError;
use super::rows::{fixed, seconds};
use crate::config::secret::Secret;

impl Store {
    /// The server's own key of that name, generated on first use: 32 random bytes that stay the same.
    ///
    /// # Errors
    /// `Database`.
    pub async fn key(&self, name: &str, now: SystemTime) -> Result<Secret<[u8; 32]>, StoreError> {
        let select = || sqlx::query_scalar::<_, Vec<u8>>("SELECT value FROM keys WHERE name = ?1").bind(name);
        let value = if let Some(value) = select().fetch_optional(&self.pool).await? {
            value
        } else {
            let insert = sqlx::query("INSERT INTO keys (name, value, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING");
            insert.bind(name).bind(&rand::random::<[u8; 32]>()[..]).bind(seconds(now)).execute(&self.pool).await?;
            select().fetch_one(&self.pool).await?
        };
        Ok(Secret::new(fixed(value)?))
    }

    /// Replaces the record of the server's settings ([`Settings::server_record`](crate::config::Settings::server_record)).
    ///
    /// # Errors
    /// `Database`.
    pub async fn record(&self, settings: &Secret<String>, now: SystemTime) -> Result<(), StoreError> {
        let replace = sqlx::query("INSERT OR REPLACE INTO server (id, settings, started_at) VALUES (1, ?1, ?2)");
        replace.bind(settings.expose()).bind(seconds(now)).execute(&self.pool).await?;
        Ok(())
    }

    /// The record of the last server that ran; `None`: no server of a version with records has run.
    ///
    /// # Errors
    /// `Database`.
    pub async fn recorded(&self) -> Result<Option<Secret<String>>, StoreError> {
        let settings = sqlx::query_scalar::<_, String>("SELECT settings FROM server");
        Ok(settings.fetch_optional(&self.pool).await?.map(Secret::new))
    }

    /// When that server started, in Unix seconds.
    ///
    /// # Errors
    /// `Database`.
    pub async fn started_at(&self) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar("SELECT started_at FROM server").fetch_optional(&self.pool).await?)
    }

    /// The clock was set by `by` seconds: moves the times of removals, retirements and bans between `from` and `to`, which are Unix seconds of
    /// the clock before.
    ///
    /// # Errors
    /// `Database`.
    pub(in crate::users) async fn move_times(&self, from: u64, to: u64, by: i64) -> Result<(), StoreError> {
        let bound = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        for update in [
            "UPDATE revoked SET revoked_at = max(0, revoked_at + ?3) WHERE revoked_at BETWEEN ?1 AND ?2",
            "UPDATE bans SET since = max(0, since + ?3), until = max(0, until + ?3) WHERE since BETWEEN ?1 AND ?2",
            "UPDATE secrets SET retired_at = max(0, retired_at + ?3) WHERE retired_at BETWEEN ?1 AND ?2",
        ] {
            sqlx::query(update).bind(bound(from)).bind(bound(to)).bind(by).execute(&self.pool).await?;
        }
        Ok(())
    }
}
