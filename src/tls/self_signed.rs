//! The certificates that the server makes itself.
//!
//! Every client sees the names in a certificate, so no certificate lists all names and addresses of the machine. Each one is for the single
//! name or address that its client uses, and is made when the first client uses that host. All certificates share one key and are kept in
//! a file, so that a user who has trusted one need not trust another after a restart. The local certificate is for the machine itself; it
//! also serves clients whose host is unknown.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::Notify;

use super::certificate::{Certificate, CertificateKind};
use super::kept_names::SELF_SIGNED;
use super::private_file;
use super::served::ServedCertificate;
use super::server_hosts::ServerHosts;
use crate::sentence::Sentence;

/// Browsers accept at most 398 days for certificates of authorities, and some of them for all certificates.
const LIFETIME: Duration = Duration::from_secs(397 * DAY_SECONDS);
/// All certificates are made again when the local one has less time left.
const RENEW_BEFORE_END: Duration = Duration::from_secs(30 * DAY_SECONDS);
/// How far a certificate is valid before it is made: the clocks of clients may be slow.
const BACKDATING: Duration = Duration::from_secs(DAY_SECONDS);
const DAY_SECONDS: u64 = 24 * 3600;
/// How often the end is checked; the clock may be set in between.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// Successive checks of a certificate that is not valid yet, before it is replaced. The clock of a machine without a battery is slow until the
/// machine has synchronized it, and users would have to trust a new certificate again.
const MAX_EARLY_CHECKS: u32 = 60;
/// Certificates besides the local one: a machine may have more addresses than clients use.
const MAX_HOST_CERTIFICATES: usize = 64;
/// The names of the local certificate.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

#[derive(Debug)]
pub(super) struct SelfSigned {
    path: PathBuf,
    hosts: ServerHosts,
    made: Mutex<Option<MadeCertificates>>,
    /// Notified when a certificate is not in the file yet.
    unsaved: Notify,
}

/// The certificates of one key.
struct MadeCertificates {
    key: KeyPair,
    local: HostCertificate,
    /// By the host that each is for.
    others: BTreeMap<String, HostCertificate>,
}

/// One certificate, and its text in the file.
#[derive(Clone)]
struct HostCertificate {
    pem: String,
    certificate: Arc<Certificate>,
}

impl std::fmt::Debug for MadeCertificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeCertificates").field("others", &self.others.len()).finish_non_exhaustive()
    }
}

/// Whether the certificate expires soon, or has expired.
fn is_due(certificate: &Certificate, now: SystemTime) -> bool {
    certificate.not_after <= now + RENEW_BEFORE_END
}

impl SelfSigned {
    pub(super) fn new(folder: &Path, hosts: ServerHosts) -> Self {
        Self { path: folder.join(SELF_SIGNED), hosts, made: Mutex::default(), unsaved: Notify::new() }
    }

    /// The local certificate: the kept one if it is not due, else a new one with the same key.
    ///
    /// # Errors
    /// The file is not writable.
    pub(super) fn load_or_make(&self, now: SystemTime) -> anyhow::Result<Certificate> {
        private_file::warn_if_others_can_read(&self.path);
        let kept = fs::read_to_string(&self.path).unwrap_or_default();
        let made = match MadeCertificates::read(&kept, now) {
            Some(made) => made,
            None => self.renewed(key(&kept), now)?,
        };
        let first = Certificate::clone(&made.local.certificate);
        *self.made() = Some(made);
        Ok(first)
    }

    /// Saves new certificates, and makes all certificates again before the local one expires.
    pub(super) async fn keep_renewed(&self, served: &ServedCertificate) {
        let mut early = 0;
        loop {
            let is_unsaved = tokio::select! {
                () = tokio::time::sleep(CHECK_INTERVAL) => false,
                () = self.unsaved.notified() => true,
            };
            let (first, now) = (self.made().as_ref().map(|made| Arc::clone(&made.local.certificate)), SystemTime::now());
            let Some(first) = first else { continue };
            if !is_unsaved {
                early = if now < first.not_before { early + 1 } else { 0 };
            }
            let kept = if is_due(&first, now) || early >= MAX_EARLY_CHECKS {
                self.renew(served, now)
            } else if is_unsaved {
                self.save()
            } else {
                Ok(())
            };
            if let Err(error) = kept {
                served.fail(Sentence::new(
                    format!("could not save or renew the self-signed certificates: {error:#}"),
                    format!("无法保存或更新自签名证书：{error:#}"),
                ));
            }
        }
    }

    fn save(&self) -> anyhow::Result<()> {
        let Some(text) = self.made().as_ref().map(MadeCertificates::text) else { return Ok(()) };
        private_file::write(&self.path, &text)
    }

