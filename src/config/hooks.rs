//! Requests to servers of the operator: webhooks, and the question who may take a seat.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::Ipv6Net;
use url::{Host, Url};

use super::reader::Reader;
use super::secret::{MIN_UNGUESSABLE_SECRET_BYTES, Secret};
use crate::sentence::Sentence;
use crate::turn::{PeerPolicy, Scope};

const WEBHOOK_URL: &str = "CASTWAY_WEBHOOK_URL";
const AUTHORIZE_URL: &str = "CASTWAY_AUTHORIZE_URL";
const PRIVATE: &str = "CASTWAY_HOOKS_PRIVATE";
/// Each one has a queue and a connection.
const MAX_WEBHOOKS: usize = 8;

#[derive(Debug, Clone, Default)]
pub struct HooksConfig {
    /// Each one is told of all events.
    pub webhooks: Vec<HookUrl>,
    /// `None`: nobody is asked.
    pub authorize: Option<AuthorizeConfig>,
    /// What signs the requests; there is one where there is a URL.
    pub secret: Option<Secret<String>>,
    /// Requests may go to private addresses.
    pub private: bool,
    /// What is odd about the secret, in sentences.
    pub(super) warnings: Vec<Sentence>,
}

#[derive(Debug, Clone)]
pub struct AuthorizeConfig {
    pub url: HookUrl,
    pub seats: AskedSeats,
    /// Whoever can't be asked about is allowed.
    pub allows_when_down: bool,
}

/// The kinds of seats that are asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AskedSeats {
    pub tv: bool,
    pub caster: bool,
    pub call: bool,
}

/// A URL of a server of the operator: https, or http to this machine. Its path and query may be secrets, so it is shown without them.
#[derive(Clone, PartialEq, Eq)]
pub struct HookUrl(Url);

impl HookUrl {
    /// Reads one; `private`: it may have a private address.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn read(text: &str, private: bool) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "a URL such as https://app.example.org/hooks")?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err("a URL that begins with https://, or with http:// for a server on this machine"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL without a user and a password: the signature shows who sends the request");
        }
        let address = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain(_)) | None => None,
        };
        let is_here = address.is_some_and(|ip| ip.to_canonical().is_loopback()) || url.host() == Some(Host::Domain("localhost"));
        if !secure && !is_here {
            return Err("https:// to another machine; http:// only leads to localhost, 127.0.0.1 or [::1]");
        }
        if address.is_some_and(|ip| !may_connect(ip, secure, private)) {
            return Err("a public address, or CASTWAY_HOOKS_PRIVATE=true for a server in a private network");
        }
        Ok(Self(url))
    }

    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// A name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// The host, and the port unless it is the usual one: the Host header.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.0.authority()
    }

    /// The path and the query: the target of the request.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.0[url::Position::BeforePath..url::Position::AfterQuery]
    }
}

impl fmt::Display for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The relay denies its peers the same networks, those of cloud metadata and addresses inside of addresses among them. But in a network with
/// IPv6 alone, DNS64 gives every name of an IPv4 host an address with this prefix, and only the IPv4 address inside says where that leads.
static PUBLIC: LazyLock<PeerPolicy> = LazyLock::new(|| {
    let translated = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xFF9B, 0, 0, 0, 0, 0, 0), 96);
    PeerPolicy { allowed: vec![translated.into()], ..PeerPolicy::default() }
});

/// Whether a request may go to this address: loopback always; others over TLS, if they are public or `private` ones are allowed.
#[must_use]
pub fn may_connect(ip: IpAddr, secure: bool, private: bool) -> bool {
    ip.to_canonical().is_loopback() || (secure && (private || PUBLIC.permits(ip, Scope::Anyone)))
}

