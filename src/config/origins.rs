//! Whose front ends may call this server from a browser, compared as browsers name themselves: scheme and host in small letters,
//! IDNs in Punycode, no default port, no slash at the end.

use axum::http::HeaderValue;
use url::{Origin, Url};

use super::{Reader, Settings, list, text};
use crate::http::client_info::{ClientInfo, Scheme};

/// Whose front ends may call this server from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    Any,
    /// These, and the server's own pages.
    Only(Vec<AllowedOrigin>),
}

/// An item of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// As a browser sends it, e.g. `https://app.example.org`, `null`, `capacitor://localhost`.
    Exact(String),
    /// Any one label in front of `parent`, which begins with a dot and may end in a port.
    Subdomain { scheme: String, parent: String },
}

const SETTING: &str = "CASTWAY_CORS_ORIGINS";
const ALONE: &str = "* without other items, since it allows everybody whom the list leaves out; or the list without it";
const SCHEME: &str = "an origin with its scheme, such as https://app.example.org, capacitor://localhost, file:// or null";
const BARE: &str = "an origin and nothing more, such as https://app.example.org: no user, no path, no query";
const HOST: &str = "an origin with a host that can exist, such as https://app.example.org or http://192.0.2.7:8080";
const NO_PAGES: &str = "an origin that pages have: they come from http:// or https://, or from an app's own scheme";
const WILDCARD: &str = "a * that is the whole first label of the host, as in https://*.example.org";
const PARENT: &str = "a * below a domain of yours, as in https://*.example.org; below a name of one label only where that is a \
                      private one, such as http://*.lan:8080";

/// Schemes of addresses whose pages have no origin of this name.
const WITHOUT_PAGES: [&str; 12] =
    ["about", "blob", "data", "filesystem", "ftp", "intent", "javascript", "mailto", "tel", "view-source", "ws", "wss"];
/// Names of one label that nobody can register: RFC 6761, RFC 6762 (with appendix G), RFC 9476 and what routers hand out.
const PRIVATE: [&str; 13] = [
    "alt",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "test",
    "workgroup",
];

impl CorsOrigins {
    pub(super) fn read(settings: &Settings, reader: &mut Reader) -> Self {
        if list(&settings.cors_origins).all(|item| item == "*") {
            if let Some(separators) = text(&settings.cors_origins).filter(|text| !text.contains('*')) {
                reader.problem(SETTING, separators, "* or origins such as https://app.example.org, separated by commas");
            }
            return Self::Any;
        }
        let mut allowed = Vec::new();
        for item in list(&settings.cors_origins) {
            match AllowedOrigin::read(item) {
                Ok(origin) => allowed.push(origin),
                Err(expected) => reader.problem(SETTING, item, expected),
            }
        }
        Self::Only(allowed)
    }

    /// Whether pages of `origin`, a header's value, may call this server, which `client` has asked. Its own pages always may: those
    /// whose origin has the host that was asked. Their scheme must be the one that was asked, too; but where that is HTTP, a proxy
    /// that is not trusted may have ended TLS.
    pub fn allow(&self, origin: &HeaderValue, client: Option<&ClientInfo>) -> bool {
        let Self::Only(allowed) = self else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        // Schemes and hosts have no case, and extensions of Safari are named in capitals.
        let origin = origin.to_ascii_lowercase();
        allowed.iter().any(|item| item.matches(&origin)) || client.is_some_and(|client| is_own(&origin, client))
    }
}

fn is_own(origin: &str, client: &ClientInfo) -> bool {
    let scheme = match (client.scheme, origin.split_once("://")) {
        (Scheme::Http | Scheme::Https, Some(("https", _))) => Scheme::Https,
        (Scheme::Http, Some(("http", _))) => Scheme::Http,
        _ => return false,
    };
    let own = client.host.as_deref().and_then(|host| Url::parse(&format!("{}://{host}", scheme.as_str())).ok());
    own.is_some_and(|own| own.origin().ascii_serialization() == origin)
}

