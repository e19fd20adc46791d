//! The TURN relay: where it listens, which ports it hands out, whom it may reach.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::{Reader, Settings};

#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// STUN and TURN over UDP and TCP.
    pub addr: SocketAddr,
    /// The addresses that relayed transport addresses are advertised under, one of a family at most; else the bound ones.
    pub external_ips: Vec<IpAddr>,
    /// The addresses that relayed sockets are bound to, one of a family at most; else the default route's.
    pub relay_ips: Vec<IpAddr>,
    /// Ports of relayed transport addresses.
    pub ports: RangeInclusive<u16>,
    pub realm: String,
    /// Peers that may be reached although the built-in list denies them.
    pub allowed_peers: Vec<IpNet>,
    /// Peers that must not be reached, besides the built-in list. An allowed network wins over a denied one.
    pub denied_peers: Vec<IpNet>,
    pub udp: bool,
    pub tcp: bool,
    /// Threads that relay.
    pub threads: usize,
    /// How long packets may gather under load; zero: not at all.
    pub coalesce: Duration,
    /// Allocations of one user, and of all.
    pub user_quota: Option<u32>,
    pub total_quota: Option<u32>,
    /// Bytes a second of one allocation, and of all; each direction by itself.
    pub max_bps: Option<u64>,
    pub bps_capacity: Option<u64>,
    /// How long a nonce is good.
    pub stale_nonce: Duration,
    pub max_lifetime: Duration,
    /// Where clients are sent instead, one server of a family at most.
    pub alternate_servers: Vec<SocketAddr>,
    /// An allocation ends with the credentials that made it.
    pub strict_expiry: bool,
    /// RFC 8016.
    pub mobility: bool,
    /// Tell clients of ICMP errors (RFC 8656 §11.5).
    pub icmp_indications: bool,
    /// Tell name and version in SOFTWARE.
    pub software: bool,
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
        let no_udp = flag(reader, "CASTWAY_NO_UDP", &settings.no_udp, false);
        let no_tcp = flag(reader, "CASTWAY_NO_TCP", &settings.no_tcp, false);
        if no_udp && no_tcp {
            reader.problem("CASTWAY_NO_TCP", "true", "false where CASTWAY_NO_UDP is true: the relay must listen on something");
        }
        if !flag(reader, "CASTWAY_NO_TCP_RELAY", &settings.no_tcp_relay, true) {
            reader.problem("CASTWAY_NO_TCP_RELAY", "false", "true: relaying to TCP peers (RFC 6062) is not there yet");
        }
        let networks = "addresses or networks such as 10.1.2.3 or 10.0.0.0/8, separated by commas";
        Self {
            addr,
            external_ips: concrete_ips(reader, "CASTWAY_EXTERNAL_IP", &settings.external_ip),
            relay_ips: concrete_ips(reader, "CASTWAY_RELAY_IP", &settings.relay_ip),
            ports: min..=max,
            realm: reader.parse("CASTWAY_REALM", &settings.realm, "1 to 127 characters", "castway".to_owned(), |value| {
                (value.chars().count() <= 127).then(|| value.to_owned())
            }),
            allowed_peers: reader.list("CASTWAY_ALLOWED_PEER_IP", &settings.allowed_peer_ip, networks, network),
            denied_peers: reader.list("CASTWAY_DENIED_PEER_IP", &settings.denied_peer_ip, networks, network),
            udp: !no_udp,
            tcp: !no_tcp,
            threads: reader.number("CASTWAY_RELAY_THREADS", &settings.relay_threads, cores(), 1..=64) as usize,
            coalesce: Duration::from_micros(reader.number("CASTWAY_COALESCE", &settings.coalesce, 200, 0..=1000)),
            user_quota: count(reader, "CASTWAY_USER_QUOTA", &settings.user_quota),
            total_quota: count(reader, "CASTWAY_TOTAL_QUOTA", &settings.total_quota),
            max_bps: limit(reader, "CASTWAY_MAX_BPS", &settings.max_bps),
            bps_capacity: limit(reader, "CASTWAY_BPS_CAPACITY", &settings.bps_capacity),
            stale_nonce: reader.seconds("CASTWAY_STALE_NONCE", &settings.stale_nonce, 600, 10..=3600),
            max_lifetime: reader.seconds("CASTWAY_MAX_ALLOCATE_LIFETIME", &settings.max_allocate_lifetime, 3600, 600..=86_400),
            alternate_servers: alternate_servers(reader, &settings.alternate_server),
            strict_expiry: flag(reader, "CASTWAY_STRICT_EXPIRY", &settings.strict_expiry, false),
            mobility: flag(reader, "CASTWAY_MOBILITY", &settings.mobility, false),
            icmp_indications: flag(reader, "CASTWAY_ICMP_INDICATIONS", &settings.icmp_indications, false),
            software: flag(reader, "CASTWAY_SOFTWARE", &settings.software, false),
        }
    }
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self::read(&Settings::default(), &mut Reader::default())
    }
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4) as u64)
}

