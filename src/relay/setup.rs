//! From settings to addresses and bound sockets; every problem is a sentence that names the setting to change.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use ipnet::IpNet;
use rand::RngExt as _;

use super::io::udp::{Options, UdpSocket};
use super::shard::relayed_sockets::Listener;
use super::tcp::acceptor::Acceptor;
use crate::addresses::interfaces;
use crate::addresses::on_link;
use crate::config::{Discovery, RelayConfig};
use crate::turn::{NatDiscovery, PeerPolicy, RelayedAddress, Settings};

/// Ports of the range that are tried for a free one at the start.
const TRIES: usize = 64;
/// Ports that are tried where any will do, until one is free for UDP and TCP.
const ANY_PORT_TRIES: usize = 16;

/// The sockets of all clients, by shard.
pub(super) struct Listeners {
    pub(super) address: SocketAddr,
    /// The other port of the settings, or of NAT behaviour discovery.
    pub(super) alternate_port: Option<u16>,
    pub(super) udp: Vec<Vec<Listener>>,
    pub(super) tcp: Vec<Vec<Acceptor>>,
}

impl Listeners {
    /// # Errors
    /// The address is taken, not this machine's, or forbidden.
    pub(super) fn bind(config: &RelayConfig) -> anyhow::Result<Self> {
        let tries = if config.addr.port() == 0 { ANY_PORT_TRIES } else { 1 };
        let mut bound = Self::bind_once(config);
        for _ in 1..tries {
            if bound.is_ok() {
                break;
            }
            bound = Self::bind_once(config);
        }
        bound
    }

    fn bind_once(config: &RelayConfig) -> anyhow::Result<Self> {
        let address = probe(config.addr, config.udp, config.tcp, "CASTWAY_TURN_ADDR")?;
        let (mut datagrams, mut streams) = (vec![address], vec![address]);
        if let Some(port) = config.alternate_port {
            let wanted = SocketAddr::new(address.ip(), port);
            let setting = "CASTWAY_ALT_LISTENING_PORT";
            let alternate = probe(wanted, config.udp, config.tcp, setting)?;
            if alternate == address {
                return Err(listen_error("UDP", address, setting, io::ErrorKind::AddrInUse.into()));
            }
            datagrams.push(alternate);
            streams.push(alternate);
        }
        if let Some(discovery) = config.discovery.as_ref().filter(|_| config.udp) {
            if datagrams.len() == 1 {
                datagrams.push(discovery_address(discovery, address)?);
            }
            datagrams.extend(second_addresses(discovery, address, datagrams[1].port())?);
        }
        let alternate_port = datagrams.get(1).map(SocketAddr::port);
        let listener = |address: &SocketAddr| {
            let socket = UdpSocket::bind(*address, &Options::listener(*address));
            let listener = socket.map(|socket| Listener { socket, address: *address });
            listener.map_err(|error| listen_error("UDP", *address, "CASTWAY_TURN_ADDR", error))
        };
        let acceptor = |address: &SocketAddr| {
            Acceptor::bind(*address, true).map_err(|error| listen_error("TCP", *address, "CASTWAY_TURN_ADDR", error))
        };
        let threads = 0..config.threads;
        let udp = threads.clone().filter(|_| config.udp).map(|_| datagrams.iter().map(listener).collect());
        let tcp = threads.filter(|_| config.tcp).map(|_| streams.iter().map(acceptor).collect());
        Ok(Self { address, alternate_port, udp: udp.collect::<anyhow::Result<_>>()?, tcp: tcp.collect::<anyhow::Result<_>>()? })
    }
}

/// Binds the address alone and lets go of it: sockets that share a port would share it with another server of the same user too.
/// Returns it with the port that was free, where any will do.
fn probe(mut address: SocketAddr, udp: bool, tcp: bool, setting: &str) -> anyhow::Result<SocketAddr> {
    if udp {
        let alone = Options { reuse_port: false, ..Options::listener(address) };
        let socket = UdpSocket::bind(address, &alone).map_err(|error| listen_error("UDP", address, setting, error))?;
        address = socket.local_addr().context("the relay's socket has no address")?;
    }
    if tcp {
        let acceptor = Acceptor::bind(address, false).map_err(|error| listen_error("TCP", address, setting, error))?;
        address = acceptor.local_addr().context("the relay's socket has no address")?;
    }
    Ok(address)
}

/// The other port of NAT behaviour discovery; where the first is any, so is this.
fn discovery_address(discovery: &Discovery, first: SocketAddr) -> anyhow::Result<SocketAddr> {
    let address = SocketAddr::new(first.ip(), discovery.port);
    let alone = Options { reuse_port: false, ..Options::listener(address) };
    let socket = UdpSocket::bind(address, &alone).map_err(|error| discovery_error(address, &error))?;
    socket.local_addr().context("the relay's socket has no address")
}

