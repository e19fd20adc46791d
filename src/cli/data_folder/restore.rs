//! Puts a backup in place of what a data folder has.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;

use super::backup::TLS_FOLDER;
use super::wire::Restored;
use crate::control::client::{self, ANSWER_TIMEOUT, AskError};
use crate::users::usage::{day_name, day_of};
use crate::users::{BackupRecord, DATABASE_FILE_NAME, KeptFile, OpenError, Store};

/// Has the backup until that is checked.
const FOLDER: &str = "restore.part";
const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// A backup that is being taken.
pub(super) struct Restore {
    pub(super) file: File,
}

impl Restore {
    pub(super) fn begin(folder: &Path) -> anyhow::Result<Self> {
        refuse_running(folder)?;
        let part = folder.join(FOLDER);
        match fs::remove_dir_all(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context(format!("{FOLDER} is in the way"));
            }
            _ => {}
        }
        let made = DirBuilder::new().mode(0o700).create(&part).and_then(|()| new_file(&part.join(DATABASE_FILE_NAME)));
        Ok(Self { file: made.context("the data folder can't be written")? })
    }

    /// Checks the backup and puts it in place.
    pub(super) fn end(self, folder: &Path, force: bool) -> anyhow::Result<Restored> {
        let part = folder.join(FOLDER);
        let done = self.file.sync_all().context("the backup can't be written").and_then(|()| put(folder, &part, force));
        fs::remove_dir_all(&part).ok();
        done
    }
}

fn put(folder: &Path, part: &Path, force: bool) -> anyhow::Result<Restored> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let record = runtime.block_on(read(part))?;
    // A server that is started meanwhile waits for this lock.
    let lock = File::open(folder)?;
    lock.lock().ok();
    refuse_running(folder)?;
    if runtime.block_on(Store::is_in_use(folder)) {
        bail!("another program has the database open: end it, and restore again");
    }
    if !force {
        refuse_newer(folder, &record)?;
    }
    let aside = move_aside(folder).context("the former data can't be moved aside")?;
    let placed = place(folder, part, &record).with_context(|| match &aside {
        Some(aside) => format!("the backup can't be put in place; the former data is in {aside}"),
        None => "the backup can't be put in place".to_owned(),
    });
    placed?;
    Ok(Restored { version: record.version, made_at: time(u64::try_from(record.made_at).unwrap_or_default()), aside })
}

/// Brings the schema of the backup up to date, and takes out of it what only a backup has.
async fn read(part: &Path) -> anyhow::Result<BackupRecord> {
    let store = Store::open_existing(part, SystemTime::now()).await.map_err(|error| match error {
        OpenError::Newer { version, .. } => anyhow!(
            "the backup is of a newer castway: it has schema step {version}, which this one does not know. Restore it with that version or \
             a newer one"
        ),
        OpenError::Different { version, .. } => {
            anyhow!("schema step {version} of the backup differs from the one of this castway: restore it with the version that made it")
        }
        OpenError::Missing { .. } | OpenError::NotADatabase { .. } => anyhow!("the file is no backup that castway has made"),
        OpenError::Damaged { cause, .. } => anyhow!("the backup is damaged ({cause}): take another one"),
        error @ (OpenError::Denied { .. }
        | OpenError::ReadOnly { .. }
        | OpenError::Link { .. }
        | OpenError::NotAFolder { .. }
        | OpenError::Locked { .. }
        | OpenError::Full { .. }
        | OpenError::Disk { .. }
        | OpenError::Other { .. }) => error.into(),
    })?;
    let taken = async {
        if let Some(damage) = store.damage().await? {
            bail!("the backup is damaged ({damage}): take another one");
        }
        let record = store.take_backup().await?;
        record.ok_or_else(|| anyhow!("the file is a database of castway, but no backup that castway has made"))
    };
    let taken = taken.await;
    store.close().await;
    let record = taken?;
    match record.files.iter().find(|file| below(&file.name).is_none()) {
        Some(file) => bail!("the backup has a file {:?}, which can't be in a data folder", file.name),
        None => Ok(record),
    }
}

fn refuse_running(folder: &Path) -> anyhow::Result<()> {
    match client::ask(folder, &json!({ "ask": "facts" }), ANSWER_TIMEOUT) {
        Err(AskError::NotRunning) => Ok(()),
        Ok(_) | Err(AskError::Refused(_) | AskError::Broken(_)) => {
            bail!("a server runs with this data folder: stop it (sudo systemctl stop castway), and restore again")
        }
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

/// Moves what is there into a folder beside it; `None`: nothing is there.
fn move_aside(folder: &Path) -> io::Result<Option<String>> {
    let names: Vec<_> =
        database_files().chain([TLS_FOLDER.to_owned()]).filter(|name| folder.join(name).symlink_metadata().is_ok()).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let aside = format!("before-restore-{}", time(now).replace([' ', ':'], "-").trim_end_matches("-UTC"));
    let mut tries = (1..=100).map(|number| if number == 1 { aside.clone() } else { format!("{aside}-{number}") });
    let made = tries.find(|name| DirBuilder::new().mode(0o700).create(folder.join(name)).is_ok());
    let aside = made.ok_or_else(|| io::Error::other("no folder can be made for it"))?;
    for name in names {
        fs::rename(folder.join(&name), folder.join(&aside).join(&name))?;
    }
    Ok(Some(aside))
}

fn place(folder: &Path, part: &Path, record: &BackupRecord) -> anyhow::Result<()> {
    for KeptFile { name, content } in &record.files {
        let path = folder.join(below(name).ok_or_else(|| anyhow!("{name:?} leads elsewhere"))?);
        DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap_or(folder))?;
        let mut file = new_file(&path)?;
        file.write_all(content)?;
        file.sync_all()?;
    }
    fs::rename(part.join(DATABASE_FILE_NAME), folder.join(DATABASE_FILE_NAME))?;
    Ok(File::open(folder)?.sync_all()?)
}

/// The path of a file that a backup may have; `None`: it leads elsewhere.
fn below(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && path.starts_with(TLS_FOLDER) && path.components().count() > 1).then_some(path)
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
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

    #[test]
    fn a_backup_writes_below_the_folder_of_certificates_alone() {
        assert_eq!(below("tls/ca/account.json"), Some("tls/ca/account.json".into()));
        for wrong in ["tls", "castway.db", "/etc/passwd", "tls/../castway.db", "../x", "", "tls/../../x"] {
            assert_eq!(below(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_read_by_people() {
        assert_eq!(time(1_000_000), "1970-01-12 13:46:40 UTC");
    }
}
