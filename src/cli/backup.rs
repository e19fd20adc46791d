//! `castway backup` and `castway restore`: the data folder, as one file.
//!
//! The file is the database with two tables more, which have the keys and certificates that are beside it. The process with the rights of
//! the data's owner reads and writes the data folder ([`DataFolder`]); this one reads and writes the file.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::data_folder::DataFolder;
use super::error::CliError;
use super::installation::Installation;
use super::new_folder::NewFolder;
use super::new_name;
use super::output::print;

/// Bytes of the longest name of a file.
const MAX_NAME_BYTES: usize = 255;
const PART_SUFFIX: &str = ".part";

const BACKUP_NOTE: &str = "\
The server may run meanwhile: the file has the data of one moment. It contains every secret of the server, and has mode 0600.";

const RESTORE_NOTE: &str = "\
The data that is there is kept in a folder before-restore-… of the data folder. A backup of an older castway gets the schema of this one.";

#[derive(Debug, clap::Args)]
#[command(after_help = BACKUP_NOTE)]
pub(super) struct Backup {
    /// The file to write; it must not exist
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = RESTORE_NOTE)]
pub(super) struct Restore {
    /// A file of castway backup
    file: PathBuf,
    /// Restore it although the data has changed since the backup was made
    #[arg(long)]
    force: bool,
}

pub(super) fn backup(arguments: &Backup, installation: &Installation) -> Result<(), CliError> {
    let file = &arguments.file;
    if file.symlink_metadata().is_ok() {
        return Err(anyhow!("{} is there already: name a new file, castway backup overwrites none", file.display()).into());
    }
    let mut folder = DataFolder::open(installation.data_dir())?;
    let bytes = folder.back_up()?;
    let part = part_of(file);
    let made = make(&part).with_context(|| format!("{} can't be made", part.display()));
    let written = made.and_then(|mut made| {
        let written = write(&mut folder, &mut made).and_then(|()| put(&part, file));
        if written.is_err() {
            fs::remove_file(&part).ok();
        }
        written
    });
    written.with_context(|| format!("{} can't be written", file.display()))?;
    let (shown, data) = (file.display(), installation.data_dir().display());
    print(format_args!("Wrote {shown} ({} KiB): the users, secrets, usage and certificates of {data}.", bytes.div_ceil(1024)))
}

/// The name of the file until it is whole: the whole name with a suffix, where that is not too long.
fn part_of(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().as_bytes();
    let kept = name.get(..MAX_NAME_BYTES - PART_SUFFIX.len()).unwrap_or(name);
    let mut part = OsStr::from_bytes(kept).to_owned();
    part.push(PART_SUFFIX);
    file.with_file_name(part)
}

/// A new file: one that is there is somebody else's.
fn make(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn write(folder: &mut DataFolder, file: &mut File) -> anyhow::Result<()> {
    while let Some(part) = folder.next_part()? {
        file.write_all(&part)?;
    }
    Ok(file.sync_all()?)
}

/// Gives the file its name, which stays where the power fails.
fn put(part: &Path, file: &Path) -> anyhow::Result<()> {
    new_name::rename(part, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}

pub(super) fn restore(arguments: &Restore, installation: &Installation) -> Result<(), CliError> {
    let (path, data_dir) = (&arguments.file, installation.data_dir());
    let mut file = open(path).with_context(|| format!("{} can't be read", path.display()))?;
    let made = NewFolder::make(data_dir).with_context(|| format!("the data folder {} can't be made", data_dir.display()))?;
    let restored = DataFolder::open(data_dir).and_then(|mut folder| folder.restore(&mut file, arguments.force));
    if let (Err(_), Some(made)) = (&restored, made) {
        made.remove();
    }
    let restored = restored.with_context(|| format!("{} is not restored into {}", path.display(), data_dir.display()))?;
    let aside = restored.aside.map(|aside| format!(" The former data is in {}.", data_dir.join(aside).display()));
    print(format_args!(
        "Restored the backup of {} (castway {}) into {}.{}",
        restored.made_at,
        restored.version,
        data_dir.display(),
        aside.unwrap_or_default()
    ))
}

fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() { File::open(path) } else { Err(io::Error::other("it is no file")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_a_name_that_a_file_can_have() {
        assert_eq!(part_of(Path::new("a/b.castway")), Path::new("a/b.castway.part"));
        assert_eq!(part_of(Path::new("b")), Path::new("b.part"));
        for bytes in 250..=255 {
            let part = part_of(Path::new(&"x".repeat(bytes)));
            assert_eq!(part.as_os_str(), OsStr::new(&format!("{}.part", "x".repeat(250))), "{bytes}");
        }
    }
}
