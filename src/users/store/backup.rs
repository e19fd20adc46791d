//! A backup: a copy of the database that has two tables more, for what the data folder has beside it.

use std::path::Path;
use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _};

use super::backup_values::{self, ValueError};
use super::connection::Store;
use super::database_file::{self, OpenError};
use super::error::StoreError;
use super::kept_files::{KeptFile, KeptFiles, KeptFilesError, MAX_NAME_BYTES};
use super::own_schema::{self, SchemaError};
use super::rows::seconds;

const TABLES: &str = "\
CREATE TABLE backup (id INTEGER PRIMARY KEY CHECK (id = 1), version TEXT NOT NULL, made_at INTEGER NOT NULL) STRICT;
CREATE TABLE backup_files (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;";
const NO_TABLES: &str = "DROP TABLE IF EXISTS backup; DROP TABLE IF EXISTS backup_files;";
/// What `ANALYZE` leaves, which somebody may have run.
const NO_STATISTICS: &str = "DROP TABLE IF EXISTS sqlite_stat1; DROP TABLE IF EXISTS sqlite_stat4;";

/// What a backup has beside the tables of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRecord {
    /// The castway that made it.
    pub version: String,
    /// In Unix seconds.
    pub made_at: i64,
    pub files: Vec<KeptFile>,
}

/// Why a backup is not made, or can't be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the database is not one that castway has made: {0}")]
    Schema(SchemaError),
    #[error("no server could run with the backup: {0}")]
    Value(ValueError),
    /// In SQLite's words.
    #[error("the database is damaged ({0})")]
    Damaged(String),
    #[error(transparent)]
    Files(#[from] KeptFilesError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Checks the backup in `folder`, of which nothing runs and nothing is believed before this.
    ///
    /// # Errors
    /// It is damaged, its schema is not the one that castway makes, or it can't be as it says of itself.
    pub async fn check_backup(folder: &Path, now: SystemTime) -> Result<(), BackupError> {
        let (pool, options) = database_file::open_to_look(folder).await?;
        let checked = async {
            let mut connection = pool.acquire().await?;
            own_schema::check(&mut connection, TABLES).await?.map_err(BackupError::Schema)?;
            let found: String = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut *connection).await?;
            if found != "ok" {
                // The line before it is a title.
                return Err(BackupError::Damaged(found.lines().last().unwrap_or_default().to_owned()));
            }
            backup_values::check_first(&mut connection, now).await?.map_err(BackupError::Value)
        };
        let checked = checked.await;
        pool.close().await;
        checked.map_err(|error| of_file(options.get_filename(), error))
    }

    /// Copies the database, as it is at one moment, into the empty file at `path`, and adds `files`. Other processes may write to the
    /// database meanwhile.
    ///
    /// # Errors
    /// `Store`, and `Schema` where the database has what castway does not make: the copy could not be restored.
    pub async fn back_up(&self, path: &Path, version: &str, files: &[KeptFile], now: SystemTime) -> Result<(), BackupError> {
        sqlx::query("VACUUM INTO ?1").bind(path.to_string_lossy()).execute(&self.pool).await?;
        let options = SqliteConnectOptions::new().filename(path).journal_mode(SqliteJournalMode::Delete);
        let mut copy = options.connect().await?;
        let mut transaction = copy.begin().await?;
        // The database itself may be a copy of a backup.
        sqlx::raw_sql(NO_TABLES).execute(&mut *transaction).await?;
        sqlx::raw_sql(NO_STATISTICS).execute(&mut *transaction).await?;
        sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
        let record = sqlx::query("INSERT INTO backup (id, version, made_at) VALUES (1, ?1, ?2)");
        record.bind(version).bind(seconds(now)).execute(&mut *transaction).await?;
        for file in files {
            let insert = sqlx::query("INSERT INTO backup_files (name, content) VALUES (?1, ?2)");
            insert.bind(&file.name).bind(&file.content).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        own_schema::check(&mut copy, TABLES).await?.map_err(BackupError::Schema)?;
        Ok(copy.close().await?)
    }

    /// Takes what only a backup has out of the database, once a server could run with the rest; `None`: it is no backup.
    ///
    /// # Errors
    /// `Open` where the file is damaged or the disk full, `Files` where the files beside the database are too many or too long, and `Value`.
    pub async fn take_backup(&self, now: SystemTime) -> Result<Option<BackupRecord>, BackupError> {
        self.take(now).await.map_err(|error| of_file(self.options.get_filename(), error))
    }

    async fn take(&self, now: SystemTime) -> Result<Option<BackupRecord>, BackupError> {
        let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('backup', 'backup_files')";
        if sqlx::query_scalar::<_, i64>(tables).fetch_one(&self.pool).await? != 2 {
            return Ok(None);
        }
        let record = sqlx::query_as::<_, (String, i64)>("SELECT version, made_at FROM backup").fetch_optional(&self.pool).await?;
        let Some((version, made_at)) = record else { return Ok(None) };
        self.check_files().await?;
        self.check_values(now).await?.map_err(BackupError::Value)?;
        let files = sqlx::query_as::<_, (String, Vec<u8>)>("SELECT name, content FROM backup_files ORDER BY name");
        let files = files.fetch_all(&self.pool).await?.into_iter().map(|(name, content)| KeptFile { name, content }).collect();
        sqlx::raw_sql(NO_TABLES).execute(&self.pool).await?;
        Ok(Some(BackupRecord { version, made_at, files }))
    }

    /// Counts the files beside the database before one of them is read.
    async fn check_files(&self) -> Result<(), BackupError> {
        let name = "SELECT count(*) FROM backup_files WHERE octet_length(name) > ?1";
        let longest = i64::try_from(MAX_NAME_BYTES).expect("it is small");
        if sqlx::query_scalar::<_, i64>(name).bind(longest).fetch_one(&self.pool).await? > 0 {
            return Err(KeptFilesError::Name.into());
        }
        let mut found = KeptFiles::default();
        let sizes = "SELECT name, octet_length(content), typeof(name) = 'text' AND typeof(content) = 'blob' FROM backup_files";
        let mut rows = sqlx::query_as::<_, (String, i64, bool)>(sizes).fetch(&self.pool);
        while let Some((name, bytes, is_file)) = rows.try_next().await? {
            if !is_file {
                return Err(KeptFilesError::NoFile(name).into());
            }
            found.add(&name, u64::try_from(bytes).unwrap_or(u64::MAX))?;
        }
        Ok(())
    }
}

