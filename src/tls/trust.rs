//! Whether clients trust the authority that signed a certificate, as far as this machine can tell: a public authority, or one in the
//! machine's own trust store.

use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;

use super::certificate::Certificate;

/// Why clients don't trust the certificate, as a clause; `None`: they trust it. Reads the machine's trust store if no public authority has
/// signed the certificate.
pub(super) fn untrusted_because(certificate: &Certificate, now: SystemTime) -> Option<String> {
    let chain = Chain {
        certificates: &certificate.key().cert,
        signed_itself: certificate.signed_itself,
        not_before: certificate.not_before,
        not_after: certificate.not_after,
    };
    untrusted_chain_because(&chain, now)
}

/// A certificate and those that lead to its authority.
pub(super) struct Chain<'a> {
    pub(super) certificates: &'a [CertificateDer<'static>],
    pub(super) signed_itself: bool,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

/// As [`untrusted_because`].
pub(super) fn untrusted_chain_because(certificate: &Chain<'_>, now: SystemTime) -> Option<String> {
    if certificate.signed_itself {
        return Some("it signed itself".to_owned());
    }
    let public = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let error = verify(certificate, &public, now).and_then(|_| verify(certificate, &machine_roots(), now))?;
    Some(format!("neither a public authority nor one in this machine's trust store has signed it ({error})"))
}

fn machine_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "could not read a part of the machine's trust store");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

/// Why the chain leads to no root.
fn verify(certificate: &Chain<'_>, roots: &RootCertStore, now: SystemTime) -> Option<rustls::Error> {
    let (first, rest) = certificate.certificates.split_first()?;
    // The validity period does not matter here, only the signatures.
    let at = now.min(certificate.not_after).max(certificate.not_before);
    let at = UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    let verified = ParsedCertificate::try_from(first)
        .and_then(|parsed| verify_server_cert_signed_by_trust_anchor(&parsed, roots, rest, at, algorithms));
    verified.err()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};

    use super::super::certificate::CertificateKind;
    use super::*;

    fn verify(certificate: &Certificate, roots: &RootCertStore, now: SystemTime) -> Option<rustls::Error> {
        let key = certificate.key();
        let (not_before, not_after) = (certificate.not_before, certificate.not_after);
        let chain = Chain { certificates: &key.cert, signed_itself: certificate.signed_itself, not_before, not_after };
        super::verify(&chain, roots, now)
    }

    const DAY: Duration = Duration::from_secs(24 * 3600);

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    fn authority(name: &str) -> CertificateParams {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn root() -> Authority {
        CertifiedIssuer::self_signed(authority("root.example.org"), KeyPair::generate().unwrap()).unwrap()
    }

    /// Signed by `issuer`; the file holds `rest` too.
    fn signed(params: CertificateParams, issuer: &Issuer<'_, KeyPair>, rest: &[&str]) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, issuer).unwrap().pem() + &rest.concat();
        Certificate::from_pem(CertificateKind::Files, chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    fn trusting(authority: &Authority) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        roots
    }

    #[test]
    fn the_chain_must_lead_to_an_authority() {
        let (root, other, now) = (root(), root(), SystemTime::now());
        let between = CertifiedIssuer::signed_by(authority("between.example.org"), KeyPair::generate().unwrap(), &root).unwrap();
        let whole = signed(params("cast.example.org"), &between, &[&between.pem()]);
        assert_eq!(verify(&whole, &trusting(&root), now), None);
        assert!(verify(&whole, &trusting(&other), now).is_some(), "the same name, another key");
        let with_root = signed(params("cast.example.org"), &between, &[&between.pem(), &root.pem()]);
        assert!(verify(&with_root, &trusting(&other), now).is_some(), "a root of the file is no authority");
        let lacking = signed(params("cast.example.org"), &between, &[]);
        assert!(verify(&lacking, &trusting(&root), now).is_some(), "no way to the root");
        assert!(untrusted_because(&whole, now).unwrap().contains("neither a public authority nor"));
    }

    #[test]
    fn an_end_says_nothing_about_the_issuer() {
        let (root, now) = (root(), SystemTime::now());
        for (from, until) in [(now - 9 * DAY, now - 2 * DAY), (now + 2 * DAY, now + 9 * DAY)] {
            let mut params = params("cast.example.org");
            (params.not_before, params.not_after) = (from.into(), until.into());
            let certificate = signed(params, &root, &[]);
            assert!(!certificate.is_valid(now));
            assert_eq!(verify(&certificate, &trusting(&root), now), None);
        }
        // Clients don't trust that one, whoever signed it.
        let mut ended = authority("between.example.org");
        (ended.not_before, ended.not_after) = ((now - 9 * DAY).into(), (now - 2 * DAY).into());
        let ended = CertifiedIssuer::signed_by(ended, KeyPair::generate().unwrap(), &root).unwrap();
        assert!(verify(&signed(params("cast.example.org"), &ended, &[&ended.pem()]), &trusting(&root), now).is_some());
    }

    #[test]
    fn a_self_signed_certificate_is_trusted_by_nobody() {
        let (root, now) = (root(), SystemTime::now());
        let pem = root.pem();
        let own = Certificate::from_pem(CertificateKind::Files, pem.as_bytes(), root.key().serialize_pem().as_bytes()).unwrap();
        assert_eq!(untrusted_because(&own, now).as_deref(), Some("it signed itself"));
    }
}
