//! A certificate in files that somebody else renews.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::Certificates;
use super::certificate::{Certificate, Kind};

/// How often the files are looked at.
const CHECK: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    pub(super) const fn new(cert: PathBuf, key: PathBuf) -> Self {
        Self { cert, key }
    }

    /// # Errors
    /// A sentence that names the file.
    pub(super) fn load(&self) -> anyhow::Result<Certificate> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("{} can't be read", path.display()));
        let (chain, key) = (read(&self.cert)?, read(&self.key)?);
        let files = || format!("{} and {}", self.cert.display(), self.key.display());
        let certificate = Certificate::from_pem(Kind::Files, &chain, &key).with_context(files)?;
        if certificate.lacks_issuer {
            tracing::warn!(
                "{} holds no intermediate certificate: some clients will not trust it. Use the file with the full chain",
                self.cert.display()
            );
        }
        Ok(certificate)
    }

    /// Reads them again when they change, and when told to.
    pub(super) async fn keep(&self, certificates: &Certificates) {
        let mut seen = self.stamps();
        let mut tick = tokio::time::interval(CHECK);
        loop {
            tokio::select! {
                () = certificates.0.reload.notified() => {}
                _ = tick.tick() => if self.stamps() == seen { continue },
            }
            seen = self.stamps();
            match self.load() {
                Ok(certificate) => certificates.replace(certificate),
                Err(error) => certificates.failed(format!("the changed certificate can't be used, the old one stays: {error:#}")),
            }
        }
    }

    /// What tells one state of the files from another: a new file, or new content.
    fn stamps(&self) -> [Option<(u64, u64, i64, i64)>; 2] {
        [&self.cert, &self.key].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
        })
    }
}