/// The error of a statement, as one of the database's file.
fn of_file(path: &Path, error: BackupError) -> BackupError {
    if let BackupError::Store(StoreError::Database(error)) = &error {
        return database_file::from_sqlx(path, error).into();
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Secret;
    use crate::users::DATABASE_FILE_NAME;

    #[tokio::test]
    async fn a_backup_is_the_database_at_one_moment_with_the_files_beside_it() {
        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let store = Store::open(folder.path(), now).await.unwrap();
        store.record(&Secret::new("{}".to_owned()), now).await.unwrap();
        let files = [KeptFile { name: "tls/self-signed.pem".to_owned(), content: b"\0pem".to_vec() }];
        let path = copy.path().join(DATABASE_FILE_NAME);
        std::fs::write(&path, "").unwrap();
        store.back_up(&path, "1.2.3", &files, now).await.unwrap();
        store.record(&Secret::new("later".to_owned()), now).await.unwrap();
        let key = store.key("k", now).await.unwrap();
        store.close().await;

        Store::check_backup(copy.path(), now).await.unwrap();
        let restored = Store::open_existing(copy.path(), now).await.unwrap();
        let record = restored.take_backup(now).await.unwrap();
        assert_eq!(record, Some(BackupRecord { version: "1.2.3".to_owned(), made_at: 1_000_000, files: files.to_vec() }));
        assert_eq!(restored.recorded().await.unwrap().unwrap().expose(), "{}");
        assert_ne!(restored.key("k", now).await.unwrap().expose(), key.expose(), "it was made after the copy");
        assert_eq!(restored.take_backup(now).await.unwrap(), None, "it is an ordinary database now");
        restored.close().await;
    }
}
