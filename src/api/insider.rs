//! Whether whoever asks may see what is for those who run the server: numbers, and the insides of what is not ready.
//!
//! An address counts only where it is the client's own. A proxy or tunnel on this machine makes the whole world come from
//! loopback, so a request that shows any trace of one is nobody's, unless the proxy is trusted and has named its client.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Version, header};
use ipnet::IpNet;
use url::Host;

use super::Api;
use crate::http::client_info::ClientInfo;

/// What proxies and tunnels write into the requests that they pass on.
const TRACES: [&str; 12] = [
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
/// The same of whole families.
const TRACE_FAMILIES: [&str; 7] = ["forwarded", "x-forwarded", "x-original-", "x-azure-", "cf-", "fly-", "tailscale-"];

/// Whether the request is an insider's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Insider(pub(super) bool);

impl FromRequestParts<Arc<Api>> for Insider {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Infallible> {
        Ok(Self(is_insider(parts, &api.insiders)))
    }
}

fn is_insider(parts: &Parts, insiders: &[IpNet]) -> bool {
    let (client, peer) = (parts.extensions.get::<ClientInfo>(), parts.extensions.get::<ConnectInfo<SocketAddr>>());
    let Some((client, ConnectInfo(peer))) = client.zip(peer) else { return false };
    let allowed = insiders.iter().any(|network| network.contains(&client.address));
    // A page of another origin has its browser ask, and the browser may be an insider.
    if !allowed || parts.headers.contains_key(header::ORIGIN) {
        return false;
    }
    let named_by_a_trusted_proxy = client.address != peer.ip().to_canonical();
    // nginx passes requests on as HTTP/1.0 unless it is told otherwise, and adds no header.
    let direct = !named_by_a_trusted_proxy && !is_passed_on(&parts.headers) && parts.version >= Version::HTTP_11;
    if client.address.is_loopback() {
        // A name that leads here may be a stranger's own, to which a browser lets the stranger's page speak.
        let target = parts.uri.authority().map(|authority| authority.as_str());
        direct && client.host.as_deref().is_some_and(is_loopback) && target.is_none_or(is_loopback)
    } else {
        direct || named_by_a_trusted_proxy
    }
}

fn is_passed_on(headers: &HeaderMap) -> bool {
    // Some write an underscore for each hyphen.
    let name = |name: &HeaderName| name.as_str().replace('_', "-");
    let traces = |name: &str| TRACES.contains(&name) || TRACE_FAMILIES.iter().any(|family| name.starts_with(family));
    headers.keys().map(name).any(|name| traces(&name))
}

/// Of a host with or without a port.
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

    fn asks(insiders: &[&str], peer: &str, address: &str, host: &str, headers: &[(&str, &str)]) -> bool {
        let client = ClientInfo { address: address.parse().unwrap(), scheme: Scheme::Http, host: Some(host.to_owned()) };
        let peer: IpAddr = peer.parse().unwrap();
        let mut request = Request::builder().extension(client).extension(ConnectInfo(SocketAddr::new(peer, 5)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let insiders: Vec<IpNet> = insiders.iter().map(|network| network.parse().unwrap()).collect();
        is_insider(&request.body(()).unwrap().into_parts().0, &insiders)
    }

    #[test]
    fn this_machine_is_who_asks_it_by_a_name_of_its_own() {
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
    fn what_a_proxy_has_passed_on_is_nobodys() {
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
        // One that is trusted has named its client, which is not this machine.
        let forwarded = [("X-Forwarded-For", "10.0.0.9")];
        assert!(asks(&["10.0.0.0/8"], "127.0.0.1", "10.0.0.9", "cast.example.org", &forwarded));
        assert!(!asks(&["10.0.0.0/8"], "127.0.0.1", "192.0.2.9", "cast.example.org", &forwarded));
        assert!(!asks(&LOCAL, "10.0.0.1", "127.0.0.1", "localhost", &forwarded), "nobody speaks for this machine");
    }

    #[test]
    fn a_page_of_another_origin_is_no_insider() {
        assert!(!asks(&LOCAL, "127.0.0.1", "127.0.0.1", "localhost", &[("Origin", "http://evil.example.org")]));
        assert!(asks(&["10.0.0.0/8"], "10.0.0.9", "10.0.0.9", "metrics.example.org", &[]));
    }

    #[test]
    fn every_name_that_a_request_asks_is_loopbacks() {
        let client =
            ClientInfo { address: "127.0.0.1".parse().unwrap(), scheme: Scheme::Http, host: Some("localhost".to_owned()) };
        let request = |target| {
            let peer = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 5)));
            Request::builder().uri(target).extension(client.clone()).extension(peer).body(()).unwrap().into_parts().0
        };
        let local = ["127.0.0.0/8".parse().unwrap()];
        assert!(is_insider(&request("/metrics"), &local) && is_insider(&request("http://127.0.0.1:8080/metrics"), &local));
        // HTTP/2 and absolute targets have one besides the Host header.
        assert!(!is_insider(&request("http://cast.example.org/metrics"), &local));
    }

    #[test]
    fn http_1_0_is_how_nginx_passes_requests_on() {
        let client =
            ClientInfo { address: "127.0.0.1".parse().unwrap(), scheme: Scheme::Http, host: Some("127.0.0.1".to_owned()) };
        let request = |version| {
            let peer = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 5)));
            Request::builder().version(version).extension(client.clone()).extension(peer).body(()).unwrap().into_parts().0
        };
        let local = ["127.0.0.0/8".parse().unwrap()];
        assert!(is_insider(&request(Version::HTTP_11), &local) && is_insider(&request(Version::HTTP_2), &local));
        assert!(!is_insider(&request(Version::HTTP_10), &local));
    }
}
