//! The certificates of one server: the source that the settings name, and the certificate that it serves now.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use rustls::sign::CertifiedKey;

use super::acme::Acme;
use super::certificate::{Certificate, CertificateKind};
use super::certificate_files::CertificateFiles;
use super::kept_names::FOLDER;
use super::self_signed::SelfSigned;
use super::served::ServedCertificate;
use super::server_hosts::ServerHosts;
use crate::config::{AcmeConfig, CertificateSource};
use crate::sentence::Sentence;

/// A handle on the server's certificates; clones share them.
#[derive(Debug, Clone)]
pub struct Certificates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    served: ServedCertificate,
    source: Source,
}

#[derive(Debug)]
enum Source {
    SelfSigned(SelfSigned),
    Files(CertificateFiles),
    /// The self-signed certificate serves until the authority has issued one.
    Acme(Acme, SelfSigned),
}

impl Certificates {
    /// Reads or makes the first certificate. `hosts` are the hosts that clients may use, for self-signed certificates.
    ///
    /// # Errors
    /// The files of the settings can't be used, or the data folder is not writable.
    pub fn open(source: &CertificateSource, data_dir: &Path, hosts: ServerHosts) -> anyhow::Result<Self> {
        let source = Source::new(source, data_dir, hosts);
        if let Source::Acme(acme, _) = &source {
            acme.take_over_former_folder();
        }
        let current = match &source {
            Source::SelfSigned(own) => own.load_or_make(SystemTime::now())?,
            Source::Files(files) => files
                .load()
                .context("the certificate can't be used: repair the files, or change CASTWAY_CERT and CASTWAY_PKEY")?,
            Source::Acme(acme, meanwhile) => acme.load().map_or_else(|| meanwhile.load_or_make(SystemTime::now()), Ok)?,
        };
        Ok(Self::serving(source, current))
    }

    /// The certificate that a server with these settings has in files; `None` for a self-signed one. Makes no certificate.
    ///
    /// # Errors
    /// The files of the settings can't be used.
    pub fn in_files(source: &CertificateSource, data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let source = Source::new(source, data_dir, ServerHosts::default());
        let current = match &source {
            Source::SelfSigned(_) => None,
            Source::Files(files) => Some(files.load()?),
            Source::Acme(acme, _) => acme.load(),
        };
        Ok(current.map(|current| Self::serving(source, current)))
    }

    fn serving(source: Source, current: Certificate) -> Self {
        Self(Arc::new(Inner { served: ServedCertificate::new(current), source }))
    }

    /// The certificate that the next handshake gets.
    #[must_use]
    pub fn current(&self) -> Arc<Certificate> {
        self.0.served.current()
    }

    /// Why the last attempt to renew or reload the certificate failed; `None`: it did not fail.
    #[must_use]
    pub fn problem(&self) -> Option<Sentence> {
        self.0.served.problem()
    }

    /// How often renewing or reloading it has failed since the start.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.0.served.failures()
    }

    /// The certificate for a client with the address `client`: the current one, or the self-signed one for the host that the client uses,
    /// which is the host it has `named`, or else the address `local` that its connection came to.
    #[must_use]
    pub fn for_client(&self, named: Option<&str>, local: Option<IpAddr>, client: IpAddr) -> Arc<Certificate> {
        let current = self.current();
        let own = match &self.0.source {
            Source::SelfSigned(own) | Source::Acme(_, own) if current.kind == CertificateKind::SelfSigned => own,
            Source::SelfSigned(_) | Source::Acme(..) | Source::Files(_) => return current,
        };
        own.for_client(named, local, client).unwrap_or(current)
    }

    /// The answer of `/.well-known/acme-challenge/TOKEN` (RFC 8555 §8.3).
    #[must_use]
    pub fn http_challenge(&self, token: &str) -> Option<String> {
        self.0.served.challenges(|challenges| challenges.http.get(token).cloned())
    }

    /// The certificate for an authority's look-up over TLS (RFC 8737 §3).
    pub(super) fn tls_challenge(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.0.served.challenges(|challenges| challenges.tls.get(name).cloned())
    }

    /// Reloads files now, or asks the authority now; for SIGHUP, and after the clock was set.
    pub fn reload(&self) {
        self.0.served.request_reload();
    }

    /// Renews or reloads the certificate whenever that is due; never returns.
    pub async fn keep_renewed(self) {
        let Inner { served, source } = &*self.0;
        match source {
            Source::SelfSigned(source) => source.keep_renewed(served).await,
            Source::Files(source) => source.keep_renewed(served).await,
            Source::Acme(source, meanwhile) => {
                // The self-signed certificate may expire while no authority answers.
                tokio::join!(source.keep_renewed(served), meanwhile.keep_renewed(served));
            }
        }
    }
}

/// Where the certificate of the authority is kept, below the data folder.
#[must_use]
pub fn acme_certificate_file(config: &AcmeConfig) -> PathBuf {
    Acme::new(config.clone(), Path::new(FOLDER)).certificate_file()
}

impl Source {
    fn new(source: &CertificateSource, data_dir: &Path, hosts: ServerHosts) -> Self {
        let folder = data_dir.join(FOLDER);
        match source {
            CertificateSource::SelfSigned => Self::SelfSigned(SelfSigned::new(&folder, hosts)),
            CertificateSource::Files { cert, key, trusted } => {
                Self::Files(CertificateFiles::new(cert.clone(), key.clone(), *trusted))
            }
            CertificateSource::Acme(config) => {
                let hosts = hosts.with_names(&config.domains);
                Self::Acme(Acme::new(config.clone(), &folder), SelfSigned::new(&folder, hosts))
            }
        }
    }
}
