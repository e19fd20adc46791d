//! The TURN relay: where it listens, which ports it hands out, whom it may reach.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::{ExternalConfig, NETWORKS, Reader, Settings, network};

#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// STUN and TURN over UDP and TCP.
    pub addr: SocketAddr,
    /// Another port of the same address for STUN and TURN over UDP and TCP. 0: any, where the first is any too.
    pub alternate_port: Option<u16>,
    /// What relayed transport addresses are advertised under; else the bound addresses.
    pub external: ExternalConfig,
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
    /// RFC 6062.
    pub tcp_relay: bool,
    /// RFC 5780.
    pub discovery: Option<Discovery>,
    /// Threads that relay.
    pub threads: usize,
    /// How long packets may gather under load; zero: not at all.
    pub coalesce: Duration,
    /// Allocations of one user, and of all.
    pub user_quota: Option<u32>,
    pub total_quota: Option<u32>,
    /// Of one allocation: permissions, channels, connections with TCP peers, and new peers in a second.
    pub max_permissions: usize,
    pub max_channels: usize,
    pub max_connections: usize,
    pub new_peers: Option<u64>,
    /// Bytes a second of one allocation, of one user's, and of all; each direction by itself.
    pub max_bps: Option<u64>,
    pub user_bps: Option<u64>,
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

