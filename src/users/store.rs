//! The SQLite file, and all SQL there is.
//!
//! Inputs are checked values ([`UserName`], [`PasswordKeys`]) bound as parameters. A method that returns `Ok` has committed:
//! neither SIGKILL nor a power cut takes it back. Any number of processes may use one file at a time.

use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};

use super::credentials::{CLOCK_SLACK, unix_seconds};
use super::name::UserName;
use super::open::{self, Absent, OpenError};
use super::password::PasswordKeys;
use crate::config::secret::Secret;

/// How long the follower waits for a lock: it tries again soon.
const FOLLOW_BUSY: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
    options: SqliteConnectOptions,
    /// Of the file that was opened.
    identity: Option<(u64, u64)>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is a user {0:?} already")]
    Exists(String),
    #[error("there is no user {0:?}")]
    NoUser(String),
    #[error("there is no secret {0}")]
    NoSecret(i64),
    #[error("secret {0} is the one that signs; rotate first, then remove it")]
    Signs(i64),
    #[error("the database can't be used: {0}")]
    Database(#[from] sqlx::Error),
}

/// A user as listed; no hash, no key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct UserInfo {
    pub name: String,
    pub enabled: bool,
    pub admin: bool,
    /// The realm that the password was set for; in another one the user can't log in to the relay with it.
    pub realm: String,
    /// UTC, as `2025-01-31T23:59:59Z`.
    pub created: String,
}

/// A secret as listed.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SecretInfo {
    pub id: i64,
    #[sqlx(try_from = "String")]
    pub value: Secret<String>,
    /// UTC, as `2025-01-31T23:59:59Z`.
    pub created: String,
    /// Unix seconds; `None` for the one that signs.
    pub retired_at: Option<i64>,
}

/// All that a running server needs, as of one moment.
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
    /// The hash that an administrator logs in against (PHC); `None`: is none.
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

impl Store {
    /// Opens the database in `data_dir` for a server. Makes the folder (0700) and the file (0600) where they are missing, brings
    /// the schema up to date, and generates the first secret.
    ///
    /// # Errors
    /// [`OpenError`], each a sentence that says what to do.
    pub async fn open(data_dir: &Path, now: SystemTime) -> Result<Self, OpenError> {
        Self::open_or(data_dir, Absent::Make, now).await
    }

    /// As [`Store::open`], for a command beside a server: where there is no database it makes none.
    ///
    /// # Errors
    /// [`OpenError`], each a sentence that says what to do.
    pub async fn open_existing(data_dir: &Path, now: SystemTime) -> Result<Self, OpenError> {
        Self::open_or(data_dir, Absent::Refuse, now).await
    }

    async fn open_or(data_dir: &Path, absent: Absent, now: SystemTime) -> Result<Self, OpenError> {
        let (pool, options) = open::open(data_dir, absent).await?;
        let identity = std::fs::symlink_metadata(options.get_filename()).ok().map(|found| open::identity(&found));
        let store = Self { pool, options, identity };
        match store.first_secret(now).await {
            Ok(()) => Ok(store),
            Err(error) => {
                let error = open::from_sqlx(store.options.get_filename(), &error);
                store.close().await;
                Err(error)
            }
        }
    }

    /// The path of the database where the file that was opened is no longer what is there.
    pub(super) async fn displaced(&self) -> Option<&Path> {
        let path = self.options.get_filename();
        let found = tokio::fs::symlink_metadata(path).await.ok().map(|found| open::identity(&found));
        (found != self.identity).then_some(path)
    }

