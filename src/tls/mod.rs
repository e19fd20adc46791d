//! The server's certificate: where it comes from, and that it is never missing.
//!
//! [`Certificates`] is what everybody holds. Connections ask it for the certificate of the moment ([`HandshakeConfigs::config`]),
//! so that a new one serves the next handshake and ends no connection; [`Certificates::keep`] is the task that renews, reloads
//! and retries.
//!
//! Invariants:
//! - From the start on there is a certificate: a self-signed one where no better one is there yet.
//! - What can't be read, does not fit or can't be renewed leaves the old one in force, is logged and is told by
//!   [`Certificates::problem`].
//! - Private keys and the ACME account are in files of mode 0600.

mod acme;
mod certificate;
mod files;
mod hosts;
mod self_signed;
mod store;
mod trust;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;

pub use certificate::{Certificate, CertificateKind};
pub use hosts::ServerHosts;

use crate::config::CertificateSource;
use acme::Acme;
use files::Files;
use self_signed::SelfSigned;

/// The ALPN name of an authority's TLS-ALPN-01 look-up (RFC 8737).
pub const ACME_TLS: &[u8] = b"acme-tls/1";
/// Of STUN and TURN over TLS (RFC 7443).
pub const STUN_TURN: &[u8] = b"stun.turn";
/// Of HTTP/2.
pub const HTTP_2: &[u8] = b"h2";

/// A cheap handle on the certificate of the moment.
#[derive(Debug, Clone)]
pub struct Certificates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    current: ArcSwap<Certificate>,
    problem: Mutex<Option<String>>,
    failures: AtomicU64,
    reload: Notify,
    challenges: Mutex<Challenges>,
    source: Source,
}

/// What is kept ready for a certificate authority's look-up.
#[derive(Debug, Default)]
struct Challenges {
    /// By host name (TLS-ALPN-01).
    tls: HashMap<String, Arc<CertifiedKey>>,
    /// Key authorizations by token (HTTP-01).
    http: HashMap<String, String>,
}

#[derive(Debug)]
enum Source {
    SelfSigned(SelfSigned),
    Files(Files),
    /// With what serves until the authority has answered.
    Acme(Acme, SelfSigned),
}

impl Certificates {
    /// Reads or makes the first certificate. `hosts` are what clients may use, for self-signed ones.
    ///
    /// # Errors
    /// The files of the settings can't be used, or the data folder can't be written.
    pub fn open(source: &CertificateSource, data_dir: &Path, hosts: ServerHosts) -> anyhow::Result<Self> {
        let source = Source::new(source, data_dir, hosts);
        let current = match &source {
            Source::SelfSigned(own) => own.load_or_make(SystemTime::now())?,
            Source::Files(files) => {
                files.load().context("the certificate can't be used: mend the files, or change CASTWAY_CERT and CASTWAY_PKEY")?
            }
            Source::Acme(acme, meanwhile) => acme.load().map_or_else(|| meanwhile.load_or_make(SystemTime::now()), Ok)?,
        };
        Ok(Self::serving(source, current))
    }

    /// What a server with these settings has in files, its self-signed certificate aside; makes nothing.
    ///
    /// # Errors
    /// The files of the settings can't be used.
    pub fn kept(source: &CertificateSource, data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let source = Source::new(source, data_dir, ServerHosts::default());
        let current = match &source {
            Source::SelfSigned(_) => None,
            Source::Files(files) => Some(files.load()?),
            Source::Acme(acme, _) => acme.load(),
        };
        Ok(current.map(|current| Self::serving(source, current)))
    }

    fn serving(source: Source, current: Certificate) -> Self {
        Self(Arc::new(Inner {
            current: ArcSwap::from_pointee(current),
            problem: Mutex::default(),
            failures: AtomicU64::new(0),
            reload: Notify::new(),
            challenges: Mutex::default(),
            source,
        }))
    }

    /// The certificate that the next handshake gets.
    #[must_use]
    pub fn current(&self) -> Arc<Certificate> {
        self.0.current.load_full()
    }

