//! Files that no other user may read.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;

/// Replaces the file atomically with `text`, with mode 0600, in folders of mode 0700.
///
/// # Errors
/// Why the file can't be written, with its path.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(path);
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let part = path.with_extension("part");
        // A file that a crash has left may have another mode.
        fs::remove_file(&part).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    written().with_context(|| format!("{} can't be written: give the user that runs castway the right to", path.display()))
}

/// Warns if every user of the machine can read the private key.
pub(super) fn warn_if_others_can_read(key: &Path) {
    if fs::metadata(key).is_ok_and(|found| found.permissions().mode() & 0o004 != 0) {
        let path = key.display();
        tracing::warn!("every user of this machine can read the private key in {path}: take that away with `chmod o-rwx {path}`");
    }
}
