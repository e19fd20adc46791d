//! The certificates that the server makes for itself.
//!
//! A certificate tells whoever connects what it is for, so none of them lists the machine's names and addresses: each is for the one
//! name or address that its client uses, and is made when the first client uses it. They share one key, and all are kept, so that
//! whoever has trusted one need not do so at each start. The first is for the machine itself; it also serves where it is not known
//! which host a client uses.

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
use super::hosts::ServerHosts;
use super::{Certificates, store};

/// What browsers accept at most is 398 days for signed ones; some apply it to all.
const LIFE: Duration = Duration::from_secs(397 * DAY);
/// New ones are made when the first has less left.
const RENEWAL: Duration = Duration::from_secs(30 * DAY);
/// Clocks of clients may be late.
const BACKDATED: Duration = Duration::from_secs(DAY);
const DAY: u64 = 24 * 3600;
/// How often that is looked at; the clock may be set meanwhile.
const CHECK: Duration = Duration::from_secs(60);
/// Looks in a row at a certificate that is not valid yet, before it is replaced. Until a machine without a battery has heard what time it
/// is, its clock is late; a new certificate would have everybody trust it anew.
const MAX_EARLY: u32 = 60;
/// Certificates besides the first: a machine may have more addresses than anybody uses.
const MAX_CERTIFICATES: usize = 64;
/// What the first is for.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

#[derive(Debug)]
pub(super) struct SelfSigned {
    path: PathBuf,
    hosts: ServerHosts,
    made: Mutex<Option<Made>>,
    /// There are certificates that are not in the file.
    unsaved: Notify,
}

struct Made {
    key: KeyPair,
    local: Entry,
    /// By the host that each is for.
    others: BTreeMap<String, Entry>,
}

#[derive(Clone)]
struct Entry {
    pem: String,
    certificate: Arc<Certificate>,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").field("others", &self.others.len()).finish_non_exhaustive()
    }
}

/// Whether it ends soon, or has ended.
fn is_worn_out(certificate: &Certificate, now: SystemTime) -> bool {
    certificate.not_after <= now + RENEWAL
}

impl SelfSigned {
    pub(super) fn new(folder: &Path, hosts: ServerHosts) -> Self {
        Self { path: folder.join("self-signed.pem"), hosts, made: Mutex::default(), unsaved: Notify::new() }
    }

    /// The first of the kept ones where they are still good, else a new one; the key stays.
    ///
    /// # Errors
    /// The file can't be written.
    pub(super) fn load_or_make(&self, now: SystemTime) -> anyhow::Result<Certificate> {
        store::warn_if_others_can_read(&self.path);
        let kept = fs::read_to_string(&self.path).unwrap_or_default();
        let made = match Made::read(&kept, now) {
            Some(made) => made,
            None => self.renewed(key(&kept), now)?,
        };
        let first = Certificate::clone(&made.local.certificate);
        *self.made() = Some(made);
        Ok(first)
    }

    /// Writes down what is new, and makes all anew before the first runs out.
    pub(super) async fn keep(&self, certificates: &Certificates) {
        let mut early = 0;
        loop {
            let is_unsaved = tokio::select! {
                () = tokio::time::sleep(CHECK) => false,
                () = self.unsaved.notified() => true,
            };
            let (first, now) = (self.made().as_ref().map(|made| Arc::clone(&made.local.certificate)), SystemTime::now());
            let Some(first) = first else { continue };
            if !is_unsaved {
                early = if now < first.not_before { early + 1 } else { 0 };
            }
            let kept = if is_worn_out(&first, now) || early >= MAX_EARLY {
                self.renew(certificates, now)
            } else if is_unsaved {
                self.save()
            } else {
                Ok(())
            };
            if let Err(error) = kept {
                certificates.failed(format!("the self-signed certificates can't be kept: {error:#}"));
            }
        }
    }

    fn save(&self) -> anyhow::Result<()> {
        let Some(text) = self.made().as_ref().map(Made::text) else { return Ok(()) };
        store::write(&self.path, &text)
    }

    /// Makes all anew, with the same key.
    fn renew(&self, certificates: &Certificates, now: SystemTime) -> anyhow::Result<()> {
        let Some(text) = self.made().as_ref().map(Made::text) else { return Ok(()) };
        let made = self.renewed(key(&text), now)?;
        if certificates.current().kind == CertificateKind::SelfSigned {
            certificates.replace(Certificate::clone(&made.local.certificate));
        }
        *self.made() = Some(made);
        Ok(())
    }

    fn renewed(&self, key: Option<KeyPair>, now: SystemTime) -> anyhow::Result<Made> {
        let key = key.map_or_else(KeyPair::generate, Ok).context("no key can be made")?;
        let local = Entry::make(&key, &LOCAL, now)?;
        let made = Made { key, local, others: BTreeMap::new() };
        store::write(&self.path, &made.text())?;
        Ok(made)
    }