impl HooksConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let private = reader.flag(PRIVATE);
        let webhooks = urls(reader, WEBHOOK_URL, private);
        if webhooks.len() > MAX_WEBHOOKS {
            reader.secret_problem(WEBHOOK_URL, &format!("at most {MAX_WEBHOOKS} URLs"));
        }
        let authorize = urls(reader, AUTHORIZE_URL, private);
        if authorize.len() > 1 {
            reader.secret_problem(AUTHORIZE_URL, "one URL");
        }
        let (seats, allows_when_down) = (seats(reader), allows_when_down(reader));
        let authorize = authorize.into_iter().next().map(|url| AuthorizeConfig { url, seats, allows_when_down });
        let is_used = !webhooks.is_empty() || authorize.is_some();
        let (secret, warnings) = secret(reader, is_used);
        Self { webhooks, authorize, secret, private, warnings }
    }
}

fn urls(reader: &mut Reader, name: &str, private: bool) -> Vec<HookUrl> {
    let mut urls = Vec::new();
    for item in reader.items(name) {
        match HookUrl::read(&item, private) {
            Ok(url) => urls.push(url),
            Err(expected) => reader.secret_problem(name, expected),
        }
    }
    urls
}

fn seats(reader: &mut Reader) -> AskedSeats {
    let mut seats = AskedSeats::default();
    for item in reader.items("CASTWAY_AUTHORIZE") {
        match item.as_str() {
            "tv" => seats.tv = true,
            "caster" => seats.caster = true,
            "call" => seats.call = true,
            _ => reader.problem("CASTWAY_AUTHORIZE", &item, "tv, caster or call, or several of them, separated by commas"),
        }
    }
    seats
}

fn allows_when_down(reader: &mut Reader) -> bool {
    reader.choice("CASTWAY_AUTHORIZE_DOWN", &[("refuse", false), ("allow", true)])
}

