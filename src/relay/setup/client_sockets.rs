//! The sockets of all clients: binds them for each shard.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use anyhow::{Context as _, ensure};

use crate::config::{Discovery, RelayConfig};
use crate::relay::io::udp::BatchUdpSocket;
use crate::relay::io::udp_types::UdpOptions;
use crate::relay::setup::bind_error::{is_port_taken, listen_error};
use crate::relay::tcp::acceptor::Acceptor;

/// How many free ports are tried until one is free for both UDP and TCP.
const MAX_BIND_TRIES: usize = 16;

/// A UDP socket of all clients, and the address that it listens on.
#[derive(Debug)]
pub(in crate::relay) struct ClientSocket {
    pub(in crate::relay) socket: BatchUdpSocket,
    pub(in crate::relay) address: SocketAddr,
}

/// The sockets of all clients, by shard.
pub(in crate::relay) struct ClientSockets {
    pub(in crate::relay) address: SocketAddr,
    /// The configured second port, or that of NAT behaviour discovery.
    pub(in crate::relay) alternate_port: Option<u16>,
    pub(in crate::relay) udp: Vec<Vec<ClientSocket>>,
    pub(in crate::relay) tcp: Vec<Vec<Acceptor>>,
}

impl ClientSockets {
    /// # Errors
    /// The address is taken, not this machine's, or forbidden.
    pub(in crate::relay) fn bind(config: &RelayConfig) -> anyhow::Result<Self> {
        let tries = if config.addr.port() == 0 { MAX_BIND_TRIES } else { 1 };
        for _ in 1..tries {
            match Self::bind_once(config) {
                // Another free port may be free for both.
                Err(error) if is_port_taken(&error) => {}
                bound => return bound,
            }
        }
        Self::bind_once(config)
    }

    fn bind_once(config: &RelayConfig) -> anyhow::Result<Self> {
        let address = bind_exclusively(config.addr, config.udp, config.tcp, "CASTWAY_TURN_ADDR")?;
        let (mut datagrams, mut streams) = (vec![address], vec![address]);
        if let Some(port) = config.alternate_port {
            let wanted = SocketAddr::new(address.ip(), port);
            let setting = "CASTWAY_ALT_LISTENING_PORT";
            let alternate = bind_exclusively(wanted, config.udp, config.tcp, setting)?;
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
        let client_socket = |address: &SocketAddr| {
            let socket = BatchUdpSocket::bind(*address, &UdpOptions::clients(*address));
            let bound = socket.map(|socket| ClientSocket { socket, address: *address });
            bound.map_err(|error| listen_error("UDP", *address, "CASTWAY_TURN_ADDR", error))
        };
        let acceptor = |address: &SocketAddr| {
            Acceptor::bind(*address, true).map_err(|error| listen_error("TCP", *address, "CASTWAY_TURN_ADDR", error))
        };
        let threads = 0..config.threads;
        let udp = threads.clone().filter(|_| config.udp).map(|_| datagrams.iter().map(client_socket).collect());
        let tcp = threads.filter(|_| config.tcp).map(|_| streams.iter().map(acceptor).collect());
        Ok(Self { address, alternate_port, udp: udp.collect::<anyhow::Result<_>>()?, tcp: tcp.collect::<anyhow::Result<_>>()? })
    }
}

/// Binds the address without SO_REUSEPORT and closes the socket again: with it, the port would also be shared with another server
/// of the same user. Returns the address with the port that was bound.
fn bind_exclusively(mut address: SocketAddr, udp: bool, tcp: bool, setting: &str) -> anyhow::Result<SocketAddr> {
    if udp {
        let alone = UdpOptions { reuse_port: false, ..UdpOptions::clients(address) };
        let socket = BatchUdpSocket::bind(address, &alone).map_err(|error| listen_error("UDP", address, setting, error))?;
        address = socket.local_addr().context("the relay's socket has no address")?;
    }
    if tcp {
        let acceptor = Acceptor::bind(address, false).map_err(|error| listen_error("TCP", address, setting, error))?;
        address = acceptor.local_addr().context("the relay's socket has no address")?;
    }
    Ok(address)
}

/// The second port of NAT behaviour discovery (RFC 5780). Port 0 stands for any free port.
fn discovery_address(discovery: &Discovery, first: SocketAddr) -> anyhow::Result<SocketAddr> {
    let address = SocketAddr::new(first.ip(), discovery.port);
    let alone = UdpOptions { reuse_port: false, ..UdpOptions::clients(address) };
    let socket = BatchUdpSocket::bind(address, &alone).map_err(|error| discovery_error(address, error))?;
    socket.local_addr().context("the relay's socket has no address")
}

/// The further addresses to listen on, at the second IP address of NAT behaviour discovery: one for each port, or none where the
/// first address is a wildcard.
fn second_addresses(discovery: &Discovery, first: SocketAddr, port: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let mut second = Vec::new();
    if let Some((ip, _)) = discovery.second_ip {
        ensure!(
            ip.is_ipv4() == first.ip().to_canonical().is_ipv4() || first.ip() == Ipv6Addr::UNSPECIFIED,
            "CASTWAY_ALT_IP={ip} and CASTWAY_TURN_ADDR={first} are not both IPv4 or both IPv6"
        );
        // A wildcard socket receives the packets of the second address too, provided that this is an address of the machine.
        let ports = if first.ip().is_unspecified() { [0, 0] } else { [first.port(), port] };
        for address in ports.map(|port| SocketAddr::new(ip, port)) {
            let alone = UdpOptions { reuse_port: false, ..UdpOptions::clients(address) };
            BatchUdpSocket::bind(address, &alone).map_err(|error| discovery_error(address, error))?;
            second.extend(Some(address).filter(|address| address.port() != 0));
        }
    }
    Ok(second)
}

fn discovery_error(address: SocketAddr, error: io::Error) -> anyhow::Error {
    let sentence = format!(
        "the relay can't listen on UDP {address} for NAT behaviour discovery: change CASTWAY_ALT_LISTENING_PORT or CASTWAY_ALT_IP, \
         or set CASTWAY_RFC5780=false"
    );
    anyhow::Error::new(error).context(sentence)
}
