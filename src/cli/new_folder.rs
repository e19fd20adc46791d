//! [`NewFolder`]: a folder that root makes where a user may have put links.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, mkdirat, open, openat2, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// A folder that this command has made.
#[derive(Debug)]
pub(super) struct NewFolder {
    parent: rustix::fd::OwnedFd,
    name: PathBuf,
}

impl NewFolder {
    /// Makes the folder, with mode 0700, unless it is there (`None`). The folder that it is in has to be there.
    ///
    /// # Errors
    /// It can't be made, or root would follow a link to its place.
    pub(super) fn make(path: &Path) -> anyhow::Result<Option<Self>> {
        Self::make_as(path, geteuid().is_root())
    }

    fn make_as(path: &Path, is_root: bool) -> anyhow::Result<Option<Self>> {
        if path.try_exists()? {
            return Ok(None);
        }
        let name = path.file_name().ok_or_else(|| anyhow!("{} names no new folder", path.display()))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let opened = open_parent(parent, is_root).map_err(|error| not_opened(parent, error))?;
        match mkdirat(&opened, name, Mode::RWXU) {
            Ok(()) => Ok(Some(Self { parent: opened, name: name.into() })),
            // Not one that another command has made meanwhile: that would be there by now.
            Err(Errno::EXIST) => Err(anyhow!("it is a link that leads nowhere: remove it, or name another folder")),
            Err(error) => Err(io::Error::from(error)).context("it can't be made"),
        }
    }

    /// Removes the folder again, if it is empty.
    pub(super) fn remove(self) {
        unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR).ok();
    }
}

fn open_parent(parent: &Path, is_root: bool) -> Result<rustix::fd::OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    if is_root {
        openat2(CWD, parent, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
    } else {
        open(parent, flags, Mode::empty())
    }
}

fn not_opened(parent: &Path, error: Errno) -> anyhow::Error {
    let shown = parent.display();
    match error {
        Errno::NOENT => anyhow!("there is no folder {shown}: make it, or name another one"),
        Errno::LOOP => anyhow!(
            "{shown} is reached through a symbolic link, and root makes no folder where a user's link may lead: name the folder by its \
             own path, or make it first"
        ),
        Errno::NOSYS | Errno::PERM => {
            anyhow!("this system can't tell whether {shown} is reached through a link: make the folder first")
        }
        error => anyhow!(io::Error::from(error)).context(format!("{shown} can't be opened")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_new_folder_is_made_and_removed_again_while_it_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap().join("data");
        for is_root in [true, false] {
            let made = NewFolder::make_as(&at, is_root).unwrap().unwrap();
            assert_eq!(at.metadata().unwrap().permissions().mode() & 0o777, 0o700);
            assert!(NewFolder::make_as(&at, is_root).unwrap().is_none(), "it is there");
            made.remove();
            assert!(!at.exists());
        }
        let made = NewFolder::make_as(&at, true).unwrap().unwrap();
        fs::write(at.join("x"), "x").unwrap();
        made.remove();
        assert!(at.join("x").exists(), "it has something by now");
    }

    #[test]
    fn root_follows_no_link_of_a_user_to_the_place_of_a_new_folder() {
        let (folder, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (folder, victim) = (folder.path().canonicalize().unwrap(), victim.path().canonicalize().unwrap());
        symlink(&victim, folder.join("link")).unwrap();
        symlink(victim.join("made"), folder.join("leads-nowhere")).unwrap();
        fs::create_dir(victim.join("deep")).unwrap();
        for path in ["link/data", "link/deep/data"] {
            let error = NewFolder::make_as(&folder.join(path), true).unwrap_err().to_string();
            assert!(error.contains("is reached through a symbolic link"), "{error}");
        }
        for is_root in [true, false] {
            let error = NewFolder::make_as(&folder.join("leads-nowhere"), is_root).unwrap_err().to_string();
            assert!(error.contains("a link that leads nowhere"), "{error}");
            let error = NewFolder::make_as(&folder.join("missing/data"), is_root).unwrap_err().to_string();
            assert!(error.contains("there is no folder") && error.contains("missing"), "{error}");
        }
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 1, "nothing is made there");
    }
}
