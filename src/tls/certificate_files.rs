//! A certificate in files that another program renews.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::certificate::{Certificate, CertificateKind};
use super::served::ServedCertificate;
use super::{private_file, trust};
use crate::sentence::Sentence;

/// How often the files are checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct CertificateFiles {
    cert: PathBuf,
    key: PathBuf,
    /// Whether clients trust the authority that signed it; `None`: this is checked for each new certificate.
    trusted: Option<bool>,
    /// The state of the files before they were first read.
    stamps: Stamps,
}

/// The state of the two files: inode, size and modification time.
type Stamps = [Option<(u64, u64, i64, i64)>; 2];

impl CertificateFiles {
    pub(super) fn new(cert: PathBuf, key: PathBuf, trusted: Option<bool>) -> Self {
        let stamps = stamps([&cert, &key]);
        Self { cert, key, trusted, stamps }
    }

    /// # Errors
    /// Why the certificate can't be used, with the file.
    pub(super) fn load(&self) -> anyhow::Result<Certificate> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("{} can't be read", path.display()));
        let (chain, key) = (read(&self.cert)?, read(&self.key)?);
        private_file::warn_if_others_can_read(&self.key);
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
        let reason = trust::untrusted_because(certificate, SystemTime::now());
        if let Some(why) = &reason {
            tracing::warn!(
                "clients don't trust the certificate in {}: {why}. Plain HTTP is not redirected and turns: is not advertised. If \
                 clients know its authority, set CASTWAY_CERT_TRUSTED=true",
                self.cert.display()
            );
        }
        reason.is_none()
    }

    /// Reloads the files when they change, and when a reload is requested.
    pub(super) async fn keep_renewed(&self, served: &ServedCertificate) {
        let files = [&*self.cert, &*self.key];
        let mut seen = self.stamps;
        let mut tick = tokio::time::interval(CHECK_INTERVAL);
        loop {
            tokio::select! {
                () = served.reload_requested() => {}
                _ = tick.tick() => if stamps(files) == seen { continue },
            }
            seen = stamps(files);
            match self.load() {
                Ok(certificate) => served.replace(certificate),
                Err(error) => served.fail(Sentence::new(
                    format!("the changed certificate can't be used, the old one stays: {error:#}"),
                    format!("更改后的证书无法使用，继续使用旧证书：{error:#}"),
                )),
            }
        }
    }
}

/// A replaced file has another stamp, and so has a file with new content.
fn stamps(files: [&Path; 2]) -> Stamps {
    files.map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
    })
}
