//! A certificate in files that somebody else renews.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::certificate::{Certificate, CertificateKind};
use super::{Certificates, store, trust};

/// How often the files are looked at.
const CHECK: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Files {
    cert: PathBuf,
    key: PathBuf,
    /// Whether clients know who has signed it; `None`: each new one is looked at.
    trusted: Option<bool>,
    /// Of the files before they were first read.
    stamps: Stamps,
}

/// What tells one state of the two files from another.
type Stamps = [Option<(u64, u64, i64, i64)>; 2];

impl Files {
    pub(super) fn new(cert: PathBuf, key: PathBuf, trusted: Option<bool>) -> Self {
        let stamps = stamps([&cert, &key]);
        Self { cert, key, trusted, stamps }
    }

    /// # Errors
    /// A sentence that names the file.
    pub(super) fn load(&self) -> anyhow::Result<Certificate> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("{} can't be read", path.display()));
        let (chain, key) = (read(&self.cert)?, read(&self.key)?);
        store::warn_if_others_can_read(&self.key);
        let files = || format!("{} and {}", self.cert.display(), self.key.display());
        let mut certificate = Certificate::from_pem(CertificateKind::Files, &chain, &key).with_context(files)?;
        if !self.is_trusted(&certificate) {
            certificate.kind = CertificateKind::UntrustedFiles;
        }
        if certificate.lacks_issuer {
            tracing::warn!(
                "{} holds no intermediate certificate: some clients will not trust it. Use the file with the full chain",
                self.cert.display()
            );
        }
        Ok(certificate)
    }

    fn is_trusted(&self, certificate: &Certificate) -> bool {
        if let Some(trusted) = self.trusted {
            return trusted;
        }
        let objection = trust::objection(certificate, SystemTime::now());
        if let Some(why) = &objection {
            tracing::warn!(
                "clients don't trust the certificate in {}: {why}. Plain HTTP is not redirected and turns: is not advertised. If \
                 clients know its authority, set CASTWAY_CERT_TRUSTED=true",
                self.cert.display()
            );
        }
        objection.is_none()
    }

    /// Reads them again when they change, and when told to.
    pub(super) async fn keep(&self, certificates: &Certificates) {
        let files = [&*self.cert, &*self.key];
        let mut seen = self.stamps;
        let mut tick = tokio::time::interval(CHECK);
        loop {
            tokio::select! {
                () = certificates.0.reload.notified() => {}
                _ = tick.tick() => if stamps(files) == seen { continue },
            }
            seen = stamps(files);
            match self.load() {
                Ok(certificate) => certificates.replace(certificate),
                Err(error) => certificates.failed(format!("the changed certificate can't be used, the old one stays: {error:#}")),
            }
        }
    }
}

/// A new file has another one, and so has one with new content.
fn stamps(files: [&Path; 2]) -> Stamps {
    files.map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
    })
}
