//! TLS to the relay or to what stands before it. A certificate that this machine doesn't trust is noted, and does not end the test.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What is wrong with a certificate, as far as this machine can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doubt {
    /// No authority that this machine knows has signed it; clients may know it.
    UnknownIssuer,
    /// Every client refuses it, with the reason as a clause.
    Invalid(String),
}

/// Verifies as browsers do, keeps the outcome, and lets the handshake go on.
#[derive(Debug)]
struct Noting {
    verifier: Arc<WebPkiServerVerifier>,
    doubt: Mutex<Option<Doubt>>,
}

/// Connects over TLS. `host`: the name or address of the URL.
pub(super) async fn connect<S>(stream: S, host: &str) -> Result<(TlsStream<S>, Option<Doubt>), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let roots = tokio::task::spawn_blocking(roots).await.map_err(|error| error.to_string())?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let noting = Arc::new(Noting { verifier: verifier.map_err(|error| error.to_string())?, doubt: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.dangerous();
    let config = config.with_custom_certificate_verifier(Arc::clone(&noting) as Arc<dyn ServerCertVerifier>);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
    let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    let doubt = noting.doubt.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok((stream, doubt))
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Err(error) = self.verifier.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            *self.doubt.lock().unwrap_or_else(PoisonError::into_inner) = Some(doubt(&error));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

fn doubt(error: &Error) -> Doubt {
    use CertificateError as Is;
    let invalid = |reason: &str| Doubt::Invalid(reason.to_owned());
    let Error::InvalidCertificate(reason) = error else { return Doubt::Invalid(error.to_string()) };
    if matches!(reason, Is::Expired | Is::ExpiredContext { .. }) {
        invalid("it has expired")
    } else if matches!(reason, Is::NotValidYet | Is::NotValidYetContext { .. }) {
        invalid("it is not valid yet")
    } else if matches!(reason, Is::NotValidForName | Is::NotValidForNameContext { .. }) {
        invalid("it does not have the name of the URL")
    } else if matches!(reason, Is::UnknownIssuer | Is::Other(_)) {
        // `Other`: one that signed itself, say.
        Doubt::UnknownIssuer
    } else {
        Doubt::Invalid(reason.to_string())
    }
}