impl AllowedOrigin {
    /// The error is what is expected instead.
    fn read(item: &str) -> Result<Self, &'static str> {
        if item == "*" {
            return Err(ALONE);
        }
        if item.eq_ignore_ascii_case("null") {
            return Ok(Self::Exact("null".to_owned()));
        }
        if !item.contains("://") {
            return Err(SCHEME);
        }
        if item.contains('*') { Self::subdomain(item) } else { serialized(item).map(Self::Exact) }
    }

    fn subdomain(item: &str) -> Result<Self, &'static str> {
        let (scheme, parent) = item.split_once("://*.").ok_or(WILDCARD)?;
        if scheme.contains('*') || parent.contains('*') {
            return Err(WILDCARD);
        }
        // As a browser would write one of them.
        let sample = serialized(&format!("{scheme}://a.{parent}"))?;
        let (scheme, parent) = sample.split_once("://a").ok_or(WILDCARD)?;
        let domain = parent.split(':').next().unwrap_or_default().trim_matches('.');
        if !domain.contains('.') && !PRIVATE.contains(&domain) {
            return Err(PARENT);
        }
        Ok(Self::Subdomain { scheme: scheme.to_owned(), parent: parent.to_owned() })
    }

    /// `origin` is in small letters.
    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == origin,
            Self::Subdomain { scheme, parent } => {
                let host = origin.strip_prefix(scheme.as_str()).and_then(|rest| rest.strip_prefix("://"));
                let label = host.and_then(|host| host.strip_suffix(parent.as_str()));
                label.is_some_and(|label| !label.is_empty() && label.bytes().all(is_of_a_label))
            }
        }
    }
}

const fn is_of_a_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Whether each label has a character; a dot alone is what some apps call their host, and a last one is the root of all names.
fn is_a_host(host: &str) -> bool {
    host == "." || host.strip_suffix('.').unwrap_or(host).split('.').all(|label| !label.is_empty())
}

