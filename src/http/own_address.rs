//! Decides whether the address of a request is its client's own. A proxy or tunnel on this machine makes every client appear at a
//! loopback address, and one beside this machine makes them appear at a private one.
//!
//! Inputs: a request with its [`ClientInfo`], [`ConnectionInfo`] and `ConnectInfo`. Invariant: a request that a proxy has forwarded counts as
//! its client's only if the proxy is trusted and has named the client, and never counts as this machine's. A request counts as this
//! machine's only if it comes from a loopback address, straight, and for a host that only this machine has.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Version};
use ipnet::IpNet;
use url::Host;

use crate::http::client_info::ClientInfo;
use crate::http::connection_info::ConnectionInfo;

/// Headers that proxies and tunnels add to the requests that they forward.
const PROXY_HEADERS: [&str; 12] = [
    "via",
    "client-ip",
    "x-real-ip",
    "x-client-ip",
    "x-proxyuser-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-amzn-trace-id",
    "true-client-ip",
    "fastly-client-ip",
    "cdn-loop",
    "proxy-connection",
];
/// Prefixes of further such headers.
const PROXY_HEADER_PREFIXES: [&str; 7] = ["forwarded", "x-forwarded", "x-original-", "x-azure-", "cf-", "fly-", "tailscale-"];

/// Whether the client is in one of the networks.
pub fn is_in(parts: &Parts, networks: &[IpNet]) -> bool {
    let Some(client) = parts.extensions.get::<ClientInfo>() else { return false };
    networks.iter().any(|network| network.contains(&client.address))
        && if client.address.is_loopback() {
            is_this_machine(parts)
        } else {
            is_named(parts, client) || (is_straight(parts) && !may_be_forwarded_here(parts, client))
        }
}

/// Whether the request comes from this machine's own address and for another host than that address: a proxy or tunnel on this machine may
/// have forwarded it.
fn may_be_forwarded_here(parts: &Parts, client: &ClientInfo) -> bool {
    let local = parts.extensions.get::<ConnectionInfo>().and_then(|connection| connection.local);
    let target = parts.uri.authority().map(|authority| authority.as_str());
    let is_own = |host: &str| ip_of(host) == Some(client.address);
    local == Some(client.address) && !(client.host.as_deref().is_some_and(is_own) && target.is_none_or(is_own))
}

/// Whether a client on this machine has sent the request here.
pub fn is_this_machine(parts: &Parts) -> bool {
    let Some(client) = parts.extensions.get::<ClientInfo>() else { return false };
    // Anybody can register a name that resolves to a loopback address, and their page may then read our responses (DNS rebinding).
    let target = parts.uri.authority().map(|authority| authority.as_str());
    client.address.is_loopback()
        && is_straight(parts)
        && !is_named(parts, client)
        && !parts.extensions.get::<ConnectionInfo>().is_some_and(ConnectionInfo::is_announced)
        && client.host.as_deref().is_some_and(is_loopback)
        && target.is_none_or(is_loopback)
}

/// Whether nothing shows that a proxy has forwarded the request.
fn is_straight(parts: &Parts) -> bool {
    // By default nginx forwards requests as HTTP/1.0 and adds no header.
    !is_forwarded(&parts.headers) && parts.version >= Version::HTTP_11
}

/// Whether a trusted proxy has named the client in a header of the request. The PROXY protocol names the peer instead, which may be
/// another proxy.
fn is_named(parts: &Parts, client: &ClientInfo) -> bool {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| client.address != peer.ip().to_canonical())
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    // Some proxies write underscores for hyphens.
    let name = |name: &HeaderName| name.as_str().replace('_', "-");
    let is_proxy_header =
        |name: &str| PROXY_HEADERS.contains(&name) || PROXY_HEADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    headers.keys().map(name).any(|name| is_proxy_header(&name))
}

/// `host` may have a port.
fn is_loopback(host: &str) -> bool {
    matches!(parsed_host(host), Some(Host::Domain(name)) if name == "localhost") || ip_of(host).is_some_and(|ip| ip.is_loopback())
}

/// The address that a host with or without a port is; `None` for names.
fn ip_of(host: &str) -> Option<IpAddr> {
    match parsed_host(host)? {
        Host::Domain(_) => None,
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(IpAddr::V6(ip).to_canonical()),
    }
}

