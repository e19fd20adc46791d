//! What doctor knows when it begins to look.

use std::net::SocketAddr;

use url::Host;

use crate::config::{CertificateSource, Config, Listen};
use crate::control::facts::{CertificateFacts, ListenerFacts, RelayFacts, ServerFacts, Service, Transport, net_namespace};
use crate::turn::Scope;

/// The settings and the running server.
#[derive(Default)]
pub(super) struct Inputs {
    /// The settings that count: those of the running server, or else of its last start, or else those that were found. `None`: they can't
    /// be used.
    pub(super) config: Option<Config>,
    /// What the running server says of itself; `None`: none runs, or it can't be asked.
    pub(super) facts: Option<ServerFacts>,
    /// A server runs, and gives no answer.
    pub(super) unanswered: bool,
    /// Fresh credentials for an allocation of doctor's own.
    pub(super) credentials: Option<Credentials>,
    /// The certificate of `CASTWAY_CERT` or the authority's where no server runs, or why it can't be read.
    pub(super) certificate: Option<Result<CertificateFacts, String>>,
    /// In seconds since 1970.
    pub(super) now: u64,
}

/// A username with its password, which the relay accepts for five minutes.
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: String,
}

/// Who needs the relayed ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeUse {
    /// Casts and calls do.
    Everybody,
    /// Users, or clients of API keys or of other issuers of credentials.
    Others,
    /// There is no such user or key.
    Nobody,
}

/// A port on which clients reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NeededPort {
    pub(super) protocol: Transport,
    pub(super) address: SocketAddr,
    pub(super) serves: Service,
}

impl Inputs {
    /// The ports that clients need, as the running server has them, or as the settings name them.
    pub(super) fn ports(&self) -> Vec<NeededPort> {
        if let Some(facts) = &self.facts {
            let port =
                |found: &ListenerFacts| NeededPort { protocol: found.protocol, address: found.address, serves: found.serves };
            return facts.listeners.iter().map(port).collect();
        }
        let Some(config) = &self.config else { return Vec::new() };
        let tcp = |serves| move |address: SocketAddr| NeededPort { protocol: Transport::Tcp, address, serves };
        let first = |listen: &Option<Listen>| listen.as_ref().and_then(|listen| listen.addrs.first().copied());
        let http = config.http.listen.iter().filter_map(|listen| listen.addrs.first().copied());
        let mut ports: Vec<_> = http.map(tcp(Service::Http)).collect();
        ports.extend(first(&config.tls.https).map(tcp(Service::Https)));
        ports.extend(first(&config.tls.turns).map(tcp(Service::Turns)));
        ports.extend(config.apprtc.collider.map(tcp(Service::Collider)));
        let relay = &config.relay;
        let alternate = relay.alternate_port.map(|port| SocketAddr::new(relay.addr.ip(), port));
        for address in std::iter::once(relay.addr).chain(alternate) {
            let kinds = [(relay.udp, Transport::Udp), (relay.tcp, Transport::Tcp)];
            let kinds = kinds.into_iter().filter(|(listens, _)| *listens);
            ports.extend(kinds.map(|(_, protocol)| NeededPort { protocol, address, serves: Service::Turn }));
        }
        ports
    }

    /// Whether the server runs in another network than this program, as in a container.
    pub(super) fn is_elsewhere(&self) -> bool {
        let theirs = self.facts.as_ref().map(|facts| facts.net_namespace.as_str()).unwrap_or_default();
        let own = net_namespace();
        !theirs.is_empty() && !own.is_empty() && theirs != own
    }

    /// The DNS name that people type or that URLs of the relay have.
    pub(super) fn public_name(&self) -> Option<String> {
        let of_facts = self.facts.iter().flat_map(|facts| facts.public_host.iter().chain(&facts.relay.hosts)).cloned();
        let config = self.config.as_ref();
        let of_url = config.and_then(|config| config.http.public_url.as_ref()?.host_str().map(str::to_owned));
        let of_domain = config.and_then(|config| match &config.tls.source {
            CertificateSource::Acme(acme) => acme.domains.first().cloned(),
            CertificateSource::SelfSigned | CertificateSource::Files { .. } => None,
        });
        let is_name = |host: &String| matches!(Host::parse(host), Ok(Host::Domain(_)));
        of_facts.chain(of_url).chain(of_domain).find(is_name)
    }

    /// The first and the last relayed port, and who needs them; `None`: nobody can.
    pub(super) fn relayed_ports(&self) -> Option<((u16, u16), RangeUse)> {
        let usage = |everybody: bool, others: bool| match (everybody, others) {
            (true, _) => RangeUse::Everybody,
            (false, true) => RangeUse::Others,
            (false, false) => RangeUse::Nobody,
        };
        if let Some(RelayFacts { ports, has_range, clients_need_range, range_in_use, .. }) =
            self.facts.as_ref().map(|facts| &facts.relay)
        {
            return has_range.then_some((*ports, usage(*clients_need_range, *range_in_use)));
        }
        let config = self.config.as_ref()?;
        let relay = &config.relay;
        let issues = !config.credentials.api_keys.is_empty() || !config.credentials.static_auth_secrets.is_empty();
        let has_range = relay.scope != Some(Scope::Clients);
        has_range.then(|| ((*relay.ports.start(), *relay.ports.end()), usage(relay.clients_need_range(), issues)))
    }
}
