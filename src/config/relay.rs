//! The TURN relay: where it listens, which ports it allocates, and which peers it may reach.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::credentials::LONGEST_TTL;
use super::external::ExternalConfig;
use super::listen::listening_addr;
use super::network::unicast_address;
use super::reader::{MAX_COUNT, Reader};
use super::settings::Settings;
use crate::turn::{DefaultFamily, Scope};

const TURN_ADDR: &str = "CASTWAY_TURN_ADDR";
const ALT_LISTENING_PORT: &str = "CASTWAY_ALT_LISTENING_PORT";
const ALT_IP: &str = "CASTWAY_ALT_IP";
const ALTERNATE_SERVER: &str = "CASTWAY_ALTERNATE_SERVER";
const NO_TCP: &str = "CASTWAY_NO_TCP";
const NO_TCP_RELAY: &str = "CASTWAY_NO_TCP_RELAY";

/// Relay threads that are started where CASTWAY_RELAY_THREADS is not set.
const MAX_DEFAULT_THREADS: usize = 4;
/// The upper end of the limits of one allocation.
const MAX_PER_ALLOCATION: usize = 10_000;
/// Characters of the longest realm. RFC 8489 §14.9: REALM has fewer than 128.
const MAX_REALM_CHARS: usize = 127;

#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// The listener of STUN and TURN over UDP and TCP.
    pub addr: SocketAddr,
    /// Another port of the same address for STUN and TURN over UDP and TCP. 0: any free one, if the first port is any free one too.
    pub alternate_port: Option<u16>,
    /// How relayed transport addresses are advertised; without it, as they are bound.
    pub external: ExternalConfig,
    /// The addresses that relayed sockets are bound to, at most one of each family; empty: those of the default routes.
    pub relay_ips: Vec<IpAddr>,
    /// The family of an allocation whose request names none.
    pub default_family: DefaultFamily,
    /// Ports of relayed transport addresses.
    pub ports: RangeInclusive<u16>,
    pub realm: String,
    /// Networks of peers that the relay may reach although the built-in list denies them.
    pub allowed_peers: Vec<IpNet>,
    /// Networks of peers that the relay must not reach, in addition to the built-in list. An allowed network wins over a denied one.
    pub denied_peers: Vec<IpNet>,
    /// The scope of all credentials; `None`: each has its own.
    pub scope: Option<Scope>,
    /// Networks of peers that allocations of scope clients may reach in addition to relayed addresses of this server.
    pub clients_peers: Vec<IpNet>,
    /// How long after its Allocate an allocation of scope clients accepts requests with its key, whatever the expiry of its credentials.
    pub clients_lifetime: Duration,
    /// Maximum number of allocations of scope clients of one IPv4 address; an IPv6 /64 gets a fifth.
    pub clients_per_address: u32,
    /// Percentage of the capacity above which allocations of scope clients yield to others.
    pub clients_capacity: u8,
    pub udp: bool,
    pub tcp: bool,
    /// Relaying to TCP peers (RFC 6062).
    pub tcp_relay: bool,
    /// NAT behavior discovery (RFC 5780).
    pub discovery: Option<Discovery>,
    /// Number of threads that relay.
    pub threads: usize,
    /// How long packets that come one by one may gather under load, so that fewer system calls send them; zero: not at all.
    pub coalesce: Duration,
    /// Maximum number of allocations of one user, and of all users.
    pub user_quota: Option<u32>,
    pub total_quota: Option<u32>,
    /// Limits of one allocation: permissions, channels, connections with TCP peers, and new peers in a second.
    pub max_permissions: usize,
    pub max_channels: usize,
    pub max_peer_connections: usize,
    pub new_peers: Option<u64>,
    /// Bytes per second of one allocation, of all allocations of one user, and of all allocations; each counted for each direction.
    pub max_bps: Option<u64>,
    pub user_bps: Option<u64>,
    pub bps_capacity: Option<u64>,
    /// Bytes per second of all allocations of scope clients together, counted for each direction.
    pub clients_bps: Option<u64>,
    /// Lifetime of a nonce.
    pub stale_nonce: Duration,
    pub max_lifetime: Duration,
    /// Servers that clients are sent to instead (ALTERNATE-SERVER), at most one of each family.
    pub alternate_servers: Vec<SocketAddr>,
    /// An allocation ends when the credentials that made it expire.
    pub strict_expiry: bool,
    /// Mobility (RFC 8016).
    pub mobility: bool,
    /// Report ICMP errors to clients (RFC 8656 §11.5).
    pub icmp_indications: bool,
    /// Send the name and the version of this program in SOFTWARE.
    pub software: bool,
}

