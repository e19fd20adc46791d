//! Files with secrets, one a line, newest first: what a `…_FILE` setting names.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::secret::Secret;
use crate::sentence::Sentence;

/// Bytes of the largest file.
const MAX_BYTES: u64 = 64 * 1024;
/// Where container engines put secrets. Others can read them there, and nobody else is in the container.
const CONTAINER_SECRETS: &str = "/run/secrets";

/// What a problem with such a file expects.
pub(super) const SECRET_FILE: &str = "a file with one secret a line, newest first";

/// The secrets of one file.
#[derive(Debug)]
pub(super) struct SecretFile {
    /// At least one. A comma is part of its secret.
    pub(super) secrets: Vec<Secret<String>>,
    /// What to do about its permissions.
    pub(super) warning: Option<Sentence>,
}

impl SecretFile {
    /// Reads it. Only the ends of lines are not part of the secrets, and lines of blanks are skipped.
    ///
    /// # Errors
    /// Why it can't be used, which says nothing of its content.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let unreadable = |error: io::Error| {
            if error.kind() == io::ErrorKind::NotFound {
                "there is no such file".to_owned()
            } else if error.kind() == io::ErrorKind::PermissionDenied {
                "this user may not read it".to_owned()
            } else {
                format!("it can't be read ({error})")
            }
        };
        let found = fs::metadata(path).map_err(unreadable)?;
        // Opening a pipe would wait for a writer.
        if !found.is_file() {
            return Err(if found.is_dir() { "it is a folder" } else { "it is not an ordinary file" }.to_owned());
        }
        let mut content = Vec::new();
        File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut content)).map_err(unreadable)?;
        if content.len() as u64 > MAX_BYTES {
            return Err(format!("it has more than {MAX_BYTES} bytes"));
        }
        let text = String::from_utf8(content).map_err(|_| "it is not text in UTF-8".to_owned())?;
        let lines = text.trim_start_matches('\u{FEFF}').split('\n').map(|line| line.trim_end_matches('\r'));
        let secrets: Vec<_> = lines.filter(|line| !line.trim().is_empty()).map(|line| Secret::new(line.to_owned())).collect();
        if secrets.is_empty() {
            return Err("it is empty".to_owned());
        }
        Ok(Self { secrets, warning: warning(path, &found) })
    }
}

fn warning(path: &Path, found: &fs::Metadata) -> Option<Sentence> {
    let (others, in_chinese) = match found.mode() & 0o006 {
        0 => return None,
        0o004 => ("read", "读取"),
        _ => ("write", "写入"),
    };
    // A file of another user is as that user, or a container engine, has made it.
    let is_own = found.uid() == rustix::process::geteuid().as_raw() && !path.starts_with(CONTAINER_SECRETS);
    let path = path.display();
    (is_own || others == "write").then(|| {
        Sentence::new(
            format!("Every user of this machine can {others} {path}, which holds secrets: `chmod 600 {path}`"),
            format!("此机器上的所有用户都能{in_chinese}存有密钥的文件 {path}：请运行 `chmod 600 {path}`"),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(content: &[u8]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, content).unwrap();
        SecretFile::read(&path).map(|file| file.secrets.iter().map(|secret| secret.expose().clone()).collect())
    }

    #[test]
    fn each_line_is_a_secret_whatever_is_in_it() {
        for (content, secrets) in [
            ("north", &["north"][..]),
            ("nor,th\n", &["nor,th"]),
            ("north\r\n\r\nsouth\r\n", &["north", "south"]),
            ("\u{FEFF}north\n  \nso uth \n\n", &["north", "so uth "]),
        ] {
            assert_eq!(read(content.as_bytes()).unwrap(), secrets, "{content:?}");
        }
    }

    #[test]
    fn a_file_that_holds_no_secret_is_a_problem_that_does_not_show_it() {
        for (content, why) in [
            (&b""[..], "it is empty"),
            (b"\n \r\n", "it is empty"),
            (b"hunter2\xff", "it is not text in UTF-8"),
            (&[b'x'; 70_000][..], "it has more than 65536 bytes"),
        ] {
            assert_eq!(read(content).unwrap_err(), why);
        }
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| SecretFile::read(path).unwrap_err();
        assert_eq!(refused(folder.path()), "it is a folder");
        assert_eq!(refused(&folder.path().join("none")), "there is no such file");
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(refused(&pipe), "it is not an ordinary file");
    }

    #[test]
    fn a_file_that_others_can_use_is_worth_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "north").unwrap();
        for (mode, word) in [(0o600, None), (0o640, None), (0o644, Some("read")), (0o646, Some("write"))] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let warning = SecretFile::read(&path).unwrap().warning;
            assert_eq!(warning.is_some(), word.is_some(), "{mode:o}");
            assert!(word.is_none_or(|word| warning.unwrap().en.contains(&format!("can {word} "))), "{mode:o}");
        }
    }
}