    /// Makes a new local certificate with the same key; the others are made again when clients use their hosts.
    fn renew(&self, served: &ServedCertificate, now: SystemTime) -> anyhow::Result<()> {
        let Some(text) = self.made().as_ref().map(MadeCertificates::text) else { return Ok(()) };
        let made = self.renewed(key(&text), now)?;
        if served.current().kind == CertificateKind::SelfSigned {
            served.replace(Certificate::clone(&made.local.certificate));
        }
        *self.made() = Some(made);
        Ok(())
    }

    fn renewed(&self, key: Option<KeyPair>, now: SystemTime) -> anyhow::Result<MadeCertificates> {
        let key = key.map_or_else(KeyPair::generate, Ok).context("could not make a key")?;
        let local = HostCertificate::make(&key, &LOCAL_NAMES, now)?;
        let made = MadeCertificates { key, local, others: BTreeMap::new() };
        private_file::write(&self.path, &made.text())?;
        Ok(made)
    }

    /// The certificate for the host that the client at `client` uses: the host it has `named`, or else the address `local` that its connection
    /// came to.
    pub(super) fn for_client(&self, named: Option<&str>, local: Option<IpAddr>, client: IpAddr) -> Option<Arc<Certificate>> {
        let host = self.hosts.used(named, local, client);
        let mut made = self.made();
        let made = made.as_mut()?;
        let Some(host) = host else { return Some(Arc::clone(&made.local.certificate)) };
        if let Some(entry) = made.others.get(&host) {
            return Some(Arc::clone(&entry.certificate));
        }
        let entry = if made.others.len() < MAX_HOST_CERTIFICATES {
            HostCertificate::make(&made.key, &[&host], SystemTime::now())
                .inspect_err(|error| tracing::warn!(host, error = format!("{error:#}"), "could not make a certificate"))
                .ok()
        } else {
            None
        };
        let Some(entry) = entry else { return Some(Arc::clone(&made.local.certificate)) };
        let certificate = Arc::clone(&entry.certificate);
        made.others.insert(host, entry);
        self.unsaved.notify_one();
        Some(certificate)
    }

    fn made(&self) -> MutexGuard<'_, Option<MadeCertificates>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MadeCertificates {
    /// Reads the output of [`Self::text`]; `None`: the local certificate is missing or due. Certificates of older versions, which listed all
    /// names, are left out.
    fn read(text: &str, now: SystemTime) -> Option<Self> {
        let key = key(text)?;
        let key_pem = key.serialize_pem();
        let (mut local, mut others) = (None, BTreeMap::new());
        for pem in certificates(text) {
            let Ok(certificate) = Certificate::from_pem(CertificateKind::SelfSigned, pem.as_bytes(), key_pem.as_bytes()) else {
                continue;
            };
            let entry = HostCertificate { pem, certificate: Arc::new(certificate) };
            match entry.certificate.names.as_slice() {
                names if names == LOCAL_NAMES => local = Some(entry),
                [host] if !is_due(&entry.certificate, now) && others.len() < MAX_HOST_CERTIFICATES => {
                    others.insert(host.clone(), entry);
                }
                _ => {}
            }
        }
        let local = local.filter(|local| !is_due(&local.certificate, now))?;
        Some(Self { key, local, others })
    }

    fn text(&self) -> String {
        let others: String = self.others.values().map(|entry| entry.pem.as_str()).collect();
        format!("{}{}{others}", self.local.pem, self.key.serialize_pem())
    }
}

fn key(text: &str) -> Option<KeyPair> {
    KeyPair::try_from(&PrivateKeyDer::from_pem_slice(text.as_bytes()).ok()?).ok()
}

/// The certificates in a text, each as PEM.
fn certificates(text: &str) -> impl Iterator<Item = String> {
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    text.split(begin).skip(1).filter_map(move |rest| Some(format!("{begin}{}{end}\n", rest.split_once(end)?.0)))
}

