//! [`Part`]: a file or a folder in the data folder that a command needs for a while.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The age at which one is what a crash has left.
const LEFT_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
const PREFIXES: [&str; 2] = ["backup-", "restore-"];
const SUFFIX: &str = ".part";
/// Of the random number in the name, by which it is told from a file of somebody else.
const DIGITS: usize = 16;

/// Removed when this is dropped. Its name was nobody's when it was made.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
}

impl Part {
    /// An empty file for a backup.
    pub(super) fn file(folder: &Path) -> io::Result<Self> {
        let path = folder.join(new_name(PREFIXES[0]));
        new_file(&path)?;
        Ok(Self { path })
    }

    /// An empty folder for a restore.
    pub(super) fn folder(folder: &Path) -> io::Result<Self> {
        let path = folder.join(new_name(PREFIXES[1]));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
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
        let age = entry.metadata().and_then(|found| found.modified()).map(|made| made.elapsed().unwrap_or_default());
        if entry.file_name().to_str().is_some_and(is_ours) && age.is_ok_and(|age| age > LEFT_AFTER) {
            remove(&entry.path());
        }
    }
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
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_part_goes_when_it_is_no_longer_needed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (Part::file(folder.path()).unwrap(), Part::folder(folder.path()).unwrap());
        fs::write(other.path().join("castway.db"), "x").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        drop((file, other));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_crash_has_left_goes_and_what_is_of_somebody_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let old = SystemTime::now() - LEFT_AFTER - Duration::from_secs(60);
        let kept = ["restore.part", "backup-monday.part", "restore-0123456789abcdeX.part", "x-0123456789abcdef.part"];
        let left = ["backup-0123456789abcdef.part", "restore-fedcba9876543210.part"];
        for name in kept.iter().chain(&left[..1]) {
            fs::write(at(name), "x").unwrap();
        }
        fs::create_dir(at(left[1])).unwrap();
        fs::write(at(left[1]).join("castway.db"), "x").unwrap();
        fs::write(at("backup-1111111111111111.part"), "x").unwrap();
        for name in kept.iter().chain(&left) {
            File::open(at(name)).unwrap().set_modified(old).unwrap();
        }
        remove_left(folder.path());
        for name in kept {
            assert!(at(name).exists(), "{name} is of somebody else");
        }
        assert!(at("backup-1111111111111111.part").exists(), "its command may run");
        for name in left {
            assert!(!at(name).exists(), "{name}");
        }
    }
}