/// The sockets of NAT behavior discovery in addition to the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery {
    /// The other port, for UDP only, where the relay has no alternate port. 0: any free one, if the listener's port is any free one too.
    pub port: u16,
    /// Another address of this machine, and the address under which the world reaches it.
    pub second_ip: Option<(IpAddr, IpAddr)>,
}

/// Which listeners and services of the relay are on; some exclude each other.
struct Services {
    udp: bool,
    tcp: bool,
    tcp_relay: bool,
}

impl Services {
    fn read(reader: &mut Reader) -> Self {
        let (no_udp, no_tcp) = (reader.flag("CASTWAY_NO_UDP"), reader.flag(NO_TCP));
        if no_udp && no_tcp && reader.flag("CASTWAY_NO_TLS") {
            let expected = "false where CASTWAY_NO_UDP and CASTWAY_NO_TLS are true: the relay must listen on something";
            reader.problem(NO_TCP, "true", expected);
        }
        let no_tcp_relay = reader.flag(NO_TCP_RELAY);
        if no_tcp && !no_tcp_relay {
            let expected = "true where CASTWAY_NO_TCP is true: clients ask for TCP peers over TCP";
            reader.problem(NO_TCP_RELAY, "false", expected);
        }
        Self { udp: !no_udp, tcp: !no_tcp, tcp_relay: !no_tcp_relay }
    }
}

impl RelayConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let addr = reader.given_addr(TURN_ADDR, "[::]:3478").unwrap_or_else(|| reader.default_addr(TURN_ADDR));
        let services = Services::read(reader);
        let bandwidth = 0..=u64::MAX;
        Self {
            addr,
            alternate_port: alternate_port(reader, addr.port(), &services),
            external: ExternalConfig::read(reader, addr),
            relay_ips: relay_ips(reader),
            default_family: default_family(reader),
            ports: ports(reader),
            realm: reader.value("CASTWAY_REALM", &format!("1 to {MAX_REALM_CHARS} characters"), |text| {
                (text.chars().count() <= MAX_REALM_CHARS).then(|| text.to_owned())
            }),
            allowed_peers: reader.networks("CASTWAY_ALLOWED_PEER_IP"),
            denied_peers: reader.networks("CASTWAY_DENIED_PEER_IP"),
            scope: scope(reader),
            clients_peers: reader.networks("CASTWAY_CLIENTS_PEER_IP"),
            clients_lifetime: reader.seconds("CASTWAY_CLIENTS_LIFETIME", 0..=LONGEST_TTL.as_secs()),
            clients_per_address: reader.number("CASTWAY_CLIENTS_ALLOCATIONS", 1..=MAX_COUNT, ""),
            clients_capacity: reader.number("CASTWAY_CLIENTS_CAPACITY", 1..=100, "of percent"),
            udp: services.udp,
            tcp: services.tcp,
            tcp_relay: services.tcp_relay,
            discovery: discovery(reader, addr.port(), services.udp),
            threads: reader.number_or("CASTWAY_RELAY_THREADS", default_threads(), 1..=64),
            coalesce: Duration::from_micros(reader.number("CASTWAY_COALESCE", 0..=1000, "of microseconds")),
            user_quota: reader.limit("CASTWAY_USER_QUOTA", 0..=u32::MAX, ""),
            total_quota: reader.limit("CASTWAY_TOTAL_QUOTA", 0..=u32::MAX, ""),
            max_permissions: reader.number("CASTWAY_MAX_PERMISSIONS", 1..=MAX_PER_ALLOCATION, ""),
            max_channels: reader.number("CASTWAY_MAX_CHANNELS", 1..=MAX_PER_ALLOCATION, ""),
            max_peer_connections: reader.number("CASTWAY_MAX_CONNECTIONS", 1..=MAX_PER_ALLOCATION, ""),
            new_peers: reader.limit("CASTWAY_NEW_PEERS", 0..=u64::MAX, "per second"),
            max_bps: reader.limit("CASTWAY_MAX_BPS", bandwidth.clone(), "of bytes per second"),
            user_bps: reader.limit("CASTWAY_USER_BPS", bandwidth.clone(), "of bytes per second"),
            bps_capacity: reader.limit("CASTWAY_BPS_CAPACITY", bandwidth.clone(), "of bytes per second"),
            clients_bps: reader.limit("CASTWAY_CLIENTS_BPS", bandwidth, "of bytes per second"),
            stale_nonce: reader.seconds("CASTWAY_STALE_NONCE", 10..=3600),
            max_lifetime: reader.seconds("CASTWAY_MAX_ALLOCATE_LIFETIME", 600..=86_400),
            alternate_servers: alternate_servers(reader),
            strict_expiry: reader.flag("CASTWAY_STRICT_EXPIRY"),
            mobility: reader.flag("CASTWAY_MOBILITY"),
            icmp_indications: reader.flag("CASTWAY_ICMP_INDICATIONS"),
            software: reader.flag("CASTWAY_SOFTWARE"),
        }
    }
}

