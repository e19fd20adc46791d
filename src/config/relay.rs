//! The TURN relay: where it listens, which ports it hands out, whom it may reach.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{Reader, Settings};

#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// STUN and TURN over UDP.
    pub addr: SocketAddr,
    /// The address that relayed transport addresses are advertised under; `None`: the bound one.
    pub external_ip: Option<IpAddr>,
    /// The address that relayed sockets are bound to; `None`: the default route's.
    pub relay_ip: Option<IpAddr>,
    /// Ports of relayed transport addresses.
    pub ports: RangeInclusive<u16>,
    pub realm: String,
    /// Peers that may be reached although the built-in list denies them.
    pub allowed_peers: Vec<IpNet>,
    /// Peers that must not be reached, besides the built-in list. An allowed network wins over a denied one.
    pub denied_peers: Vec<IpNet>,
}

impl RelayConfig {
    pub(super) fn read(settings: &Settings, reader: &mut Reader) -> Self {
        let default = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 3478));
        let addr =
            reader.parsed("CASTWAY_TURN_ADDR", &settings.turn_addr, "an IP address and a port, e.g. 0.0.0.0:3478", default);
        let min = port(reader, "CASTWAY_MIN_PORT", &settings.min_port, 49152);
        let max = port(reader, "CASTWAY_MAX_PORT", &settings.max_port, 65535);
        if min > max {
            reader.problem("CASTWAY_MIN_PORT", &min.to_string(), &format!("a port not above CASTWAY_MAX_PORT ({max})"));
        }
        let networks = "addresses or networks such as 10.1.2.3 or 10.0.0.0/8, separated by commas";
        Self {
            addr,
            external_ip: concrete_ip(reader, "CASTWAY_EXTERNAL_IP", &settings.external_ip),
            relay_ip: concrete_ip(reader, "CASTWAY_RELAY_IP", &settings.relay_ip),
            ports: min..=max,
            realm: reader.parse("CASTWAY_REALM", &settings.realm, "1 to 127 characters", "castway".to_owned(), |value| {
                (value.chars().count() <= 127).then(|| value.to_owned())
            }),
            allowed_peers: reader.list("CASTWAY_ALLOWED_PEER_IP", &settings.allowed_peer_ip, networks, network),
            denied_peers: reader.list("CASTWAY_DENIED_PEER_IP", &settings.denied_peer_ip, networks, network),
        }
    }
}

fn port(reader: &mut Reader, name: &str, setting: &Option<String>, default: u16) -> u16 {
    let port = reader.number(name, setting, u64::from(default), 1024..=65535);
    u16::try_from(port).expect("the range above fits a port")
}

fn concrete_ip(reader: &mut Reader, name: &str, setting: &Option<String>) -> Option<IpAddr> {
    let ip: Option<IpAddr> = reader.optional(name, setting, "an IP address that others can reach, e.g. 203.0.113.7");
    if let Some(ip) = ip.filter(|ip| ip.is_unspecified() || ip.is_multicast()) {
        reader.problem(name, &ip.to_string(), "the address of one machine, not a wildcard or a group");
        return None;
    }
    ip
}

/// A network, or one address as the network of its own.
fn network(value: &str) -> Option<IpNet> {
    value.parse().ok().or_else(|| value.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn ports_are_a_range() {
        let settings = Settings { min_port: Some("50000".into()), max_port: Some("40000".into()), ..Settings::default() };
        let problems = Config::read(&settings).expect_err("upside down").to_string();
        assert!(problems.contains("not above CASTWAY_MAX_PORT (40000)"), "{problems}");
    }

    #[test]
    fn a_wildcard_is_no_external_address() {
        let settings = Settings { external_ip: Some("0.0.0.0".into()), ..Settings::default() };
        assert!(Config::read(&settings).is_err());
    }

    #[test]
    fn an_address_is_a_network_of_one() {
        assert_eq!(network("10.1.2.3"), "10.1.2.3/32".parse().ok());
        assert_eq!(network("fd00::/8"), "fd00::/8".parse().ok());
        assert_eq!(network("10.0.0.0/33"), None);
    }
}
