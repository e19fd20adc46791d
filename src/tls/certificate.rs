//! One certificate with its chain and its private key, parsed and checked.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use url::Host;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::addresses::interfaces;

/// Where a certificate comes from, and whether clients trust its authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKind {
    /// This server signed it: users must tell their clients to trust it.
    SelfSigned,
    /// It came in files, and clients trust its authority as far as we know.
    Files,
    /// It came in files, and clients don't trust its authority.
    UntrustedFiles,
    Acme,
}

impl CertificateKind {
    /// As `/metrics` and `/readyz` show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SelfSigned => "self_signed",
            Self::Files => "files",
            Self::UntrustedFiles => "untrusted_files",
            Self::Acme => "acme",
        }
    }
}

/// A chain with the private key of its first certificate.
#[derive(Clone)]
pub struct Certificate {
    pub kind: CertificateKind,
    /// The names and addresses that it covers, in lower case; a name may begin with `*.`.
    pub names: Vec<String>,
    /// SHA-256 of the certificate in the form that browsers show: `AB:CD:…`.
    pub fingerprint: String,
    /// The organization or the name of who signed it.
    pub issuer: String,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    /// Another certificate signed it, and is missing in the chain.
    pub(super) lacks_issuer: bool,
    pub(super) signed_itself: bool,
    key: Arc<CertifiedKey>,
}

impl Certificate {
    /// Reads the chain and the private key from PEM texts, which may be the same text.
    ///
    /// # Errors
    /// What is wrong, and with which of the two.
    pub(super) fn from_pem(kind: CertificateKind, chain: &[u8], key: &[u8]) -> anyhow::Result<Self> {
        let certificates = chain_of_pem(chain)?;
        let Some(first) = certificates.first() else { bail!("the file contains no certificate") };
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| anyhow!("the file contains no readable private key ({error:?})"))?;
        let (_, parsed) = X509Certificate::from_der(first).context("the certificate can't be read")?;
        let fingerprint = Sha256::digest(first).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
        let (names, validity) = (names(&parsed), parsed.validity());
        let (not_before, not_after) = (time(validity.not_before.timestamp()), time(validity.not_after.timestamp()));
        let signed_itself = parsed.issuer() == parsed.subject();
        let issuer = issuer(&parsed);
        let lacks_issuer = certificates.len() == 1 && !signed_itself;
        let key = ring::default_provider().key_provider.load_private_key(key);
        let key = key.map_err(|error| anyhow!("the private key can't be used ({error})"))?;
        // `CertifiedKey::from_der` compares them too, but refuses certificates of version 1, which openssl makes.
        if key.public_key().is_some_and(|public| public.as_ref() != parsed.public_key().raw) {
            bail!("the private key does not match the certificate");
        }
        let key = Arc::new(CertifiedKey::new(certificates.clone(), key));
        Ok(Self { kind, names, fingerprint, issuer, not_before, not_after, lacks_issuer, signed_itself, key })
    }

    /// Whether browsers accept it without a warning, as far as we can tell.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        match self.kind {
            CertificateKind::SelfSigned | CertificateKind::UntrustedFiles => false,
            CertificateKind::Files | CertificateKind::Acme => true,
        }
    }

    /// Whether it covers `host`, a name or an address without brackets (RFC 9525 §6.3).
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        covers(&self.names, host)
    }

    /// The hosts that it covers and that other machines can reach, in the form of URLs, names first. A wildcard is not a host.
    #[must_use]
    pub fn hosts(&self) -> Vec<Host> {
        let host = |name: &String| name.parse::<IpAddr>().map(interfaces::host).or_else(|_| Host::parse(name)).ok();
        let reaches_others = |host: &Host| match host {
            Host::Domain(name) => !name.contains('*') && name != "localhost" && !name.ends_with(".localhost"),
            Host::Ipv4(ip) => interfaces::reaches_others(&IpAddr::V4(*ip)),
            Host::Ipv6(ip) => interfaces::reaches_others(&IpAddr::V6(*ip)),
        };
        let mut hosts: Vec<Host> = self.names.iter().filter_map(host).filter(reaches_others).collect();
        hosts.sort_by_key(|host| !matches!(host, Host::Domain(_)));
        hosts
    }

    /// `host` itself if the certificate covers it, or else another host that it covers.
    #[must_use]
    pub fn host_for(&self, host: Host) -> Option<Host> {
        if self.covers(&interfaces::unbracketed(&host)) { Some(host) } else { self.hosts().into_iter().next() }
    }

    /// Whether `now` is in its validity period.
    #[must_use]
    pub fn is_valid(&self, now: SystemTime) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Whether this machine can serve it. A certificate that was made for this server and is not valid yet means that the clock is slow, as
    /// on a machine without a battery; such a certificate is usable.
    #[must_use]
    pub fn is_usable(&self, now: SystemTime) -> bool {
        let is_ours = match self.kind {
            CertificateKind::SelfSigned | CertificateKind::Acme => true,
            CertificateKind::Files | CertificateKind::UntrustedFiles => false,
        };
        self.is_valid(now) || (is_ours && now < self.not_before)
    }

    /// When two thirds of its lifetime have passed.
    pub(super) fn renewal(&self) -> SystemTime {
        let lifetime = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.not_after - lifetime / 3
    }

    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("kind", &self.kind).field("names", &self.names).finish_non_exhaustive()
    }
}

/// The certificates of a PEM text.
pub(super) fn chain_of_pem(chain: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    certificates.map_err(|error| anyhow!("the certificate is not in PEM form ({error:?})"))
}

