//! Creating and opening the database file. Each failure has a sentence that says what to do.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};

use super::schema;

pub const DATABASE_FILE_NAME: &str = "castway.db";
/// How long a statement waits for the lock of another process that writes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_CONNECTIONS: u32 = 4;
/// Free bytes below which a disk counts as full where SQLite only says that it failed.
const MIN_FREE_BYTES: u64 = 256 * 1024;

/// What to do if there is no database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenMissing {
    Create,
    Fail,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "there is no castway database in {folder}, and only the server makes one. Start the server of this folder once \
         (castway run, or its service), or name the folder of the server that you mean with --data-dir or CASTWAY_DATA_DIR"
    )]
    Missing { folder: PathBuf },
    #[error(
        "{path} can't be used: {cause}. Run the command as root (sudo) or as the user that runs the server, or name another folder \
         with --data-dir or CASTWAY_DATA_DIR"
    )]
    Denied { path: PathBuf, cause: String },
    #[error(
        "{path} can't be written: {cause}. Give the user that runs castway write access to the folder and the files in it, \
         or choose another folder with CASTWAY_DATA_DIR"
    )]
    ReadOnly { path: PathBuf, cause: String },
    #[error(
        "{path} was last used by a newer castway: it has schema step {version}, which this one does not know. \
         Run that version or a newer one, or choose another folder with CASTWAY_DATA_DIR"
    )]
    Newer { path: PathBuf, version: i64 },
    #[error(
        "schema step {version} of {path} differs from the one of this castway: the file comes from a development version. \
         Run the version that made it, or choose another folder with CASTWAY_DATA_DIR"
    )]
    Different { path: PathBuf, version: i64 },
    #[error(
        "{path} is not a castway database. Move it away and castway makes a new one, or choose another folder with CASTWAY_DATA_DIR"
    )]
    NotADatabase { path: PathBuf },
    #[error(
        "{path} is damaged ({cause}). Restore it from a backup, or recover what is left with \
         `sqlite3 castway.db .recover | sqlite3 new.db`"
    )]
    Damaged { path: PathBuf, cause: String },
    #[error(
        "{path} is a symbolic link, and castway follows none in its data folder: whoever made it chose what the server writes to. \
         Put the file itself there, or name its folder with CASTWAY_DATA_DIR"
    )]
    Link { path: PathBuf },
    #[error(
        "{path} is a file, and castway keeps its data in a folder: move the file away, or name another folder with CASTWAY_DATA_DIR"
    )]
    NotAFolder { path: PathBuf },
    #[error("another program holds a lock on {path}. End it (a backup? a database browser?) and start castway again")]
    Locked { path: PathBuf },
    #[error("the disk that holds {path} is full. Free some space and start castway again")]
    Full { path: PathBuf },
    #[error(
        "{path} can't be read or written ({cause}). Look at the disk: `df` says whether it is full, and the kernel's log (dmesg) whether it fails"
    )]
    Disk { path: PathBuf, cause: String },
    #[error("{path} can't be opened: {cause}")]
    Other { path: PathBuf, cause: String },
}

/// Opens the database and brings its schema up to date; if there is none, does what `when_missing` says.
pub(super) async fn open(data_dir: &Path, when_missing: WhenMissing) -> Result<(SqlitePool, SqliteConnectOptions), OpenError> {
    let path = data_dir.join(DATABASE_FILE_NAME);
    refuse_file(data_dir)?;
    match when_missing {
        WhenMissing::Create => make_folder(data_dir)?,
        WhenMissing::Fail => check_existing(data_dir, &path)?,
    }
    warn_if_others_can_write(data_dir);
    // Two processes that meet an old schema would both try to bring it up to date, and one would fail.
    let _lock = lock_folder(data_dir, LOCK_TIMEOUT).await?;
    match when_missing {
        WhenMissing::Create => make_file(&path)?,
        WhenMissing::Fail => restrict(&path)?,
    }
    // A commit is on the disk before it is acknowledged, and the file alone says so: FULL survives a power cut too.
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(LOCK_TIMEOUT)
        .pragma("trusted_schema", "OFF");
    let pool = SqlitePoolOptions::new().max_connections(MAX_CONNECTIONS).connect_with(options.clone());
    let pool = pool.await.map_err(|error| from_sqlx(&path, &error))?;
    // SQLite follows symbolic links, so check again for one that was made in the meantime.
    let opened = match refuse_links(&path) {
        Ok(()) => update(&pool, &path, when_missing).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(()) => Ok((pool, options)),
        Err(error) => {
            pool.close().await;
            Err(error)
        }
    }
}

