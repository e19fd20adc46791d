//! Where the pages, Socket.IO and the REST API are, and who may call them.

use std::net::{Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use url::{Origin, Url};

use super::{Listen, NETWORKS, Reader, Settings, list, network, text};

#[derive(Debug, Clone)]
pub struct HttpConfig {
    pub listen: Listen,
    /// The origin people type, without a path or a trailing slash; `None`: the one each request came by.
    pub public_url: Option<Url>,
    pub cors: CorsOrigins,
    /// Proxies in front, whose word about clients' addresses is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Most TCP connections of one address at once.
    pub address_connections: u32,
}

/// Whose front ends may call this server from a browser. No cookies in either case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    Any,
    /// Origins as a browser sends them, e.g. `https://app.example.org`.
    Only(Vec<String>),
}

impl HttpConfig {
    pub(super) fn read(settings: &Settings, reader: &mut Reader) -> Self {
        let default = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080));
        let expected = "an IP address and a port, e.g. 0.0.0.0:8080 or [::]:8080";
        let mut listen = Listen::exactly(reader.parsed("CASTWAY_HTTP_ADDR", &settings.http_addr, expected, default));
        if text(&settings.http_addr).is_none() && text(&settings.domain).is_some() {
            // Who types the name alone comes here first, and a certificate authority may.
            listen.addrs.insert(0, SocketAddr::new(default.ip(), 80));
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
            cors: read_cors(settings, reader),
            trusted_proxies: reader.list("CASTWAY_TRUSTED_PROXIES", &settings.trusted_proxies, NETWORKS, network),
            address_connections: u32::try_from(connections).expect("the range above fits"),
        }
    }
}

fn read_cors(settings: &Settings, reader: &mut Reader) -> CorsOrigins {
    if list(&settings.cors_origins).all(|item| item == "*") {
        return CorsOrigins::Any;
    }
    let expected = "* or origins such as https://app.example.org, separated by commas";
    CorsOrigins::Only(reader.list("CASTWAY_CORS_ORIGINS", &settings.cors_origins, expected, |item| {
        origin(item).map(|url| url.origin().ascii_serialization())
    }))
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
    fn cors_is_any_or_a_list() {
        let read = |value: &str| {
            let settings = Settings { cors_origins: Some(value.into()), ..Settings::default() };
            Config::read(&settings).map(|config| config.http.cors)
        };
        assert_eq!(read("*"), Ok(CorsOrigins::Any));
        assert_eq!(read(""), Ok(CorsOrigins::Any));
        let expected = vec!["https://a.org".to_owned(), "http://b.org:81".to_owned()];
        assert_eq!(read("https://a.org/, http://b.org:81"), Ok(CorsOrigins::Only(expected)));
        assert!(read("a.org").is_err());
    }
}
