//! Where the pages, Socket.IO and the REST API listen, and who may call them.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::{Origin, Url};

use super::listen::{Listen, listening_addr};
use super::network::{NETWORKS, network};
use super::origins::CorsOrigins;
use super::reader::{MAX_COUNT, Reader};

const HTTP_ADDR: &str = "CASTWAY_HTTP_ADDR";
/// The default port of HTTP.
const HTTP_PORT: u16 = 80;

#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// All of them serve the same; URLs name the first one. Never empty.
    pub listen: Vec<Listen>,
    /// The origin people type, without a path or a trailing slash; `None`: the one each request came by.
    pub public_url: Option<Url>,
    pub cors: CorsOrigins,
    /// Proxies in front, which are believed about the addresses of clients.
    pub trusted_proxies: Vec<IpNet>,
    /// Who may see what is for the operator: `/metrics`, and the details of `/readyz`.
    pub metrics_allow: Vec<IpNet>,
    /// Networks whose clients are served the API without TLS even where everybody else is redirected to HTTPS.
    pub plain_api: Vec<IpNet>,
    /// Whether the relay's own TCP ports serve all this, too.
    pub on_turn_ports: bool,
    /// Maximum number of TCP connections from one address.
    pub address_connections: u32,
}

impl HttpConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let expected = "an http or https address without a path or a password, e.g. https://cast.example.org";
        Self {
            listen: listen(reader),
            public_url: reader.optional("CASTWAY_PUBLIC_URL", expected, bare_origin),
            cors: CorsOrigins::read(reader),
            trusted_proxies: reader.networks("CASTWAY_TRUSTED_PROXIES"),
            metrics_allow: metrics_allow(reader),
            plain_api: reader.networks("CASTWAY_PLAIN_API"),
            on_turn_ports: reader.flag("CASTWAY_TURN_HTTP"),
            address_connections: reader.number("CASTWAY_ADDRESS_CONNECTIONS", 1..=MAX_COUNT, ""),
        }
    }

    /// The main address, or the last alternative for it.
    pub(super) fn main(&self) -> SocketAddr {
        *self.listen[0].addrs.last().expect("never empty")
    }
}

/// `none`, or networks; this machine, unless something is set.
fn metrics_allow(reader: &mut Reader) -> Vec<IpNet> {
    let name = "CASTWAY_METRICS_ALLOW";
    if reader.given(name).as_deref() == Some("none") {
        return Vec::new();
    }
    reader.list(name, &format!("none, or {NETWORKS}"), network)
}

fn listen(reader: &mut Reader) -> Vec<Listen> {
    let mut listen: Vec<Listen> = given_addrs(reader).into_iter().map(Listen::exactly).collect();
    if listen.is_empty() {
        let default = reader.default_addr(HTTP_ADDR);
        // People who type the name alone come to port 80 first, and so may a certificate authority.
        let privileged = reader.given("CASTWAY_DOMAIN").map(|_| SocketAddr::new(default.ip(), HTTP_PORT));
        listen.push(Listen { addrs: privileged.into_iter().chain([default]).collect(), required: true });
    }
    listen
}

fn given_addrs(reader: &mut Reader) -> Vec<SocketAddr> {
    if reader.given(HTTP_ADDR).is_none() {
        return Vec::new();
    }
    let expected = "IP addresses with ports, separated by commas, e.g. [::]:8080,[::]:3033 for IPv4 and IPv6";
    let addrs: Vec<SocketAddr> = reader.list(HTTP_ADDR, expected, listening_addr);
    let repeats = |index: usize| addrs[..index].iter().find(|earlier| overlap(**earlier, addrs[index]));
    for (index, addr) in addrs.iter().enumerate() {
        if let Some(earlier) = repeats(index) {
            let expected = format!("each address once: {earlier} of the list listens there already");
            reader.problem(HTTP_ADDR, &addr.to_string(), &expected);
        }
    }
    addrs
}

/// Whether a listener on one of the two keeps the other from listening.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (first, second) = (one.ip().to_canonical(), other.ip().to_canonical());
    // `[::]` takes IPv4 too.
    let covers = |wide: IpAddr, ip: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || ip.is_ipv4());
    one.port() == other.port() && one.port() != 0 && (first == second || covers(first, second) || covers(second, first))
}

/// Reads an http(s) URL that is an origin and nothing more.
fn bare_origin(value: &str) -> Option<Url> {
    let url = Url::parse(value).ok()?;
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let web = matches!(url.scheme(), "http" | "https") && matches!(url.origin(), Origin::Tuple(..));
    (bare && web).then_some(url)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::super::listen::on_this_machine;
    use super::*;
    use crate::config::{Config, Settings};

    #[test]
    fn public_url_is_an_origin() {
        for good in ["https://cast.example.org", "http://192.0.2.1:8080/"] {
            assert!(bare_origin(good).is_some(), "{good}");
        }
        for bad in [
            "cast.example.org",
            "ftp://x.org",
            "https://x.org/path",
            "https://user@x.org",
            "https://:pw@x.org",
            "https://x.org/?q",
        ] {
            assert!(bare_origin(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn several_addresses_listen_each_once() {
        let read = |value: &str, domain: Option<&str>| {
            let settings = Settings { http_addr: Some(value.into()), domain: domain.map(str::to_owned), ..Settings::default() };
            Config::read(&settings).map(|config| config.http.listen).map_err(|problems| problems.to_string())
        };
        let listens = |addrs: &[&str]| Listen { addrs: addrs.iter().map(|addr| addr.parse().unwrap()).collect(), required: true };
        let several = vec![listens(&["0.0.0.0:8080"]), listens(&["0.0.0.0:3033"]), listens(&["[::1]:8083"])];
        for domain in [None, Some("cast.example.org")] {
            assert_eq!(read("0.0.0.0:8080, 0.0.0.0:3033,[::1]:8083", domain), Ok(several.clone()));
        }
        let defaults = |ports: &[u16]| {
            let addrs = ports.iter().map(|port| on_this_machine((Ipv6Addr::UNSPECIFIED, *port).into())).collect();
            vec![Listen { addrs, required: true }]
        };
        assert_eq!(read("", None), Ok(defaults(&[8080])));
        // One is enough there.
        assert_eq!(read("", Some("cast.example.org")), Ok(defaults(&[80, 8080])));
        assert_eq!(read("127.0.0.1:0,127.0.0.1:0", None).map(|listen| listen.len()), Ok(2));
        for (addrs, wrong) in [
            ("0.0.0.0:8080,0.0.0.0:8080", "0.0.0.0:8080"),
            ("0.0.0.0:8080,0.0.0.0:3033,127.0.0.1:8080", "127.0.0.1:8080"),
            ("10.0.0.5:8080,[::]:8080", "[::]:8080"),
            ("[::1]:8080,[::]:8080", "[::]:8080"),
            ("0.0.0.0:8080,8083", "8083"),
        ] {
            let problems = read(addrs, None).expect_err(addrs);
            assert!(problems.contains(&format!("CASTWAY_HTTP_ADDR={wrong:?}")), "{problems}");
        }
        assert!(read("0.0.0.0:8080,[::1]:8080,10.0.0.5:8083,10.0.0.6:8083", None).is_ok());
    }
}
