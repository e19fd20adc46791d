//! A certificate from an authority that speaks ACME (RFC 8555), proven by TLS-ALPN-01 (RFC 8737) or HTTP-01, and renewed when the
//! authority wants it to be (RFC 9773).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow, bail, ensure};
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rand::RngExt as _;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;

use super::certificate::{Certificate, CertificateKind};
use super::{Certificates, store};
use crate::config::AcmeConfig;

/// After the first failure. Let's Encrypt allows five failed tries an hour.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The least between two certificates, however short the authority makes their lives.
const BETWEEN: Duration = Duration::from_secs(5);
/// For a whole order, all look-ups of the authority included.
const PATIENCE: Duration = Duration::from_secs(180);
/// The authority is asked as often as it says when it wants a certificate renewed, within these bounds (RFC 9773 §4.3.2), and after
/// this where it does not answer.
const LEAST_LOOK: Duration = Duration::from_secs(60);
const MOST_LOOK: Duration = Duration::from_secs(24 * 3600);
const NEXT_LOOK: Duration = Duration::from_secs(6 * 3600);
/// Sleeping for long takes no notice of a clock that was set.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Acme {
    config: AcmeConfig,
    /// One a directory: accounts and certificates of a test authority are not to be mixed with real ones.
    folder: PathBuf,
}

impl Acme {
    pub(super) fn new(config: AcmeConfig, folder: &Path) -> Self {
        let host = config.directory.host_str().unwrap_or("directory");
        let port = config.directory.port().map(|port| format!("-{port}")).unwrap_or_default();
        let folder = folder.join(format!("{host}{port}").replace(['[', ']', ':'], "_"));
        Self { config, folder }
    }

    /// The kept certificate, where it has not ended and is for all names. One that is not valid yet says that this machine's clock is late.
    pub(super) fn load(&self) -> Option<Certificate> {
        let pem = fs::read(self.certificate_file()).ok()?;
        store::warn_if_others_can_read(&self.certificate_file());
        let kept = Certificate::from_pem(CertificateKind::Acme, &pem, &pem).ok()?;
        (SystemTime::now() < kept.not_after && self.is_for_us(&kept)).then_some(kept)
    }

