//! The client of a request: its address, and the scheme and host that it used, also behind proxies.
//!
//! Inputs of [`identify`]: the connection's `ConnectInfo<SocketAddr>` and [`Scheme`], the networks of the trusted proxies, and the
//! headers `Forwarded` (RFC 7239) and `X-Forwarded-*`. Output: a [`ClientInfo`] in the request's extensions, which limits, logs and
//! URLs use. Invariant: headers count only if a trusted proxy has written them. They are read backwards up to the first hop that is
//! not trusted; what the client itself wrote is never used.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

/// The length of a name of 253 bytes with a port.
const MAX_HOST_BYTES: usize = 260;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientInfo {
    pub address: IpAddr,
    pub scheme: Scheme,
    /// The requested host and port in lower case, with no character that has a meaning in a URL.
    pub host: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    #[default]
    Http,
    Https,
}

/// Middleware in front of all others; `trusted` are the networks of the proxies.
pub async fn identify(State(trusted): State<Arc<[IpNet]>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let scheme = request.extensions().get::<Scheme>().copied().unwrap_or_default();
    let requested = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let own = ClientInfo {
        address: peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(peer)| peer.ip().to_canonical()),
        scheme,
        // HTTP/2 has the host in the URI.
        host: requested.or_else(|| request.uri().authority().map(|authority| authority.as_str())).and_then(checked_host),
    };
    let client = forwarded_for(own, request.headers(), &trusted);
    request.extensions_mut().insert(client);
    next.run(request).await
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }
}

/// The client according to trusted proxies; `own` describes the connection itself.
fn forwarded_for(own: ClientInfo, headers: &HeaderMap, trusted: &[IpNet]) -> ClientInfo {
    if !trusts(trusted, own.address) {
        return own;
    }
    let de_facto = by_x_forwarded(&own, headers, trusted);
    match (by_forwarded(&own, headers, trusted), headers.contains_key("x-forwarded-for")) {
        (None, _) => de_facto,
        (Some(standard), false) => standard,
        // A proxy that writes one of the headers and forwards the other one would let the client choose its address, so neither
        // is used.
        (Some(standard), true) if standard.address == de_facto.address => de_facto,
        (Some(_), true) => own,
    }
}

fn by_x_forwarded(own: &ClientInfo, headers: &HeaderMap, trusted: &[IpNet]) -> ClientInfo {
    let hops = joined_lines(headers, "x-forwarded-for");
    let hops = hops.split(',').filter(|hop| !hop.trim().is_empty()).map(|hop| (node(hop), ())).collect::<Vec<_>>();
    // The last proxy wrote the last item; earlier ones may be the client's.
    let last = |name: &str| joined_lines(headers, name).rsplit(',').next().map(|text| text.trim().to_owned());
    ClientInfo {
        address: walk(own.address, hops, trusted).0,
        scheme: last("x-forwarded-proto").and_then(|proto| Scheme::read(&proto)).unwrap_or(own.scheme),
        host: last("x-forwarded-host").and_then(|host| checked_host(&host)).or_else(|| own.host.clone()),
    }
}

/// The client according to the header `Forwarded` (RFC 7239 §4); `None` without that header.
fn by_forwarded(own: &ClientInfo, headers: &HeaderMap, trusted: &[IpNet]) -> Option<ClientInfo> {
    let lines = headers.get_all("forwarded").iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let elements: Vec<Vec<(String, String)>> = lines.flat_map(|line| elements(&line)).collect();
    if elements.is_empty() {
        return None;
    }
    let field =
        |element: &[(String, String)], name: &str| element.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let hops = elements.into_iter().map(|element| (field(&element, "for").and_then(|node_name| node(&node_name)), element));
    let (address, element) = walk(own.address, hops.collect(), trusted);
    let element = element.unwrap_or_default();
    Some(ClientInfo {
        address,
        scheme: field(&element, "proto").and_then(|proto| Scheme::read(&proto)).unwrap_or(own.scheme),
        host: field(&element, "host").and_then(|host| checked_host(&host)).or_else(|| own.host.clone()),
    })
}

/// Goes back from the connection through the hops, of which the nearest is the last, as long as each one is trusted. Returns the
/// client, or the hop nearest to it whose address is known, and that hop's element.
fn walk<T>(peer: IpAddr, hops: Vec<(Option<IpAddr>, T)>, trusted: &[IpNet]) -> (IpAddr, Option<T>) {
    let mut at = (peer, None);
    for (hop, element) in hops.into_iter().rev() {
        if !trusts(trusted, at.0) {
            break;
        }
        let Some(hop) = hop else {
            at.1 = Some(element);
            break;
        };
        at = (hop, Some(element));
    }
    at
}

