//! A certificate without its private key, as `castway doctor` reads it where no server runs.

use std::time::SystemTime;

use anyhow::{Context as _, bail};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::certificate::{self, chain_of_pem, issuer, names, time};
use super::trust::{Chain, untrusted_chain_because};

/// The first certificate of a chain.
#[derive(Debug, Clone)]
pub struct PublicCertificate {
    pub names: Vec<String>,
    /// The organization or the name of who signed it.
    pub issuer: String,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    /// Why clients don't trust it, as far as this machine can tell.
    pub untrusted_because: Option<String>,
}

impl PublicCertificate {
    /// Reads a chain in PEM form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(chain: &[u8], now: SystemTime) -> anyhow::Result<Self> {
        let certificates = chain_of_pem(chain)?;
        let Some(first) = certificates.first() else { bail!("the file contains no certificate") };
        let (_, parsed) = X509Certificate::from_der(first).context("the certificate can't be read")?;
        let (not_before, not_after) =
            (time(parsed.validity().not_before.timestamp()), time(parsed.validity().not_after.timestamp()));
        let signed_itself = parsed.issuer() == parsed.subject();
        let chain = Chain { certificates: &certificates, signed_itself, not_before, not_after };
        let untrusted_because = untrusted_chain_because(&chain, now);
        Ok(Self { names: names(&parsed), issuer: issuer(&parsed), not_before, not_after, untrusted_because })
    }

    /// Whether a certificate with these names covers `host` (RFC 9525 §6.3).
    #[must_use]
    pub fn covers(names: &[String], host: &str) -> bool {
        certificate::covers(names, host)
    }
}
