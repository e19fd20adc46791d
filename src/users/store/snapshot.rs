//! Reading everything in one transaction, and noticing changes.

use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection};

use super::bans::select_bans;
use super::connection::Store;
use super::error::StoreError;
use super::operators::select_operators;
use super::rows::{SecretInfo, Snapshot, named_user, scope};
use super::usage::select_quotas;

/// How long a watcher waits for a lock. It is short because the watcher is polled several times a second.
const WATCHER_LOCK_TIMEOUT: Duration = Duration::from_millis(100);

impl Store {
    /// Reads everything that a running server needs.
    ///
    /// # Errors
    /// `Database`.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(select_snapshot(&mut *self.pool.acquire().await?).await?)
    }

    pub(in crate::users) async fn watch(&self) -> Result<ChangeWatcher, sqlx::Error> {
        Ok(ChangeWatcher { connection: self.options.clone().busy_timeout(WATCHER_LOCK_TIMEOUT).connect().await?, version: None })
    }
}

/// A connection of its own that notices when any other connection has written.
pub(in crate::users) struct ChangeWatcher {
    connection: SqliteConnection,
    /// The `data_version` of the snapshot that was last returned.
    version: Option<i64>,
}

impl ChangeWatcher {
    /// The database's content, if it has changed since the last call that returned it.
    pub(in crate::users) async fn changed(&mut self) -> Result<Option<Snapshot>, sqlx::Error> {
        // The version is read first, so the next call sees what is written between the two reads.
        let version: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut self.connection).await?;
        if self.version == Some(version) {
            return Ok(None);
        }
        let snapshot = select_snapshot(&mut self.connection).await?;
        self.version = Some(version);
        Ok(Some(snapshot))
    }
}

async fn select_snapshot(connection: &mut SqliteConnection) -> Result<Snapshot, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let secrets = select_secrets(&mut transaction).await?;
    if secrets.is_empty() {
        return Err(sqlx::Error::Decode("there is no secret; restart castway to make one".into()));
    }
    let users = sqlx::query(
        "SELECT name, enabled, iif(admin, password_hash, NULL) AS admin, scope, realm, h_a1_md5, h_a1_sha256, typed_h_a1_md5,
                typed_h_a1_sha256
         FROM users",
    );
    let users = users.fetch_all(&mut *transaction).await?;
    let revoked = sqlx::query_as::<_, (String, String)>("SELECT name, scope FROM revoked").fetch_all(&mut *transaction).await?;
    let operators = select_operators(&mut transaction).await?;
    let bans = select_bans(&mut transaction).await?;
    let quotas = select_quotas(&mut transaction).await?;
    transaction.commit().await?;
    let revoked = revoked.into_iter().map(|(name, scope_name)| Ok((name, scope(scope_name)?)));
    Ok(Snapshot {
        secrets,
        users: users.iter().map(named_user).collect::<Result<_, sqlx::Error>>()?,
        revoked: revoked.collect::<Result<_, sqlx::Error>>()?,
        operators,
        bans,
        quotas,
    })
}

pub(super) async fn select_secrets(connection: &mut SqliteConnection) -> Result<Vec<SecretInfo>, sqlx::Error> {
    let secrets = sqlx::query_as(
        "SELECT id, value, strftime('%Y-%m-%dT%H:%M:%SZ', created_at, 'unixepoch') AS created, retired_at
         FROM secrets ORDER BY id DESC",
    );
    secrets.fetch_all(connection).await
}
