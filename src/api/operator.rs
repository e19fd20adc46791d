//! Decides whether a request comes from an operator, who may see metrics and details of the server's state.
//!
//! Inputs: the client's address and `CASTWAY_METRICS_ALLOW`. The address must be the client's own: a proxy or tunnel on this
//! machine makes every client appear at a loopback address. So a request that a proxy has forwarded is not an operator's, unless
//! the proxy is trusted and has named its client.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Version, header};
use ipnet::IpNet;
use url::Host;

use super::state::ApiState;
use crate::http::client_info::ClientInfo;

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

/// Whether the request is an operator's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator(pub(super) bool);

impl FromRequestParts<Arc<ApiState>> for Operator {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Infallible> {
        Ok(Self(is_operator(parts, &api.operator_networks)))
    }
}

fn is_operator(parts: &Parts, networks: &[IpNet]) -> bool {
    let (client, peer) = (parts.extensions.get::<ClientInfo>(), parts.extensions.get::<ConnectInfo<SocketAddr>>());
    let Some((client, ConnectInfo(peer))) = client.zip(peer) else { return false };
    let allowed = networks.iter().any(|network| network.contains(&client.address));
    // A page of another origin can make an operator's browser send the request.
    if !allowed || parts.headers.contains_key(header::ORIGIN) {
        return false;
    }
    let named_by_a_trusted_proxy = client.address != peer.ip().to_canonical();
    // By default nginx forwards requests as HTTP/1.0 and adds no header.
    let direct = !named_by_a_trusted_proxy && !is_forwarded(&parts.headers) && parts.version >= Version::HTTP_11;
    if client.address.is_loopback() {
        // Anybody can register a name that resolves to a loopback address, and their page may then read our responses (DNS rebinding).
        let target = parts.uri.authority().map(|authority| authority.as_str());
        direct && client.host.as_deref().is_some_and(is_loopback) && target.is_none_or(is_loopback)
    } else {
        direct || named_by_a_trusted_proxy
    }
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
    match format!("http://{host}").parse::<url::Url>().ok().as_ref().and_then(url::Url::host) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;
    use crate::http::client_info::Scheme;

    const LOCAL: [&str; 2] = ["127.0.0.0/8", "::1/128"];

    fn asks(networks: &[&str], peer: &str, address: &str, host: &str, headers: &[(&str, &str)]) -> bool {
        let client = ClientInfo { address: address.parse().unwrap(), scheme: Scheme::Http, host: Some(host.to_owned()) };
        let peer: IpAddr = peer.parse().unwrap();
        let mut request = Request::builder().extension(client).extension(ConnectInfo(SocketAddr::new(peer, 5)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let networks: Vec<IpNet> = networks.iter().map(|network| network.parse().unwrap()).collect();
        is_operator(&request.body(()).unwrap().into_parts().0, &networks)
    }

    #[test]
    fn this_machine_has_to_use_a_loopback_name() {
        for host in ["127.0.0.1:8080", "localhost", "localhost:8080", "[::1]:8080", "127.9.9.9"] {
            assert!(asks(&LOCAL, "127.0.0.1", "127.0.0.1", host, &[]), "{host}");
        }
        for host in ["evil.example.org", "localhost.evil.example.org:8080", "192.168.7.1:8080", "0.0.0.0", "x.localhost"] {
            assert!(!asks(&LOCAL, "127.0.0.1", "127.0.0.1", host, &[]), "{host}");
        }
        assert!(!asks(&LOCAL, "192.168.7.2", "192.168.7.2", "127.0.0.1", &[]));
        assert!(!asks(&[], "127.0.0.1", "127.0.0.1", "127.0.0.1", &[]), "none");
    }

    #[test]
    fn a_forwarded_request_is_no_operators() {
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
            assert!(!asks(&["10.0.0.0/8"], "10.0.0.1", "10.0.0.1", "x.org", &[(name, value)]), "{name}");
        }
        // A trusted proxy has named its client, which is not this machine.
        let forwarded = [("X-Forwarded-For", "10.0.0.9")];
        assert!(asks(&["10.0.0.0/8"], "127.0.0.1", "10.0.0.9", "cast.example.org", &forwarded));
        assert!(!asks(&["10.0.0.0/8"], "127.0.0.1", "192.0.2.9", "cast.example.org", &forwarded));
        assert!(!asks(&LOCAL, "10.0.0.1", "127.0.0.1", "localhost", &forwarded), "no proxy may name this machine");
    }

    #[test]
    fn a_page_of_another_origin_is_no_operator() {
        assert!(!asks(&LOCAL, "127.0.0.1", "127.0.0.1", "localhost", &[("Origin", "http://evil.example.org")]));
        assert!(asks(&["10.0.0.0/8"], "10.0.0.9", "10.0.0.9", "metrics.example.org", &[]));
    }

    #[test]
    fn every_name_in_a_request_must_be_loopbacks() {
        let client =
            ClientInfo { address: "127.0.0.1".parse().unwrap(), scheme: Scheme::Http, host: Some("localhost".to_owned()) };
        let request = |target| {
            let peer = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 5)));
            Request::builder().uri(target).extension(client.clone()).extension(peer).body(()).unwrap().into_parts().0
        };
        let local = ["127.0.0.0/8".parse().unwrap()];
        assert!(is_operator(&request("/metrics"), &local) && is_operator(&request("http://127.0.0.1:8080/metrics"), &local));
        // Requests of HTTP/2 and requests with absolute targets have a host besides the Host header.
        assert!(!is_operator(&request("http://cast.example.org/metrics"), &local));
    }

    #[test]
    fn http_1_0_is_how_nginx_forwards_requests() {
        let client =
            ClientInfo { address: "127.0.0.1".parse().unwrap(), scheme: Scheme::Http, host: Some("127.0.0.1".to_owned()) };
        let request = |version| {
            let peer = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 5)));
            Request::builder().version(version).extension(client.clone()).extension(peer).body(()).unwrap().into_parts().0
        };
        let local = ["127.0.0.0/8".parse().unwrap()];
        assert!(is_operator(&request(Version::HTTP_11), &local) && is_operator(&request(Version::HTTP_2), &local));
        assert!(!is_operator(&request(Version::HTTP_10), &local));
    }
}
