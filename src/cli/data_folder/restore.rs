//! Puts a backup in place of what a data folder has.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;

use super::database_header::{DatabaseHeader, HEADER_BYTES, HeaderError};
use super::death_signal;
use super::locks::{self, Locks};
use super::part::{self, Part};
use super::swap::{Rename, swap};
use super::wire::Restored;
use crate::control::client::{self, ANSWER_TIMEOUT, AskError};
use crate::tls;
use crate::users::usage::{day_name, day_of};
use crate::users::{BackupError, BackupRecord, DATABASE_FILE_NAME, KeptFile, OpenError, SchemaError, Store};

/// How long another command may bring the schema up to date.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// A backup that is being taken.
pub(super) struct Restore {
    /// Has the backup until that is checked.
    part: Part,
    file: File,
    /// The first bytes, until they are a header.
    start: Vec<u8>,
    header: Option<DatabaseHeader>,
    bytes: u64,
}

impl Restore {
    pub(super) fn begin(folder: &Path) -> anyhow::Result<Self> {
        refuse_running(folder)?;
        part::remove_left(folder);
        let part = Part::for_restore(folder).context("the data folder can't be written")?;
        let file = part::new_file(&part.content().join(DATABASE_FILE_NAME)).context("the data folder can't be written")?;
        Ok(Self { part, file, start: Vec::new(), header: None, bytes: 0 })
    }

    /// Takes the next bytes of the backup.
    pub(super) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.bytes += bytes.len() as u64;
        if self.header.is_none() {
            self.start.extend(bytes.iter().take(HEADER_BYTES - self.start.len()));
            if self.start.len() == HEADER_BYTES {
                let header = DatabaseHeader::read(&self.start)?;
                refuse_full_disk(self.part.content(), header.bytes())?;
                self.header = Some(header);
            }
        }
        if let Some(header) = self.header {
            header.check_so_far(self.bytes)?;
        }
        self.file.write_all(bytes).context("the backup can't be written into the data folder")
    }

    /// Checks the backup and puts it in place.
    pub(super) fn end(self, folder: &Path, force: bool) -> anyhow::Result<Restored> {
        self.header.ok_or(HeaderError::NotADatabase)?.check_end(self.bytes)?;
        self.file.sync_all().context("the backup can't be written")?;
        put(folder, self.part.content(), force)
    }
}

fn refuse_full_disk(folder: &Path, bytes: u64) -> anyhow::Result<()> {
    let found = rustix::fs::statvfs(folder)?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if bytes > free {
        bail!("the database of the backup has {bytes} bytes, and the disk of the data folder has {free} bytes free");
    }
    Ok(())
}

fn put(folder: &Path, part: &Path, force: bool) -> anyhow::Result<Restored> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let record = runtime.block_on(read(part)).map_err(refusal)?;
    let record = record.ok_or_else(|| anyhow!("the file is a database of castway, but no backup that castway has made"))?;
    if let Some(KeptFile { name, .. }) = record.files.iter().find(|file| !tls::is_kept(&file.name)) {
        bail!("the backup has a file {name:?}, which can't be in a data folder");
    }
    stage(part, &record.files).context("the files of the backup can't be written into the data folder")?;
    let _locks = runtime.block_on(Locks::take(folder, LOCK_PATIENCE))?;
    refuse_running(folder)?;
    if runtime.block_on(Store::is_in_use(folder)) {
        bail!("another program has the database open: end it, and restore again");
    }
    if !force {
        refuse_newer(folder, &record)?;
    }
    let replaced = death_signal::outlive_the_command(|| replace(folder, part))?;
    let aside = replaced.context("the backup can't be put in place")?;
    Ok(Restored { version: record.version, made_at: time(u64::try_from(record.made_at).unwrap_or_default()), aside })
}

/// Brings the schema of the backup up to date, and takes out of it what only a backup has.
async fn read(part: &Path) -> Result<Option<BackupRecord>, BackupError> {
    let now = SystemTime::now();
    Store::check_backup(part, now).await?;
    let store = Store::open_existing(part, now).await?;
    let record = store.take_backup(now).await;
    store.close().await;
    record
}