/// Opens the existing database and leaves its schema as it is.
pub(super) async fn open_unchanged(data_dir: &Path) -> Result<(SqlitePool, SqliteConnectOptions), OpenError> {
    let path = data_dir.join(DATABASE_FILE_NAME);
    check_existing(data_dir, &path)?;
    refuse_links(&path)?;
    let options = SqliteConnectOptions::new().filename(&path).busy_timeout(LOCK_TIMEOUT).pragma("trusted_schema", "OFF");
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone());
    let pool = pool.await.map_err(|error| from_sqlx(&path, &error))?;
    match require_schema(&pool, &path).await {
        Ok(()) => Ok((pool, options)),
        Err(error) => {
            pool.close().await;
            Err(error)
        }
    }
}

/// Opens a database that anybody may have made: nothing of it runs, and nothing in it can be changed.
pub(super) async fn open_to_look(folder: &Path) -> Result<(SqlitePool, SqliteConnectOptions), OpenError> {
    let path = folder.join(DATABASE_FILE_NAME);
    check_existing(folder, &path)?;
    refuse_links(&path)?;
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("query_only", "ON");
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone());
    Ok((pool.await.map_err(|error| from_sqlx(&path, &error))?, options))
}

/// Whether another connection has the database open: one of a server has it as long as it runs.
pub(super) async fn is_in_use(data_dir: &Path) -> bool {
    let path = data_dir.join(DATABASE_FILE_NAME);
    if check_existing(data_dir, &path).is_err() {
        return false;
    }
    // To lock a file exclusively that has a write-ahead log, SQLite needs it for itself.
    let options =
        SqliteConnectOptions::new().filename(&path).locking_mode(SqliteLockingMode::Exclusive).busy_timeout(LOCK_TIMEOUT);
    let opened = async {
        let mut connection = options.connect().await?;
        sqlx::raw_sql("BEGIN EXCLUSIVE; ROLLBACK").execute(&mut connection).await?;
        connection.close().await
    };
    opened.await.is_err_and(|error| matches!(from_sqlx(&path, &error), OpenError::Locked { .. }))
}

/// A file without the table of schema steps belongs to another program, or to a server that was killed while it created the file.
async fn require_schema(pool: &SqlitePool, path: &Path) -> Result<(), OpenError> {
    let made = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'");
    match made.fetch_one(pool).await.map_err(|error| from_sqlx(path, &error))? {
        0 => Err(OpenError::Missing { folder: path.parent().unwrap_or(path).to_owned() }),
        _ => Ok(()),
    }
}

async fn update(pool: &SqlitePool, path: &Path, when_missing: WhenMissing) -> Result<(), OpenError> {
    if when_missing == WhenMissing::Fail {
        require_schema(pool, path).await?;
    }
    schema::migrator().run(pool).await.map_err(|error| from_migrate(path, error))
}

/// Checks that the file exists and is not empty. It goes by path, for the reason that [`restrict`] gives.
fn check_existing(data_dir: &Path, path: &Path) -> Result<(), OpenError> {
    let missing = || OpenError::Missing { folder: data_dir.to_owned() };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(OpenError::Link { path: path.to_owned() }),
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Err(missing()),
        Ok(metadata) if belongs_to_another(&metadata) => {
            Err(OpenError::Denied { path: path.to_owned(), cause: "it belongs to another user".to_owned() })
        }
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Err(missing()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(OpenError::Denied { path: path.to_owned(), cause: error.to_string() })
        }
        Err(error) => Err(from_io(path, &error)),
    }
}

pub(super) fn refuse_file(data_dir: &Path) -> Result<(), OpenError> {
    match fs::metadata(data_dir) {
        Ok(found) if !found.is_dir() => Err(OpenError::NotAFolder { path: data_dir.to_owned() }),
        _ => Ok(()),
    }
}

pub(super) fn make_folder(data_dir: &Path) -> Result<(), OpenError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    builder.mode(0o700);
    // The mode of a folder that exists is its owner's choice: it may be a home or /tmp.
    builder.create(data_dir).map_err(|error| from_io(data_dir, &error))
}

/// Creates the file with mode 0600, which SQLite gives to its `-wal` and `-shm` too.
fn make_file(path: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    options.mode(0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => restrict(path),
        Err(error) => Err(from_io(path, &error)),
    }
}

/// Whether the file belongs to another user, and so to the server of that user: a server keeps it from group and world.
fn belongs_to_another(metadata: &fs::Metadata) -> bool {
    let user = rustix::process::geteuid();
    !user.is_root() && user.as_raw() != metadata.uid() && metadata.mode() & 0o022 == 0
}