    /// Waits for running statements, then folds the journal into the file if nobody else has it open.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// # Errors
    /// `Exists`, `Database`.
    pub async fn add(&self, name: &UserName, keys: &PasswordKeys, now: SystemTime) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let added = sqlx::query(
            "INSERT INTO users (name, password_hash, realm, h_a1_md5, h_a1_sha256, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.as_str())
        .bind(&keys.argon2id)
        .bind(&keys.realm)
        .bind(&keys.h_a1_md5[..])
        .bind(&keys.h_a1_sha256[..])
        .bind(seconds(now))
        .execute(&mut *transaction)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::Exists(name.to_string()));
        }
        sqlx::query("DELETE FROM revoked WHERE name = ?1").bind(name.as_str()).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// All users by name.
    ///
    /// # Errors
    /// `Database`.
    pub async fn list(&self) -> Result<Vec<UserInfo>, StoreError> {
        let users = sqlx::query_as(
            "SELECT name, enabled, admin, realm, strftime('%Y-%m-%dT%H:%M:%SZ', created_at, 'unixepoch') AS created
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
    /// `NoUser`, `Database`.
    pub async fn set_admin(&self, name: &UserName, admin: bool, now: SystemTime) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE users SET admin = ?2, updated_at = ?3 WHERE name = ?1");
        let done = update.bind(name.as_str()).bind(admin).bind(seconds(now)).execute(&self.pool).await?;
        found(name, done.rows_affected())
    }

    /// Removes a user, and remembers the name until the last credentials issued to it have expired, so that they end now.
    /// Adding a user of that name again brings them back for what is left of their life.
    ///
    /// # Errors
    /// `NoUser`, `Database`.
    pub async fn remove(&self, name: &UserName, now: SystemTime) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let delete = sqlx::query("DELETE FROM users WHERE name = ?1").bind(name.as_str());
        found(name, delete.execute(&mut *transaction).await?.rows_affected())?;
        let revoke = sqlx::query("INSERT OR REPLACE INTO revoked (name, revoked_at) VALUES (?1, ?2)");
        revoke.bind(name.as_str()).bind(seconds(now)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Replaces a user's password and with it the realm of its keys.
    ///
    /// # Errors
    /// `NoUser`, `Database`.
    pub async fn passwd(&self, name: &UserName, keys: &PasswordKeys, now: SystemTime) -> Result<(), StoreError> {
        let done = sqlx::query(
            "UPDATE users SET password_hash = ?2, realm = ?3, h_a1_md5 = ?4, h_a1_sha256 = ?5, updated_at = ?6 WHERE name = ?1",
        )
        .bind(name.as_str())
        .bind(&keys.argon2id)
        .bind(&keys.realm)
        .bind(&keys.h_a1_md5[..])
        .bind(&keys.h_a1_sha256[..])
        .bind(seconds(now))
        .execute(&self.pool)
        .await?;
        found(name, done.rows_affected())
    }

    /// All secrets, newest first.
    ///
    /// # Errors
    /// `Database`.
    pub async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError> {
        Ok(secrets(&mut *self.pool.acquire().await?).await?)
    }

    /// Generates a new secret, which signs from now on, and returns its id. The older ones are retired, or dropped where
    /// `revoke_old`.
    ///
    /// # Errors
    /// `Database`.
    pub async fn rotate(&self, revoke_old: bool, now: SystemTime) -> Result<i64, StoreError> {
        let mut transaction = self.write().await?;
        if revoke_old {
            sqlx::query("DELETE FROM secrets").execute(&mut *transaction).await?;
        } else {
            let retire = sqlx::query("UPDATE secrets SET retired_at = ?1 WHERE retired_at IS NULL");
            retire.bind(seconds(now)).execute(&mut *transaction).await?;
        }
        let insert = sqlx::query("INSERT INTO secrets (value, created_at) VALUES (?1, ?2)");
        let inserted = insert.bind(random_text()).bind(seconds(now)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(inserted.last_insert_rowid())
    }

    /// Removes a retired secret; what it signed stops working.
    ///
    /// # Errors
    /// `NoSecret`, `Signs`, `Database`.
    pub async fn remove_secret(&self, id: i64) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
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

    /// The server's own key of that name, made on first use: 32 random bytes that stay the same.
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

    /// Keeps what the server runs with ([`Settings::server_record`](crate::config::Settings::server_record)) in place of what was kept before.
    ///
    /// # Errors
    /// `Database`.
    pub async fn record(&self, settings: &Secret<String>, now: SystemTime) -> Result<(), StoreError> {
        let replace = sqlx::query("INSERT OR REPLACE INTO server (id, settings, started_at) VALUES (1, ?1, ?2)");
        replace.bind(settings.expose()).bind(seconds(now)).execute(&self.pool).await?;
        Ok(())
    }

    /// What the last server recorded; `None` where none of a version that records has run.
    ///
    /// # Errors
    /// `Database`.
    pub async fn recorded(&self) -> Result<Option<Secret<String>>, StoreError> {
        let settings = sqlx::query_scalar::<_, String>("SELECT settings FROM server");
        Ok(settings.fetch_optional(&self.pool).await?.map(Secret::new))
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

    /// Forgets removed users whose credentials have all expired: `longest` is the longest life that any can have.
    ///
    /// # Errors
    /// `Database`.
    pub async fn forget_removed(&self, longest: Duration, now: SystemTime) -> Result<(), StoreError> {
        let revoked = sqlx::query("DELETE FROM revoked WHERE revoked_at < ?1").bind(before(longest + 2 * CLOCK_SLACK, now));
        revoked.execute(&self.pool).await?;
        Ok(())
    }

    /// The clock was set by `by` seconds: users that were removed and secrets that were retired between `from` and `to`, in Unix seconds
    /// of the clock before, were so at other times.
    ///
    /// # Errors
    /// `Database`.
    pub(super) async fn move_times(&self, from: u64, to: u64, by: i64) -> Result<(), StoreError> {
        let bound = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        for update in [
            "UPDATE revoked SET revoked_at = max(0, revoked_at + ?3) WHERE revoked_at BETWEEN ?1 AND ?2",
            "UPDATE secrets SET retired_at = max(0, retired_at + ?3) WHERE retired_at BETWEEN ?1 AND ?2",
        ] {
            sqlx::query(update).bind(bound(from)).bind(bound(to)).bind(by).execute(&self.pool).await?;
        }
        Ok(())
    }

    /// What is in the database now.
    ///
    /// # Errors
    /// `Database`.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(snapshot(&mut *self.pool.acquire().await?).await?)
    }

    /// A connection of its own that tells when anybody else has written.
    pub(super) async fn watch(&self) -> Result<Watch, sqlx::Error> {
        Ok(Watch { connection: self.options.clone().busy_timeout(FOLLOW_BUSY).connect().await?, seen: None })
    }

    /// A statement that writes even where there is a secret, so that a read-only database is noticed at the start.
    async fn first_secret(&self, now: SystemTime) -> Result<(), sqlx::Error> {
        let insert = "INSERT INTO secrets (value, created_at) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM secrets)";
        sqlx::query(insert).bind(random_text()).bind(seconds(now)).execute(&self.pool).await?;
        Ok(())
    }

    /// Takes the write lock at once: a transaction that reads first could not wait for it.
    async fn write(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.pool.begin_with("BEGIN IMMEDIATE").await
    }
}

/// See [`Store::watch`].
pub(super) struct Watch {
    connection: SqliteConnection,
    /// The version last returned as a snapshot.
    seen: Option<i64>,
}

impl Watch {
    /// The database's content if it has changed since the last call that returned it.
    pub(super) async fn changed(&mut self) -> Result<Option<Snapshot>, sqlx::Error> {
        // Read before the content: what is written between the two is seen by the next call.
        let version: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut self.connection).await?;
        if self.seen == Some(version) {
            return Ok(None);
        }
        let snapshot = snapshot(&mut self.connection).await?;
        self.seen = Some(version);
        Ok(Some(snapshot))
    }
}

async fn snapshot(connection: &mut SqliteConnection) -> Result<Snapshot, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let secrets = secrets(&mut transaction).await?;
    if secrets.is_empty() {
        return Err(sqlx::Error::Decode("there is no secret; restart castway to make one".into()));
    }
    let users = sqlx::query_as::<_, (String, bool, Option<String>, String, Vec<u8>, Vec<u8>)>(
        "SELECT name, enabled, iif(admin, password_hash, NULL), realm, h_a1_md5, h_a1_sha256 FROM users",
    );
    let users = users.fetch_all(&mut *transaction).await?;
    let revoked = sqlx::query_scalar("SELECT name FROM revoked").fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    let users = users.into_iter().map(|(name, enabled, admin, realm, md5, sha256)| {
        let admin = admin.map(Secret::new);
        let user = SnapshotUser { enabled, admin, realm, h_a1_md5: fixed(md5)?, h_a1_sha256: fixed(sha256)? };
        Ok((name, user))
    });
    Ok(Snapshot { secrets, users: users.collect::<Result<_, sqlx::Error>>()?, revoked })
}

