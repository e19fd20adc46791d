//! Reads the addresses and networks that are this machine's own, as the engines need them.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::addresses::external::ExternalAddresses;
use crate::addresses::{interfaces, on_link};
use crate::config::{Discovery, RelayConfig};
use crate::relay::setup::client_sockets::ClientSockets;
use crate::turn::{MachineAddresses, NatDiscovery, RelayedIp};

/// Reads the machine's addresses at each call.
#[derive(Debug)]
pub(in crate::relay) struct AddressReader {
    pub(in crate::relay) external: ExternalAddresses,
    /// See [`RelayConfig::follows_machine`].
    follows: Option<IpAddr>,
    discovery: Option<DiscoverySockets>,
}

/// The clients' sockets for NAT behaviour discovery (RFC 5780).
#[derive(Debug)]
struct DiscoverySockets {
    config: Discovery,
    first: SocketAddr,
    other_port: u16,
}

impl AddressReader {
    pub(in crate::relay) fn new(config: &RelayConfig, external: &ExternalAddresses, client_sockets: &ClientSockets) -> Self {
        let sockets = |(config, other_port)| DiscoverySockets { config, first: client_sockets.address, other_port };
        let discovery = config.discovery.zip(client_sockets.alternate_port).map(sockets);
        Self { external: external.clone(), follows: config.follows_machine(), discovery }
    }

    /// Chooses the addresses that relayed sockets are bound to from now on, where no setting names them, and reads all others.
    pub(in crate::relay) fn read(&self) -> MachineAddresses {
        if let Some(listening) = self.follows {
            self.external.set_bound(interfaces::relay_ips(listening, self.external.bound()));
        }
        let relayed = self.external.relayed_ips();
        let (interfaces, neighbours) = (interfaces::addresses(), on_link::networks());
        let nat_discovery = self.discovery.as_ref().map(|sockets| sockets.discoveries(&interfaces, &relayed)).unwrap_or_default();
        let advertised = relayed.iter().flatten().flat_map(|relayed| [relayed.bound, relayed.advertised]);
        let own = interfaces.into_iter().chain(advertised).chain(on_link::anycast(&neighbours));
        let mut own: Vec<IpAddr> = own.map(|ip| ip.to_canonical()).collect();
        own.sort_unstable();
        own.dedup();
        MachineAddresses { relayed, own, neighbours, nat_discovery }
    }
}

impl DiscoverySockets {
    /// RFC 5780 §6: the other address and port for each address that clients may send to.
    fn discoveries(&self, interfaces: &[IpAddr], relayed: &[Option<RelayedIp>; 2]) -> Vec<NatDiscovery> {
        let first = self.first;
        let own = if first.ip().is_unspecified() { interfaces.to_vec() } else { vec![first.ip()] };
        let bound = |ip: IpAddr| relayed[usize::from(ip.is_ipv6())].filter(|relayed| relayed.bound == ip);
        let mut discoveries = Vec::new();
        for ip in own.iter().map(|ip| ip.to_canonical()) {
            let advertised = bound(ip).map_or(ip, |relayed| relayed.advertised);
            // Where the machine has several addresses, only the relayed one gets the second address as its pair.
            let paired = own.len() == 1 || bound(ip).is_some();
            let second = self.config.second_ip.filter(|(second, _)| paired && *second != ip && second.is_ipv4() == ip.is_ipv4());
            let (alternate, outside) = second.unwrap_or((ip, advertised));
            let primary = SocketAddr::new(ip, first.port());
            let alternate = SocketAddr::new(alternate, self.other_port);
            // The engine takes the first entry that has the address.
            let at = if second.is_some() { 0 } else { discoveries.len() };
            discoveries.insert(at, NatDiscovery { primary, alternate, advertised: [advertised, outside] });
        }
        discoveries
    }
}

/// Logs the networks that are closed only because this machine is in them.
pub(in crate::relay) fn log_closed_networks(neighbours: &[IpNet]) {
    if !neighbours.is_empty() {
        let networks = on_link::listed(neighbours);
        tracing::info!(networks, "peers in this machine's own networks are denied; CASTWAY_ALLOWED_PEER_IP allows them");
    }
}