fn trusts(trusted: &[IpNet], ip: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(&ip))
}

/// All lines of a header as one list. The client may have sent bytes that are no text; they must not hide the items that a proxy
/// appended.
fn joined_lines(headers: &HeaderMap, name: &str) -> String {
    headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect::<Vec<_>>().join(",")
}

/// A node (RFC 7239 §6): `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`; `None` for `unknown`
/// and obfuscated identifiers.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let ip = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    ip.ok().or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()).map(|ip| ip.to_canonical())
}

/// The elements of one line of `Forwarded` (RFC 7239 §4). A line with an unclosed quote is one empty element: a client could open the
/// quote in front of the part that a trusted proxy appends.
fn elements(line: &str) -> Vec<Vec<(String, String)>> {
    split(line, ',').map_or_else(|| vec![Vec::new()], |parts| parts.into_iter().filter_map(pairs).collect())
}

/// Splits at separators outside of quotes; `None` if a quote is not closed.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match character {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => parts.push(&text[std::mem::replace(&mut start, at + 1)..at]),
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!quoted).then_some(parts)
}

/// `for=192.0.2.1;proto=https`: names in lower case, values without their quotes; `None` for an empty element.
fn pairs(element: &str) -> Option<Vec<(String, String)>> {
    if element.trim().is_empty() {
        return None;
    }
    let pair = |text: &str| {
        let (name, value) = text.split_once('=')?;
        let value = value.trim();
        let value = match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
            Some(quoted) => quoted.replace('\\', ""),
            None => value.to_owned(),
        };
        Some((name.trim().to_ascii_lowercase(), value))
    };
    Some(split(element, ';')?.into_iter().filter_map(pair).collect())
}

