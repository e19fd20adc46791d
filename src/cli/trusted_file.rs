//! Settings files. Whoever can write such a file decides what the program does, so the file is read only if nobody but root and the user
//! who runs the program can write it.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Most bytes of a file of settings.
const MAX_BYTES: u64 = 1024 * 1024;

/// Reads it. A symbolic link must be as trustworthy as what it leads to.
///
/// # Errors
/// The system's, or a sentence that says who else could write the file, and what to do.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let link = fs::symlink_metadata(path)?;
    let users = Users::of_this_process();
    if link.is_symlink() {
        users.trust_owner(path, &link)?;
    }
    // Opening another user's pipe would wait for that user.
    users.trust_owner(path, &fs::metadata(path)?)?;
    // What is judged is what was opened, whatever the path leads to by now.
    let file = File::open(path)?;
    users.trust(path, &file.metadata()?)?;
    let mut content = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {MAX_BYTES} bytes, which no file of settings has"),
        ));
    }
    Ok(content)
}

/// Who may have written it.
struct Users {
    own: u32,
    group: u32,
    /// Who has called sudo: root by choice.
    caller: Option<u32>,
}

impl Users {
    fn of_this_process() -> Self {
        let own = rustix::process::geteuid();
        let caller = std::env::var("SUDO_UID").ok().filter(|_| own.is_root());
        let group = rustix::process::getegid().as_raw();
        Self { own: own.as_raw(), group, caller: caller.and_then(|uid| uid.parse().ok()) }
    }

    fn trust(&self, path: &Path, found: &Metadata) -> io::Result<()> {
        self.trust_owner(path, found)?;
        let (mode, shown) = (found.mode(), path.display());
        if mode & 0o002 != 0 {
            return Err(refusal(format!("every user of this machine can write to it: take that away with `chmod o-w {shown}`")));
        }
        // Root's group, a group of the owner's own number, and the group that this process itself has: where each user has a group of
        // their own, what they make is often theirs to write, and that group's number may be another one than the user's.
        let is_own_group = [0, found.uid(), self.group].contains(&found.gid());
        if mode & 0o020 != 0 && !is_own_group {
            let group = found.gid();
            return Err(refusal(format!("the group {group} can write to it: take that away with `chmod g-w {shown}`")));
        }
        Ok(())
    }

    fn trust_owner(&self, path: &Path, found: &Metadata) -> io::Result<()> {
        let owner = found.uid();
        if owner == 0 || owner == self.own || self.caller == Some(owner) {
            return Ok(());
        }
        let kind = if found.is_symlink() { "link" } else { "file" };
        Err(refusal(format!(
            "the {kind} belongs to the user {owner}, who is neither root nor the user {} that runs castway: look at what is in it, and \
             take it over with `chown -h {} {}`, or run castway elsewhere",
            self.own,
            self.own,
            path.display()
        )))
    }
}

fn refusal(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};

    use super::*;

    const OTHER: u32 = 4242;

    fn refused(path: &Path) -> String {
        read(path).expect_err("it is not to be trusted").to_string()
    }

    fn made(folder: &Path, mode: u32) -> std::path::PathBuf {
        let path = folder.join(".env");
        fs::write(&path, "CASTWAY_REALM=tv\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_file_that_everybody_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o644, 0o664, 0o440] {
            assert_eq!(read(&made(folder.path(), mode)).unwrap(), b"CASTWAY_REALM=tv\n", "{mode:o}");
        }
        for mode in [0o666, 0o602, 0o777] {
            let error = refused(&made(folder.path(), mode));
            assert!(error.contains("every user of this machine can write to it: take that away with `chmod o-w"), "{error}");
        }
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = made(folder.path(), 0o600);
        chown(&path, Some(OTHER), Some(OTHER)).unwrap();
        assert!(refused(&path).contains("the file belongs to the user 4242"));
        chown(&path, Some(0), Some(OTHER)).unwrap();
        assert!(read(&path).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
        assert!(refused(&path).contains("the group 4242 can write to it"));
    }

    #[test]
    fn a_group_that_the_process_itself_has_may_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(folder.path(), 0o664);
        let found = fs::metadata(&path).unwrap();
        let (own, group) = (found.uid(), found.gid());
        if group != 0 && group != own {
            assert!(read(&path).is_ok());
        }
        if rustix::process::geteuid().is_root() {
            chown(&path, Some(0), Some(OTHER)).unwrap();
            let found = fs::metadata(&path).unwrap();
            assert!(Users { own: 0, group: OTHER, caller: None }.trust(&path, &found).is_ok());
            assert!(Users { own: 0, group: OTHER + 1, caller: None }.trust(&path, &found).is_err());
        }
    }

    #[test]
    fn a_pipe_of_another_user_is_not_waited_for() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        chown(&path, Some(OTHER), Some(OTHER)).unwrap();
        assert!(refused(&path).contains("the file belongs to the user 4242"));
    }

    #[test]
    fn a_link_is_judged_by_its_owner_and_by_what_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (made(folder.path(), 0o644), folder.path().join("link"));
        symlink(&target, &link).unwrap();
        assert!(read(&link).is_ok());
        made(folder.path(), 0o666);
        assert!(refused(&link).contains("every user"));
        if rustix::process::geteuid().is_root() {
            made(folder.path(), 0o644);
            lchown(&link, Some(OTHER), Some(OTHER)).unwrap();
            assert!(refused(&link).contains("the link belongs to the user 4242"));
        }
    }

    #[test]
    fn a_settings_file_has_an_upper_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(folder.path(), 0o600);
        fs::write(&path, vec![b'\n'; 1024 * 1024 + 1]).unwrap();
        assert!(refused(&path).contains("more than"));
    }
}
