//! A certificate from an authority over ACME (RFC 8555), validated by TLS-ALPN-01 (RFC 8737) or HTTP-01 (RFC 8555 §8.3), and renewed when
//! the authority suggests it (RFC 9773).

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

use super::acme_folder;
use super::certificate::{Certificate, CertificateKind};
use super::kept_names::{ACCOUNT, CERTIFICATE};
use super::private_file;
use super::served::{Challenges, ServedCertificate};
use crate::config::AcmeConfig;
use crate::sentence::Sentence;

/// Delay after the first failure. Let's Encrypt allows five failed attempts an hour.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(15);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(3600);
/// The shortest time between two certificates, even if the authority makes them expire sooner.
const MIN_RENEWAL_INTERVAL: Duration = Duration::from_secs(5);
/// For a whole order, including all look-ups of the authority.
const ORDER_TIMEOUT: Duration = Duration::from_secs(180);
/// Bounds of the interval after which the authority is asked again when to renew the certificate (RFC 9773 §4.3.2).
const MIN_POLL_INTERVAL: Duration = Duration::from_secs(60);
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// That interval where the authority does not answer.
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(6 * 3600);
/// A sleep does not end earlier when the clock is set, so it is divided into parts of this length.
const MAX_SLEEP: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Acme {
    config: AcmeConfig,
    folder: PathBuf,
}

impl Acme {
    /// `folders`: for the certificates of all sources.
    pub(super) fn new(config: AcmeConfig, folders: &Path) -> Self {
        let folder = acme_folder::of(folders, &config.directory);
        Self { config, folder }
    }

    /// Takes the account and the certificate that an earlier version has kept under another name.
    pub(super) fn take_over_former_folder(&self) {
        let folders = self.folder.parent().unwrap_or(&self.folder);
        if let Err(error) = acme_folder::take_over(folders, &self.config.directory) {
            let folder = self.folder.display();
            tracing::warn!(
                "the former folder of the certificate can't be renamed to {folder} ({error}), so a new one is ordered"
            );
        }
    }

    /// The certificate in the data folder, if it has not expired and covers all names. A certificate that is not valid yet means that this
    /// machine's clock is slow.
    pub(super) fn load(&self) -> Option<Certificate> {
        let pem = fs::read(self.certificate_file()).ok()?;
        private_file::warn_if_others_can_read(&self.certificate_file());
        let kept = Certificate::from_pem(CertificateKind::Acme, &pem, &pem).ok()?;
        (SystemTime::now() < kept.not_after && self.covers_all(&kept)).then_some(kept)
    }

    /// Orders a new certificate whenever the old one is [due](Self::renewal_due), and retries until the authority issues one.
    pub(super) async fn keep_renewed(&self, served: &ServedCertificate) {
        let mut failures: u32 = 0;
        // Successive renewals that the authority suggested immediately after the one before.
        let mut early_renewals_in_a_row: u32 = 0;
        loop {
            let begun = Instant::now();
            // After a failure the certificate that is replaced may be unknown to the authority, so it is not named again.
            let replaced = if failures == 0 { self.renewal_due(served).await } else { None };
            early_renewals_in_a_row = if replaced.is_some() && begun.elapsed() < MAX_RETRY_DELAY {
                early_renewals_in_a_row.saturating_add(1)
            } else {
                0
            };
            // In turn, because behind some firewalls only one of the two ports is reachable.
            let (challenge, port) =
                if failures.is_multiple_of(2) { (ChallengeType::TlsAlpn01, 443) } else { (ChallengeType::Http01, 80) };
            let ordered = tokio::time::timeout(ORDER_TIMEOUT, self.order(served, challenge, replaced)).await;
            served.challenges(|challenges| *challenges = Challenges::default());
            match ordered.unwrap_or_else(|_| Err(anyhow!("the certificate authority does not answer"))) {
                Ok(certificate) => {
                    failures = 0;
                    let due = certificate.renewal();
                    served.replace(certificate);
                    tokio::time::sleep(MIN_RENEWAL_INTERVAL).await;
                    // By monotonic time: if the clock is set back, `due` may be years away.
                    let longest = backoff(MIN_RENEWAL_INTERVAL, early_renewals_in_a_row);
                    tokio::time::timeout(longest, sleep_until(due)).await.ok();
                }
                Err(error) => {
                    let delay = backoff(FIRST_RETRY_DELAY, failures);
                    failures = failures.saturating_add(1);
                    served.fail(self.failure_text(&error, port, &served.current(), delay));
                    tokio::select! {
                        () = tokio::time::sleep(delay) => {}
                        // The operator asks, or the clock was set; with a wrong clock the authority's own certificate looks invalid.
                        () = served.reload_requested() => failures = 0,
                    }
                }
            }
        }
    }

