//! The addresses that relayed sockets are bound to.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rand::RngExt as _;

use crate::addresses::interfaces;
use crate::config::RelayConfig;
use crate::relay::io::udp::BatchUdpSocket;
use crate::relay::io::udp_types::UdpOptions;
use crate::relay::setup::bind_error::listen_error;

/// Ports of the range that are tried at the start until one is free.
const MAX_PORT_TRIES: u32 = 64;

/// Finds the addresses to bind relayed sockets to: IPv4, then IPv6. Where no setting names them, they are those that the machine has
/// now, and follow it later.
///
/// # Errors
/// An address that a setting names is not this machine's, or the ports are taken.
pub fn bind_addresses(config: &RelayConfig) -> anyhow::Result<[Option<IpAddr>; 2]> {
    let bound = interfaces::relay_ips_at_start(config);
    let follows = config.follows_machine().is_some();
    for ip in bound.into_iter().flatten() {
        let Err(error) = find_port(config, ip) else { continue };
        let is_taken = error.kind() == io::ErrorKind::AddrInUse;
        // The machine may just be losing the address, or not have it yet; and nobody has asked for a second family.
        if follows && (!is_taken || (ip.is_ipv6() && bound[0].is_some())) {
            tracing::warn!(%ip, %error, "relayed sockets can't be bound for now");
            continue;
        }
        // The address came from the setting of the clients' sockets.
        let of_client_sockets = config.relay_ips.is_empty() && error.kind() == io::ErrorKind::AddrNotAvailable;
        return Err(if of_client_sockets {
            listen_error("UDP", config.addr, "CASTWAY_TURN_ADDR", error)
        } else {
            relay_error(config, ip, error)
        });
    }
    Ok(bound)
}

/// Checks that at least one port of the range can be bound.
fn find_port(config: &RelayConfig, ip: IpAddr) -> io::Result<()> {
    let (first, last) = (u32::from(*config.ports.start()), u32::from(*config.ports.end()));
    let count = last - first + 1;
    let start = rand::rng().random_range(0..count);
    let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
    for step in 0..count.min(MAX_PORT_TRIES) {
        let port = u16::try_from(first + (start + step) % count).expect("within the range");
        match BatchUdpSocket::bind(SocketAddr::new(ip, port), &UdpOptions::relayed()) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
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