impl HostCertificate {
    fn make(key: &KeyPair, names: &[&str], now: SystemTime) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Castway (self-signed)");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = (now - BACKDATING).into();
        params.not_after = (now + LIFETIME).into();
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(Ia5String::try_from(*name).context("a host name is ASCII")?),
            });
        }
        let pem = params.self_signed(key).context("could not make a certificate")?.pem();
        let certificate = Certificate::from_pem(CertificateKind::SelfSigned, pem.as_bytes(), key.serialize_pem().as_bytes())?;
        Ok(Self { pem, certificate: Arc::new(certificate) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const STRANGER: &str = "8.8.8.8";
    const NEIGHBOUR: &str = "192.168.7.2";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn open(folder: &Path, names: &[&str]) -> (SelfSigned, Certificate) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let own = SelfSigned::new(&folder.join("tls"), ServerHosts::of(names));
        let first = own.load_or_make(SystemTime::now()).unwrap();
        (own, first)
    }

    #[test]
    fn each_certificate_names_the_host_that_its_client_uses_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (own, first) = open(folder.path(), &["tv-cellar", "tv-cellar.local"]);
        assert_eq!((first.names.as_slice(), first.is_trusted()), (LOCAL_NAMES.map(str::to_owned).as_slice(), false));
        let names = |named, local: &str, client: &str| own.for_client(named, Some(ip(local)), ip(client)).unwrap().names.clone();
        assert_eq!(names(None, "192.168.7.1", NEIGHBOUR), ["192.168.7.1"]);
        assert_eq!(names(Some("TV-Cellar.local"), "192.168.7.1", NEIGHBOUR), ["tv-cellar.local"]);
        assert_eq!(names(Some("elsewhere.example.org"), "192.168.7.1", NEIGHBOUR), ["192.168.7.1"]);
        assert_eq!(names(None, "8.8.4.4", STRANGER), ["8.8.4.4"]);
        assert_eq!(names(None, "192.168.7.1", STRANGER), LOCAL_NAMES, "it came through a NAT");
        assert_eq!(names(Some("localhost"), "192.168.7.1", STRANGER), LOCAL_NAMES);
        assert_eq!(own.for_client(None, None, ip(NEIGHBOUR)).unwrap().names, LOCAL_NAMES, "it came through a proxy");
    }

    #[test]
    fn certificates_are_saved_with_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let (own, first) = open(folder.path(), &["tv"]);
        let named = own.for_client(Some("tv"), None, ip(STRANGER)).unwrap();
        assert_ne!(named.fingerprint, first.fingerprint);
        own.save().unwrap();
        // Other names change nothing.
        let (again, kept) = open(folder.path(), &["tv", "cast"]);
        assert_eq!(kept.fingerprint, first.fingerprint);
        assert_eq!(again.for_client(Some("tv"), None, ip(STRANGER)).unwrap().fingerprint, named.fingerprint);
        let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("tls"), mode("tls/self-signed.pem")), (0o700, 0o600));
        fs::write(folder.path().join("tls/self-signed.pem"), "broken").unwrap();
        assert_ne!(open(folder.path(), &[]).1.fingerprint, first.fingerprint);
    }

    #[test]
    fn only_the_key_of_an_older_versions_certificate_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let old = HostCertificate::make(&key, &["localhost", "tv-cellar", "192.168.7.1"], SystemTime::now()).unwrap();
        fs::create_dir(folder.path().join("tls")).unwrap();
        fs::write(folder.path().join("tls/self-signed.pem"), format!("{}{}", old.pem, key.serialize_pem())).unwrap();
        let (own, first) = open(folder.path(), &["tv-cellar"]);
        assert_eq!(first.names, LOCAL_NAMES);
        assert_eq!(own.made().as_ref().unwrap().key.serialize_der(), key.serialize_der());
    }

    #[test]
    fn certificates_are_bounded_in_number() {
        let folder = tempfile::tempdir().unwrap();
        let (own, first) = open(folder.path(), &[]);
        for host in 0..=u8::try_from(MAX_HOST_CERTIFICATES).unwrap() {
            own.for_client(None, Some(IpAddr::from([192, 168, 7, host])), ip(NEIGHBOUR)).unwrap();
        }
        assert_eq!(own.made().as_ref().unwrap().others.len(), MAX_HOST_CERTIFICATES);
        let more = own.for_client(None, Some(ip("192.168.8.1")), ip(NEIGHBOUR)).unwrap();
        assert_eq!(more.fingerprint, first.fingerprint);
        assert_eq!(own.for_client(None, Some(ip("192.168.7.0")), ip(NEIGHBOUR)).unwrap().names, ["192.168.7.0"]);
        own.save().unwrap();
        assert_eq!(open(folder.path(), &[]).0.made().as_ref().unwrap().others.len(), MAX_HOST_CERTIFICATES);
    }

    #[test]
    fn a_clock_that_is_late_replaces_no_certificate_and_what_it_has_made_is_replaced_later() {
        let folder = tempfile::tempdir().unwrap();
        let own = SelfSigned::new(&folder.path().join("tls"), ServerHosts::default());
        let (now, late) = (SystemTime::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(30));
        let first = own.load_or_make(now).unwrap();
        assert_eq!(own.load_or_make(late).unwrap().fingerprint, first.fingerprint, "everybody would have to trust another one");
        fs::remove_file(&own.path).unwrap();
        let early = own.load_or_make(late).unwrap();
        assert!(early.is_valid(late) && is_due(&early, now));
        assert!(own.load_or_make(now).unwrap().is_valid(now));
    }
}
