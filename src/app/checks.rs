//! Builds what serves `/check`.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use url::Host;

use super::open::Opened;
use crate::addresses::external::ExternalAddresses;
use crate::addresses::ice_servers::IceServers;
use crate::addresses::interfaces;
use crate::check::{CheckParts, Checks, RangeTest};
use crate::control::asks;
use crate::tls::Certificates;
use crate::turn::{PeerPolicy, Scope};
use crate::users::credentials::unix_seconds;
use crate::users::{CheckKind, KeptChecks};

/// Longer than a key and its check live.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Bytes of the kept results in one answer, which has 64 KiB at most.
const MAX_KEPT_BYTES: usize = 48 * 1024;

/// What commands ask about checks.
pub(super) struct CheckAsks(pub(super) Checks);

impl asks::checks::Checks for CheckAsks {
    fn new_key(&self) -> Result<Value, String> {
        let key = self.0.new_key();
        let expires = unix_seconds(SystemTime::now()) + key.lifetime.as_secs();
        Ok(json!({"key": key.key, "url": key.url, "expires": expires}))
    }

    fn result(&self, key: &str) -> Pin<Box<dyn Future<Output = Option<Value>> + Send>> {
        let (checks, key) = (self.0.clone(), key.to_owned());
        Box::pin(async move { checks.wait(&key, LONGEST_WAIT).await })
    }

    fn kept(&self) -> Pin<Box<dyn Future<Output = Result<Vec<Value>, String>> + Send>> {
        let checks = self.0.clone();
        Box::pin(async move { Ok(fitting(checks.last().await.map_err(|error| error.to_string())?)) })
    }
}

/// The newest of these results that fit into an answer. Checks have at least half of the space, whatever reports strangers send.
fn fitting(kept: Vec<Value>) -> Vec<Value> {
    let (checks, reports): (Vec<_>, Vec<_>) = kept.into_iter().partition(|value| value["kind"] == CheckKind::Check.name());
    let (mut fitting, mut bytes) = (Vec::new(), 0);
    for (values, most) in [(checks, MAX_KEPT_BYTES / 2), (reports, MAX_KEPT_BYTES)] {
        for value in values {
            let more = value.to_string().len();
            if bytes + more > most {
                break;
            }
            bytes += more;
            fitting.push(value);
        }
    }
    fitting.sort_by_key(|value| std::cmp::Reverse(value["at"].as_i64()));
    fitting
}

impl Opened {
    pub(super) fn checks(&self, ice: IceServers) -> Checks {
        Checks::new(CheckParts {
            directory: self.directory.clone(),
            ice,
            watch: self.watch.clone(),
            facts: self.facts(),
            range: self.range_test(),
            kept: KeptChecks::start(self.store.clone()),
            events: self.hooks.webhooks.events(),
            store: self.store.clone(),
            reports: self.relay.reports().clone(),
            origin: self.check_origin(),
        })
    }

    fn range_test(&self) -> RangeTest {
        let (relay, credentials) = (&self.config.relay, &self.config.credentials);
        let reaches_anyone = relay.scope != Some(Scope::Clients);
        let issues = !credentials.api_keys.is_empty() || !credentials.static_auth_secrets.is_empty();
        RangeTest {
            is_used: reaches_anyone && (relay.clients_need_range() || credentials.strangers == Scope::Anyone || issues),
            is_used_by_users: reaches_anyone,
            policy: PeerPolicy {
                allowed: relay.allowed_peers.clone(),
                denied: relay.denied_peers.clone(),
                neighbours: self.relay.closed_neighbours().to_vec(),
                clients_peers: Vec::new(),
            },
        }
    }

    /// The address at which devices in other networks find the pages. Without a trusted certificate it is that of HTTP, which
    /// browsers open without a warning.
    fn check_origin(&self) -> Box<dyn Fn() -> String + Send + Sync> {
        let (public, external, http) = (self.public_url(), self.external.clone(), self.listeners.http.addr);
        let secure = self.certificates.clone().zip(self.https_port);
        Box::new(move || {
            let secure = || secure.as_ref().and_then(|(certificates, port)| secure_origin(certificates, *port));
            public.clone().or_else(secure).unwrap_or_else(|| plain_origin(&external, http))
        })
    }
}

fn secure_origin(certificates: &Certificates, port: u16) -> Option<String> {
    let certificate = certificates.current();
    let host = certificate.hosts().into_iter().next().filter(|_| certificate.is_trusted())?;
    Some(interfaces::origin("https", &host, port))
}

fn plain_origin(external: &ExternalAddresses, http: SocketAddr) -> String {
    let leads_here = |host: &Host| interfaces::leads_to(host, http.ip());
    let known = external.hosts().into_iter().chain(external.address().map(interfaces::host));
    let host = known.filter(leads_here).chain(interfaces::hosts(http.ip())).next();
    host.map_or_else(|| format!("http://{http}"), |host| interfaces::origin("http", &host, http.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_strangers_leave_room_for_checks_in_an_answer() {
        let kept = |kind: CheckKind, at: u32, bytes: usize| json!({"at": at, "kind": kind.name(), "result": "x".repeat(bytes)});
        let reports = (100..150).map(|at| kept(CheckKind::Cast, at, 16_000));
        let checks = (0..50).map(|at| kept(CheckKind::Check, at, 2000));
        let newest_first: Vec<_> = checks.chain(reports).rev().collect();
        let answer = fitting(newest_first);
        let of = |kind: CheckKind| answer.iter().filter(move |value| value["kind"] == kind.name());
        assert_eq!((of(CheckKind::Check).count(), of(CheckKind::Cast).count()), (12, 1));
        assert_eq!((of(CheckKind::Check).next().unwrap()["at"].as_u64(), answer[0]["at"].as_u64()), (Some(49), Some(149)));
    }
}