/// The host of a `Host` header, without its port.
pub fn parsed_host(host: &str) -> Option<Host> {
    format!("http://{host}").parse::<url::Url>().ok()?.host().map(|host| host.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;
    use crate::http::client_info::Scheme;

    const LOCAL: [&str; 2] = ["127.0.0.0/8", "::1/128"];

    fn parts(peer: &str, address: &str, host: &str, headers: &[(&str, &str)]) -> Parts {
        let client = ClientInfo { address: address.parse().unwrap(), scheme: Scheme::Http, host: Some(host.to_owned()) };
        let peer: IpAddr = peer.parse().unwrap();
        let mut request = Request::builder().extension(client).extension(ConnectInfo(SocketAddr::new(peer, 5)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn asks(networks: &[&str], peer: &str, address: &str, host: &str, headers: &[(&str, &str)]) -> bool {
        let networks: Vec<IpNet> = networks.iter().map(|network| network.parse().unwrap()).collect();
        is_in(&parts(peer, address, host, headers), &networks)
    }

    #[test]
    fn this_machine_has_to_use_a_loopback_name() {
        for host in ["127.0.0.1:8080", "localhost", "localhost:8080", "[::1]:8080", "127.9.9.9"] {
            assert!(asks(&LOCAL, "127.0.0.1", "127.0.0.1", host, &[]), "{host}");
        }
        for host in ["evil.example.org", "localhost.evil.example.org:8080", "192.168.7.1:8080", "0.0.0.0", "x.localhost"] {
            assert!(!asks(&LOCAL, "127.0.0.1", "127.0.0.1", host, &[]), "{host}");
            assert!(!is_this_machine(&parts("127.0.0.1", "127.0.0.1", host, &[])), "{host}");
        }
        assert!(!asks(&LOCAL, "192.168.7.2", "192.168.7.2", "127.0.0.1", &[]));
        assert!(!asks(&[], "127.0.0.1", "127.0.0.1", "127.0.0.1", &[]), "none");
    }

    #[test]
    fn a_forwarded_request_is_of_no_network() {
        for (name, value) in [
            ("Forwarded", "for=127.0.0.1"),
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Anything", ""),
            ("Via", "1.1 proxy"),
            ("X-Real-IP", "127.0.0.1"),
            ("Cf-Connecting-Ip", "127.0.0.1"),
            ("True-Client-IP", "127.0.0.1"),
            ("Forwarded-For", "127.0.0.1"),
            ("X-Forwarded", "for=127.0.0.1"),
            ("X_Forwarded_For", "127.0.0.1"),
            ("Client-IP", "127.0.0.1"),
            ("X-Azure-ClientIP", "127.0.0.1"),
            ("X-Original-Host", "cast.example.org"),
            ("Proxy-Connection", "keep-alive"),
        ] {
            assert!(!asks(&LOCAL, "127.0.0.1", "127.0.0.1", "localhost", &[(name, value)]), "{name}");
            assert!(!is_this_machine(&parts("127.0.0.1", "127.0.0.1", "localhost", &[(name, value)])), "{name}");
            assert!(!asks(&["10.0.0.0/8"], "10.0.0.1", "10.0.0.1", "x.org", &[(name, value)]), "{name}");
        }
        // A trusted proxy has named its client, which is not this machine.
        let forwarded = [("X-Forwarded-For", "10.0.0.9")];
        assert!(asks(&["10.0.0.0/8"], "127.0.0.1", "10.0.0.9", "cast.example.org", &forwarded));
        assert!(!asks(&["10.0.0.0/8"], "127.0.0.1", "192.0.2.9", "cast.example.org", &forwarded));
        assert!(!asks(&LOCAL, "10.0.0.1", "127.0.0.1", "localhost", &forwarded), "no proxy may name this machine");
        assert!(!asks(&LOCAL, "10.0.0.1", "127.0.0.1", "localhost", &[]), "no proxy may name this machine");
    }

    #[test]
    fn a_proxy_on_this_machine_may_use_its_other_addresses() {
        let networks = ["192.168.7.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let asks = |client: &str, local: &str, host: &str, target: &str| {
            let mut parts = parts(client, client, host, &[]);
            parts.uri = target.parse().unwrap();
            let (client, local) = (SocketAddr::new(client.parse().unwrap(), 5), local.parse().ok());
            parts.extensions.insert(ConnectionInfo { client, tls: false, forwarded: false, local });
            is_in(&parts, &networks)
        };
        assert!(asks("192.168.7.9", "192.168.7.1", "cast.example.org", "/turn"), "another machine");
        for (own, host) in [("192.168.7.1", "192.168.7.1:8080"), ("2001:db8::1", "[2001:db8::1]:8080")] {
            assert!(asks(own, own, host, "/turn"), "{host}");
            assert!(!asks(own, own, host, "http://cast.example.org/turn"), "{host}");
            for other in ["cast.example.org", "localhost", "192.168.7.9", ""] {
                assert!(!asks(own, own, other, "/turn"), "{own} for {other}");
            }
        }
    }

    #[test]
    fn no_proxy_protocol_names_this_machine() {
        let announced = |address: &str, host: &str| {
            let client = SocketAddr::new(address.parse().unwrap(), 5);
            let mut parts = parts(address, address, host, &[]);
            parts.extensions.insert(ConnectionInfo { client, tls: false, forwarded: false, local: None });
            parts
        };
        assert!(!is_this_machine(&announced("127.0.0.1", "localhost")));
        let networks = ["10.0.0.0/8".parse().unwrap()];
        let mut named = announced("10.0.0.9", "cast.example.org");
        assert!(is_in(&named, &networks));
        named.headers.insert("x-forwarded-for", "203.0.113.9".parse().unwrap());
        assert!(!is_in(&named, &networks), "the named client is a proxy that nobody trusts");
    }

    #[test]
    fn every_name_in_a_request_must_be_loopbacks() {
        let request = |target: &str| {
            let mut parts = parts("127.0.0.1", "127.0.0.1", "localhost", &[]);
            parts.uri = target.parse().unwrap();
            parts
        };
        assert!(is_this_machine(&request("/metrics")) && is_this_machine(&request("http://127.0.0.1:8080/metrics")));
        // Requests of HTTP/2 and requests with absolute targets have a host besides the Host header.
        assert!(!is_this_machine(&request("http://cast.example.org/metrics")));
    }

    #[test]
    fn http_1_0_is_how_nginx_forwards_requests() {
        let request = |version| {
            let mut parts = parts("127.0.0.1", "127.0.0.1", "127.0.0.1", &[]);
            parts.version = version;
            parts
        };
        assert!(is_this_machine(&request(Version::HTTP_11)) && is_this_machine(&request(Version::HTTP_2)));
        assert!(!is_this_machine(&request(Version::HTTP_10)));
    }
}
