//! The origins whose front ends may call this server from a browser. They are compared in the form that browsers send: scheme and
//! host in small letters, IDNs in Punycode, no default port, no slash at the end. The server's own origin is compared in
//! `crate::app::cors`, which knows the request.

use url::{Origin, Url};

use super::reader::Reader;

/// The origins whose front ends may call this server from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    Any,
    /// The listed ones, and the server's own pages.
    Only(Vec<AllowedOrigin>),
}

/// One item of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// As a browser sends it, e.g. `https://app.example.org`, `null`, `capacitor://localhost`.
    Exact(String),
    /// Any single label in front of `parent`, which begins with a dot and may end with a port.
    Subdomain { scheme: String, parent: String },
}

const SETTING: &str = "CASTWAY_CORS_ORIGINS";
// What is expected instead of an item.
const EXPECTED_ALONE: &str = "* without other items, since it allows everybody whom the list leaves out; or the list without it";
const EXPECTED_SCHEME: &str =
    "an origin with its scheme, such as https://app.example.org, capacitor://localhost, file:// or null";
const EXPECTED_BARE: &str = "an origin and nothing more, such as https://app.example.org: no user, no path, no query";
const EXPECTED_HOST: &str = "an origin with a host that can exist, such as https://app.example.org or http://192.0.2.7:8080";
const EXPECTED_PAGES: &str = "an origin that pages have: they come from http:// or https://, or from an app's own scheme";
const EXPECTED_WILDCARD: &str = "a * that is the whole first label of the host, as in https://*.example.org";
const EXPECTED_PARENT: &str = "a * below a domain of yours, as in https://*.example.org; below a name of one label only where that is a \
                      private one, such as http://*.lan:8080";

/// Schemes whose pages have no origin with that scheme.
const SCHEMES_WITHOUT_PAGES: [&str; 12] =
    ["about", "blob", "data", "filesystem", "ftp", "intent", "javascript", "mailto", "tel", "view-source", "ws", "wss"];
/// Top-level names that nobody can register: RFC 6761, RFC 6762 (with appendix G), RFC 9476, and names that routers give out.
const PRIVATE_TOP_LEVEL_NAMES: [&str; 13] = [
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
    pub(super) fn read(reader: &mut Reader) -> Self {
        let items = reader.items(SETTING);
        if items.iter().all(|item| item == "*") {
            if let Some(separators) = reader.given(SETTING).filter(|text| !text.contains('*')) {
                reader.problem(SETTING, &separators, "* or origins such as https://app.example.org, separated by commas");
            }
            return Self::Any;
        }
        let mut allowed = Vec::new();
        for item in items {
            match AllowedOrigin::read(&item) {
                Ok(origin) => allowed.push(origin),
                Err(expected) => reader.problem(SETTING, &item, expected),
            }
        }
        Self::Only(allowed)
    }

    /// Whether the list has `origin`, the value of a browser's Origin header.
    #[must_use]
    pub fn lists(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            // Schemes and hosts have no case, and extensions of Safari are named in capitals.
            Self::Only(allowed) => allowed.iter().any(|item| item.matches(&origin.to_ascii_lowercase())),
        }
    }
}