/// Whether a certificate with these names covers `host`.
pub(super) fn covers(names: &[String], host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let parent = host.split_once('.').map(|(_, parent)| parent);
    names.iter().any(|name| *name == host || (parent.is_some() && name.strip_prefix("*.") == parent))
}

/// The organization that signed the certificate, or else the name of whoever did.
pub(super) fn issuer(certificate: &X509Certificate<'_>) -> String {
    let issuer = certificate.issuer();
    let name = issuer.iter_organization().next().or_else(|| issuer.iter_common_name().next());
    name.and_then(|name| name.as_str().ok()).map_or_else(|| issuer.to_string(), str::to_owned)
}

pub(super) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let general = alternative.iter().flat_map(|extension| &extension.value.general_names);
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other kind of name is a host's")]
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let ip = <[u8; 4]>::try_from(*bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            ip.ok().map(|ip| ip.to_string())
        }
        _ => None,
    };
    let names: Vec<String> = general.filter_map(host).collect();
    if names.is_empty() { common_name(certificate).into_iter().collect() } else { names }
}

/// The common name, if it is a host. Many home-made certificates have no other name; browsers ignore it.
fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?.trim();
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Some(ip.to_string());
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    match Host::parse(host).ok().filter(|_| plain)? {
        Host::Domain(_) => Some(name.to_ascii_lowercase()),
        // A part of an address, or an address in brackets.
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

pub(super) fn time(unix: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(unix).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn pem(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_tells_its_names_and_covers_them() {
        let (chain, key) = pem(&["Cast.example.org", "*.tv.example.org", "192.0.2.7", "2001:db8::1"]);
        let certificate = Certificate::from_pem(CertificateKind::Files, chain.as_bytes(), key.as_bytes()).unwrap();
        for host in ["cast.example.org", "CAST.example.org", "a.tv.example.org", "192.0.2.7", "2001:db8::1"] {
            assert!(certificate.covers(host), "{host}");
        }
        for host in ["tv.example.org", "a.b.tv.example.org", "example.org", "192.0.2.8", "org", ""] {
            assert!(!certificate.covers(host), "{host}");
        }
        assert_eq!(certificate.fingerprint.len(), 32 * 3 - 1);
        assert!(certificate.is_valid(SystemTime::now()));
    }

    #[test]
    fn hosts_are_what_others_can_find() {
        let hosts_of = |names: &[&str]| {
            let (chain, key) = pem(names);
            let certificate = Certificate::from_pem(CertificateKind::Files, chain.as_bytes(), key.as_bytes()).unwrap();
            let known = certificate.hosts().iter().map(Host::to_string).collect::<Vec<_>>().join(" ");
            let host_for = |host: &str| certificate.host_for(Host::parse(host).unwrap()).map(|host| host.to_string());
            (known, host_for("192.0.2.7").unwrap_or_default(), host_for("[2001:db8::1]").unwrap_or_default())
        };
        let expected = |all: &str, four: &str, six: &str| (all.to_owned(), four.to_owned(), six.to_owned());
        let names = ["localhost", "127.0.0.1", "::1", "192.0.2.7", "*.example.org", "cast.example.org", "2001:db8::1"];
        let all = "cast.example.org 192.0.2.7 [2001:db8::1]";
        assert_eq!(hosts_of(&names), expected(all, "192.0.2.7", "[2001:db8::1]"));
        assert_eq!(hosts_of(&names[..2]), expected("", "", ""));
        assert_eq!(hosts_of(&names[..4]), expected("192.0.2.7", "192.0.2.7", "192.0.2.7"));
        assert_eq!(hosts_of(&["*.example.org"]), expected("", "", ""));
        assert_eq!(hosts_of(&["a.org", "b.org"]), expected("a.org b.org", "a.org", "a.org"));
    }

    #[test]
    fn a_common_name_counts_where_there_is_no_other() {
        let names = |common: &str, others: &[&str]| {
            let others: Vec<String> = others.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(others).unwrap();
            params.distinguished_name = DistinguishedName::new();
            if !common.is_empty() {
                params.distinguished_name.push(DnType::CommonName, common);
            }
            let key = KeyPair::generate().unwrap();
            let (chain, key) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
            Certificate::from_pem(CertificateKind::Files, chain.as_bytes(), key.as_bytes()).unwrap().names
        };
        for host in ["webrtc.zhaoweiguo.com", "*.example.org", "localhost", "47.253.204.204"] {
            assert_eq!(names(host, &[]), [host]);
        }
        assert_eq!(names("Cast.Example.org", &[]), ["cast.example.org"]);
        assert_eq!(names("2001:DB8::1", &[]), ["2001:db8::1"]);
        for other in ["", "Castway (self-signed)", "Internet Widgits Pty Ltd", "a_b", "x/y", "1.2", "[::1]", "某某"] {
            assert_eq!(names(other, &[]), [""; 0], "{other}");
        }
        assert_eq!(names("cast.example.org", &["tv.example.org"]), ["tv.example.org"]);
    }

    #[test]
    fn an_unusable_certificate_is_an_error_that_says_why() {
        let ((chain, key), (other, _)) = (pem(&["a.org"]), pem(&["a.org"]));
        let read = |chain: &str, key: &str| {
            Certificate::from_pem(CertificateKind::Files, chain.as_bytes(), key.as_bytes()).unwrap_err().to_string()
        };
        assert!(read(&other, &key).contains("does not match"));
        assert!(read("", &key).contains("no certificate"));
        assert!(read(&chain, &chain).contains("private key"));
    }
}
