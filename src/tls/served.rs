//! The certificate that handshakes get now. The sources of certificates replace it; connections read it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;

use super::certificate::Certificate;
use crate::sentence::Sentence;

/// The current certificate, and what became of the last attempt to replace it.
#[derive(Debug)]
pub(super) struct ServedCertificate {
    current: ArcSwap<Certificate>,
    problem: Mutex<Option<Sentence>>,
    failures: AtomicU64,
    reload: Notify,
    challenges: Mutex<Challenges>,
}

/// The answers to the look-ups of a certificate authority.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    /// Certificates for TLS-ALPN-01, by host name.
    pub(super) tls: HashMap<String, Arc<CertifiedKey>>,
    /// Key authorizations for HTTP-01, by token.
    pub(super) http: HashMap<String, String>,
}

impl ServedCertificate {
    pub(super) fn new(current: Certificate) -> Self {
        Self {
            current: ArcSwap::from_pointee(current),
            problem: Mutex::default(),
            failures: AtomicU64::new(0),
            reload: Notify::new(),
            challenges: Mutex::default(),
        }
    }

    pub(super) fn current(&self) -> Arc<Certificate> {
        self.current.load_full()
    }

    pub(super) fn problem(&self) -> Option<Sentence> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Asks the source to load or renew its certificate now.
    pub(super) fn request_reload(&self) {
        self.reload.notify_one();
    }

    /// Waits for [`Self::request_reload`].
    pub(super) async fn reload_requested(&self) {
        self.reload.notified().await;
    }

    /// The next handshake gets this certificate.
    pub(super) fn replace(&self, certificate: Certificate) {
        let Certificate { kind, names, fingerprint, .. } = &certificate;
        if *fingerprint != self.current().fingerprint {
            tracing::info!(kind = kind.name(), names = names.join(","), fingerprint, "a new certificate");
        }
        self.current.store(Arc::new(certificate));
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The certificate could not be replaced.
    pub(super) fn fail(&self, problem: Sentence) {
        tracing::error!("{problem}");
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }

    /// Reads or changes the challenges, under their lock.
    pub(super) fn challenges<T>(&self, with: impl FnOnce(&mut Challenges) -> T) -> T {
        with(&mut self.challenges.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
