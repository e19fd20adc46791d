//! This machine's own addresses, read from the kernel at each call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use if_addrs::Interface;
use url::Host;

use crate::config::RelayConfig;
use crate::limits::log_interval::LogInterval;

/// The addresses that relayed sockets are bound to when none is set, IPv4 and IPv6: the listener's unless it is a wildcard. Else one
/// of each family: the default route's, else that of `current` while the machine has it, else that of any interface. An interface
/// without a carrier, such as an unused bridge of a container engine, gives its address only where no other has one. Where other machines
/// reach neither, IPv4 loopback.
pub fn relay_ips(listening: IpAddr, current: [Option<IpAddr>; 2]) -> [Option<IpAddr>; 2] {
    let listening = listening.to_canonical();
    if !listening.is_unspecified() {
        return by_family(listening);
    }
    let routed = [routed_v4(), routed_v6()].map(|ip| ip.filter(reaches_others));
    let mut chosen = routed;
    if routed.contains(&None) {
        let own = interfaces();
        for (chosen, (current, ipv4)) in chosen.iter_mut().zip(current.into_iter().zip([true, false])) {
            let usable = |has_carrier: bool| {
                let own = own.iter().filter(move |own| own.is_oper_up() == has_carrier);
                own.map(Interface::ip).filter(move |ip| ip.is_ipv4() == ipv4 && reaches_others(ip))
            };
            // An IPv6 address that the kernel still checks for duplicates can't be bound yet.
            let can_be_bound = |ip: &IpAddr| UdpSocket::bind((*ip, 0)).is_ok();
            let kept = |has_carrier| current.filter(|ip| usable(has_carrier).any(|own| own == *ip) && can_be_bound(ip));
            let any = |has_carrier| kept(has_carrier).or_else(|| usable(has_carrier).find(can_be_bound));
            *chosen = chosen.or_else(|| any(true)).or_else(|| any(false));
        }
    }
    if chosen == [None, None] { by_family(Ipv4Addr::LOCALHOST.into()) } else { chosen }
}

/// Where relayed sockets are bound at the start: to the addresses that a setting names, or else to the machine's.
pub fn relay_ips_at_start(config: &RelayConfig) -> [Option<IpAddr>; 2] {
    config.named_relay_ips().unwrap_or_else(|| relay_ips(config.addr.ip(), [None; 2]))
}

/// An address at the place of its family: IPv4, then IPv6.
fn by_family(ip: IpAddr) -> [Option<IpAddr>; 2] {
    if ip.is_ipv4() { [Some(ip), None] } else { [None, Some(ip)] }
}

/// The addresses of all interfaces that are up; none if the kernel reports an error.
pub fn addresses() -> Vec<IpAddr> {
    interfaces().iter().map(Interface::ip).collect()
}

pub(super) fn interfaces() -> Vec<Interface> {
    /// Where a sandbox forbids it, each call fails.
    static FAILURE_LOG: LazyLock<(Instant, LogInterval)> =
        LazyLock::new(|| (Instant::now(), LogInterval::new(Duration::from_secs(60))));
    if_addrs::get_if_addrs().unwrap_or_else(|error| {
        let (since, interval) = &*FAILURE_LOG;
        if interval.is_due(since.elapsed()) {
            tracing::warn!(%error, "the machine's own addresses are unknown");
        }
        Vec::new()
    })
}

/// The origins (`http://…`, `https://…`) under which other machines reach a listener here, the default route's first; never
/// loopback.
pub fn origins(scheme: &str, http: SocketAddr) -> Vec<String> {
    hosts(http.ip()).iter().map(|host| origin(scheme, host, http.port())).collect()
}

/// The addresses by which other machines reach what is bound to `listening`, the default route's first; never loopback.
pub fn hosts(listening: IpAddr) -> Vec<Host> {
    let ip = listening.to_canonical();
    let mut reachable: Vec<IpAddr> = relay_ips(ip, [None; 2]).into_iter().flatten().collect();
    if ip.is_unspecified() {
        reachable.extend(addresses());
    }
    let mut seen = std::collections::HashSet::new();
    reachable.retain(|own| reaches_others(own) && (own.is_ipv4() || ip.is_ipv6()) && seen.insert(*own));
    reachable.into_iter().map(host).collect()
}

