//! Which ways to the relay are tested: each advertised URL, and where the relay listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use super::connect::{Transport, Way};
use crate::control::facts::{self, ListenerFacts, Service};

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// An advertised URL, at one of the addresses that its host leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tested {
    pub(super) url: String,
    pub(super) advertised: Way,
    /// The same port where the relay listens on this machine; `None`: nothing listens for it.
    pub(super) local: Option<Way>,
    /// The URL leads to an address of this machine, so that packets to it never leave the machine.
    pub(super) is_own: bool,
}

/// A URL whose host has no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unresolved {
    pub(super) url: String,
    /// A clause.
    pub(super) reason: String,
    /// The resolver says so; otherwise it gives no answer, and clients may ask another one.
    pub(super) is_certain: bool,
}

/// The parts of `turn:HOST:PORT?transport=udp` and the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) transport: Transport,
    pub(super) host: String,
    pub(super) port: u16,
}

pub(super) fn parse(url: &str) -> Option<Parsed> {
    let (scheme, rest) = url.split_once(':')?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let transport = match (scheme, query) {
        ("turns", _) => Transport::Tls,
        ("turn", "transport=tcp") => Transport::Tcp,
        ("turn", "" | "transport=udp") => Transport::Udp,
        _ => return None,
    };
    let standard = if transport == Transport::Tls { 5349 } else { 3478 };
    let (host, port) = match place.strip_prefix('[').and_then(|place| place.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    Some(Parsed { transport, host: host.to_owned(), port: port.map_or(Some(standard), |port| port.parse().ok())? })
}

/// The URL at the first IPv4 and the first IPv6 address of its host.
///
/// # Errors
/// The host has no address, as far as this machine can tell.
pub(super) async fn tested(url: &str, listeners: &[ListenerFacts], own: &[IpAddr]) -> Result<Vec<Tested>, Unresolved> {
    let Some(parsed) = parse(url) else { return Ok(Vec::new()) };
    let unresolved = |(reason, is_certain)| Unresolved { url: url.to_owned(), reason, is_certain };
    let addresses = resolve(&parsed.host, parsed.port).await.map_err(unresolved)?;
    let of_family = |v6: bool| addresses.iter().copied().find(|address| address.is_ipv6() == v6);
    let found = [of_family(false), of_family(true)].into_iter().flatten();
    let found = found.filter(|address| can_reach(*address));
    Ok(found
        .map(|address| {
            let way = |address| Way { transport: parsed.transport, host: parsed.host.clone(), address };
            let local = local(&parsed, address.is_ipv6(), listeners, own).map(way);
            let is_own = address.ip().is_loopback() || own.contains(&address.ip());
            Tested { url: url.to_owned(), advertised: way(address), local, is_own }
        })
        .collect())
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, (String, bool)> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    match timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) if error.to_string().contains("Temporary failure") => {
            Err((format!("not tested, since the resolver of this machine gives no answer about {host}"), false))
        }
        Ok(Err(error)) => Err((format!("{host} leads nowhere: {error}"), true)),
        Err(_) => Err((format!("not tested, since {host} can't be looked up within {} s", LOOKUP_TIMEOUT.as_secs()), false)),
    }
}

/// Whether this machine has a route to the address.
fn can_reach(address: SocketAddr) -> bool {
    let any = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    std::net::UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address)).is_ok()
}

/// Where the relay listens for what the URL names; a router or a container may have given it another port.
fn local(parsed: &Parsed, v6: bool, listeners: &[ListenerFacts], own: &[IpAddr]) -> Option<SocketAddr> {
    let protocol = if parsed.transport == Transport::Udp { facts::Transport::Udp } else { facts::Transport::Tcp };
    let serves = |listener: &&ListenerFacts| match parsed.transport {
        Transport::Tls => matches!(listener.serves, Service::Https | Service::Turns),
        Transport::Udp => listener.serves == Service::Turn,
        // Every port of the server takes TURN, the relay's first of all.
        Transport::Tcp => matches!(listener.serves, Service::Turn | Service::Http),
    };
    let takes = |listener: &&ListenerFacts| {
        let ip = listener.address.ip();
        ip.is_ipv6() == v6 || (ip.is_ipv6() && ip.is_unspecified())
    };
    let fitting = || listeners.iter().filter(|listener| listener.protocol == protocol).filter(serves).filter(takes);
    let listener = fitting().find(|listener| listener.address.port() == parsed.port).or_else(|| fitting().next())?;
    let ip = listener.address.ip();
    let loopback = if v6 { IpAddr::V6(Ipv6Addr::LOCALHOST) } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
    let here = own.iter().copied().find(|own| own.is_ipv6() == v6 && !own.is_loopback()).unwrap_or(loopback);
    Some(SocketAddr::new(if ip.is_unspecified() { here } else { ip }, listener.address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_transport_a_host_and_a_port() {
        let parsed = |url: &str| parse(url).map(|parsed| (parsed.transport, parsed.host, parsed.port));
        let expected = |transport, host: &str, port| Some((transport, host.to_owned(), port));
        assert_eq!(parsed("turn:cast.example.org:3478?transport=udp"), expected(Transport::Udp, "cast.example.org", 3478));
        assert_eq!(parsed("turn:11.0.0.1:3480?transport=tcp"), expected(Transport::Tcp, "11.0.0.1", 3480));
        assert_eq!(parsed("turns:[2a11::1]:443?transport=tcp"), expected(Transport::Tls, "2a11::1", 443));
        assert_eq!(parsed("turn:a.example"), expected(Transport::Udp, "a.example", 3478));
        assert_eq!(parsed("turns:[2a11::1]"), expected(Transport::Tls, "2a11::1", 5349));
        assert_eq!((parsed("stun:a.example:3478"), parsed("turn:a.example:x")), (None, None));
    }

    #[tokio::test]
    async fn the_relay_is_found_behind_a_router_that_gives_it_another_port() {
        let listener = |protocol, address: &str, serves| ListenerFacts { protocol, address: address.parse().unwrap(), serves };
        let listeners = [
            listener(facts::Transport::Tcp, "0.0.0.0:8080", Service::Http),
            listener(facts::Transport::Tcp, "0.0.0.0:8443", Service::Https),
            listener(facts::Transport::Udp, "[::]:3478", Service::Turn),
            listener(facts::Transport::Tcp, "[::]:3478", Service::Turn),
        ];
        let own = ["10.0.0.5".parse().unwrap()];
        for (url, expected) in [
            ("turn:127.0.0.9:3478?transport=udp", "10.0.0.5:3478"),
            ("turn:127.0.0.9:13478?transport=udp", "10.0.0.5:3478"),
            ("turn:127.0.0.9:8080?transport=tcp", "10.0.0.5:8080"),
            ("turns:127.0.0.9:443?transport=tcp", "10.0.0.5:8443"),
        ] {
            let found = tested(url, &listeners, &own).await.unwrap();
            assert_eq!(found[0].local.as_ref().map(|way| way.address), Some(expected.parse().unwrap()), "{url}");
        }
        assert!(tested("turn:127.0.0.9:1?transport=udp", &[], &own).await.unwrap()[0].local.is_none());
    }
}
