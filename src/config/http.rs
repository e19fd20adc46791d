//! Where the pages, Socket.IO and the REST API are, and who may call them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use url::{Origin, Url};

use super::{CorsOrigins, Listen, NETWORKS, Reader, Settings, network, text};

#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// All of them listen and serve the same; the first one is the main one, which URLs name. Never empty.
    pub listen: Vec<Listen>,
    /// The origin people type, without a path or a trailing slash; `None`: the one each request came by.
    pub public_url: Option<Url>,
    pub cors: CorsOrigins,
    /// Proxies in front, whose word about clients' addresses is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Who may see what is for whoever runs the server: `/metrics`, and the details of `/readyz`.
    pub metrics_allow: Vec<IpNet>,
    /// Most TCP connections of one address at once.
    pub address_connections: u32,
}

impl HttpConfig {
    pub(super) fn read(settings: &Settings, reader: &mut Reader) -> Self {
        let default = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080));
        let mut listen: Vec<_> = read_addrs(settings, reader).into_iter().map(Listen::exactly).collect();
        if listen.is_empty() {
            // Who types the name alone comes to port 80 first, and a certificate authority may.
            let privileged = text(&settings.domain).map(|_| SocketAddr::new(default.ip(), 80));
            listen.push(Listen { addrs: privileged.into_iter().chain([default]).collect(), required: true });
        }
        let connections = reader.number("CASTWAY_ADDRESS_CONNECTIONS", &settings.address_connections, 1000, 1..=1_000_000);
        Self {
            listen,
            public_url: reader.parse(
                "CASTWAY_PUBLIC_URL",
                &settings.public_url,
                "an http or https address without a path or a password, e.g. https://cast.example.org",
                None,
                |value| origin(value).map(Some),
            ),
            cors: CorsOrigins::read(settings, reader),
            trusted_proxies: reader.list("CASTWAY_TRUSTED_PROXIES", &settings.trusted_proxies, NETWORKS, network),
            metrics_allow: metrics_allow(settings, reader),
            address_connections: u32::try_from(connections).expect("the range above fits"),
        }
    }

    /// The main address, or the last choice for it.
    pub(super) fn main(&self) -> SocketAddr {
        *self.listen[0].addrs.last().expect("never empty")
    }
}

/// This machine, unless something is set.
fn metrics_allow(settings: &Settings, reader: &mut Reader) -> Vec<IpNet> {
    let name = "CASTWAY_METRICS_ALLOW";
    match text(&settings.metrics_allow) {
        None => ["127.0.0.0/8", "::1"].into_iter().filter_map(network).collect(),
        Some("none") => Vec::new(),
        Some(_) => reader.list(name, &settings.metrics_allow, &format!("none, or {NETWORKS}"), network),
    }
}

fn read_addrs(settings: &Settings, reader: &mut Reader) -> Vec<SocketAddr> {
    let name = "CASTWAY_HTTP_ADDR";
    let expected = "IP addresses with ports, separated by commas, e.g. 0.0.0.0:8080 or [::]:8080,[::]:3033";
    let addrs: Vec<SocketAddr> = reader.list(name, &settings.http_addr, expected, |item| item.parse().ok());
    let repeats = |index: usize| addrs[..index].iter().find(|earlier| overlap(**earlier, addrs[index]));
    for (index, addr) in addrs.iter().enumerate() {
        if let Some(earlier) = repeats(index) {
            reader.problem(name, &addr.to_string(), &format!("each address once: {earlier} of the list listens there already"));
        }
    }
    addrs
}

/// Whether the two can't both be listened on.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (first, second) = (one.ip().to_canonical(), other.ip().to_canonical());
    // `[::]` takes IPv4 too.
    let covers = |wide: IpAddr, ip: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || ip.is_ipv4());
    one.port() == other.port() && one.port() != 0 && (first == second || covers(first, second) || covers(second, first))
}

/// An http(s) URL that is an origin and nothing more.
fn origin(value: &str) -> Option<Url> {
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
    use super::*;
    use crate::config::Config;

    #[test]
    fn public_url_is_an_origin() {
        for good in ["https://cast.example.org", "http://192.0.2.1:8080/"] {
            assert!(origin(good).is_some(), "{good}");
        }
        for bad in [
            "cast.example.org",
            "ftp://x.org",
            "https://x.org/path",
            "https://user@x.org",
            "https://:pw@x.org",
            "https://x.org/?q",
        ] {
            assert!(origin(bad).is_none(), "{bad}");
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
        assert_eq!(read("", None), Ok(vec![listens(&["0.0.0.0:8080"])]));
        // One is enough there.
        assert_eq!(read("", Some("cast.example.org")), Ok(vec![listens(&["0.0.0.0:80", "0.0.0.0:8080"])]));
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
