//! The settings of the engines, with the peer policy and NAT behaviour discovery (RFC 5780).

use std::net::{IpAddr, SocketAddr};

use crate::addresses::interfaces;
use crate::config::RelayConfig;
use crate::relay::setup::client_sockets::ClientSockets;
use crate::relay::setup::local_addresses::LocalAddresses;
use crate::turn::{self, EngineSettings, NatDiscovery, PeerPolicy, RelayedIp};

/// The settings of all engines. `listening` are the ports that the rest of the program listens on.
pub(in crate::relay) fn settings(
    config: &RelayConfig,
    relayed: [Option<RelayedIp>; 2],
    client_sockets: &ClientSockets,
    local: &LocalAddresses,
    listening: &[u16],
) -> EngineSettings {
    let mut settings = EngineSettings::new(config.realm.clone());
    settings.relayed = relayed;
    settings.own_addresses = local.own.to_vec();
    settings.listener_ports = client_sockets.alternate_port.into_iter().chain([client_sockets.address.port()]).collect();
    let listening: Vec<u16> = listening.iter().chain(&settings.listener_ports).copied().collect();
    settings.internal_ports = turn::internal_ports(&config.ports, &listening);
    settings.scope = config.scope;
    settings.clients_lifetime = config.clients_lifetime;
    settings.nat_discovery = discoveries(config, &relayed, client_sockets);
    settings.tcp_relay = config.tcp_relay;
    settings.max_lifetime = config.max_lifetime;
    settings.nonce_lifetime = config.stale_nonce;
    settings.strict_expiry = config.strict_expiry;
    settings.dont_fragment = true;
    settings.mobility = config.mobility;
    settings.software = config.software.then(|| concat!("Castway ", env!("CARGO_PKG_VERSION")).to_owned());
    for server in &config.alternate_servers {
        settings.alternate_server[usize::from(server.is_ipv6())] = Some(*server);
    }
    settings.limits.user_quota = config.user_quota;
    settings.limits.total_quota = config.total_quota;
    settings.limits.permissions = config.max_permissions;
    settings.limits.channels = config.max_channels;
    settings.limits.peer_connections = config.max_peer_connections;
    settings.limits.new_peers = config.new_peers;
    settings.limits.allocation_bandwidth = config.max_bps;
    settings.limits.user_bandwidth = config.user_bps;
    settings.limits.server_bandwidth = config.bps_capacity;
    settings.limits.clients_bandwidth = config.clients_bps;
    settings.limits.clients_per_address = config.clients_per_address;
    settings.limits.clients_capacity = config.clients_capacity;
    settings
}

/// The policy for the peers that clients may reach.
pub(in crate::relay) fn policy(config: &RelayConfig, local: &LocalAddresses) -> PeerPolicy {
    let neighbours = local.neighbours.to_vec();
    PeerPolicy {
        allowed: config.allowed_peers.clone(),
        denied: config.denied_peers.clone(),
        neighbours,
        clients_peers: config.clients_peers.clone(),
    }
}

/// RFC 5780 §6: the other address and port for each address that clients may send to.
fn discoveries(config: &RelayConfig, relayed: &[Option<RelayedIp>; 2], client_sockets: &ClientSockets) -> Vec<NatDiscovery> {
    let (Some(discovery), Some(port)) = (&config.discovery, client_sockets.alternate_port) else { return Vec::new() };
    let first = client_sockets.address;
    let own = if first.ip().is_unspecified() { interfaces::addresses() } else { vec![first.ip()] };
    let bound = |ip: IpAddr| relayed[usize::from(ip.is_ipv6())].filter(|relayed| relayed.bound == ip);
    let mut discoveries = Vec::new();
    for ip in own.iter().map(|ip| ip.to_canonical()) {
        let advertised = bound(ip).map_or(ip, |relayed| relayed.advertised);
        // Where the machine has several addresses, only the relayed one gets the second address as its pair.
        let paired = own.len() == 1 || bound(ip).is_some();
        let second = discovery.second_ip.filter(|(second, _)| paired && *second != ip && second.is_ipv4() == ip.is_ipv4());
        let (alternate, outside) = second.unwrap_or((ip, advertised));
        let primary = SocketAddr::new(ip, first.port());
        let pair = NatDiscovery { primary, alternate: SocketAddr::new(alternate, port), advertised: [advertised, outside] };
        // The engine takes the first entry that has the address.
        discoveries.insert(if second.is_some() { 0 } else { discoveries.len() }, pair);
    }
    discoveries
}
