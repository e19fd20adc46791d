//! Copies what a data folder has into one file: the database, and what is beside it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow};

use super::part::{self, Part};
use crate::tls;
use crate::users::{BackupError, DATABASE_FILE_NAME, KeptFile, KeptFiles, MAX_KEPT_FILE_BYTES, Store};

/// Folders of authorities at most that are looked into.
const MAX_FOLDERS: usize = 1000;

/// The copy, a file without a name.
pub(super) fn copy(folder: &Path) -> anyhow::Result<File> {
    part::remove_left(folder);
    let part = Part::for_backup(folder).context("no copy can be made in the data folder")?;
    let copy = part.content().join(DATABASE_FILE_NAME);
    part::new_file(&copy).context("no copy can be made in the data folder")?;
    write(folder, &copy)?;
    Ok(File::open(&copy)?)
}

fn write(folder: &Path, path: &Path) -> anyhow::Result<()> {
    let files = kept_files(folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open_unchanged(folder).await?;
        let done = store.back_up(path, env!("CARGO_PKG_VERSION"), &files, SystemTime::now()).await;
        store.close().await;
        done.map_err(refusal)
    })
}

/// A sentence about the database that is copied.
fn refusal(error: BackupError) -> anyhow::Error {
    match error {
        BackupError::Schema(error) => anyhow!("the database can't be copied, because no copy of it could be restored: {error}"),
        error @ (BackupError::Open(_)
        | BackupError::Value(_)
        | BackupError::Damaged(_)
        | BackupError::Files(_)
        | BackupError::Store(_)) => anyhow!(error)
            .context("the database can't be copied (the copy is made in the data folder, whose disk needs room for it)"),
    }
}

/// The files of keys and certificates. What somebody else has put beside them is not read.
fn kept_files(folder: &Path) -> anyhow::Result<Vec<KeptFile>> {
    let (mut files, mut sizes) = (Vec::new(), KeptFiles::default());
    for name in names(folder, tls::FOLDER)? {
        if folder.join(&name).symlink_metadata()?.is_dir() {
            for name in names(folder, &name)? {
                files.extend(kept_file(folder, name, &mut sizes)?);
            }
        } else {
            files.extend(kept_file(folder, name, &mut sizes)?);
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// What a folder below the data folder has, by the paths from there.
fn names(folder: &Path, name: &str) -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(folder.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("the folder {name} can't be read"))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is no UTF-8 is none of ours.
        if let Ok(entry) = entry?.file_name().into_string() {
            names.push(format!("{name}/{entry}"));
        }
        if names.len() > MAX_FOLDERS {
            return Err(anyhow!("the folder {name} has more than {MAX_FOLDERS} files and folders: remove those of former names"));
        }
    }
    Ok(names)
}

/// `None`: it is no file that castway keeps.
fn kept_file(folder: &Path, name: String, sizes: &mut KeptFiles) -> anyhow::Result<Option<KeptFile>> {
    let path = folder.join(&name);
    if !tls::is_kept(&name) || !path.symlink_metadata()?.is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    let file = File::open(&path).with_context(|| format!("{name} can't be read"))?;
    file.take(MAX_KEPT_FILE_BYTES + 1).read_to_end(&mut content)?;
    let added = sizes.add(&name, content.len() as u64);
    added.context("a backup can't have the keys and certificates: move away what is none")?;
    Ok(Some(KeptFile { name, content }))
}