/// An origin as a browser sends it.
fn serialized(item: &str) -> Result<String, &'static str> {
    if item.trim_end_matches('/').eq_ignore_ascii_case("file:") {
        return Ok("file://".to_owned());
    }
    let url = Url::parse(item).map_err(|_| HOST)?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none() && !item.contains('@');
    if WITHOUT_PAGES.contains(&url.scheme()) {
        return Err(NO_PAGES);
    }
    if !bare {
        return Err(BARE);
    }
    let serialized = match (url.scheme(), url.origin()) {
        // It has a host, and pages of files have none.
        ("file", _) => return Err(BARE),
        (_, origin @ Origin::Tuple(..)) => origin.ascii_serialization(),
        // An app's own scheme, which knows neither Punycode nor default ports.
        (scheme, Origin::Opaque(_)) => {
            let host = url.host_str().filter(|host| host.bytes().all(|byte| is_of_a_label(byte) || byte == b'.')).ok_or(HOST)?;
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{scheme}://{}{port}", host.to_ascii_lowercase())
        }
    };
    let exists = url.host_str().is_some_and(is_a_host) && url.port() != Some(0) && !serialized.contains('*');
    if exists { Ok(serialized) } else { Err(HOST) }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::config::Config;

    fn read(value: &str) -> Result<CorsOrigins, String> {
        let settings = Settings { cors_origins: Some(value.into()), ..Settings::default() };
        Config::read(&settings).map(|config| config.http.cors).map_err(|problems| problems.to_string())
    }

    fn asked(scheme: Scheme, host: &str) -> ClientInfo {
        ClientInfo { address: IpAddr::V4(Ipv4Addr::LOCALHOST), scheme, host: Some(host.to_owned()) }
    }

    fn allows(list: &str, origin: &str) -> bool {
        read(list).unwrap().allow(&HeaderValue::from_bytes(origin.as_bytes()).unwrap(), None)
    }

    #[test]
    fn no_list_or_an_asterisk_is_everybody() {
        for value in ["*", "", " ", "*,*"] {
            assert_eq!(read(value), Ok(CorsOrigins::Any), "{value:?}");
        }
        assert!(allows("*", "null") && allows("", "https://anybody.example"));
        assert!(read(",").expect_err("commas alone are a list that was lost").contains(SETTING));
    }

    #[test]
    fn items_are_compared_as_browsers_send_them() {
        for (item, sent) in [
            ("https://a.org/", "https://a.org"),
            ("HTTPS://App.Example.ORG:443", "https://app.example.org"),
            ("http://b.org:80", "http://b.org"),
            ("http://b.org:81", "http://b.org:81"),
            ("https://b.org:80", "https://b.org:80"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://BÜCHER.example:8443/", "https://xn--bcher-kva.example:8443"),
            ("http://192.0.2.7:8080", "http://192.0.2.7:8080"),
            ("http://[2001:DB8:0::7]:8080", "http://[2001:db8::7]:8080"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("null", "null"),
            ("file://", "file://"),
            ("file:///", "file://"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("Ionic://LocalHost/", "ionic://localhost"),
            ("app://.", "app://."),
            ("tauri://localhost", "tauri://localhost"),
            ("http://tauri.localhost", "http://tauri.localhost"),
            ("myapp://localhost:8080", "myapp://localhost:8080"),
            ("chrome-extension://abcdefghijklmnopabcdefghijklmnop", "chrome-extension://abcdefghijklmnopabcdefghijklmnop"),
            ("moz-extension://0f3b6d2c-8d3f-4a62-9d6a-1c0ad3b5b6aa", "moz-extension://0f3b6d2c-8d3f-4a62-9d6a-1c0ad3b5b6aa"),
            ("safari-web-extension://0F3B6D2C-8D3F", "safari-web-extension://0F3B6D2C-8D3F"),
        ] {
            assert!(allows(item, sent), "{item} is sent as {sent}");
            assert!(allows(&format!("https://other.example, {item}"), sent), "{item} in a list");
            assert!(!allows("https://other.example", sent), "{sent} is not in the list");
        }
        for (item, other) in [
            ("https://a.org", "http://a.org"),
            ("https://a.org", "https://a.org:8443"),
            ("https://a.org", "https://a.org.evil.example"),
            ("https://a.org", "https://b.a.org"),
            ("https://a.org", "null"),
            ("file://", "null"),
            ("null", "file://"),
            ("capacitor://localhost", "ionic://localhost"),
            ("capacitor://localhost", "http://localhost"),
            ("https://a.org", "https://a.ø"),
        ] {
            assert!(!allows(item, other), "{item} is not {other}");
        }
    }

    #[test]
    fn an_asterisk_is_one_label() {
        let list = "https://*.example.org, http://*.lan:8080, https://*.bücher.example, myapp://*.example.org, http://*.home:80";
        for origin in [
            "https://a.example.org",
            "https://a-1_b.example.org",
            "https://xn--bcher-kva.example.org",
            "http://tv.lan:8080",
            "https://a.xn--bcher-kva.example",
            "myapp://a.example.org",
            "http://tv.home",
        ] {
            assert!(allows(list, origin), "{origin}");
        }
        for origin in [
            "https://example.org",
            "https://.example.org",
            "https://a.b.example.org",
            "https://evil.example.org.attacker",
            "https://evilexample.org",
            "https://evil.example/.example.org",
            "https://evil.example:1@a.example.org",
            "https://evil.example?.example.org",
            "https://evil.example#.example.org",
            "https://evil.example\\.example.org",
            "https://*.example.org",
            "http://a.example.org",
            "https://a.example.org:8443",
            "http://tv.lan",
            "http://tv.lan:80800",
            "null",
        ] {
            assert!(!allows(list, origin), "{origin}");
        }
    }

    #[test]
    fn what_can_match_nothing_is_an_error_that_names_it() {
        for (item, expected) in [
            ("a.org", SCHEME),
            ("*.example.org", SCHEME),
            ("localhost:8080", SCHEME),
            ("//a.org", SCHEME),
            ("https:a.org", SCHEME),
            ("file:", SCHEME),
            ("mailto:a@b.org", SCHEME),
            ("data:text/html", SCHEME),
            ("https://a.org/path", BARE),
            ("https://a.org//", BARE),
            ("https://a.org/?", BARE),
            ("https://a.org?q=1", BARE),
            ("https://a.org#x", BARE),
            ("https://user@a.org", BARE),
            ("https://@a.org", BARE),
            ("https://:pw@a.org", BARE),
            ("file:///home/index.html", BARE),
            ("file://server", BARE),
            ("capacitor://localhost/index.html", BARE),
            ("https://*.example.org/path", BARE),
            ("http://", HOST),
            ("https://:443", HOST),
            ("capacitor://", HOST),
            ("capacitor://bücher", HOST),
            ("https://.example.org", HOST),
            ("https://a..b", HOST),
            ("app://..", HOST),
            ("https://*..example.org", HOST),
            ("mailto://x", NO_PAGES),
            ("https://a.org:0", HOST),
            ("https://a.org:65536", HOST),
            ("https://a.org:x", HOST),
            ("https://a b.org", HOST),
            ("https://%2A.example.org", HOST),
            ("http://256.0.0.1", HOST),
            ("http://*.168.0.1", HOST),
            ("ftp://a.org", NO_PAGES),
            ("wss://a.org", NO_PAGES),
            ("ws://*.example.org", NO_PAGES),
            ("blob:https://a.org", NO_PAGES),
            ("https://*", WILDCARD),
            ("https://*:8080", WILDCARD),
            ("*://a.org", WILDCARD),
            ("*://*.a.org", WILDCARD),
            ("https://*.*.org", WILDCARD),
            ("https://a*.example.org", WILDCARD),
            ("https://*a.example.org", WILDCARD),
            ("https://a.*.example.org", WILDCARD),
            ("https://example.org:*", WILDCARD),
            ("https://*@a.example.org", WILDCARD),
            ("capacitor://*", WILDCARD),
            ("https://*.", PARENT),
            ("https://*.org", PARENT),
            ("https://*.ORG.", PARENT),
            ("https://*.com:8443", PARENT),
            ("*", ALONE),
        ] {
            let problems = read(&format!("https://good.example,{item}")).expect_err(item);
            assert!(problems.contains(&format!("{SETTING}={item:?}: expected {expected}")), "{item}: {problems}");
            assert_eq!(problems.matches(SETTING).count(), 1, "{problems}");
        }
    }

    #[test]
    fn the_servers_own_pages_are_never_foreign() {
        let list = read("https://other.example").unwrap();
        let is_own = |origin: &str, client: ClientInfo| list.allow(&HeaderValue::from_str(origin).unwrap(), Some(&client));
        for (origin, scheme, host) in [
            ("http://cast.example.org:8080", Scheme::Http, "cast.example.org:8080"),
            ("https://cast.example.org", Scheme::Https, "cast.example.org"),
            ("https://cast.example.org", Scheme::Https, "cast.example.org:443"),
            ("http://cast.example.org", Scheme::Http, "cast.example.org:80"),
            ("https://cast.example.org", Scheme::Http, "cast.example.org"),
            ("https://cast.example.org", Scheme::Http, "cast.example.org:443"),
            ("http://[2001:db8::7]:8080", Scheme::Http, "[2001:db8:0::7]:8080"),
        ] {
            assert!(is_own(origin, asked(scheme, host)), "{origin} at {host}");
        }
        for (origin, scheme, host) in [
            ("http://cast.example.org", Scheme::Https, "cast.example.org"),
            ("http://cast.example.org", Scheme::Http, "cast.example.org:443"),
            ("https://cast.example.org", Scheme::Https, "cast.example.org:8443"),
            ("https://cast.example.org:8443", Scheme::Https, "cast.example.org"),
            ("https://cast.example.org.evil.example", Scheme::Https, "cast.example.org"),
            ("capacitor://cast.example.org", Scheme::Http, "cast.example.org"),
            ("null", Scheme::Http, "null"),
        ] {
            assert!(!is_own(origin, asked(scheme, host)), "{origin} at {host}");
        }
    }
}
