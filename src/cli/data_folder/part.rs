//! [`Part`]: a folder in the data folder that a command needs for a while.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

/// The age at which one is what a crash has left, where the file system has no locks.
const LEFT_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
const PREFIXES: [&str; 2] = ["backup-", "restore-"];
const SUFFIX: &str = ".part";
const CONTENT: &str = "data";
/// Of the random number in the name, by which it is told from a file of somebody else.
const DIGITS: usize = 16;
/// Another command may remove a new one that is not locked yet.
const TRIES: usize = 10;

/// Removed when this is dropped. Its name was nobody's when it was made.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    /// What the command puts there: opening a database locks its folder, too.
    content: PathBuf,
    /// Held as long as the command runs; what is not locked has been left. `None`: the file system has no locks.
    _lock: Option<File>,
}

impl Part {
    pub(super) fn for_backup(folder: &Path) -> io::Result<Self> {
        Self::make(folder, PREFIXES[0])
    }

    pub(super) fn for_restore(folder: &Path) -> io::Result<Self> {
        Self::make(folder, PREFIXES[1])
    }

    fn make(folder: &Path, prefix: &str) -> io::Result<Self> {
        for _ in 0..TRIES {
            let path = folder.join(new_name(prefix));
            DirBuilder::new().mode(0o700).create(&path)?;
            let locked = lock(&path);
            if !path.try_exists()? {
                continue;
            }
            let lock = match locked {
                Ok(lock) => Some(lock),
                Err(TryLockError::Error(_)) => None,
                Err(TryLockError::WouldBlock) => continue,
            };
            let part = Self { content: path.join(CONTENT), path, _lock: lock };
            DirBuilder::new().mode(0o700).create(&part.content)?;
            return Ok(part);
        }
        Err(io::Error::other("another command has removed the new folder"))
    }

    /// The folder for the command's files.
    pub(super) fn content(&self) -> &Path {
        &self.content
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Makes a new file that only its owner can read.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Removes what commands have left that were killed.
pub(super) fn remove_left(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(is_ours) {
            continue;
        }
        let path = entry.path();
        match lock(&path) {
            Ok(_held) => remove(&path),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(_)) => {
                let age = entry.metadata().and_then(|found| found.modified()).map(|made| made.elapsed().unwrap_or_default());
                if age.is_ok_and(|age| age > LEFT_AFTER) {
                    remove(&path);
                }
            }
        }
    }
}

/// Locks what `path` names, without following a link or waiting for the other end of a pipe.
fn lock(path: &Path) -> Result<File, TryLockError> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    let file = options.open(path).map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).ok(),
        _ => fs::remove_file(path).ok(),
    };
}

fn new_name(prefix: &str) -> String {
    format!("{prefix}{:0DIGITS$x}{SUFFIX}", rand::random::<u64>())
}

fn is_ours(name: &str) -> bool {
    let number = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).and_then(|rest| rest.strip_suffix(SUFFIX));
    number.is_some_and(|number| number.len() == DIGITS && number.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_part_goes_when_it_is_no_longer_needed() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Part::for_backup(folder.path()).unwrap(), Part::for_restore(folder.path()).unwrap());
        fs::write(other.content().join("castway.db"), "x").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        drop((one, other));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_command_has_left_goes_with_the_next_one_and_what_is_of_somebody_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let kept = ["restore.part", "backup-monday.part", "restore-0123456789abcdeX.part", "x-0123456789abcdef.part"];
        let left = ["backup-0123456789abcdef.part", "restore-fedcba9876543210.part"];
        for name in kept.iter().chain(&left[..1]) {
            fs::write(at(name), "x").unwrap();
        }
        fs::create_dir(at(left[1])).unwrap();
        fs::write(at(left[1]).join("castway.db"), "x").unwrap();
        let runs = Part::for_restore(folder.path()).unwrap();
        File::open(&runs.path).unwrap().set_modified(SystemTime::now() - 2 * LEFT_AFTER).unwrap();
        remove_left(folder.path());
        for name in kept {
            assert!(at(name).exists(), "{name} is of somebody else");
        }
        assert!(runs.content().exists(), "its command runs, however long");
        for name in left {
            assert!(!at(name).exists(), "{name}");
        }
    }

    #[test]
    fn a_link_with_the_name_of_a_part_leads_nowhere() {
        let (folder, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(victim.path().join("x"), "x").unwrap();
        symlink(victim.path(), folder.path().join("restore-fedcba9876543210.part")).unwrap();
        remove_left(folder.path());
        assert!(victim.path().join("x").exists());
    }
}
