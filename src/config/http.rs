//! Where the pages, Socket.IO and the REST API listen, and who may call them.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::{Origin, Url};

use super::admin::AdminConfig;
use super::base_path::BasePath;
use super::frame_ancestors::FrameAncestors;
use super::listen::{Listen, listening_addr};
use super::network::{NETWORKS, network};
use super::origins::CorsOrigins;
use super::reader::{MAX_COUNT, Reader};
use crate::whole_number;

const PUBLIC_URL: &str = "CASTWAY_PUBLIC_URL";
const EXPECTED_URL: &str =
    "an http or https address without a query or a password, e.g. https://cast.example.org or https://example.org/castway/";
const HTTP_ADDR: &str = "CASTWAY_HTTP_ADDR";
const HTTPS_ADDR: &str = "CASTWAY_HTTPS_ADDR";
const PORT: &str = "CASTWAY_TCP_PORT";
/// The default port of HTTP.
const HTTP_PORT: u16 = 80;

#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// All of them serve the same; URLs name the first one. Never empty.
    pub listen: Vec<Listen>,
    /// The setting that names them.
    pub listen_setting: &'static str,
    /// Whether HTTPS has the main address, too.
    pub(super) one_port: bool,
    /// The address people type, whose path is `base_path`; `None`: the origin that each request came by.
    pub public_url: Option<Url>,
    pub base_path: BasePath,
    pub cors: CorsOrigins,
    pub frame_ancestors: FrameAncestors,
    pub admin: AdminConfig,
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
        let (public_url, base_path) = public_url(reader).unzip();
        let base_path = base_path.unwrap_or_default();
        let one_port = one_port(reader);
        Self {
            listen: one_port.map_or_else(|| listen(reader), |addr| vec![Listen::exactly(addr)]),
            listen_setting: if one_port.is_some() { PORT } else { HTTP_ADDR },
            one_port: one_port.is_some(),
            public_url,
            admin: AdminConfig::read(reader, !base_path.is_empty()),
            base_path,
            cors: CorsOrigins::read(reader),
            frame_ancestors: FrameAncestors::read(reader),
            trusted_proxies: reader.networks("CASTWAY_TRUSTED_PROXIES"),
            metrics_allow: metrics_allow(reader),
            plain_api: reader.networks("CASTWAY_PLAIN_API"),
            on_turn_ports: reader.flag("CASTWAY_TURN_HTTP"),
            address_connections: reader.number("CASTWAY_ADDRESS_CONNECTIONS", 1..=MAX_COUNT, ""),
        }
    }

    /// Whether `addr` is one of the addresses that are set, to the letter.
    pub(super) fn wants(&self, addr: SocketAddr) -> bool {
        addr.port() != 0 && self.listen.iter().any(|listen| listen.addrs == [addr])
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

/// The address of everything over TCP, if one port is set for it.
fn one_port(reader: &mut Reader) -> Option<SocketAddr> {
    let expected = "a port from 1 to 65535";
    let port: u16 = reader.optional(PORT, expected, |text| whole_number::read_in(text, &(1..=u16::MAX)))?;
    Some(SocketAddr::new(reader.default_addr(HTTP_ADDR).ip(), port))
}

/// A problem for each address that is set beside the one port for everything.
pub(super) fn report_one_port(reader: &mut Reader) {
    let Some(port) = reader.given(PORT) else { return };
    for setting in [HTTP_ADDR, HTTPS_ADDR] {
        if let Some(addr) = reader.given(setting) {
            reader.problem(setting, &addr, &format!("nothing where {PORT} is set, which is {port}: set one of the two"));
        }
    }
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

/// The address that people type, and its path.
fn public_url(reader: &mut Reader) -> Option<(Url, BasePath)> {
    let text = reader.text(PUBLIC_URL)?;
    match web_address(&text).and_then(|url| BasePath::read(url.path()).map(|path| (url, path))) {
        Ok(read) => Some(read),
        Err(expected) => {
            reader.problem(PUBLIC_URL, &text, expected);
            None
        }
    }
}

/// Reads an http(s) URL that is an origin and perhaps a path. The error says what is expected instead.
fn web_address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| EXPECTED_URL)?;
    let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    let web = matches!(url.scheme(), "http" | "https") && matches!(url.origin(), Origin::Tuple(..));
    if bare && web { Ok(url) } else { Err(EXPECTED_URL) }
}

/// An address with its path, without a slash at the end.
#[must_use]
pub fn without_last_slash(public_url: &Url) -> String {
    public_url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::super::base_path::{EXPECTED_CHARACTERS, EXPECTED_FOREIGN};
    use super::super::listen::on_this_machine;
    use super::super::userinfo;
    use super::*;
    use crate::config::{Config, Settings};

    #[test]
    fn public_url_is_an_origin_and_perhaps_a_path() {
        let read = |value: &str| {
            let settings = Settings { public_url: Some(value.into()), ..Settings::default() };
            let public = |config: Config| {
                (config.http.public_url.as_ref().map(without_last_slash), config.http.base_path.as_str().to_owned())
            };
            Config::read(&settings).map(public).map_err(|problems| problems.to_string())
        };
        for (value, url, path) in [
            ("https://cast.example.org", "https://cast.example.org", ""),
            ("http://192.0.2.1:8080/", "http://192.0.2.1:8080", ""),
            ("https://x.org/cast/", "https://x.org/cast", "/cast"),
            ("HTTPS://X.org:443/cast", "https://x.org/cast", "/cast"),
            ("https://x.org/a/./b/../c/", "https://x.org/a/c", "/a/c"),
        ] {
            assert_eq!(read(value), Ok((Some(url.to_owned()), path.to_owned())), "{value}");
        }
        for (value, expected) in [
            ("cast.example.org", EXPECTED_URL),
            ("ftp://x.org", EXPECTED_URL),
            ("https://user@x.org", EXPECTED_URL),
            ("https://:pw@x.org", EXPECTED_URL),
            ("https://x.org/?q", EXPECTED_URL),
            ("https://x.org/cast/#x", EXPECTED_URL),
            ("https://x.org/a b/", EXPECTED_CHARACTERS),
            ("https://x.org/r/", EXPECTED_FOREIGN),
        ] {
            let problems = read(value).expect_err(value);
            let shown = userinfo::hidden(value);
            assert!(problems.contains(&format!("{PUBLIC_URL}={shown:?}: expected {expected}")), "{problems}");
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
