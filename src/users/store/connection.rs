//! [`Store`]: opening and closing the database.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{Sqlite, Transaction};

use super::database_file::{self, OpenError, WhenMissing};
use super::lock_file;
use super::rows::seconds;

/// A pool of connections to one database file. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) pool: SqlitePool,
    pub(super) options: SqliteConnectOptions,
    /// Device and inode of the opened file.
    identity: Option<(u64, u64)>,
}

impl Store {
    /// Opens the database in `data_dir` for a server. Makes the folder (0700) and the file (0600) where they are missing, brings
    /// the schema up to date, and generates the first secret.
    ///
    /// # Errors
    /// [`OpenError`], each a sentence that says what to do.
    pub async fn open(data_dir: &Path, now: SystemTime) -> Result<Self, OpenError> {
        Self::open_or(data_dir, WhenMissing::Create, now).await
    }

    /// As [`Store::open`], for a command beside a server: where there is no database it makes none.
    ///
    /// # Errors
    /// [`OpenError`], each a sentence that says what to do.
    pub async fn open_existing(data_dir: &Path, now: SystemTime) -> Result<Self, OpenError> {
        Self::open_or(data_dir, WhenMissing::Fail, now).await
    }

    /// Opens the database in `data_dir` without changing it: it keeps the schema of the server that runs with it, perhaps an older one.
    ///
    /// # Errors
    /// [`OpenError`], each a sentence that says what to do.
    pub async fn open_unchanged(data_dir: &Path) -> Result<Self, OpenError> {
        let (pool, options) = database_file::open_unchanged(data_dir).await?;
        Ok(Self { pool, options, identity: None })
    }

    /// Opens the file in `data_dir` that a server locks before it opens the database. Makes the folder (0700) and the file (0600) where they
    /// are missing: root makes the file for the owner of the database, or else of the folder.
    ///
    /// # Errors
    /// [`OpenError`], each a sentence that says what to do.
    pub fn open_lock_file(data_dir: &Path) -> Result<File, OpenError> {
        lock_file::open(data_dir)
    }

    /// Locks `data_dir` against commands and servers that bring its schema up to date, until the file is dropped. Waits for `patience` at
    /// most. `None`: the file system has no locks.
    ///
    /// # Errors
    /// `Locked` where another program holds the lock, and what opening a folder gives.
    pub async fn lock_folder(data_dir: &Path, patience: Duration) -> Result<Option<File>, OpenError> {
        database_file::lock_folder(data_dir, patience).await
    }

    /// Whether a server or another program has the database in `data_dir` open.
    pub async fn is_in_use(data_dir: &Path) -> bool {
        database_file::is_in_use(data_dir).await
    }

    async fn open_or(data_dir: &Path, when_missing: WhenMissing, now: SystemTime) -> Result<Self, OpenError> {
        let (pool, options) = database_file::open(data_dir, when_missing).await?;
        let identity = std::fs::symlink_metadata(options.get_filename()).ok().map(|found| database_file::identity(&found));
        let store = Self { pool, options, identity };
        match store.first_secret(now).await {
            Ok(()) => Ok(store),
            Err(error) => {
                let error = database_file::from_sqlx(store.options.get_filename(), &error);
                store.close().await;
                Err(error)
            }
        }
    }

    /// The path of the database, if another file or none is there now.
    pub(in crate::users) async fn displaced(&self) -> Option<&Path> {
        let path = self.options.get_filename();
        let found = tokio::fs::symlink_metadata(path).await.ok().map(|found| database_file::identity(&found));
        (found != self.identity).then_some(path)
    }

    /// Waits for running statements, then folds the journal into the file if nobody else has it open.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Generates the first secret. The statement writes even if there is one, so that a read-only database is noticed at the start.
    async fn first_secret(&self, now: SystemTime) -> Result<(), sqlx::Error> {
        let insert = "INSERT INTO secrets (value, created_at) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM secrets)";
        sqlx::query(insert).bind(random_secret()).bind(seconds(now)).execute(&self.pool).await?;
        Ok(())
    }

    /// Begins a transaction with the write lock: a transaction that reads first could not wait for the lock later.
    pub(super) async fn begin_write(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.pool.begin_with("BEGIN IMMEDIATE").await
    }
}

/// A new secret: 32 random bytes, in characters that can be pasted into the settings of another server.
pub(super) fn random_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}