/// The sockets of NAT behaviour discovery besides the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery {
    /// The other port where the relay has no alternate one, for UDP alone. 0: any, where the listener's is any too.
    pub port: u16,
    /// Another address of this machine, and what it is called outside.
    pub second_ip: Option<(IpAddr, IpAddr)>,
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
        if no_udp && no_tcp && flag(reader, "CASTWAY_NO_TLS", &settings.no_tls, false) {
            let expected = "false where CASTWAY_NO_UDP and CASTWAY_NO_TLS are true: the relay must listen on something";
            reader.problem("CASTWAY_NO_TCP", "true", expected);
        }
        let no_tcp_relay = flag(reader, "CASTWAY_NO_TCP_RELAY", &settings.no_tcp_relay, true);
        if no_tcp && !no_tcp_relay {
            let expected = "true where CASTWAY_NO_TCP is true: clients ask for TCP peers over TCP";
            reader.problem("CASTWAY_NO_TCP_RELAY", "false", expected);
        }
        let alternate_port = alternate_port(reader, settings, addr.port());
        if no_udp
            && no_tcp
            && let Some(port) = alternate_port
        {
            let expected = "nothing where CASTWAY_NO_UDP and CASTWAY_NO_TCP are true: TURN over TLS is at CASTWAY_TURNS_ADDR";
            reader.problem("CASTWAY_ALT_LISTENING_PORT", &port.to_string(), expected);
        }
        let discovery = discovery(reader, settings, addr.port());
        if no_udp && discovery.is_some() {
            reader.problem("CASTWAY_RFC5780", "true", "false where CASTWAY_NO_UDP is true");
        }
        Self {
            addr,
            alternate_port,
            external: ExternalConfig::read(settings, reader),
            relay_ips: concrete_ips(reader, "CASTWAY_RELAY_IP", &settings.relay_ip),
            ports: min..=max,
            realm: reader.parse("CASTWAY_REALM", &settings.realm, "1 to 127 characters", "castway".to_owned(), |value| {
                (value.chars().count() <= 127).then(|| value.to_owned())
            }),
            allowed_peers: reader.list("CASTWAY_ALLOWED_PEER_IP", &settings.allowed_peer_ip, NETWORKS, network),
            denied_peers: reader.list("CASTWAY_DENIED_PEER_IP", &settings.denied_peer_ip, NETWORKS, network),
            udp: !no_udp,
            tcp: !no_tcp,
            tcp_relay: !no_tcp_relay,
            discovery,
            threads: reader.number("CASTWAY_RELAY_THREADS", &settings.relay_threads, cores(), 1..=64) as usize,
            coalesce: Duration::from_micros(reader.number("CASTWAY_COALESCE", &settings.coalesce, 200, 0..=1000)),
            user_quota: count(reader, "CASTWAY_USER_QUOTA", &settings.user_quota),
            total_quota: count(reader, "CASTWAY_TOTAL_QUOTA", &settings.total_quota),
            max_permissions: cap(reader, "CASTWAY_MAX_PERMISSIONS", &settings.max_permissions, 64),
            max_channels: cap(reader, "CASTWAY_MAX_CHANNELS", &settings.max_channels, 64),
            max_connections: cap(reader, "CASTWAY_MAX_CONNECTIONS", &settings.max_connections, 16),
            new_peers: Some(reader.number("CASTWAY_NEW_PEERS", &settings.new_peers, 32, 0..=u64::MAX)).filter(|most| *most > 0),
            max_bps: limit(reader, "CASTWAY_MAX_BPS", &settings.max_bps),
            user_bps: limit(reader, "CASTWAY_USER_BPS", &settings.user_bps),
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

fn cap(reader: &mut Reader, name: &str, setting: &Option<String>, default: u64) -> usize {
    reader.number(name, setting, default, 1..=10_000) as usize
}

fn alternate_port(reader: &mut Reader, settings: &Settings, first: u16) -> Option<u16> {
    let port = reader.number("CASTWAY_ALT_LISTENING_PORT", &settings.alt_listening_port, 0, 0..=65535) as u16;
    if port != 0 && port == first {
        reader.problem("CASTWAY_ALT_LISTENING_PORT", &port.to_string(), "another port than that of CASTWAY_TURN_ADDR");
    }
    (port != 0).then_some(port)
}

fn discovery(reader: &mut Reader, settings: &Settings, first: u16) -> Option<Discovery> {
    let on = flag(reader, "CASTWAY_RFC5780", &settings.rfc5780, false);
    let expected = "an IP address of this machine, or PUBLIC/PRIVATE, e.g. 203.0.113.8/10.0.0.6";
    let second_ip = reader.parse("CASTWAY_ALT_IP", &settings.alt_ip, expected, None, |value| {
        let (public, private) = value.split_once('/').unwrap_or((value, value));
        let (public, private): (IpAddr, IpAddr) = (public.parse().ok()?, private.parse().ok()?);
        let unicast = [private, public].iter().all(|ip| !ip.is_unspecified() && !ip.is_multicast());
        (unicast && public.is_ipv4() == private.is_ipv4()).then_some(Some((private, public)))
    });
    if let Some((private, _)) = second_ip.filter(|_| !on) {
        reader.problem("CASTWAY_ALT_IP", &private.to_string(), "nothing unless CASTWAY_RFC5780 is true");
    }
    // As in coturn.
    let above = if first == 0 { 0 } else { first.checked_add(1).unwrap_or(first - 1) };
    on.then_some(Discovery { port: above, second_ip })
}

fn alternate_servers(reader: &mut Reader, setting: &Option<String>) -> Vec<SocketAddr> {
    let name = "CASTWAY_ALTERNATE_SERVER";
    let servers: Vec<SocketAddr> =
        reader.list(name, setting, "an IP address and a port, one for IPv4 and one for IPv6 at most", |item| {
            let server: SocketAddr = item.parse().ok()?;
            (server.port() != 0 && !server.ip().is_unspecified()).then_some(server)
        });
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
    fn a_wildcard_is_no_relay_address() {
        let settings = Settings { relay_ip: Some("0.0.0.0".into()), ..Settings::default() };
        assert!(Config::read(&settings).is_err());
    }

    #[test]
    fn one_address_of_a_family() {
        let read = |ips: &str| Config::read(&Settings { relay_ip: Some(ips.into()), ..Settings::default() });
        assert_eq!(read("203.0.113.7, 2001:db8::7").expect("one of each").relay.relay_ips.len(), 2);
        let problems = read("203.0.113.7,203.0.113.8").expect_err("two of one").to_string();
        assert!(problems.contains("203.0.113.8") && problems.contains("one IPv4"), "{problems}");
    }

    #[test]
    fn an_alternate_server_is_one_that_can_be_reached() {
        let read = |server: &str| Config::read(&Settings { alternate_server: Some(server.into()), ..Settings::default() });
        assert_eq!(read("203.0.113.7:3478").expect("a server").relay.alternate_servers.len(), 1);
        for server in ["203.0.113.7:0", "0.0.0.0:3478", "[::]:3478"] {
            assert!(read(server).expect_err(server).to_string().contains("CASTWAY_ALTERNATE_SERVER"));
        }
    }

    #[test]
    fn limits_of_zero_are_none_and_something_must_listen() {
        let settings = Settings { user_quota: Some("0".into()), max_bps: Some("125000".into()), ..Settings::default() };
        let relay = Config::read(&settings).expect("valid").relay;
        assert_eq!((relay.user_quota, relay.max_bps), (None, Some(125_000)));
        let yes = || Some("true".to_owned());
        let mut settings = Settings { no_udp: yes(), no_tcp: yes(), ..Settings::default() };
        assert!(Config::read(&settings).is_ok(), "there is TLS");
        settings.no_tls = yes();
        assert!(Config::read(&settings).expect_err("nothing listens").to_string().contains("CASTWAY_NO_TCP"));
        let settings = Settings { no_tcp_relay: Some("false".into()), no_tcp: Some("true".into()), ..Settings::default() };
        assert!(Config::read(&settings).expect_err("no way to ask").to_string().contains("CASTWAY_NO_TCP_RELAY"));
    }

    #[test]
    fn a_second_port_needs_no_discovery() {
        let read = |port: &str, more: &Settings| {
            let settings = Settings { alt_listening_port: Some(port.into()), ..more.clone() };
            Config::read(&settings).map(|config| (config.relay.alternate_port, config.relay.discovery.is_some()))
        };
        let (yes, no) = (|| Some("true".to_owned()), Settings::default);
        assert_eq!(read("3479", &no()), Ok((Some(3479), false)));
        for none in ["", "0"] {
            assert_eq!(read(none, &no()), Ok((None, false)), "not listened on unless it is set");
        }
        assert_eq!(read("3479", &Settings { rfc5780: yes(), ..no() }), Ok((Some(3479), true)));
        assert_eq!(read("3479", &Settings { no_udp: yes(), ..no() }), Ok((Some(3479), false)));
        for (port, more) in [("3478", no()), ("65536", no()), ("3479", Settings { no_udp: yes(), no_tcp: yes(), ..no() })] {
            let problems = read(port, &more).expect_err(port).to_string();
            assert!(problems.contains(&format!("CASTWAY_ALT_LISTENING_PORT=\"{port}\"")), "{problems}");
        }
    }

    #[test]
    fn discovery_has_the_next_port_and_perhaps_a_second_address() {
        let read = |on: &str, ip: &str| {
            let settings = Settings { rfc5780: Some(on.into()), alt_ip: Some(ip.into()), ..Settings::default() };
            Config::read(&settings).map(|config| config.relay.discovery)
        };
        assert_eq!(read("false", ""), Ok(None));
        assert_eq!(read("true", ""), Ok(Some(Discovery { port: 3479, second_ip: None })));
        let second_ip = Some(([10, 0, 0, 6].into(), [203, 0, 113, 8].into()));
        assert_eq!(read("true", "203.0.113.8/10.0.0.6"), Ok(Some(Discovery { port: 3479, second_ip })));
        for (on, ip) in
            [("false", "10.0.0.6"), ("true", "0.0.0.0"), ("true", "224.0.0.1"), ("true", "10.0.0.6/"), ("true", "10.0.0.6/::1")]
        {
            assert!(read(on, ip).expect_err(ip).to_string().contains("CASTWAY_ALT_IP"));
        }
    }
}