    /// The one for the host that a client of the address `client` uses: what it has named, or else the address `local` that its
    /// connection came to, where that is known.
    pub(super) fn for_client(&self, named: Option<&str>, local: Option<IpAddr>, client: IpAddr) -> Option<Arc<Certificate>> {
        let host = self.hosts.used(named, local, client);
        let mut made = self.made();
        let made = made.as_mut()?;
        let Some(host) = host else { return Some(Arc::clone(&made.local.certificate)) };
        if let Some(entry) = made.others.get(&host) {
            return Some(Arc::clone(&entry.certificate));
        }
        let entry = if made.others.len() < MAX_CERTIFICATES {
            Entry::make(&made.key, &[&host], SystemTime::now())
                .inspect_err(|error| tracing::warn!(host, error = format!("{error:#}"), "no certificate can be made"))
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

    fn made(&self) -> MutexGuard<'_, Option<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Made {
    /// What [`Self::text`] wrote, unless the first certificate is not there or runs out soon. Certificates of older versions, which
    /// listed everything, are left out.
    fn read(text: &str, now: SystemTime) -> Option<Self> {
        let key = key(text)?;
        let key_pem = key.serialize_pem();
        let (mut local, mut others) = (None, BTreeMap::new());
        for pem in certificates(text) {
            let Ok(certificate) = Certificate::from_pem(CertificateKind::SelfSigned, pem.as_bytes(), key_pem.as_bytes()) else {
                continue;
            };
            let entry = Entry { pem, certificate: Arc::new(certificate) };
            match entry.certificate.names.as_slice() {
                names if names == LOCAL => local = Some(entry),
                [host] if !is_worn_out(&entry.certificate, now) && others.len() < MAX_CERTIFICATES => {
                    others.insert(host.clone(), entry);
                }
                _ => {}
            }
        }
        let local = local.filter(|local| !is_worn_out(&local.certificate, now))?;
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

/// The certificates in a text, each as a text.
fn certificates(text: &str) -> impl Iterator<Item = String> {
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    text.split(begin).skip(1).filter_map(move |rest| Some(format!("{begin}{}{end}\n", rest.split_once(end)?.0)))
}

impl Entry {
    fn make(key: &KeyPair, names: &[&str], now: SystemTime) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Castway (self-signed)");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + LIFE).into();
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(Ia5String::try_from(*name).context("a host name is ASCII")?),
            });
        }
        let pem = params.self_signed(key).context("no certificate can be made")?.pem();
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
    fn each_names_the_host_that_its_client_uses_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (own, first) = open(folder.path(), &["tv-cellar", "tv-cellar.local"]);
        assert_eq!((first.names.as_slice(), first.is_trusted()), (LOCAL.map(str::to_owned).as_slice(), false));
        let names = |named, local: &str, client: &str| own.for_client(named, Some(ip(local)), ip(client)).unwrap().names.clone();
        assert_eq!(names(None, "192.168.7.1", NEIGHBOUR), ["192.168.7.1"]);
        assert_eq!(names(Some("TV-Cellar.local"), "192.168.7.1", NEIGHBOUR), ["tv-cellar.local"]);
        assert_eq!(names(Some("elsewhere.example.org"), "192.168.7.1", NEIGHBOUR), ["192.168.7.1"]);
        assert_eq!(names(None, "8.8.4.4", STRANGER), ["8.8.4.4"]);
        assert_eq!(names(None, "192.168.7.1", STRANGER), LOCAL, "it came through a NAT");
        assert_eq!(names(Some("localhost"), "192.168.7.1", STRANGER), LOCAL);
        assert_eq!(own.for_client(None, None, ip(NEIGHBOUR)).unwrap().names, LOCAL, "it came through a proxy");
    }

    #[test]
    fn all_are_kept_with_their_key() {
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
    fn what_an_older_version_made_leaves_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let old = Entry::make(&key, &["localhost", "tv-cellar", "192.168.7.1"], SystemTime::now()).unwrap();
        fs::create_dir(folder.path().join("tls")).unwrap();
        fs::write(folder.path().join("tls/self-signed.pem"), format!("{}{}", old.pem, key.serialize_pem())).unwrap();
        let (own, first) = open(folder.path(), &["tv-cellar"]);
        assert_eq!(first.names, LOCAL);
        assert_eq!(own.made().as_ref().unwrap().key.serialize_der(), key.serialize_der());
    }

    #[test]
    fn they_are_bounded_in_number() {
        let folder = tempfile::tempdir().unwrap();
        let (own, first) = open(folder.path(), &[]);
        for host in 0..=u8::try_from(MAX_CERTIFICATES).unwrap() {
            own.for_client(None, Some(IpAddr::from([192, 168, 7, host])), ip(NEIGHBOUR)).unwrap();
        }
        assert_eq!(own.made().as_ref().unwrap().others.len(), MAX_CERTIFICATES);
        let more = own.for_client(None, Some(ip("192.168.8.1")), ip(NEIGHBOUR)).unwrap();
        assert_eq!(more.fingerprint, first.fingerprint);
        assert_eq!(own.for_client(None, Some(ip("192.168.7.0")), ip(NEIGHBOUR)).unwrap().names, ["192.168.7.0"]);
        own.save().unwrap();
        assert_eq!(open(folder.path(), &[]).0.made().as_ref().unwrap().others.len(), MAX_CERTIFICATES);
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
        assert!(early.is_valid(late) && is_worn_out(&early, now));
        assert!(own.load_or_make(now).unwrap().is_valid(now));
    }
}