/// Where to listen at the second address of NAT behaviour discovery: nowhere else on a wildcard, otherwise at both ports.
fn second_addresses(discovery: &Discovery, first: SocketAddr, port: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let mut second = Vec::new();
    if let Some((ip, _)) = discovery.second_ip {
        ensure!(
            ip.is_ipv4() == first.ip().to_canonical().is_ipv4() || first.ip() == Ipv6Addr::UNSPECIFIED,
            "CASTWAY_ALT_IP={ip} and CASTWAY_TURN_ADDR={first} are not both IPv4 or both IPv6"
        );
        // On a wildcard its packets come anyhow; but only if it is an address of this machine.
        let ports = if first.ip().is_unspecified() { [0, 0] } else { [first.port(), port] };
        for address in ports.map(|port| SocketAddr::new(ip, port)) {
            let alone = Options { reuse_port: false, ..Options::listener(address) };
            UdpSocket::bind(address, &alone).map_err(|error| discovery_error(address, &error))?;
            second.extend(Some(address).filter(|address| address.port() != 0));
        }
    }
    Ok(second)
}

fn discovery_error(address: SocketAddr, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!(
        "the relay can't listen on UDP {address} for NAT behaviour discovery ({error}): change CASTWAY_ALT_LISTENING_PORT or \
         CASTWAY_ALT_IP, or set CASTWAY_RFC5780=false"
    )
}

/// What NAT behaviour discovery does for each address that clients may send to.
fn discoveries(config: &RelayConfig, relay: &[Option<RelayedAddress>; 2], listeners: &Listeners) -> Vec<NatDiscovery> {
    let (Some(discovery), Some(port)) = (&config.discovery, listeners.alternate_port) else { return Vec::new() };
    let first = listeners.address;
    let own = if first.ip().is_unspecified() { interfaces::addresses() } else { vec![first.ip()] };
    let bound = |ip: IpAddr| relay[usize::from(ip.is_ipv6())].filter(|relay| relay.bound == ip);
    let mut discoveries = Vec::new();
    for ip in own.iter().map(|ip| ip.to_canonical()) {
        let advertised = bound(ip).map_or(ip, |relay| relay.advertised);
        // Of several addresses, the relay's is the first one of a pair.
        let paired = own.len() == 1 || bound(ip).is_some();
        let second = discovery.second_ip.filter(|(second, _)| paired && *second != ip && second.is_ipv4() == ip.is_ipv4());
        let (alternate, outside) = second.unwrap_or((ip, advertised));
        let primary = SocketAddr::new(ip, first.port());
        let pair = NatDiscovery { primary, alternate: SocketAddr::new(alternate, port), advertised: [advertised, outside] };
        // The engine takes the first that has the address.
        discoveries.insert(if second.is_some() { 0 } else { discoveries.len() }, pair);
    }
    discoveries
}

/// The addresses that relayed sockets are bound to: IPv4, then IPv6.
///
/// # Errors
/// An address is not this machine's, or its ports are taken.
pub fn bind_addresses(config: &RelayConfig) -> anyhow::Result<[Option<IpAddr>; 2]> {
    let listening = config.addr.ip().to_canonical();
    let mut wanted: Vec<IpAddr> = config.relay_ips.iter().map(|ip| ip.to_canonical()).collect();
    let mut spare = None;
    if wanted.is_empty() {
        let first = interfaces::relay_ip(listening);
        wanted.push(first);
        spare = listening.is_unspecified().then(|| interfaces::counterpart(first)).flatten();
    }
    let mut bound = [None; 2];
    for ip in wanted {
        find_port(config, ip).map_err(|error| {
            // The listener's address was taken for it.
            let listeners = config.relay_ips.is_empty() && error.kind() == io::ErrorKind::AddrNotAvailable;
            if listeners { listen_error("UDP", config.addr, "CASTWAY_TURN_ADDR", error) } else { relay_error(config, ip, error) }
        })?;
        bound[usize::from(ip.is_ipv6())] = Some(ip);
    }
    if let Some(ip) = spare.filter(|ip| find_port(config, *ip).is_ok()) {
        bound[usize::from(ip.is_ipv6())] = Some(ip);
    }
    Ok(bound)
}