    /// Has a new one made when the old one is [worn out](Self::worn_out), and tries until there is one.
    pub(super) async fn keep(&self, certificates: &Certificates) {
        let mut failures: u32 = 0;
        // Renewals in a row that the authority wanted as soon as it had made the one before.
        let mut hasty: u32 = 0;
        loop {
            let begun = Instant::now();
            // After a failure the authority's books may be what is wrong.
            let replaced = if failures == 0 { self.worn_out(certificates).await } else { None };
            hasty = if replaced.is_some() && begun.elapsed() < LONGEST_PAUSE { hasty.saturating_add(1) } else { 0 };
            // By turns: behind some firewalls only one of the two ports is reached.
            let (way, port) =
                if failures.is_multiple_of(2) { (ChallengeType::TlsAlpn01, 443) } else { (ChallengeType::Http01, 80) };
            let ordered = tokio::time::timeout(PATIENCE, self.order(certificates, way, replaced)).await;
            certificates.challenges(|challenges| *challenges = super::Challenges::default());
            match ordered.unwrap_or_else(|_| Err(anyhow!("the certificate authority does not answer"))) {
                Ok(certificate) => {
                    failures = 0;
                    let due = certificate.renewal();
                    certificates.replace(certificate);
                    tokio::time::sleep(BETWEEN).await;
                    sleep_until(due.min(SystemTime::now() + pause(BETWEEN, hasty))).await;
                }
                Err(error) => {
                    let pause = pause(FIRST_PAUSE, failures);
                    failures = failures.saturating_add(1);
                    certificates.failed(self.complaint(&error, port, &certificates.current(), pause));
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        // The operator asks, or the clock was set, without which no authority's own certificate may be valid.
                        () = certificates.0.reload.notified() => failures = 0,
                    }
                }
            }
        }
    }

    /// Waits until the certificate has lived for two thirds of its life, or the authority wants it renewed, as it does when it
    /// revokes one; SIGHUP has it asked now. Returns the name of the certificate in the authority's books, where it has any.
    async fn worn_out(&self, certificates: &Certificates) -> Option<CertificateIdentifier<'static>> {
        loop {
            let current = certificates.current();
            if current.kind != CertificateKind::Acme || !self.is_for_us(&current) {
                return None;
            }
            let asked = tokio::time::timeout(PATIENCE, self.suggestion(&current)).await;
            let asked = asked.unwrap_or_else(|_| Err(anyhow!("the certificate authority does not answer")));
            let (name, suggested, look) = match asked {
                Ok((name, at, look)) => (Some(name), Some(at), look.clamp(LEAST_LOOK, MOST_LOOK)),
                Err(error) => {
                    tracing::debug!(error = format!("{error:#}"), "the authority does not say when it wants a renewal");
                    (None, None, NEXT_LOOK)
                }
            };
            // What an authority suggests may be later than the end.
            let (due, look) = (suggested.map_or(current.renewal(), |at| at.min(current.renewal())), SystemTime::now() + look);
            tokio::select! {
                () = sleep_until(due.min(look)) => if due <= look { return name },
                () = certificates.0.reload.notified() => {}
            }
        }
    }

    /// The certificate's name in the authority's books, when it wants it renewed, and how soon it wants to be asked again
    /// (RFC 9773 §4.2).
    async fn suggestion(&self, current: &Certificate) -> anyhow::Result<(CertificateIdentifier<'static>, SystemTime, Duration)> {
        let key = current.key();
        let name = CertificateIdentifier::try_from(key.end_entity_cert()?).map_err(|error| anyhow!(error))?.into_owned();
        let (info, look) = self.account().await?.renewal_info(&name).await?;
        let (start, end) = (SystemTime::from(info.suggested_window.start), SystemTime::from(info.suggested_window.end));
        ensure!(start < end, "its window ends before it begins");
        // Anywhere in it, so that not everybody comes at once.
        let at = start + end.duration_since(start)?.mul_f64(rand::rng().random());
        if start <= SystemTime::now() {
            let why = info.explanation_url.unwrap_or_default();
            tracing::info!(why, "the authority wants the certificate renewed");
        }
        Ok((name, at, look))
    }

    fn complaint(&self, error: &anyhow::Error, port: u16, serving: &Certificate, pause: Duration) -> String {
        let AcmeConfig { domains, directory, .. } = &self.config;
        let serves = if serving.is_trusted() { "the old one" } else { "a self-signed one" };
        format!(
            "no certificate for {} from {directory}: {error:#}. Check that the DNS record of each name leads to this server, that \
             TCP port {port} of that address reaches it from outside (firewall, router, cloud), and that this server can reach \
             the directory. {serves} serves meanwhile; the next try is in {} s",
            domains.join(", "),
            pause.as_secs()
        )
    }

    /// `replaced`: what the new one replaces, for an authority that wants to know.
    async fn order(
        &self,
        certificates: &Certificates,
        way: ChallengeType,
        replaced: Option<CertificateIdentifier<'static>>,
    ) -> anyhow::Result<Certificate> {
        let account = self.account().await?;
        let names: Vec<_> = self.config.domains.iter().cloned().map(Identifier::Dns).collect();
        let wanted = NewOrder::new(&names);
        let wanted = if let Some(replaced) = replaced { wanted.replaces(replaced) } else { wanted };
        let mut order = match account.new_order(&wanted).await {
            Err(Error::Api(problem)) if problem.r#type.as_deref().is_some_and(|kind| kind.ends_with(":accountDoesNotExist")) => {
                fs::remove_file(self.account_file()).ok();
                bail!("the authority does not know our account any more; the next try makes a new one");
            }
            ordered => ordered?,
        };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let mut challenge =
                authorization.challenge(way.clone()).context("the authority does not offer the kind of proof we can give")?;
            let proof = challenge.key_authorization();
            if way == ChallengeType::Http01 {
                let token = challenge.token.clone();
                certificates.challenges(|challenges| challenges.http.insert(token, proof.as_str().to_owned()));
            } else {
                let key = challenge_certificate(&name, proof.digest().as_ref())?;
                certificates.challenges(|challenges| challenges.tls.insert(name, Arc::new(key)));
            }
            challenge.set_ready().await?;
        }
        let ready = order.poll_ready(&RetryPolicy::new().timeout(PATIENCE)).await;
        if !matches!(ready, Ok(OrderStatus::Ready)) {
            refused(&mut order).await?;
            bail!("the authority refused the order ({:?})", ready?);
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&RetryPolicy::new().timeout(PATIENCE)).await?;
        let pem = format!("{chain}{key}");
        let certificate = Certificate::from_pem(CertificateKind::Acme, pem.as_bytes(), pem.as_bytes())?;
        store::write(&self.certificate_file(), &pem)?;
        Ok(certificate)
    }

    /// The account of the data folder, or a new one.
    async fn account(&self) -> anyhow::Result<Account> {
        let builder = match &self.config.ca {
            Some(path) => Account::builder_with_root(path).with_context(|| format!("CASTWAY_ACME_CA={}", path.display()))?,
            None => Account::builder()?,
        };
        if let Some(kept) = fs::read(self.account_file()).ok().and_then(|json| serde_json::from_slice(&json).ok()) {
            return Ok(builder.from_credentials(kept).await?);
        }
        let contact = self.config.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let account = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&account, self.config.directory.to_string(), None).await?;
        store::write(&self.account_file(), &serde_json::to_string(&credentials)?)?;
        Ok(account)
    }

    fn is_for_us(&self, certificate: &Certificate) -> bool {
        self.config.domains.iter().all(|domain| certificate.covers(domain))
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    fn certificate_file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }
}

/// What a look-up over TLS gets to see (RFC 8737 §3); `digest` is the key authorization's, of 32 bytes.
fn challenge_certificate(name: &str, digest: &[u8]) -> anyhow::Result<CertifiedKey> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = ring::default_provider().key_provider.load_private_key(key.into())?;
    // `from_der` would parse the certificate too, and refuse the critical extension that this one has to have.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// # Errors
/// What the authority has found at one of the names.
async fn refused(order: &mut Order) -> anyhow::Result<()> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        let state = authorization.refresh().await?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            bail!("{name}: {problem}");
        }
    }
    Ok(())
}

/// Four times as long each time.
fn pause(first: Duration, times: u32) -> Duration {
    first.saturating_mul(4_u32.saturating_pow(times)).min(LONGEST_PAUSE)
}

async fn sleep_until(at: SystemTime) {
    while let Ok(left) = at.duration_since(SystemTime::now()) {
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let pauses = [0, 1, 2, 5, u32::MAX].map(|times| pause(BETWEEN, times).as_secs());
        assert_eq!(pauses, [5, 20, 80, 3600, 3600]);
    }

    #[test]
    fn the_proof_over_tls_can_be_made() {
        assert!(challenge_certificate("cast.example.org", &[7; 32]).is_ok());
    }
}
