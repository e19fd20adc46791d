//! A certificate that the server makes for itself, kept so that whoever has trusted it once need not do so at each start.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};

use super::certificate::{Certificate, Kind};
use super::{Certificates, store};

/// What browsers accept at most is 398 days for signed ones; some apply it to all.
const LIFE: Duration = Duration::from_secs(397 * DAY);
/// A new one is made when the old one has less left.
const RENEWAL: Duration = Duration::from_secs(30 * DAY);
/// Clocks of clients may be late.
const BACKDATED: Duration = Duration::from_secs(DAY);
const DAY: u64 = 24 * 3600;
/// How often that is looked at; the clock may be set meanwhile.
const CHECK: Duration = Duration::from_secs(60);
/// Looks in a row at a certificate that is not valid yet, before it is replaced. Until a machine without a battery has heard what time it
/// is, its clock is late; a new certificate would have everybody trust it anew.
const MAX_EARLY: u32 = 60;

#[derive(Debug)]
pub(super) struct SelfSigned {
    path: PathBuf,
    names: Vec<String>,
}

/// Whether it ends soon, or has ended.
fn is_worn_out(certificate: &Certificate, now: SystemTime) -> bool {
    certificate.not_after <= now + RENEWAL
}

impl SelfSigned {
    pub(super) fn new(folder: &Path, names: Vec<String>) -> Self {
        Self { path: folder.join("self-signed.pem"), names }
    }

    /// The kept one where it is still good and for all names, else a new one.
    ///
    /// # Errors
    /// The file can't be written.
    pub(super) fn load_or_make(&self, now: SystemTime) -> anyhow::Result<Certificate> {
        let kept = fs::read(&self.path).ok().and_then(|pem| Certificate::from_pem(Kind::SelfSigned, &pem, &pem).ok());
        match kept.filter(|kept| !is_worn_out(kept, now) && self.names.iter().all(|name| kept.covers(name))) {
            Some(kept) => Ok(kept),
            None => self.make(now),
        }
    }

    pub(super) async fn keep(&self, certificates: &Certificates) {
        let mut early = 0;
        loop {
            tokio::time::sleep(CHECK).await;
            let (current, now) = (certificates.current(), SystemTime::now());
            if current.kind != Kind::SelfSigned {
                continue;
            }
            early = if now < current.not_before { early + 1 } else { 0 };
            if is_worn_out(&current, now) || early >= MAX_EARLY {
                match self.make(now) {
                    Ok(made) => certificates.replace(made),
                    Err(error) => certificates.failed(format!("the self-signed certificate can't be renewed: {error:#}")),
                }
            }
        }
    }

    fn make(&self, now: SystemTime) -> anyhow::Result<Certificate> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Castway (self-signed)");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + LIFE).into();
        for name in &self.names {
            params.subject_alt_names.push(match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(Ia5String::try_from(name.as_str()).context("a host name is ASCII")?),
            });
        }
        let key = KeyPair::generate().context("no key can be made")?;
        let certificate = params.self_signed(&key).context("no certificate can be made")?;
        let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
        store::write(&self.path, &pem)?;
        Certificate::from_pem(Kind::SelfSigned, pem.as_bytes(), pem.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_kept_until_it_is_for_other_names() {
        let folder = tempfile::tempdir().unwrap();
        let make = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            SelfSigned::new(&folder.path().join("tls"), names).load_or_make(SystemTime::now()).unwrap()
        };
        let first = make(&["localhost", "192.0.2.1"]);
        assert!(first.covers("192.0.2.1") && !first.is_trusted() && !first.lacks_issuer);
        assert_eq!(make(&["localhost"]).fingerprint, first.fingerprint);
        assert_ne!(make(&["localhost", "192.0.2.2"]).fingerprint, first.fingerprint);
        let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("tls"), mode("tls/self-signed.pem")), (0o700, 0o600));
        fs::write(folder.path().join("tls/self-signed.pem"), "broken").unwrap();
        assert!(make(&["localhost"]).covers("localhost"));
    }
    #[test]
    fn a_clock_that_is_late_replaces_no_certificate_and_what_it_has_made_is_replaced_later() {
        let folder = tempfile::tempdir().unwrap();
        let own = SelfSigned::new(&folder.path().join("tls"), vec!["localhost".to_owned()]);
        let (now, late) = (SystemTime::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(30));
        let first = own.load_or_make(now).unwrap();
        assert_eq!(own.load_or_make(late).unwrap().fingerprint, first.fingerprint, "everybody would have to trust another one");
        fs::remove_file(&own.path).unwrap();
        let early = own.load_or_make(late).unwrap();
        assert!(early.is_valid(late) && is_worn_out(&early, now));
        assert!(own.load_or_make(now).unwrap().is_valid(now));
    }
}
