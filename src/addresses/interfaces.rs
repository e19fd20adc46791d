//! This machine's own addresses, read from the kernel at each call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use if_addrs::Interface;

use url::Host;

/// The address that relayed sockets are bound to when none is set: the listener's address unless it is a wildcard, else the default
/// route's, else that of any interface, else loopback. IPv4 comes first where the listener has both (RFC 8656 §7.2: an Allocate
/// request without REQUESTED-ADDRESS-FAMILY asks for IPv4).
pub fn relay_ip(listening: IpAddr) -> IpAddr {
    let listening = listening.to_canonical();
    if !listening.is_unspecified() {
        return listening;
    }
    let takes = |ip: &IpAddr| ip.is_ipv4() || listening.is_ipv6();
    let routed = routed_v4().or_else(|| listening.is_ipv6().then(routed_v6).flatten());
    routed.or_else(|| addresses().into_iter().find(|ip| takes(ip) && reaches_others(ip))).unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// The default route's address of the other family than that of `ip`, if other machines can reach it.
pub fn counterpart(ip: IpAddr) -> Option<IpAddr> {
    let routed = if ip.is_ipv4() { routed_v6() } else { routed_v4() };
    routed.filter(reaches_others)
}

/// The addresses of all interfaces that are up; none if the kernel reports an error.
pub fn addresses() -> Vec<IpAddr> {
    interfaces().iter().map(Interface::ip).collect()
}

pub(super) fn interfaces() -> Vec<Interface> {
    if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "the machine's own addresses are unknown");
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
    let mut reachable = vec![relay_ip(ip)];
    if ip.is_unspecified() {
        reachable.extend(addresses().into_iter().filter(|own| own.is_ipv4() || ip.is_ipv6()));
    }
    let mut seen = std::collections::HashSet::new();
    reachable.retain(|ip| reaches_others(ip) && seen.insert(*ip));
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
        assert_eq!(relay_ip("127.0.0.1".parse().unwrap()), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(relay_ip("::ffff:127.0.0.1".parse().unwrap()), IpAddr::V4(Ipv4Addr::LOCALHOST));
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
    fn a_wildcard_listener_gets_an_address_of_this_machine() {
        for wildcard in ["0.0.0.0", "::"] {
            let ip = relay_ip(wildcard.parse().unwrap());
            assert!(addresses().contains(&ip), "{ip} for {wildcard}");
        }
    }
}