fn secret(reader: &mut Reader, is_used: bool) -> (Option<Secret<String>>, Vec<Sentence>) {
    let secrets = reader.secrets("CASTWAY_WEBHOOK_SECRET");
    let is_long = |secret: &Secret<String>| secret.expose().len() >= MIN_UNGUESSABLE_SECRET_BYTES;
    match secrets.values.as_slice() {
        [] if !is_used => {}
        [secret] if is_long(secret) => {}
        [] | [_] => reader.secret_problem(
            &secrets.variable,
            &format!(
                "a secret of at least {MIN_UNGUESSABLE_SECRET_BYTES} characters where {WEBHOOK_URL} or {AUTHORIZE_URL} is set: it \
                 signs the requests"
            ),
        ),
        _ => reader.secret_problem(&secrets.variable, "one secret; a comma may only be in that of a file"),
    }
    (secrets.values.into_iter().next(), secrets.warnings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    const SECRET: &str = "0123456789abcdef";

    fn read(variables: &[(&str, &str)]) -> Result<HooksConfig, String> {
        let settings = Settings::from_variables(variables.iter().copied());
        Config::read(&settings).map(|config| config.hooks).map_err(|problems| problems.to_string())
    }

    fn webhooks(urls: &str) -> Result<HooksConfig, String> {
        read(&[("CASTWAY_WEBHOOK_URL", urls), ("CASTWAY_WEBHOOK_SECRET", SECRET)])
    }

    #[test]
    fn requests_go_over_tls_or_to_this_machine() {
        for url in [
            "https://app.example.org/hooks?key=1",
            "https://8.8.8.8:8443/",
            "http://127.0.0.1:9000/hook",
            "http://127.8.9.1/",
            "http://[::1]:9000",
            "http://localhost:9000/",
            "https://localhost/",
            "https://[2606:4700::1]/",
        ] {
            assert_eq!(webhooks(url).unwrap_or_else(|problem| panic!("{url}: {problem}")).webhooks.len(), 1);
        }
        for url in [
            "http://app.example.org/hidden",
            "http://8.8.8.8/",
            "http://localhost.example.org/",
            "http://[::ffff:8.8.8.8]/",
            "ftp://127.0.0.1/",
            "app.example.org",
            "https://user:hidden@app.example.org/",
            "https://",
        ] {
            let problem = webhooks(url).expect_err(url);
            assert!(
                problem.contains("CASTWAY_WEBHOOK_URL (value not shown): expected") && !problem.contains("hidden"),
                "{problem}"
            );
        }
    }

    #[test]
    fn private_addresses_need_a_setting() {
        for host in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "168.63.129.16",
            "0.0.0.0",
            "[fd00::1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[::ffff:10.1.2.3]",
            "[64:ff9b::10.1.2.3]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b:1::8.8.8.8]",
            "[2002:a01:203::1]",
            "0x0a010203",
            "3232235777",
        ] {
            let url = format!("https://{host}/hook");
            assert!(webhooks(&url).expect_err(host).contains("CASTWAY_HOOKS_PRIVATE"), "{host}");
            let allowed =
                read(&[("CASTWAY_AUTHORIZE_URL", &url), ("CASTWAY_WEBHOOK_SECRET", SECRET), ("CASTWAY_HOOKS_PRIVATE", "true")]);
            assert!(allowed.is_ok_and(|config| config.authorize.is_some()), "{host}");
        }
        assert!(webhooks("https://[64:ff9b::8.8.8.8]/hook").is_ok(), "a public address behind NAT64");
        let plain = [("CASTWAY_WEBHOOK_URL", "http://10.1.2.3/"), ("CASTWAY_HOOKS_PRIVATE", "true")];
        assert!(read(&plain).expect_err("a secret and events would go over the network as they are").contains("https://"));
    }

    #[test]
    fn a_secret_signs_all_requests() {
        let url = ("CASTWAY_WEBHOOK_URL", "https://app.example.org/");
        for (secret, expected) in [("", "at least 16"), ("fifteen-letters", "at least 16"), ("0123456789abcdef,", "")] {
            let read = read(&[url, ("CASTWAY_WEBHOOK_SECRET", secret)]);
            match expected {
                "" => assert!(read.is_ok()),
                expected => assert!(read.expect_err(secret).contains(expected)),
            }
        }
        let two = read(&[url, ("CASTWAY_WEBHOOK_SECRET", "0123456789abcdef,fedcba9876543210")]).expect_err("two");
        assert!(two.contains("CASTWAY_WEBHOOK_SECRET (value not shown): expected one secret") && !two.contains("0123"), "{two}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "0123456789,abcdef\n").unwrap();
        let read = read(&[url, ("CASTWAY_WEBHOOK_SECRET_FILE", file.to_str().unwrap())]).expect("a file");
        assert_eq!(read.secret.expect("its line").expose(), "0123456789,abcdef");
        assert!(super::tests::read(&[]).expect("nothing is set").secret.is_none());
    }

    #[test]
    fn all_seats_are_asked_about_unless_a_list_says_which() {
        let seats = |list: &str| {
            read(&[
                ("CASTWAY_AUTHORIZE_URL", "https://app.example.org/"),
                ("CASTWAY_WEBHOOK_SECRET", SECRET),
                ("CASTWAY_AUTHORIZE", list),
            ])
            .map(|config| config.authorize.expect("it is set").seats)
        };
        assert_eq!(seats(""), Ok(AskedSeats { tv: true, caster: true, call: true }));
        assert_eq!(seats("caster, call"), Ok(AskedSeats { tv: false, caster: true, call: true }));
        assert!(seats("tv, casters").expect_err("no kind").contains("CASTWAY_AUTHORIZE=\"casters\": expected tv, caster"));
    }

    #[test]
    fn a_url_is_shown_without_its_path() {
        let url = HookUrl::read("https://app.example.org:8443/T0/secret?key=secret", false).unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://app.example.org:8443 https://app.example.org:8443");
        let parts = (url.host(), url.port(), url.authority(), url.path_and_query());
        assert_eq!(parts, ("app.example.org", 8443, "app.example.org:8443", "/T0/secret?key=secret"));
        let url = HookUrl::read("http://[::1]", false).unwrap();
        assert_eq!((url.host(), url.port(), url.authority(), url.path_and_query()), ("::1", 80, "[::1]", "/"));
    }
}
