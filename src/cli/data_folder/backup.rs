//! Copies what a data folder has into one file: the database, and what is beside it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};

use crate::users::{KeptFile, Store};

/// The folder of keys and certificates.
pub(super) const TLS_FOLDER: &str = "tls";
/// Bytes of the longest file there: a certificate with its chain and its key.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Files and folders there at most: one folder for each authority and name.
const MAX_FILES: usize = 1000;
/// The age at which a copy is one that a crash has left.
const LEFT_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
const PREFIX: &str = "backup-";
const SUFFIX: &str = ".part";

/// The copy, a file without a name.
pub(super) fn copy(folder: &Path) -> anyhow::Result<File> {
    remove_left(folder);
    let path = folder.join(format!("{PREFIX}{}{SUFFIX}", std::process::id()));
    let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
    let made = made.context("no copy can be made in the data folder");
    let done = made.and_then(|_| write(folder, &path)).and_then(|()| Ok(File::open(&path)?));
    fs::remove_file(&path).ok();
    done
}

fn write(folder: &Path, path: &Path) -> anyhow::Result<()> {
    let files = kept_files(folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open_unchanged(folder).await?;
        let done = store.back_up(path, env!("CARGO_PKG_VERSION"), &files, SystemTime::now()).await;
        store.close().await;
        done.context("the database can't be copied (the copy is made in the data folder, whose disk needs room for it)")
    })
}

/// The files of keys and certificates.
fn kept_files(folder: &Path) -> anyhow::Result<Vec<KeptFile>> {
    let mut files = Vec::new();
    let mut folders = vec![TLS_FOLDER.to_owned()];
    while let Some(name) = folders.pop() {
        let entries = match fs::read_dir(folder.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("the folder {name} can't be read"))?,
        };
        for entry in entries {
            let entry = entry?;
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(name);
            } else if kind.is_file() && !name.ends_with(SUFFIX) {
                let mut content = Vec::new();
                let file = File::open(entry.path()).with_context(|| format!("{name} can't be read"))?;
                file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
                if content.len() as u64 > MAX_FILE_BYTES {
                    return Err(anyhow!("{name} has more than {MAX_FILE_BYTES} bytes, which no certificate has: move it away"));
                }
                files.push(KeptFile { name, content });
            }
            if files.len() + folders.len() > MAX_FILES {
                return Err(anyhow!("the folder {TLS_FOLDER} has more than {MAX_FILES} files: remove those of former names"));
            }
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// Removes copies that a command has left which was killed.
fn remove_left(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_copy = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        let age = entry.metadata().and_then(|found| found.modified()).map(|made| made.elapsed().unwrap_or_default());
        if is_copy && age.is_ok_and(|age| age > LEFT_AFTER) {
            fs::remove_file(entry.path()).ok();
        }
    }
}
