//! Parts of a copy on their way between the two processes.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::backup;
use super::restore::Restore;
use super::wire::Restored;

/// Bytes of a part, whose Base64 is shorter than the longest reply.
pub(super) const PART_BYTES: u64 = 768 * 1024;

/// What the process with the owner's rights sends or takes.
#[derive(Default)]
pub(super) struct Transfer {
    copy: Option<File>,
    restore: Option<Restore>,
}

impl Transfer {
    pub(super) fn back_up(&mut self, folder: &Path) -> anyhow::Result<u64> {
        let copy = backup::copy(folder)?;
        let bytes = copy.metadata()?.len();
        self.copy = Some(copy);
        Ok(bytes)
    }

    pub(super) fn next_part(&mut self) -> anyhow::Result<Option<String>> {
        let copy = self.copy.as_ref().ok_or_else(|| anyhow!("there is no copy"))?;
        let mut part = Vec::new();
        copy.take(PART_BYTES).read_to_end(&mut part).context("the copy can't be read")?;
        Ok((!part.is_empty()).then(|| STANDARD.encode(part)))
    }

    pub(super) fn begin_restore(&mut self, folder: &Path) -> anyhow::Result<()> {
        self.restore = Some(Restore::begin(folder)?);
        Ok(())
    }

    pub(super) fn part(&mut self, data: &str) -> anyhow::Result<()> {
        let mut restore = self.restore.take().ok_or_else(|| anyhow!("no backup is being restored"))?;
        // After a refusal the command ends this process, so what was written must be gone before.
        restore.write(&STANDARD.decode(data)?)?;
        self.restore = Some(restore);
        Ok(())
    }

    pub(super) fn end_restore(&mut self, folder: &Path, force: bool) -> anyhow::Result<Restored> {
        let restore = self.restore.take().ok_or_else(|| anyhow!("no backup is being restored"))?;
        restore.end(folder, force)
    }
}