/// What the engines are told.
pub(super) fn settings(
    config: &RelayConfig,
    relay: [Option<RelayedAddress>; 2],
    listeners: &Listeners,
    surroundings: &Surroundings,
) -> Settings {
    let mut settings = Settings::new(config.realm.clone());
    settings.relay = relay;
    settings.own_addresses = surroundings.own.to_vec();
    settings.listener_ports = listeners.alternate_port.into_iter().chain([listeners.address.port()]).collect();
    settings.nat_discovery = discoveries(config, &relay, listeners);
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
    settings.limits.connections = config.max_connections;
    settings.limits.new_peers = config.new_peers;
    settings.limits.allocation_bandwidth = config.max_bps;
    settings.limits.user_bandwidth = config.user_bps;
    settings.limits.server_bandwidth = config.bps_capacity;
    settings
}

pub(super) fn policy(config: &RelayConfig, surroundings: &Surroundings) -> PeerPolicy {
    let neighbours = surroundings.neighbours.to_vec();
    PeerPolicy { allowed: config.allowed_peers.clone(), denied: config.denied_peers.clone(), neighbours }
}

/// What is this machine, and the networks that it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// Its interfaces, what it may be as a router, and where its relays are.
    pub(super) own: Arc<[IpAddr]>,
    pub(super) neighbours: Arc<[IpNet]>,
}

impl Surroundings {
    pub(super) fn look(relay: &[Option<RelayedAddress>; 2]) -> Self {
        let relays = relay.iter().flatten().flat_map(|relay| [relay.bound, relay.advertised]);
        let neighbours = on_link::networks();
        let own = interfaces::addresses().into_iter().chain(relays).chain(on_link::anycast(&neighbours));
        let mut own: Vec<IpAddr> = own.map(|ip| ip.to_canonical()).collect();
        own.sort_unstable();
        own.dedup();
        Self { own: own.into(), neighbours: neighbours.into() }
    }
}

/// Tells the operator which networks are closed that would be open elsewhere.
pub(super) fn log_closed(neighbours: &[IpNet]) {
    if !neighbours.is_empty() {
        let networks = on_link::listed(neighbours);
        tracing::info!(networks, "peers in this machine's own networks are denied; CASTWAY_ALLOWED_PEER_IP allows them");
    }
}

/// Finds a port that can be bound, and leaves it alone.
fn find_port(config: &RelayConfig, ip: IpAddr) -> io::Result<()> {
    let (first, last) = (u32::from(*config.ports.start()), u32::from(*config.ports.end()));
    let count = last - first + 1;
    let start = rand::rng().random_range(0..count);
    let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
    for step in 0..count.min(TRIES as u32) {
        let port = u16::try_from(first + (start + step) % count).expect("within the range");
        match UdpSocket::bind(SocketAddr::new(ip, port), &Options::relayed()) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

/// `setting` is the one that has the port.
fn listen_error(protocol: &str, addr: SocketAddr, setting: &str, error: io::Error) -> anyhow::Error {
    let kind = error.kind();
    let off = if protocol == "TCP" { "; or set CASTWAY_NO_TCP=true" } else { "" };
    let sentence = if kind == io::ErrorKind::AddrInUse {
        format!(
            "{protocol} {addr} is taken by another program (another Castway, coturn?) or by another setting of this one: stop that \
             program, or set {setting} to a free \
             port{off}"
        )
    } else if kind == io::ErrorKind::AddrNotAvailable {
        let (own, port) = (interfaces::listed(), addr.port());
        format!(
            "the relay can't listen on {addr}, which is not an address of this machine: set CASTWAY_TURN_ADDR to one of {own}, \
             or to 0.0.0.0:{port} for all"
        )
    } else if kind == io::ErrorKind::PermissionDenied {
        format!(
            "{protocol} {addr} needs more rights than this user has: set {setting} to a port from 1024 up, or grant \
             CAP_NET_BIND_SERVICE"
        )
    } else {
        format!("the relay can't listen on {protocol} {addr}: change {setting}")
    };
    anyhow::Error::new(error).context(sentence)
}

fn relay_error(config: &RelayConfig, relay_ip: IpAddr, error: io::Error) -> anyhow::Error {
    let kind = error.kind();
    let sentence = if kind == io::ErrorKind::AddrInUse {
        format!(
            "every UDP port from {} to {} of {relay_ip} is taken: stop what holds them, or widen CASTWAY_MIN_PORT and \
             CASTWAY_MAX_PORT",
            config.ports.start(),
            config.ports.end()
        )
    } else if kind == io::ErrorKind::AddrNotAvailable {
        format!(
            "relayed sockets can't be bound to {relay_ip}, which is not an address of this machine: set CASTWAY_RELAY_IP to \
             one of {}; the address of a router in front belongs in CASTWAY_EXTERNAL_IP",
            interfaces::listed()
        )
    } else {
        format!("relayed sockets can't be bound to {relay_ip}: change CASTWAY_RELAY_IP, or what forbids it")
    };
    anyhow::Error::new(error).context(sentence)
}