async fn secrets(connection: &mut SqliteConnection) -> Result<Vec<SecretInfo>, sqlx::Error> {
    let secrets = sqlx::query_as(
        "SELECT id, value, strftime('%Y-%m-%dT%H:%M:%SZ', created_at, 'unixepoch') AS created, retired_at
         FROM secrets ORDER BY id DESC",
    );
    secrets.fetch_all(connection).await
}

/// 32 random bytes, in letters that can be pasted into another server's settings.
fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn found(name: &UserName, rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NoUser(name.to_string())) } else { Ok(()) }
}

fn fixed<const N: usize>(value: Vec<u8>) -> Result<[u8; N], sqlx::Error> {
    value.try_into().map_err(|value: Vec<u8>| sqlx::Error::Decode(format!("a key of {} bytes, not {N}", value.len()).into()))
}

/// The Unix time `age` before `now`.
fn before(age: Duration, now: SystemTime) -> i64 {
    seconds(now).saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
}

fn seconds(now: SystemTime) -> i64 {
    i64::try_from(unix_seconds(now)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), at(0)).await.unwrap();
        (folder, store)
    }

    fn keys(name: &UserName) -> PasswordKeys {
        PasswordKeys::new(name, "castway", "correct horse").unwrap()
    }

    #[tokio::test]
    async fn a_user_is_added_once_changed_and_removed() {
        let (_folder, store) = store().await;
        let alice: UserName = "alice".parse().unwrap();
        store.add(&alice, &keys(&alice), at(0)).await.unwrap();
        assert!(matches!(store.add(&alice, &keys(&alice), at(1)).await, Err(StoreError::Exists(_))));
        let listed = store.list().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].created, "2027-01-15T08:00:00Z");
        assert!(listed[0].enabled);

        store.set_enabled(&alice, false, at(2)).await.unwrap();
        assert!(!store.list().await.unwrap()[0].enabled);
        let new = PasswordKeys::new(&alice, "elsewhere", "battery staple").unwrap();
        store.passwd(&alice, &new, at(3)).await.unwrap();
        assert_eq!(store.list().await.unwrap()[0].realm, "elsewhere");

        store.remove(&alice, at(4)).await.unwrap();
        assert!(store.list().await.unwrap().is_empty());
        assert_eq!(store.snapshot().await.unwrap().revoked, ["alice"]);
        assert!(matches!(store.remove(&alice, at(5)).await, Err(StoreError::NoUser(_))));
        assert!(matches!(store.set_enabled(&alice, true, at(5)).await, Err(StoreError::NoUser(_))));
        assert!(matches!(store.passwd(&alice, &new, at(5)).await, Err(StoreError::NoUser(_))));

        store.add(&alice, &keys(&alice), at(6)).await.unwrap();
        assert!(store.snapshot().await.unwrap().revoked.is_empty());
    }

    #[tokio::test]
    async fn text_that_looks_like_sql_is_a_name() {
        let (_folder, store) = store().await;
        let name: UserName = "x'); DROP TABLE users; --".parse().unwrap();
        store.add(&name, &keys(&name), at(0)).await.unwrap();
        assert_eq!(store.list().await.unwrap()[0].name, name.as_str());
    }

    #[tokio::test]
    async fn a_secret_is_made_once_and_rotated() {
        let (folder, store) = store().await;
        let first = store.secrets().await.unwrap();
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].value.expose().len(), 43);
        store.close().await;
        let store = Store::open(folder.path(), at(1)).await.unwrap();
        assert_eq!(store.secrets().await.unwrap()[0].value, first[0].value);

        let second = store.rotate(false, at(10)).await.unwrap();
        let secrets = store.secrets().await.unwrap();
        assert_eq!((secrets[0].id, secrets[0].retired_at), (second, None));
        assert_eq!(secrets[1].retired_at, Some(1_800_000_010));
        store.purge(DAY, at(10 + 86_400)).await.unwrap();
        assert_eq!(store.secrets().await.unwrap().len(), 2);
        store.purge(DAY, at(11 + 86_400)).await.unwrap();
        assert_eq!(store.secrets().await.unwrap().len(), 1);

        assert!(matches!(store.remove_secret(second).await, Err(StoreError::Signs(_))));
        assert!(matches!(store.remove_secret(99).await, Err(StoreError::NoSecret(99))));
        let third = store.rotate(false, at(20)).await.unwrap();
        store.remove_secret(second).await.unwrap();
        let fourth = store.rotate(true, at(30)).await.unwrap();
        assert!(fourth > third);
        assert_eq!(store.secrets().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_removed_user_is_remembered_past_the_longest_life_of_credentials() {
        let (_folder, store) = store().await;
        let alice: UserName = "alice".parse().unwrap();
        store.add(&alice, &keys(&alice), at(0)).await.unwrap();
        store.remove(&alice, at(0)).await.unwrap();
        store.forget_removed(DAY, at(DAY.as_secs() + 600)).await.unwrap();
        assert_eq!(store.snapshot().await.unwrap().revoked.len(), 1);
        store.forget_removed(DAY, at(DAY.as_secs() + 601)).await.unwrap();
        assert!(store.snapshot().await.unwrap().revoked.is_empty());
    }

    #[tokio::test]
    async fn a_named_key_stays_the_same() {
        let (folder, store) = store().await;
        let resume = store.key("resume", at(0)).await.unwrap();
        assert_ne!(store.key("other", at(0)).await.unwrap(), resume);
        store.close().await;
        let store = Store::open(folder.path(), at(1)).await.unwrap();
        assert_eq!(store.key("resume", at(1)).await.unwrap(), resume);
    }

    #[tokio::test]
    async fn a_database_without_a_secret_is_an_error_until_the_next_start() {
        let (folder, store) = store().await;
        sqlx::query("DELETE FROM secrets").execute(&store.pool).await.unwrap();
        assert!(matches!(store.snapshot().await, Err(StoreError::Database(_))));
        store.close().await;
        let store = Store::open(folder.path(), at(1)).await.unwrap();
        assert_eq!(store.snapshot().await.unwrap().secrets.len(), 1);
    }

    #[tokio::test]
    async fn each_start_replaces_what_the_one_before_recorded() {
        let (_folder, store) = store().await;
        assert_eq!(store.recorded().await.unwrap(), None);
        for settings in [r#"{"static_auth_secret":"north"}"#, "{}"] {
            let settings = Secret::new(settings.to_owned());
            store.record(&settings, at(1)).await.unwrap();
            assert_eq!(store.recorded().await.unwrap(), Some(settings));
        }
    }

    #[tokio::test]
    async fn a_watch_tells_of_each_change_once() {
        let (_folder, store) = store().await;
        let mut watch = store.watch().await.unwrap();
        assert!(watch.changed().await.unwrap().is_some());
        assert!(watch.changed().await.unwrap().is_none());
        store.rotate(false, at(1)).await.unwrap();
        assert_eq!(watch.changed().await.unwrap().map(|snapshot| snapshot.secrets.len()), Some(2));
        assert!(watch.changed().await.unwrap().is_none());
    }
}