fn checked_host(text: &str) -> Option<String> {
    let text = text.trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    (!text.is_empty() && text.len() <= MAX_HOST_BYTES && text.bytes().all(plain)).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(peer: &str, lines: &[(&'static str, &str)]) -> ClientInfo {
        let trusted = ["127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|(name, value)| {
            headers.append(*name, value.parse().unwrap());
        });
        let own = ClientInfo { address: peer.parse().unwrap(), scheme: Scheme::Http, host: Some("inner:8080".into()) };
        forwarded_for(own, &headers, &trusted)
    }

    fn address(peer: &str, lines: &[(&'static str, &str)]) -> String {
        ask(peer, lines).address.to_string()
    }

    const XFF: &str = "x-forwarded-for";

    #[test]
    fn headers_of_an_untrusted_peer_are_ignored() {
        let lines = [
            (XFF, "203.0.113.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.org"),
            ("forwarded", "for=203.0.113.9;proto=https;host=evil.org"),
        ];
        let client = ask("198.51.100.7", &lines);
        assert_eq!(client.address.to_string(), "198.51.100.7");
        assert_eq!((client.scheme, client.host.as_deref()), (Scheme::Http, Some("inner:8080")));
    }

    #[test]
    fn the_rightmost_hop_that_is_no_proxy_counts() {
        assert_eq!(address("127.0.0.1", &[(XFF, "203.0.113.9")]), "203.0.113.9");
        assert_eq!(address("127.0.0.1", &[(XFF, "1.1.1.1, 203.0.113.9")]), "203.0.113.9", "the client wrote 1.1.1.1");
        assert_eq!(address("127.0.0.1", &[(XFF, "1.1.1.1, 203.0.113.9, 10.1.2.3")]), "203.0.113.9");
        assert_eq!(address("127.0.0.1", &[(XFF, "1.1.1.1"), (XFF, "203.0.113.9")]), "203.0.113.9", "two lines are one list");
        assert_eq!(address("127.0.0.1", &[(XFF, "10.9.9.9, 10.1.2.3")]), "10.9.9.9", "proxies alone: the farthest");
        assert_eq!(address("127.0.0.1", &[(XFF, "1.1.1.1, nonsense")]), "127.0.0.1", "nothing is known beyond nonsense");
        assert_eq!(address("127.0.0.1", &[(XFF, "1.1.1.1, unknown, 10.1.2.3")]), "10.1.2.3");
        assert_eq!(address("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(address("127.0.0.1", &[(XFF, "")]), "127.0.0.1");
    }

    #[test]
    fn addresses_come_with_and_without_ports() {
        for text in ["2001:db9::1", "[2001:db9::1]", "[2001:db9::1]:443"] {
            assert_eq!(address("2001:db8::5", &[(XFF, text)]), "2001:db9::1");
        }
        assert_eq!(address("127.0.0.1", &[(XFF, "203.0.113.9:4711")]), "203.0.113.9");
        assert_eq!(address("127.0.0.1", &[(XFF, "::ffff:203.0.113.9")]), "203.0.113.9");
    }

    #[test]
    fn scheme_and_host_are_the_last_proxys_word() {
        let proxied =
            [(XFF, "203.0.113.9"), ("x-forwarded-proto", "http, HTTPS"), ("x-forwarded-host", "evil.org, Cast.Example.org")];
        let client = ask("127.0.0.1", &proxied);
        assert_eq!((client.scheme, client.host.as_deref()), (Scheme::Https, Some("cast.example.org")));
        let client = ask("127.0.0.1", &[("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a b;script-src *")]);
        assert_eq!((client.scheme, client.host.as_deref()), (Scheme::Http, Some("inner:8080")));
    }

    #[test]
    fn rfc_7239_section_4_forwarded() {
        let client = ask(
            "127.0.0.1",
            &[("forwarded", "for=1.1.1.1;proto=http, For=\"[2001:db9::17]:4711\";Proto=https;host=\"a.org:81\";by=10.0.0.1")],
        );
        assert_eq!(
            (client.address.to_string().as_str(), client.scheme, client.host.as_deref()),
            ("2001:db9::17", Scheme::Https, Some("a.org:81"))
        );
        let client = ask(
            "127.0.0.1",
            &[("forwarded", "for=203.0.113.9;proto=https;host=a.org"), ("forwarded", "for=10.1.1.1;proto=http;host=b.org")],
        );
        assert_eq!(
            (client.address.to_string().as_str(), client.scheme, client.host.as_deref()),
            ("203.0.113.9", Scheme::Https, Some("a.org"))
        );
        for hidden in ["for=unknown;proto=https", "for=_secret;proto=https", "proto=https"] {
            let client = ask("127.0.0.1", &[("forwarded", hidden)]);
            assert_eq!((client.address.to_string().as_str(), client.scheme), ("127.0.0.1", Scheme::Https), "{hidden}");
        }
        for broken in ["", ",,", ";;", "for", "for=\"1.1.1.1", "for=\"a,for=1.1.1.1", "\\", "for=\"\\"] {
            assert_eq!(address("127.0.0.1", &[("forwarded", broken)]), "127.0.0.1", "{broken}");
        }
        assert_eq!(address("127.0.0.1", &[("forwarded", "for=\"1.1.1.1, for=2.2.2.2\", for=203.0.113.9")]), "203.0.113.9");
    }

    /// A proxy appends to the line that it received, or writes a line of its own.
    #[test]
    fn a_quote_that_the_client_opens_does_not_hide_what_a_proxy_appends() {
        for client in ["for=1.1.1.1;a=\"", "for=1.1.1.1;a=\"\\", "for=1.1.1.1, for=\"", "\""] {
            for proxy in ["for=203.0.113.9", "for=\"203.0.113.9:80\"", "proto=https;for=\"203.0.113.9:80\";host=\"a.org\""] {
                let one = format!("{client}, {proxy}");
                assert_eq!(address("127.0.0.1", &[("forwarded", &one)]), "127.0.0.1", "{one}");
                assert_eq!(address("127.0.0.1", &[("forwarded", client), ("forwarded", proxy)]), "203.0.113.9", "{one}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_hide_no_hop() {
        let lines = [(XFF, "1.1.1.1, \u{e9}, 203.0.113.9"), ("x-forwarded-host", "\u{e9}, a.org")];
        let client = ask("127.0.0.1", &lines);
        assert_eq!((client.address.to_string().as_str(), client.host.as_deref()), ("203.0.113.9", Some("a.org")));
        assert_eq!(address("127.0.0.1", &[("forwarded", "for=\u{e9}, for=203.0.113.9")]), "203.0.113.9");
    }

    #[test]
    fn a_header_that_the_proxy_lets_pass_does_not_choose_the_address() {
        assert_eq!(address("127.0.0.1", &[(XFF, "203.0.113.9"), ("forwarded", "for=1.1.1.1")]), "127.0.0.1");
        assert_eq!(address("127.0.0.1", &[(XFF, "203.0.113.9"), ("forwarded", "for=203.0.113.9")]), "203.0.113.9");
    }
}
