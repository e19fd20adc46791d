//! Builds what serves `/check`.

use std::net::SocketAddr;

use url::Host;

use super::open::Opened;
use crate::addresses::external::ExternalAddresses;
use crate::addresses::ice_servers::IceServers;
use crate::addresses::interfaces;
use crate::check::{CheckParts, Checks, RangeTest};
use crate::tls::Certificates;
use crate::turn::{PeerPolicy, Scope};
use crate::users::KeptChecks;

impl Opened {
    pub(super) fn checks(&self, ice: IceServers) -> Checks {
        Checks::new(CheckParts {
            directory: self.directory.clone(),
            ice,
            watch: self.watch.clone(),
            facts: self.facts(),
            range: self.range_test(),
            kept: KeptChecks::start(self.store.clone()),
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

    /// The origin at which devices in other networks find the pages. Without a trusted certificate it is that of HTTP, which
    /// browsers open without a warning.
    fn check_origin(&self) -> Box<dyn Fn() -> String + Send + Sync> {
        let (public, external, http) = (self.public_origin(), self.external.clone(), self.listeners.http.addr);
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
