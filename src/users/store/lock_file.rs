//! The file that the server of a data folder holds a lock on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::database_file::{DATABASE_FILE_NAME, OpenError, from_io, make_folder, refuse_file};

/// An empty file. The folder itself is locked while a schema is brought up to date, which commands do as well.
const LOCK_FILE_NAME: &str = "castway.lock";

/// Opens the file; makes it, and the folder, where they are missing.
pub(super) fn open(data_dir: &Path) -> Result<File, OpenError> {
    refuse_file(data_dir)?;
    make_folder(data_dir)?;
    let path = data_dir.join(LOCK_FILE_NAME);
    match make(data_dir, &path).or_else(|error| open_existing(&path, error)) {
        Ok(file) => Ok(file),
        Err(error) => Err(why(path, &error)),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // A pipe of this name must not hold the start up.
    options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

fn make(data_dir: &Path, path: &Path) -> io::Result<File> {
    let file = options().write(true).create_new(true).mode(0o600).open(path)?;
    if rustix::process::geteuid().is_root()
        && let Some(owner) = owner(data_dir)
    {
        // What root leaves to itself would keep the user out that the server runs as otherwise.
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(file)
}

/// Whoever the database belongs to, or else the folder.
fn owner(data_dir: &Path) -> Option<fs::Metadata> {
    fs::symlink_metadata(data_dir.join(DATABASE_FILE_NAME)).or_else(|_| fs::metadata(data_dir)).ok()
}

fn open_existing(path: &Path, error: io::Error) -> io::Result<File> {
    if error.kind() != io::ErrorKind::AlreadyExists {
        return Err(error);
    }
    // NFS locks exclusively only what is open for writing; elsewhere reading is enough.
    let is_refused =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
    match options().write(true).open(path) {
        Err(error) if is_refused(&error) => options().open(path),
        opened => opened,
    }
}

fn why(path: PathBuf, error: &io::Error) -> OpenError {
    let user = rustix::process::geteuid().as_raw();
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_symlink() => OpenError::Link { path },
        Ok(found) if error.kind() == io::ErrorKind::PermissionDenied && found.uid() != user => {
            let (owner, shown) = (found.uid(), path.display());
            let cause = format!(
                "it belongs to the user {owner}, and castway runs as the user {user} ({error}). Run `chown {user} {shown}` as root, or start \
                 castway as the user of the data folder"
            );
            OpenError::Other { path, cause }
        }
        _ => from_io(&path, error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    const OTHER: u32 = 1234;

    fn owners(path: &Path) -> (u32, u32) {
        let found = fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid())
    }

    #[test]
    fn root_makes_the_file_for_the_owner_of_the_data() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join(LOCK_FILE_NAME);
        chown(folder.path(), Some(OTHER), Some(OTHER + 1)).unwrap();
        open(folder.path()).unwrap();
        assert_eq!(owners(&lock), (OTHER, OTHER + 1), "without a database, the folder says whose it is");
        fs::remove_file(&lock).unwrap();
        let database = folder.path().join(DATABASE_FILE_NAME);
        fs::write(&database, "").unwrap();
        chown(&database, Some(OTHER + 2), Some(OTHER + 3)).unwrap();
        open(folder.path()).unwrap();
        assert_eq!(owners(&lock), (OTHER + 2, OTHER + 3));
        assert_eq!(fs::metadata(&lock).unwrap().mode() & 0o777, 0o600);
        chown(&lock, Some(OTHER), Some(OTHER)).unwrap();
        open(folder.path()).unwrap();
        assert_eq!(owners(&lock), (OTHER, OTHER), "a file that was there keeps its owner");
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        symlink(&victim, folder.path().join(LOCK_FILE_NAME)).unwrap();
        assert!(matches!(open(folder.path()), Err(OpenError::Link { .. })));
        fs::write(&victim, "").unwrap();
        assert!(matches!(open(folder.path()), Err(OpenError::Link { .. })));
        assert!(!victim.symlink_metadata().unwrap().is_symlink());
    }
}