    /// Waits until two thirds of the certificate's lifetime have passed, or until the authority suggests a renewal, as it does before it
    /// revokes a certificate. SIGHUP asks the authority again. Returns the authority's identifier of the certificate, if it is known.
    async fn renewal_due(&self, served: &ServedCertificate) -> Option<CertificateIdentifier<'static>> {
        loop {
            let current = served.current();
            if current.kind != CertificateKind::Acme || !self.covers_all(&current) {
                return None;
            }
            let asked = tokio::time::timeout(ORDER_TIMEOUT, self.suggestion(&current)).await;
            let asked = asked.unwrap_or_else(|_| Err(anyhow!("the certificate authority does not answer")));
            let (name, suggested, interval) = match asked {
                Ok((name, at, interval)) => (Some(name), Some(at), interval.clamp(MIN_POLL_INTERVAL, MAX_POLL_INTERVAL)),
                Err(error) => {
                    tracing::debug!(error = format!("{error:#}"), "the authority suggests no time of renewal");
                    (None, None, DEFAULT_POLL_INTERVAL)
                }
            };
            // The suggested time may be after the certificate's end.
            let due = suggested.map_or(current.renewal(), |at| at.min(current.renewal()));
            let next_poll = SystemTime::now() + interval;
            tokio::select! {
                () = sleep_until(due.min(next_poll)) => if due <= next_poll { return name },
                () = served.reload_requested() => {}
            }
        }
    }

    /// RFC 9773 §4.2: the authority's identifier of the certificate, a time in the suggested window, and after how long to ask again.
    async fn suggestion(&self, current: &Certificate) -> anyhow::Result<(CertificateIdentifier<'static>, SystemTime, Duration)> {
        let key = current.key();
        let name = CertificateIdentifier::try_from(key.end_entity_cert()?).map_err(|error| anyhow!(error))?.into_owned();
        let (info, interval) = self.account().await?.renewal_info(&name).await?;
        let (start, end) = (SystemTime::from(info.suggested_window.start), SystemTime::from(info.suggested_window.end));
        ensure!(start < end, "its window ends before it begins");
        // RFC 9773 §4.2: a random time in the window, so that the renewals of many servers are spread.
        let at = start + end.duration_since(start)?.mul_f64(rand::rng().random());
        if start <= SystemTime::now() {
            let why = info.explanation_url.unwrap_or_default();
            tracing::info!(why, "the authority wants the certificate renewed");
        }
        Ok((name, at, interval))
    }

    fn failure_text(&self, error: &anyhow::Error, port: u16, serving: &Certificate, delay: Duration) -> Sentence {
        let AcmeConfig { domains, directory, .. } = &self.config;
        let (kind, kind_in_chinese) = if serving.is_trusted() {
            ("the old certificate", "旧证书")
        } else {
            ("a self-signed certificate", "自签名证书")
        };
        let (names, seconds) = (domains.join(", "), delay.as_secs());
        Sentence::new(
            format!(
                "no certificate for {names} from {directory}: {error:#}. Check that the DNS record of each name leads to this server, \
                 that TCP port {port} of that address reaches it from outside (firewall, router, cloud), and that this server can reach \
                 the directory. Until then the server uses {kind}; it tries again in {seconds} s"
            ),
            format!(
                "未能从 {directory} 获得 {names} 的证书：{error:#}。请检查每个域名的 DNS 记录是否指向此服务器，从外部能否到达该地址的 TCP 端口 \
                 {port}（防火墙、路由器、云平台），以及此服务器能否访问该目录。在此之前服务器使用{kind_in_chinese}，{seconds} 秒后重试"
            ),
        )
    }

    /// RFC 8555 §7.4. `replaced`: the certificate that the new one replaces (RFC 9773 §5).
    async fn order(
        &self,
        served: &ServedCertificate,
        kind: ChallengeType,
        replaced: Option<CertificateIdentifier<'static>>,
    ) -> anyhow::Result<Certificate> {
        let account = self.account().await?;
        let names: Vec<_> = self.config.domains.iter().cloned().map(Identifier::Dns).collect();
        let new_order = NewOrder::new(&names);
        let new_order = if let Some(replaced) = replaced { new_order.replaces(replaced) } else { new_order };
        let mut order = match account.new_order(&new_order).await {
            Err(Error::Api(problem)) if problem.r#type.as_deref().is_some_and(|kind| kind.ends_with(":accountDoesNotExist")) => {
                fs::remove_file(self.account_file()).ok();
                bail!("the authority no longer knows our account; the next attempt makes a new one");
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
                authorization.challenge(kind.clone()).context("the authority does not offer this kind of challenge")?;
            let proof = challenge.key_authorization();
            if kind == ChallengeType::Http01 {
                let token = challenge.token.clone();
                served.challenges(|challenges| challenges.http.insert(token, proof.as_str().to_owned()));
            } else {
                let key = challenge_certificate(&name, proof.digest().as_ref())?;
                served.challenges(|challenges| challenges.tls.insert(name, Arc::new(key)));
            }
            challenge.set_ready().await?;
        }
        let ready = order.poll_ready(&RetryPolicy::new().timeout(ORDER_TIMEOUT)).await;
        if !matches!(ready, Ok(OrderStatus::Ready)) {
            check_challenges(&mut order).await?;
            bail!("the authority refused the order ({:?})", ready?);
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&RetryPolicy::new().timeout(ORDER_TIMEOUT)).await?;
        let pem = format!("{chain}{key}");
        let certificate = Certificate::from_pem(CertificateKind::Acme, pem.as_bytes(), pem.as_bytes())?;
        private_file::write(&self.certificate_file(), &pem)?;
        Ok(certificate)
    }

    /// The account of the data folder, or a new one.
    async fn account(&self) -> anyhow::Result<Account> {
        let builder = match &self.config.ca {
            Some(path) => Account::builder_with_root(path).with_context(|| format!("CASTWAY_ACME_CA={}", path.display()))?,
            None => Account::builder()?,
        };
        let kept = fs::read(self.account_file()).ok().filter(|json| acme_folder::is_of(json, &self.config.directory));
        if let Some(kept) = kept.and_then(|json| serde_json::from_slice(&json).ok()) {
            return Ok(builder.from_credentials(kept).await?);
        }
        let contact = self.config.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let account = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&account, self.config.directory.to_string(), None).await?;
        private_file::write(&self.account_file(), &serde_json::to_string(&credentials)?)?;
        Ok(account)
    }

    fn covers_all(&self, certificate: &Certificate) -> bool {
        self.config.domains.iter().all(|domain| certificate.covers(domain))
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join(ACCOUNT)
    }

    pub(super) fn certificate_file(&self) -> PathBuf {
        self.folder.join(CERTIFICATE)
    }
}