/// The origin of a server, without the scheme's own port.
pub fn origin(scheme: &str, host: &Host, port: u16) -> String {
    let usual = if scheme == "https" { 443 } else { 80 };
    if port == usual { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
}

/// A host without the brackets that an IPv6 address has in a URL; certificates have it in this form.
pub fn unbracketed(host: &Host) -> String {
    host.to_string().trim_matches(['[', ']']).to_owned()
}

/// An address as the host of a URL.
pub const fn host(ip: IpAddr) -> Host {
    match ip {
        IpAddr::V4(ip) => Host::Ipv4(ip),
        IpAddr::V6(ip) => Host::Ipv6(ip),
    }
}

/// Whether other machines can reach a listener that is bound to `listening` by this host, as far as the two tell.
pub fn leads_to(host: &Host, listening: IpAddr) -> bool {
    let listening = listening.to_canonical();
    let dual = listening == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    reaches_others(&listening)
        && match host {
            Host::Domain(_) => true,
            Host::Ipv4(ip) => reaches_others(&IpAddr::V4(*ip)) && (dual || listening.is_ipv4()),
            Host::Ipv6(ip) => reaches_others(&IpAddr::V6(*ip)) && listening.is_ipv6(),
        }
}

/// Whether only one network can reach an address: private, shared (RFC 6598), loopback, link-local and documentation ones.
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether a host stands for the machine that uses it: a loopback address, or `localhost` with its subdomains (RFC 6761 §6.3).
pub fn is_loopback_host<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref() == "localhost" || name.as_ref().ends_with(".localhost"),
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.to_canonical().is_loopback(),
    }
}

/// The interfaces' addresses for a sentence, loopback and link-local left out unless there is nothing else.
pub fn listed() -> String {
    let all = addresses();
    let useful: Vec<String> = all.iter().filter(|ip| reaches_others(ip)).map(IpAddr::to_string).collect();
    if useful.is_empty() { Ipv4Addr::LOCALHOST.to_string() } else { useful.join(", ") }
}

pub fn reaches_others(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

fn routed_v4() -> Option<IpAddr> {
    default_route(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(203, 0, 113, 1).into())
}

fn routed_v6() -> Option<IpAddr> {
    default_route(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
}

/// Connecting a UDP socket sends nothing: it makes the kernel choose the route, and with it the source address.
fn default_route(any: IpAddr, destination: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(destination, 9)).ok()?;
    let source = socket.local_addr().ok()?.ip();
    (!source.is_unspecified()).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_concrete_listener_names_the_relay_address() {
        let relay_ips = |listening: &str| relay_ips(listening.parse().unwrap(), [None; 2]);
        assert_eq!(relay_ips("127.0.0.1"), [Some(Ipv4Addr::LOCALHOST.into()), None]);
        assert_eq!(relay_ips("::ffff:127.0.0.1"), [Some(Ipv4Addr::LOCALHOST.into()), None]);
        assert_eq!(relay_ips("::1"), [None, Some(Ipv6Addr::LOCALHOST.into())]);
    }

    #[test]
    fn origins_have_brackets_and_leave_the_usual_port_out() {
        let origin = |scheme: &str, text: &str, port: u16| origin(scheme, &Host::parse(text).unwrap(), port);
        assert_eq!(origin("http", "203.0.113.7", 8080), "http://203.0.113.7:8080");
        assert_eq!(origin("https", "[2001:db8::7]", 8443), "https://[2001:db8::7]:8443");
        assert_eq!(origin("http", "relay.example.org", 80), "http://relay.example.org");
        assert_eq!(origin("https", "relay.example.org", 443), "https://relay.example.org");
        assert_eq!(origin("https", "relay.example.org", 80), "https://relay.example.org:80");
    }

    #[test]
    fn a_host_leads_to_listeners_of_its_family() {
        for (host, listening, leads) in [
            ("203.0.113.7", "0.0.0.0", true),
            ("203.0.113.7", "10.0.0.5", true),
            ("203.0.113.7", "::", true),
            ("203.0.113.7", "2001:db8::5", false),
            ("203.0.113.7", "127.0.0.1", false),
            ("127.0.0.1", "0.0.0.0", false),
            ("[2001:db8::7]", "::", true),
            ("[2001:db8::7]", "0.0.0.0", false),
            ("relay.example.org", "0.0.0.0", true),
            ("relay.example.org", "::1", false),
        ] {
            assert_eq!(leads_to(&Host::parse(host).unwrap(), listening.parse().unwrap()), leads, "{host} {listening}");
        }
    }

    #[test]
    fn a_wildcard_listener_gets_addresses_of_this_machine() {
        for wildcard in ["0.0.0.0", "::"] {
            let ips = relay_ips(wildcard.parse().unwrap(), [None; 2]);
            assert_ne!(ips, [None; 2]);
            assert!(ips.iter().flatten().all(|ip| addresses().contains(ip)), "{ips:?} for {wildcard}");
            assert_eq!(relay_ips(wildcard.parse().unwrap(), ips), ips, "they stay while nothing changes");
        }
    }
}
