//! The certificate of the compared servers, which signs itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

const NAME: &str = "localhost";

pub(crate) struct Certificate {
    der: CertificateDer<'static>,
    /// The files with the certificate and with its key.
    pub(crate) files: [PathBuf; 2],
}

impl Certificate {
    /// Makes a certificate, and puts its files into `folder`.
    ///
    /// # Errors
    /// The files can't be written.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let files = ["certificate.pem", "key.pem"].map(|name| folder.join(name));
        fs::write(&files[0], made.cert.pem())?;
        fs::write(&files[1], made.signing_key.serialize_pem())?;
        Ok(Self { der: made.cert.der().clone(), files })
    }

    /// Begins a connection to a server with this certificate.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn client(&self) -> anyhow::Result<ClientConnection> {
        Ok(ClientConnection::new(self.config()?, ServerName::try_from(NAME)?)?)
    }

    /// What a client of a server with this certificate needs.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn config(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }
}