/// A sentence about the file that is restored.
fn refusal(error: BackupError) -> anyhow::Error {
    let newer = |step| {
        anyhow!(
            "the backup is of a newer castway: it has schema step {step}, which this one does not know. Restore it with that version or \
             a newer one"
        )
    };
    let damaged = |cause| anyhow!("the backup is damaged ({cause}): take another one");
    match error {
        BackupError::Schema(SchemaError::Newer(step)) | BackupError::Open(OpenError::Newer { version: step, .. }) => newer(step),
        BackupError::Open(OpenError::Different { version, .. }) => {
            anyhow!(
                "schema step {version} of the backup differs from the one of this castway: restore it with the version that made it"
            )
        }
        BackupError::Open(OpenError::Missing { .. } | OpenError::NotADatabase { .. }) => HeaderError::NotADatabase.into(),
        BackupError::Open(OpenError::Damaged { cause, .. }) | BackupError::Damaged(cause) => damaged(cause),
        BackupError::Open(OpenError::Full { .. }) => {
            anyhow!("the disk of the data folder is full: free some space, and restore again")
        }
        BackupError::Open(
            OpenError::Denied { cause, .. }
            | OpenError::ReadOnly { cause, .. }
            | OpenError::Disk { cause, .. }
            | OpenError::Other { cause, .. },
        ) => anyhow!("the copy of the backup in the data folder can't be used ({cause})"),
        BackupError::Open(OpenError::Link { .. } | OpenError::NotAFolder { .. } | OpenError::Locked { .. }) => {
            anyhow!("another program uses the copy of the backup in the data folder: end it, and restore again")
        }
        BackupError::Schema(SchemaError::Missing { name, .. }) if name.starts_with("backup") => {
            anyhow!("the file is a database of castway, but no backup that castway has made")
        }
        BackupError::Schema(error) => anyhow!("the file is no backup that castway has made: {error}"),
        error @ BackupError::Value(_) => error.into(),
        BackupError::Files(error) => anyhow!("the backup has what no data folder has: {error}"),
        BackupError::Store(error) => error.into(),
    }
}

/// Writes the files of the backup beside its database.
fn stage(part: &Path, files: &[KeptFile]) -> io::Result<()> {
    let mut folders = vec![part.to_owned()];
    for KeptFile { name, content } in files {
        let path = part.join(name);
        let folder = path.parent().unwrap_or(part).to_owned();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut file = part::new_file(&path)?;
        file.write_all(content)?;
        file.sync_all()?;
        folders.extend([folder, part.join(tls::FOLDER)]);
    }
    folders.sort();
    folders.dedup();
    folders.iter().try_for_each(|folder| File::open(folder)?.sync_all())
}

fn refuse_running(folder: &Path) -> anyhow::Result<()> {
    match client::ask(folder, &json!({ "ask": "facts" }), ANSWER_TIMEOUT) {
        Err(AskError::NotRunning) => Ok(()),
        Ok(_) | Err(AskError::Refused(_) | AskError::Broken(_)) => Err(locks::running()),
    }
}

fn refuse_newer(folder: &Path, record: &BackupRecord) -> anyhow::Result<()> {
    let modified = |file: &str| fs::metadata(folder.join(file)).and_then(|found| found.modified()).ok();
    let last = database_files().filter_map(|file| modified(&file)).max();
    let last = last.map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs());
    let made_at = u64::try_from(record.made_at).unwrap_or_default();
    // A change within the same second may be a later one.
    match last.filter(|last| *last >= made_at) {
        Some(last) => bail!(
            "the backup was made at {}, and the data folder has been written to since then, at {} for the last time: --force restores the \
             backup anyway, and keeps the present data aside",
            time(made_at),
            time(last)
        ),
        None => Ok(()),
    }
}

/// Puts the staged files in place, and what was there into a folder beside it, whose name this returns; `None`: nothing was there. Where
/// something fails, everything is as it was.
fn replace(folder: &Path, part: &Path) -> anyhow::Result<Option<String>> {
    let exists = |path: PathBuf| path.symlink_metadata().is_ok();
    let former: Vec<_> = database_files().chain([tls::FOLDER.to_owned()]).filter(|name| exists(folder.join(name))).collect();
    let new = [tls::FOLDER, DATABASE_FILE_NAME].into_iter().filter(|name| exists(part.join(name)));
    let aside = if former.is_empty() { None } else { Some(make_aside(folder).context("the former data can't be moved aside")?) };
    let mut renames = Vec::new();
    for name in &former {
        let to = folder.join(aside.iter().collect::<PathBuf>()).join(name);
        renames.push(Rename { from: folder.join(name), to });
    }
    renames.extend(new.map(|name| Rename { from: part.join(name), to: folder.join(name) }));
    let aside_path = aside.as_ref().map(|aside| folder.join(aside));
    let folders: Vec<&Path> = aside_path.as_deref().into_iter().chain([folder]).collect();
    if let Err(error) = swap(&renames, &folders) {
        // It is empty, unless something could not be moved back.
        aside_path.map(fs::remove_dir);
        return Err(error.into());
    }
    Ok(aside)
}