impl RelayConfig {
    /// The listener whose machine's addresses relayed sockets follow; `None`: the settings name the address.
    #[must_use]
    pub fn follows_machine(&self) -> Option<IpAddr> {
        Some(self.addr.ip()).filter(|ip| self.relay_ips.is_empty() && ip.to_canonical().is_unspecified())
    }

    /// The addresses that `CASTWAY_RELAY_IP` names, each at the place of its family: IPv4, then IPv6. `None`: it names none.
    #[must_use]
    pub fn named_relay_ips(&self) -> Option<[Option<IpAddr>; 2]> {
        let of = |is_v6| self.relay_ips.iter().map(IpAddr::to_canonical).find(|ip| ip.is_ipv6() == is_v6);
        Some([of(false), of(true)]).filter(|named| *named != [None; 2])
    }

    /// Whether relayed addresses of scope *clients* have sockets, and so ports of the range: where they reach others than each other.
    #[must_use]
    pub fn clients_need_range(&self) -> bool {
        self.scope == Some(Scope::Anyone) || !self.clients_peers.is_empty()
    }
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self::read(&mut Reader::new(&Settings::default()))
    }
}

fn scope(reader: &mut Reader) -> Option<Scope> {
    let scopes = [("credentials", None), ("clients", Some(Scope::Clients)), ("anyone", Some(Scope::Anyone))];
    reader.choice("CASTWAY_RELAY_SCOPE", &scopes)
}

/// coturn's words.
fn default_family(reader: &mut Reader) -> DefaultFamily {
    let families = [("ipv4", DefaultFamily::Ipv4), ("ipv6", DefaultFamily::Ipv6), ("keep", DefaultFamily::OfClient)];
    reader.choice("CASTWAY_ALLOCATION_DEFAULT_ADDRESS_FAMILY", &families)
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_DEFAULT_THREADS))
}

fn ports(reader: &mut Reader) -> RangeInclusive<u16> {
    let unprivileged = 1024..=u16::MAX;
    let min = reader.number("CASTWAY_MIN_PORT", unprivileged.clone(), "");
    let max = reader.number("CASTWAY_MAX_PORT", unprivileged, "");
    if min > max {
        reader.problem("CASTWAY_MIN_PORT", &min.to_string(), &format!("a port not above CASTWAY_MAX_PORT ({max})"));
    }
    min..=max
}

fn alternate_port(reader: &mut Reader, first: u16, services: &Services) -> Option<u16> {
    let port = reader.limit(ALT_LISTENING_PORT, 0..=u16::MAX, "")?;
    if port == first {
        reader.problem(ALT_LISTENING_PORT, &port.to_string(), "another port than that of CASTWAY_TURN_ADDR");
    }
    if !services.udp && !services.tcp {
        let expected = "nothing where CASTWAY_NO_UDP and CASTWAY_NO_TCP are true: TURN over TLS is at CASTWAY_TURNS_ADDR";
        reader.problem(ALT_LISTENING_PORT, &port.to_string(), expected);
    }
    Some(port)
}

fn discovery(reader: &mut Reader, first: u16, udp: bool) -> Option<Discovery> {
    let on = reader.flag("CASTWAY_RFC5780");
    let expected = "an IP address of this machine, or PUBLIC/PRIVATE, e.g. 203.0.113.8/10.0.0.6";
    let second_ip = reader.optional(ALT_IP, expected, second_ip);
    if let Some((private, _)) = second_ip.filter(|_| !on) {
        reader.problem(ALT_IP, &private.to_string(), "nothing unless CASTWAY_RFC5780 is true");
    }
    if on && !udp {
        reader.problem("CASTWAY_RFC5780", "true", "false where CASTWAY_NO_UDP is true");
    }
    // As in coturn.
    let above = if first == 0 { 0 } else { first.checked_add(1).unwrap_or(first - 1) };
    on.then_some(Discovery { port: above, second_ip })
}

