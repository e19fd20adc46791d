//! What commands may ask this server through its control socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::checks::CheckAsks;
use super::self_test::ListenerTest;
use super::server::App;
use crate::config::{Settings, variable_of};
use crate::control::Ask;
use crate::control::asks;
use crate::control::asks::credentials::CredentialsAsk;
use crate::control::asks::facts::FactsAsk;
use crate::control::facts::{
    CertificateFacts, DescriptorFacts, ListenerFacts, ProxyFacts, ProxySighting, RelayFacts, SelfTestFacts, ServerFacts, Service,
    Transport, net_namespace,
};
use crate::limits::descriptors;
use crate::operator;
use crate::tls::Certificates;
use crate::turn::Scope;
use crate::users::credentials::unix_seconds;

impl App {
    /// The questions that this server answers.
    pub(super) fn asks(&self) -> Vec<Box<dyn Ask>> {
        let checks: Arc<dyn asks::checks::Checks> = Arc::new(CheckAsks(self.checks.clone()));
        let mut asks = vec![self.facts_ask(), Box::new(CredentialsAsk(self.directory.clone())) as Box<dyn Ask>];
        asks.extend(asks::checks::all(&checks));
        asks.extend(operator::asks::all(&self.operator()));
        asks
    }

    fn facts_ask(&self) -> Box<dyn Ask> {
        let start = Instant::now();
        let fixed = self.fixed_facts();
        let (certificates, external, ice) = (self.certificates.clone(), self.external.clone(), self.ice.clone());
        let (proxies, descriptors, cost) = (self.proxies.clone(), self.descriptors.clone(), self.cast_cost());
        let (self_test, checks) = (self.self_test.clone(), self.checks.clone());
        let collect = move || {
            let (requests, with_headers) = proxies.counts();
            let last = proxies.last().map(|(address, header)| ProxySighting { address, header: header.to_owned() });
            let relayed: Vec<_> = external.relayed_ips().into_iter().flatten().collect();
            ServerFacts {
                uptime_seconds: start.elapsed().as_secs(),
                relay: RelayFacts {
                    urls: ice.uris(None),
                    advertised: relayed.iter().map(|relay| relay.advertised).collect(),
                    bound: relayed.iter().map(|relay| relay.bound).collect(),
                    hosts: external.hosts().iter().map(ToString::to_string).collect(),
                    problems: external.problems().into_iter().map(|problem| problem.en).collect(),
                    range_in_use: checks.is_range_used(),
                    ..fixed.relay.clone()
                },
                certificate: certificates.as_ref().map(certificate_facts),
                descriptors: DescriptorFacts {
                    limit: descriptors.limit,
                    open: descriptors::open_now(),
                    casts: descriptors.casts(cost),
                },
                proxies: ProxyFacts { requests, with_headers, last },
                self_test: Some(self_test.results().iter().map(self_test_facts).collect()),
                now: unix_seconds(SystemTime::now()),
                ..fixed.clone()
            }
        };
        Box::new(FactsAsk(collect))
    }

    /// The facts that stay as they are.
    fn fixed_facts(&self) -> ServerFacts {
        let config = &self.config;
        let settings = config.settings.expose().set_fields().filter(|(field, _)| !Settings::is_hidden(field));
        let secrets = &config.credentials;
        ServerFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            net_namespace: net_namespace(),
            data_dir: config.data_dir.canonicalize().unwrap_or_else(|_| config.data_dir.clone()).display().to_string(),
            settings: settings.map(|(field, value)| (variable_of(&field), value)).collect(),
            secrets_variable: (!secrets.static_auth_secrets.is_empty()).then(|| secrets.secrets_variable.clone()),
            listeners: self.listener_facts(),
            missing_listeners: self.listeners.missing.iter().map(ToString::to_string).collect(),
            relay: RelayFacts {
                realm: config.relay.realm.clone(),
                ports: (*config.relay.ports.start(), *config.relay.ports.end()),
                clients_need_range: config.relay.clients_need_range(),
                has_range: config.relay.scope != Some(Scope::Clients),
                ..RelayFacts::default()
            },
            public_host: config.http.public_url.as_ref().and_then(|url| url.host_str()).map(str::to_owned),
            ..ServerFacts::default()
        }
    }

    fn listener_facts(&self) -> Vec<ListenerFacts> {
        let tcp = |serves| move |address: SocketAddr| ListenerFacts { protocol: Transport::Tcp, address, serves };
        let mut found: Vec<_> = std::iter::once(self.http_addr()).chain(self.more_http_addrs()).map(tcp(Service::Http)).collect();
        found.extend(self.https_addr().map(tcp(Service::Https)));
        found.extend(self.turns_addr().map(tcp(Service::Turns)));
        found.extend(self.collider_addr().map(tcp(Service::Collider)));
        let turn = self.turn_addr();
        let alternate = self.alternate_turn_port().map(|port| SocketAddr::new(turn.ip(), port));
        for address in std::iter::once(turn).chain(alternate) {
            let kinds = [(self.relay.has_udp(), Transport::Udp), (self.relay.has_tcp(), Transport::Tcp)];
            let kinds = kinds.into_iter().filter(|(listens, _)| *listens);
            found.extend(kinds.map(|(_, protocol)| ListenerFacts { protocol, address, serves: Service::Turn }));
        }
        found
    }
}

fn self_test_facts(tested: &ListenerTest) -> SelfTestFacts {
    SelfTestFacts { listener: tested.listener.clone(), ms: tested.ms, problem: tested.problem.as_ref().map(ToString::to_string) }
}

fn certificate_facts(certificates: &Certificates) -> CertificateFacts {
    let current = certificates.current();
    CertificateFacts {
        kind: current.kind.name().to_owned(),
        names: current.names.clone(),
        issuer: current.issuer.clone(),
        not_before: unix_seconds(current.not_before),
        not_after: unix_seconds(current.not_after),
        trusted: current.is_trusted(),
        problem: certificates.problem().map(|problem| problem.en),
    }
}
