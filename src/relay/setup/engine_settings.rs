//! The settings of the engines, with the peer policy.

use crate::config::RelayConfig;
use crate::relay::setup::client_sockets::ClientSockets;
use crate::turn::{self, EngineSettings, MachineAddresses, PeerPolicy};

/// The settings of all engines. `listening` are the ports that the rest of the program listens on.
pub(in crate::relay) fn settings(
    config: &RelayConfig,
    addresses: &MachineAddresses,
    client_sockets: &ClientSockets,
    listening: &[u16],
) -> EngineSettings {
    let mut settings = EngineSettings::new(config.realm.clone());
    settings.set_addresses(addresses);
    settings.default_family = config.default_family;
    settings.listener_ports = client_sockets.alternate_port.into_iter().chain([client_sockets.address.port()]).collect();
    let listening: Vec<u16> = listening.iter().chain(&settings.listener_ports).copied().collect();
    settings.internal_ports = turn::internal_ports(&config.ports, &listening);
    settings.scope = config.scope;
    settings.clients_lifetime = config.clients_lifetime;
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
pub(in crate::relay) fn policy(config: &RelayConfig, addresses: &MachineAddresses) -> PeerPolicy {
    PeerPolicy {
        allowed: config.allowed_peers.clone(),
        denied: config.denied_peers.clone(),
        neighbours: addresses.neighbours.clone(),
        clients_peers: config.clients_peers.clone(),
    }
}