/// Reads `IP` or `PUBLIC/PRIVATE` as the private and the public address.
fn second_ip(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (public, private) = text.split_once('/').unwrap_or((text, text));
    let (public, private) = (unicast_address(public)?, unicast_address(private)?);
    (public.is_ipv4() == private.is_ipv4()).then_some((private, public))
}

fn alternate_servers(reader: &mut Reader) -> Vec<SocketAddr> {
    let expected = "an IP address and a port, one for IPv4 and one for IPv6 at most";
    let servers: Vec<SocketAddr> = reader.list(ALTERNATE_SERVER, expected, |item| {
        let server = listening_addr(item)?;
        (server.port() != 0 && !server.ip().is_unspecified()).then_some(server)
    });
    require_one_per_family(reader, ALTERNATE_SERVER, &servers.iter().map(SocketAddr::ip).collect::<Vec<_>>());
    servers
}

fn require_one_per_family(reader: &mut Reader, name: &str, ips: &[IpAddr]) {
    let (v4, v6) = ips.iter().partition::<Vec<&IpAddr>, _>(|ip| ip.is_ipv4());
    for family in [v4, v6] {
        if let [_, second, ..] = family[..] {
            reader.problem(name, &second.to_string(), "one IPv4 and one IPv6 address at most");
        }
    }
}

fn relay_ips(reader: &mut Reader) -> Vec<IpAddr> {
    let name = "CASTWAY_RELAY_IP";
    let expected = "an IP address that others can reach, e.g. 203.0.113.7, or one of each family, separated by a comma";
    let mut ips: Vec<IpAddr> = reader.list(name, expected, |item| item.parse().ok().map(|ip: IpAddr| ip.to_canonical()));
    if let Some(ip) = ips.iter().find(|ip| ip.is_unspecified() || ip.is_multicast()) {
        reader.problem(name, &ip.to_string(), "the address of one machine, not a wildcard or a group");
    }
    require_one_per_family(reader, name, &ips);
    ips.retain(|ip| !ip.is_unspecified() && !ip.is_multicast());
    ips
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

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
        let named = |ips| read(ips).expect("one of each").relay.named_relay_ips();
        let [v4, v6] = ["203.0.113.7", "2001:db8::7"].map(|ip| Some(ip.parse().unwrap()));
        assert_eq!(named("2001:db8::7, ::ffff:203.0.113.7"), Some([v4, v6]));
        assert_eq!([named("2001:db8::7"), named("")], [Some([None, v6]), None]);
        let problems = read("203.0.113.7,203.0.113.8").expect_err("two of one").to_string();
        assert!(problems.contains("203.0.113.8") && problems.contains("one IPv4"), "{problems}");
    }

    #[test]
    fn an_alternate_server_is_one_that_can_be_reached() {
        let read = |server: &str| Config::read(&Settings { alternate_server: Some(server.into()), ..Settings::default() });
        for server in ["203.0.113.7:3478", "[::ffff:203.0.113.7]:3478"] {
            let servers = read(server).expect("a server").relay.alternate_servers;
            assert_eq!(servers, ["203.0.113.7:3478".parse().unwrap()], "a mapped address is IPv4");
        }
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
    fn clients_are_limited_by_default() {
        let relay = RelayConfig::default();
        assert_eq!((relay.scope, relay.clients_peers.len()), (None, 0));
        assert_eq!((relay.max_bps, relay.clients_bps), (Some(6_250_000), Some(25_000_000)));
        assert_eq!((relay.clients_per_address, relay.clients_capacity), (2000, 80));
        assert_eq!(relay.clients_lifetime.as_secs(), 86_400);
        let settings = Settings {
            relay_scope: Some("clients".into()),
            clients_peer_ip: Some("192.0.2.7,2001:db8::/32".into()),
            clients_bps: Some("0".into()),
            ..Settings::default()
        };
        let relay = Config::read(&settings).expect("valid").relay;
        assert_eq!((relay.scope, relay.clients_peers.len(), relay.clients_bps), (Some(Scope::Clients), 2, None));
        for capacity in ["0", "101"] {
            let settings = Settings { clients_capacity: Some(capacity.into()), ..Settings::default() };
            assert!(Config::read(&settings).expect_err(capacity).to_string().contains("CASTWAY_CLIENTS_CAPACITY"));
        }
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