/// Takes the file away from group and world, and gives its journal the same mode: one that a read-only file left behind would
/// keep it read-only. By path: opening and closing the file would drop SQLite's locks on it, those of another `Store` in this
/// process included.
fn restrict(path: &Path) -> Result<(), OpenError> {
    refuse_links(path)?;
    let mode = fs::metadata(path).map_err(|error| from_io(path, &error))?.permissions().mode() & 0o700;
    for file in files(path) {
        let found = match fs::metadata(&file) {
            Ok(metadata) if metadata.is_file() => metadata.permissions().mode() & 0o777,
            Ok(_) => return Err(OpenError::NotADatabase { path: file }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(from_io(&file, &error)),
        };
        if found != mode {
            // The journal may be gone by now, when its last user was another process.
            match fs::set_permissions(&file, fs::Permissions::from_mode(mode)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(from_io(&file, &error)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// The database and what SQLite puts beside it.
fn files(path: &Path) -> impl Iterator<Item = PathBuf> {
    ["", "-wal", "-shm", "-journal"].into_iter().map(|suffix| {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        PathBuf::from(file)
    })
}

fn refuse_links(path: &Path) -> Result<(), OpenError> {
    match files(path).find(|file| fs::symlink_metadata(file).is_ok_and(|found| found.is_symlink())) {
        Some(path) => Err(OpenError::Link { path }),
        None => Ok(()),
    }
}

/// Warns if other users can write to the folder: they could put another database there.
fn warn_if_others_can_write(data_dir: &Path) {
    let Ok(found) = fs::metadata(data_dir) else { return };
    let (shown, owner, own) = (data_dir.display(), found.uid(), rustix::process::geteuid());
    if found.mode() & 0o002 != 0 {
        tracing::warn!(
            "every user of this machine can write to the data folder {shown}: take that away with `chmod o-w {shown}`"
        );
    } else if owner != 0 && owner != own.as_raw() {
        tracing::warn!(
            "the data folder {shown} belongs to the user {owner}, who can replace what is in it, and not to whoever runs castway"
        );
    }
}

/// Device and inode, which distinguish a file from another one at the same path.
pub(super) fn identity(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// A lock on the folder, which commands take as well as servers, so that no lock file is left behind; released on drop, at the latest by the end of the process.
pub(super) async fn lock_folder(data_dir: &Path, patience: Duration) -> Result<Option<File>, OpenError> {
    let folder = File::open(data_dir).map_err(|error| from_io(data_dir, &error))?;
    let deadline = Instant::now() + patience;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: data_dir.to_owned() }),
            // Some network file systems know no locks; the schema step then is a race that its transaction settles.
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

pub(super) fn from_io(path: &Path, error: &io::Error) -> OpenError {
    let (path, cause) = (path.to_owned(), error.to_string());
    let kind = error.kind();
    if matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
        OpenError::ReadOnly { path, cause }
    } else if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        OpenError::Full { path }
    } else {
        OpenError::Other { path, cause }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open, and all other kinds are alike here")]
fn from_migrate(path: &Path, error: MigrateError) -> OpenError {
    let path = path.to_owned();
    match error {
        MigrateError::VersionMissing(version) => OpenError::Newer { path, version },
        MigrateError::VersionMismatch(version) => OpenError::Different { path, version },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => from_sqlx(&path, &error),
        other => OpenError::Other { path, cause: other.to_string() },
    }
}

/// Whether the disk that holds the file has no room for SQLite's files beside it.
fn is_full(path: &Path) -> bool {
    let found = path.parent().and_then(|folder| rustix::fs::statvfs(folder).ok());
    found.is_some_and(|found| found.f_bavail.saturating_mul(found.f_frsize) < MIN_FREE_BYTES)
}

/// By SQLite's result code (sqlite.org/rescode.html), whose low byte is the primary one.
pub(super) fn from_sqlx(path: &Path, error: &sqlx::Error) -> OpenError {
    let (path, cause) = (path.to_owned(), error.to_string());
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => OpenError::Locked { path },
        // READONLY, PERM, and CANTOPEN: the file exists by now, so what can't be opened is its journal.
        Some(3 | 8 | 14) => OpenError::ReadOnly { path, cause },
        // The file of the shared memory can't grow on a full disk, which is no error of its own in SQLite.
        Some(10) if is_full(&path) => OpenError::Full { path },
        Some(10) => OpenError::Disk { path, cause },
        Some(11) => OpenError::Damaged { path, cause },
        Some(13) => OpenError::Full { path },
        Some(26) => OpenError::NotADatabase { path },
        _ => OpenError::Other { path, cause },
    }
}