impl AllowedOrigin {
    /// The error says what is expected instead.
    pub(super) fn read(item: &str) -> Result<Self, &'static str> {
        if item == "*" {
            return Err(EXPECTED_ALONE);
        }
        if item.eq_ignore_ascii_case("null") {
            return Ok(Self::Exact("null".to_owned()));
        }
        if !item.contains("://") {
            return Err(EXPECTED_SCHEME);
        }
        if item.contains('*') { Self::subdomain(item) } else { serialized(item).map(Self::Exact) }
    }

    fn subdomain(item: &str) -> Result<Self, &'static str> {
        let (scheme, parent) = item.split_once("://*.").ok_or(EXPECTED_WILDCARD)?;
        if scheme.contains('*') || parent.contains('*') {
            return Err(EXPECTED_WILDCARD);
        }
        // As a browser would write one of them.
        let sample = serialized(&format!("{scheme}://a.{parent}"))?;
        let (scheme, parent) = sample.split_once("://a").ok_or(EXPECTED_WILDCARD)?;
        let domain = parent.split(':').next().unwrap_or_default().trim_matches('.');
        if !domain.contains('.') && !PRIVATE_TOP_LEVEL_NAMES.contains(&domain) {
            return Err(EXPECTED_PARENT);
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

/// Whether each label has a character. Some apps have a dot as their host, and a dot at the end is the root of all names.
fn is_a_host(host: &str) -> bool {
    host == "." || host.strip_suffix('.').unwrap_or(host).split('.').all(|label| !label.is_empty())
}

/// Reads an origin in the form that a browser sends.
fn serialized(item: &str) -> Result<String, &'static str> {
    if item.trim_end_matches('/').eq_ignore_ascii_case("file:") {
        return Ok("file://".to_owned());
    }
    let url = Url::parse(item).map_err(|_| EXPECTED_HOST)?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none() && !item.contains('@');
    if SCHEMES_WITHOUT_PAGES.contains(&url.scheme()) {
        return Err(EXPECTED_PAGES);
    }
    if !bare {
        return Err(EXPECTED_BARE);
    }
    let serialized = match (url.scheme(), url.origin()) {
        // It has a host, and pages of files have none.
        ("file", _) => return Err(EXPECTED_BARE),
        (_, origin @ Origin::Tuple(..)) => origin.ascii_serialization(),
        // An app's own scheme, which knows neither Punycode nor default ports.
        (scheme, Origin::Opaque(_)) => {
            let host = url
                .host_str()
                .filter(|host| host.bytes().all(|byte| is_of_a_label(byte) || byte == b'.'))
                .ok_or(EXPECTED_HOST)?;
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{scheme}://{}{port}", host.to_ascii_lowercase())
        }
    };
    let exists = url.host_str().is_some_and(is_a_host) && url.port() != Some(0) && !serialized.contains('*');
    if exists { Ok(serialized) } else { Err(EXPECTED_HOST) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings, userinfo};

    fn read(value: &str) -> Result<CorsOrigins, String> {
        let settings = Settings { cors_origins: Some(value.into()), ..Settings::default() };
        Config::read(&settings).map(|config| config.http.cors).map_err(|problems| problems.to_string())
    }

    fn allows(list: &str, origin: &str) -> bool {
        read(list).unwrap().lists(origin)
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
    fn an_origin_that_can_match_nothing_is_an_error_that_names_it() {
        for (item, expected) in [
            ("a.org", EXPECTED_SCHEME),
            ("*.example.org", EXPECTED_SCHEME),
            ("localhost:8080", EXPECTED_SCHEME),
            ("//a.org", EXPECTED_SCHEME),
            ("https:a.org", EXPECTED_SCHEME),
            ("file:", EXPECTED_SCHEME),
            ("mailto:a@b.org", EXPECTED_SCHEME),
            ("data:text/html", EXPECTED_SCHEME),
            ("https://a.org/path", EXPECTED_BARE),
            ("https://a.org//", EXPECTED_BARE),
            ("https://a.org/?", EXPECTED_BARE),
            ("https://a.org?q=1", EXPECTED_BARE),
            ("https://a.org#x", EXPECTED_BARE),
            ("https://user@a.org", EXPECTED_BARE),
            ("https://@a.org", EXPECTED_BARE),
            ("https://:pw@a.org", EXPECTED_BARE),
            ("file:///home/index.html", EXPECTED_BARE),
            ("file://server", EXPECTED_BARE),
            ("capacitor://localhost/index.html", EXPECTED_BARE),
            ("https://*.example.org/path", EXPECTED_BARE),
            ("http://", EXPECTED_HOST),
            ("https://:443", EXPECTED_HOST),
            ("capacitor://", EXPECTED_HOST),
            ("capacitor://bücher", EXPECTED_HOST),
            ("https://.example.org", EXPECTED_HOST),
            ("https://a..b", EXPECTED_HOST),
            ("app://..", EXPECTED_HOST),
            ("https://*..example.org", EXPECTED_HOST),
            ("mailto://x", EXPECTED_PAGES),
            ("https://a.org:0", EXPECTED_HOST),
            ("https://a.org:65536", EXPECTED_HOST),
            ("https://a.org:x", EXPECTED_HOST),
            ("https://a b.org", EXPECTED_HOST),
            ("https://%2A.example.org", EXPECTED_HOST),
            ("http://256.0.0.1", EXPECTED_HOST),
            ("http://*.168.0.1", EXPECTED_HOST),
            ("ftp://a.org", EXPECTED_PAGES),
            ("wss://a.org", EXPECTED_PAGES),
            ("ws://*.example.org", EXPECTED_PAGES),
            ("blob:https://a.org", EXPECTED_PAGES),
            ("https://*", EXPECTED_WILDCARD),
            ("https://*:8080", EXPECTED_WILDCARD),
            ("*://a.org", EXPECTED_WILDCARD),
            ("*://*.a.org", EXPECTED_WILDCARD),
            ("https://*.*.org", EXPECTED_WILDCARD),
            ("https://a*.example.org", EXPECTED_WILDCARD),
            ("https://*a.example.org", EXPECTED_WILDCARD),
            ("https://a.*.example.org", EXPECTED_WILDCARD),
            ("https://example.org:*", EXPECTED_WILDCARD),
            ("https://*@a.example.org", EXPECTED_WILDCARD),
            ("capacitor://*", EXPECTED_WILDCARD),
            ("https://*.", EXPECTED_PARENT),
            ("https://*.org", EXPECTED_PARENT),
            ("https://*.ORG.", EXPECTED_PARENT),
            ("https://*.com:8443", EXPECTED_PARENT),
            ("*", EXPECTED_ALONE),
        ] {
            let problems = read(&format!("https://good.example,{item}")).expect_err(item);
            let shown = userinfo::hidden(item);
            assert!(problems.contains(&format!("{SETTING}={shown:?}: expected {expected}")), "{item}: {problems}");
            assert_eq!(problems.matches(SETTING).count(), 1, "{problems}");
        }
    }
}