/// Makes the folder for the former data.
fn make_aside(folder: &Path) -> io::Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let aside = format!("before-restore-{}", time(now).replace([' ', ':'], "-").trim_end_matches("-UTC"));
    let mut tries = (1..=100).map(|number| if number == 1 { aside.clone() } else { format!("{aside}-{number}") });
    let made = tries.find(|name| DirBuilder::new().mode(0o700).create(folder.join(name)).is_ok());
    made.ok_or_else(|| io::Error::other("no folder can be made for it"))
}

fn database_files() -> impl Iterator<Item = String> {
    ["", "-wal", "-shm", "-journal"].into_iter().map(|suffix| format!("{DATABASE_FILE_NAME}{suffix}"))
}

/// Unix seconds for a reader.
fn time(seconds: u64) -> String {
    let day = day_name(day_of(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)));
    let of_day = seconds % SECONDS_A_DAY;
    format!("{day} {:02}:{:02}:{:02} UTC", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::ValueError;

    fn data(folder: &Path, text: &str) {
        fs::create_dir(folder.join(tls::FOLDER)).unwrap();
        for name in [DATABASE_FILE_NAME, "tls/self-signed.pem"] {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    fn texts(folder: &Path) -> [String; 2] {
        [DATABASE_FILE_NAME, "tls/self-signed.pem"].map(|name| fs::read_to_string(folder.join(name)).unwrap())
    }

    #[test]
    fn the_former_data_is_aside() {
        let (folder, part) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        data(part.path(), "first");
        assert_eq!(replace(folder.path(), part.path()).unwrap(), None, "nothing was there");
        data(part.path(), "second");
        let aside = replace(folder.path(), part.path()).unwrap().unwrap();
        assert_eq!(texts(folder.path()), ["second", "second"]);
        assert_eq!(texts(&folder.path().join(aside)), ["first", "first"]);
    }

    #[test]
    fn the_data_stays_where_the_backup_can_not_be_put_in_place() {
        let (folder, part) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        data(folder.path(), "former");
        // The new database goes aside with the former folder, so the last of the renames fails.
        let inside = folder.path().join(tls::FOLDER).join("x");
        data(part.path(), "new");
        fs::create_dir(&inside).unwrap();
        fs::rename(part.path().join(DATABASE_FILE_NAME), inside.join(DATABASE_FILE_NAME)).unwrap();
        let error = format!("{:#}", replace(folder.path(), &inside).unwrap_err());
        assert!(error.contains("castway.db can't be renamed to"), "{error}");
        assert_eq!(texts(folder.path()), ["former", "former"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no folder is left");
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_with_its_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let mut restore = Restore::begin(folder.path()).unwrap();
        restore.write(&[b'x'; 50]).unwrap();
        assert!(restore.write(&[b'x'; 50]).unwrap_err().to_string().contains("no backup that castway has made"));
        drop(restore);
        assert!(Restore::begin(folder.path()).unwrap().end(folder.path(), true).is_err(), "it is empty");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_database_that_the_disk_can_not_hold_is_refused_before_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let error = refuse_full_disk(folder.path(), 1 << 62).unwrap_err().to_string();
        assert!(error.contains("has 4611686018427387904 bytes") && error.ends_with("bytes free"), "{error}");
        assert!(refuse_full_disk(folder.path(), 4096).is_ok());
    }

    #[test]
    fn a_refusal_speaks_of_the_backup_and_says_each_cause_once() {
        let path = || PathBuf::from("./restore-0123456789abcdef.part/castway.db");
        let cause = || "disk I/O error".to_owned();
        for (error, expected) in [
            (OpenError::Full { path: path() }.into(), "the disk of the data folder is full: free some space, and restore again"),
            (
                OpenError::Disk { path: path(), cause: cause() }.into(),
                "the copy of the backup in the data folder can't be used (disk I/O error)",
            ),
            (
                BackupError::Schema(SchemaError::Number(-5)),
                "the file is no backup that castway has made: it has a schema step with the number -5, and castway numbers them from 1",
            ),
            (
                BackupError::Value(ValueError::Late),
                "no server could run with the backup: it says that it was made more than a day after \
              now: set the clock of this machine, or take another backup",
            ),
        ] {
            assert_eq!(format!("{:#}", refusal(error)), expected);
        }
    }

    #[test]
    fn times_are_read_by_people() {
        assert_eq!(time(1_000_000), "1970-01-12 13:46:40 UTC");
    }
}