    /// Why the certificate could not be renewed or read again, since it last could.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.0.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often renewing or reading it again has failed since the start.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// The certificate that a client of the address `client` gets: the current one, or the self-signed one for the host it uses,
    /// which is what it has `named`, or else the address `local` that its connection came to.
    #[must_use]
    pub fn for_client(&self, named: Option<&str>, local: Option<IpAddr>, client: IpAddr) -> Arc<Certificate> {
        let current = self.current();
        let own = match &self.0.source {
            Source::SelfSigned(own) | Source::Acme(_, own) if current.kind == CertificateKind::SelfSigned => own,
            Source::SelfSigned(_) | Source::Acme(..) | Source::Files(_) => return current,
        };
        own.for_client(named, local, client).unwrap_or(current)
    }

    /// What `/.well-known/acme-challenge/TOKEN` answers (RFC 8555 §8.3).
    #[must_use]
    pub fn http_challenge(&self, token: &str) -> Option<String> {
        self.challenges(|challenges| challenges.http.get(token).cloned())
    }

    /// Has files read again now, and the authority asked; for SIGHUP, and when the clock was set.
    pub fn reload(&self) {
        self.0.reload.notify_one();
    }

    /// Keeps the certificate fresh, for ever.
    pub async fn keep(self) {
        match &self.0.source {
            Source::SelfSigned(source) => source.keep(&self).await,
            Source::Files(source) => source.keep(&self).await,
            Source::Acme(source, meanwhile) => {
                // That one may end while no authority can be reached.
                tokio::join!(source.keep(&self), meanwhile.keep(&self));
            }
        }
    }

    fn replace(&self, certificate: Certificate) {
        let Certificate { kind, names, fingerprint, .. } = &certificate;
        if *fingerprint != self.current().fingerprint {
            tracing::info!(kind = kind.name(), names = names.join(","), fingerprint, "a new certificate");
        }
        self.0.current.store(Arc::new(certificate));
        *self.0.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn failed(&self, problem: String) {
        tracing::error!("{problem}");
        self.0.failures.fetch_add(1, Ordering::Relaxed);
        *self.0.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }

    fn challenges<T>(&self, with: impl FnOnce(&mut Challenges) -> T) -> T {
        with(&mut self.0.challenges.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Source {
    fn new(source: &CertificateSource, data_dir: &Path, hosts: ServerHosts) -> Self {
        let folder = data_dir.join("tls");
        match source {
            CertificateSource::SelfSigned => Self::SelfSigned(SelfSigned::new(&folder, hosts)),
            CertificateSource::Files { cert, key, trusted } => Self::Files(Files::new(cert.clone(), key.clone(), *trusted)),
            CertificateSource::Acme(config) => {
                let hosts = hosts.and(&config.domains);
                Self::Acme(Acme::new(config.clone(), &folder), SelfSigned::new(&folder, hosts))
            }
        }
    }
}

/// What handshakes are made with: TLS 1.2 and 1.3, and every protocol that the port carries.
pub struct HandshakeConfigs {
    certificates: Certificates,
    /// All but the certificate.
    common: ServerConfig,
}

impl HandshakeConfigs {
    /// # Panics
    /// Never: the provider knows both versions.
    #[must_use]
    pub fn new(certificates: Certificates) -> Self {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("ring has TLS 1.2 and 1.3");
        let nobody = Connection { certificates: certificates.clone(), local: None, client: Ipv4Addr::UNSPECIFIED.into() };
        let mut common = builder.with_no_client_auth().with_cert_resolver(Arc::new(nobody));
        common.alpn_protocols = [HTTP_2, b"http/1.1", STUN_TURN, ACME_TLS].map(<[u8]>::to_vec).to_vec();
        Self { certificates, common }
    }

    /// For a connection from `client` to the address `local` of this machine; `None` where a proxy stands between the two.
    #[must_use]
    pub fn config(&self, local: Option<IpAddr>, client: IpAddr) -> Arc<ServerConfig> {
        let mut config = self.common.clone();
        config.cert_resolver = Arc::new(Connection { certificates: self.certificates.clone(), local, client });
        Arc::new(config)
    }
}

#[derive(Debug)]
struct Connection {
    certificates: Certificates,
    local: Option<IpAddr>,
    client: IpAddr,
}

impl ResolvesServerCert for Connection {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.next() == Some(ACME_TLS) && protocols.next().is_none() {
            let name = hello.server_name()?;
            return self.certificates.challenges(|challenges| challenges.tls.get(name).cloned());
        }
        Some(self.certificates.for_client(hello.server_name(), self.local, self.client).key())
    }
}
