//! What the server knows about itself when a verdict is made.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use url::{Host, Url};

use crate::addresses::external::ExternalAddresses;
use crate::addresses::ice_servers::IceServers;
use crate::addresses::interfaces;
use crate::diagnosis::observation::{Facts, FactsSource, Path};
use crate::diagnosis::watch::Watch;
use crate::tls::Certificates;
use crate::users::Directory;

/// How long the addresses of a name are taken for current.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(300);
/// Names that are looked up; a certificate may have hundreds.
const MAX_NAMES: usize = 8;

/// The sources of [`Facts`].
pub(super) struct ServerFacts {
    pub(super) udp_port: Option<u16>,
    pub(super) tcp_port: Option<u16>,
    /// `None`: TLS is off.
    pub(super) https_port: Option<u16>,
    pub(super) relayed_ports: (u16, u16),
    pub(super) range_needed: bool,
    pub(super) ice: IceServers,
    pub(super) external: ExternalAddresses,
    pub(super) certificates: Option<Certificates>,
    pub(super) directory: Directory,
    pub(super) watch: Watch,
    pub(super) names: PublicNames,
}

/// Where the names lead by which clients find this server. Only names of the settings and of the certificate are looked up, because
/// anybody can send any Host header. Clones share the results.
#[derive(Clone)]
pub(super) struct PublicNames {
    external: ExternalAddresses,
    public: Option<Host>,
    certificates: Option<Certificates>,
    found: Arc<ArcSwap<Found>>,
    /// Notified when the results were asked for.
    asked: Arc<Notify>,
}

#[derive(Default)]
struct Found {
    /// `None`: nothing was looked up yet.
    at: Option<Instant>,
    addresses: BTreeMap<String, Vec<IpAddr>>,
}

impl FactsSource for ServerFacts {
    fn facts(&self, host: Option<&str>, client: IpAddr, reached: Option<IpAddr>) -> Facts {
        let (relayed, now, wall) = (self.external.relayed_ips(), Instant::now(), SystemTime::now());
        let trusted = self.certificates.as_ref().map(|certificates| certificates.current().is_trusted());
        let (asked, host) = (IceServers::asked_host(host), self.ice.host(host));
        let last = |path| {
            let at = self.watch.last_elsewhere(path, client)?;
            wall.checked_sub(now.saturating_duration_since(at))
        };
        Facts {
            client: Some(client.to_canonical()),
            udp_port: self.udp_port,
            tcp_port: self.tcp_port,
            tls_port: self.https_port.filter(|_| trusted == Some(true)),
            relayed_ports: Some(self.relayed_ports),
            range_needed: self.range_needed,
            advertised: relayed.iter().flatten().map(|relayed| relayed.advertised).collect(),
            bound: relayed.iter().flatten().map(|relayed| relayed.bound).collect(),
            host_addresses: self.names.addresses(&host),
            asked_addresses: asked.map(|asked| self.names.addresses(&asked)).unwrap_or_default(),
            host: Some(interfaces::unbracketed(&host)),
            reached: reached.map(|reached| reached.to_canonical()),
            proxied: reached.is_none(),
            certificate_trusted: trusted,
            last_udp_elsewhere: last(Path::Udp),
            last_tcp_elsewhere: last(Path::Tcp),
            static_secret: self.directory.signing_secret().is_none(),
            second_device: None,
            now: Some(wall),
        }
    }
}

impl PublicNames {
    pub(super) fn new(external: ExternalAddresses, public_url: Option<&Url>, certificates: Option<Certificates>) -> Self {
        let public = public_url.and_then(Url::host).map(|host| host.to_owned());
        Self { external, public, certificates, found: Arc::default(), asked: Arc::default() }
    }

    /// The addresses that `host` leads to: its own where it is an address, and none where it was not looked up.
    fn addresses(&self, host: &Host) -> Vec<IpAddr> {
        match host {
            Host::Ipv4(ip) => vec![(*ip).into()],
            Host::Ipv6(ip) => vec![(*ip).into()],
            Host::Domain(_) if interfaces::is_loopback_host(host) => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            Host::Domain(name) => {
                self.asked.notify_one();
                self.found.load().addresses.get(name).cloned().unwrap_or_default()
            }
        }
    }

    /// Looks the names up at the start, and again when somebody asks after the results have become old.
    pub(super) async fn keep_looking_up(self) {
        loop {
            let old = self.found.load().at.is_none_or(|at| at.elapsed() >= LOOKUP_INTERVAL);
            if old {
                let mut addresses = BTreeMap::new();
                for name in self.names() {
                    // An empty list says that the name leads nowhere, or that the resolver does not answer.
                    let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                    let mut found: Vec<IpAddr> =
                        found.map(|found| found.map(|found| found.ip().to_canonical()).collect()).unwrap_or_default();
                    found.sort_unstable();
                    found.dedup();
                    addresses.insert(name, found);
                }
                self.found.store(Arc::new(Found { at: Some(Instant::now()), addresses }));
            }
            self.asked.notified().await;
        }
    }

    fn names(&self) -> Vec<String> {
        let certificate = self.certificates.iter().flat_map(|certificates| {
            let current = certificates.current();
            if current.is_trusted() { current.hosts() } else { Vec::new() }
        });
        let mut names = Vec::new();
        for host in self.external.hosts().into_iter().chain(self.public.clone()).chain(certificate) {
            if let Host::Domain(name) = host
                && names.len() < MAX_NAMES
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }
}