/// The certificate for a look-up over TLS (RFC 8737 §3); `digest` is the SHA-256 of the key authorization.
fn challenge_certificate(name: &str, digest: &[u8]) -> anyhow::Result<CertifiedKey> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = ring::default_provider().key_provider.load_private_key(key.into())?;
    // `from_der` would also parse the certificate, and refuse the critical extension that RFC 8737 requires.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// # Errors
/// The authority's reason why a challenge failed, with the name.
async fn check_challenges(order: &mut Order) -> anyhow::Result<()> {
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

/// The delay after so many failures: four times as long after each one.
fn backoff(first: Duration, times: u32) -> Duration {
    first.saturating_mul(4_u32.saturating_pow(times)).min(MAX_RETRY_DELAY)
}

async fn sleep_until(at: SystemTime) {
    while let Ok(left) = at.duration_since(SystemTime::now()) {
        tokio::time::sleep(left.min(MAX_SLEEP)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let pauses = [0, 1, 2, 5, u32::MAX].map(|times| backoff(MIN_RENEWAL_INTERVAL, times).as_secs());
        assert_eq!(pauses, [5, 20, 80, 3600, 3600]);
    }

    #[test]
    fn the_proof_over_tls_can_be_made() {
        assert!(challenge_certificate("cast.example.org", &[7; 32]).is_ok());
    }
}