fn flag(reader: &mut Reader, name: &str, setting: &Option<String>, default: bool) -> bool {
    reader.parsed(name, setting, "true or false", default)
}

/// A limit where 0 and nothing mean none, as in coturn.
fn limit(reader: &mut Reader, name: &str, setting: &Option<String>) -> Option<u64> {
    Some(reader.number(name, setting, 0, 0..=u64::MAX)).filter(|limit| *limit > 0)
}

fn count(reader: &mut Reader, name: &str, setting: &Option<String>) -> Option<u32> {
    let count = reader.number(name, setting, 0, 0..=u64::from(u32::MAX));
    u32::try_from(count).ok().filter(|count| *count > 0)
}

fn alternate_servers(reader: &mut Reader, setting: &Option<String>) -> Vec<SocketAddr> {
    let name = "CASTWAY_ALTERNATE_SERVER";
    let servers: Vec<SocketAddr> =
        reader.list(name, setting, "an IP address and a port, one for IPv4 and one for IPv6 at most", |item| item.parse().ok());
    one_a_family(reader, name, &servers.iter().map(SocketAddr::ip).collect::<Vec<_>>());
    servers
}

fn one_a_family(reader: &mut Reader, name: &str, ips: &[IpAddr]) {
    let (v4, v6) = ips.iter().partition::<Vec<&IpAddr>, _>(|ip| ip.to_canonical().is_ipv4());
    for family in [v4, v6] {
        if let [_, second, ..] = family[..] {
            reader.problem(name, &second.to_string(), "one IPv4 and one IPv6 address at most");
        }
    }
}

fn port(reader: &mut Reader, name: &str, setting: &Option<String>, default: u16) -> u16 {
    let port = reader.number(name, setting, u64::from(default), 1024..=65535);
    u16::try_from(port).expect("the range above fits a port")
}

fn concrete_ips(reader: &mut Reader, name: &str, setting: &Option<String>) -> Vec<IpAddr> {
    let expected = "an IP address that others can reach, e.g. 203.0.113.7, or one of each family, separated by a comma";
    let mut ips: Vec<IpAddr> = reader.list(name, setting, expected, |item| item.parse().ok());
    if let Some(ip) = ips.iter().find(|ip| ip.is_unspecified() || ip.is_multicast()) {
        reader.problem(name, &ip.to_string(), "the address of one machine, not a wildcard or a group");
    }
    one_a_family(reader, name, &ips);
    ips.retain(|ip| !ip.is_unspecified() && !ip.is_multicast());
    ips
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
    fn one_address_of_a_family() {
        let read = |ips: &str| Config::read(&Settings { external_ip: Some(ips.into()), ..Settings::default() });
        assert_eq!(read("203.0.113.7, 2001:db8::7").expect("one of each").relay.external_ips.len(), 2);
        let problems = read("203.0.113.7,203.0.113.8").expect_err("two of one").to_string();
        assert!(problems.contains("203.0.113.8") && problems.contains("one IPv4"), "{problems}");
    }

    #[test]
    fn limits_of_zero_are_none_and_something_must_listen() {
        let settings = Settings { user_quota: Some("0".into()), max_bps: Some("125000".into()), ..Settings::default() };
        let relay = Config::read(&settings).expect("valid").relay;
        assert_eq!((relay.user_quota, relay.max_bps), (None, Some(125_000)));
        let settings = Settings { no_udp: Some("true".into()), no_tcp: Some("true".into()), ..Settings::default() };
        assert!(Config::read(&settings).expect_err("nothing listens").to_string().contains("CASTWAY_NO_TCP"));
        let settings = Settings { no_tcp_relay: Some("false".into()), ..Settings::default() };
        assert!(Config::read(&settings).is_err());
    }

    #[test]
    fn an_address_is_a_network_of_one() {
        assert_eq!(network("10.1.2.3"), "10.1.2.3/32".parse().ok());
        assert_eq!(network("fd00::/8"), "fd00::/8".parse().ok());
        assert_eq!(network("10.0.0.0/33"), None);
    }
}
