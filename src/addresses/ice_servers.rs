//! The ICE servers that clients get: the relay's ports as URLs, in the two shapes that clients parse.
//!
//! - Owner: the REST API, the cast gateway's issuer and `castway credentials`, each with a clone.
//! - Inputs: the ports that the relay listens on, the settings' host, [`ExternalAddresses`], the current certificate, and the
//!   host of a request.
//! - Outputs: URLs (RFC 7064, RFC 7065), alone or as `RTCConfiguration.iceServers`.
//! - Invariant: no URL names a port that the relay does not listen on, nor a host that a Host header could forge into anything
//!   but a host.

use std::net::IpAddr;

use serde::{Serialize, Serializer};
use url::{Host, Url};

use crate::addresses::external::ExternalAddresses;
use crate::addresses::interfaces;
use crate::config::secret::Secret;
use crate::tls::{Certificate, Certificates};
use crate::users::Credentials;

/// The transport of a TURN URL (RFC 7065 §3.1): scheme and `transport` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlTransport {
    Udp,
    Tcp,
    Tls,
}

/// A port that the relay listens on, and that clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdvertisedPort {
    pub transport: UrlTransport,
    pub port: u16,
}

/// The relay's ports, and the host they are advertised under.
#[derive(Debug, Clone)]
pub struct IceServers {
    ports: Vec<AdvertisedPort>,
    /// The host of the public URL; it takes precedence over the host of a request.
    public: Option<Host>,
    /// The address that the relay listens on.
    listening: IpAddr,
    external: ExternalAddresses,
    /// The certificates of TURN over TLS, and its port.
    tls: Option<(Certificates, u16)>,
}

/// One entry of `RTCConfiguration.iceServers`. Each entry has one URL, because some receivers only use the first of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IceServer {
    pub urls: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub credential: Option<Secret<String>>,
}

impl IceServers {
    /// The relay listens on `listening`, at `ports`, of which the preferred one is first.
    pub fn new(public_url: Option<&Url>, ports: Vec<AdvertisedPort>, listening: IpAddr, external: ExternalAddresses) -> Self {
        let public = public_url.and_then(Url::host).map(|host| host.to_owned());
        Self { ports, public, listening, external, tls: None }
    }

    /// Adds TURN over TLS. Its URL is given while browsers trust the certificate, and names a host of the certificate: with a
    /// self-signed one, browsers would try the URL in vain at every cast.
    #[must_use]
    pub fn with_tls(self, certificates: Certificates, port: u16) -> Self {
        Self { tls: Some((certificates, port)), ..self }
    }

    /// `turn:HOST:PORT?transport=udp` and so on, one URL for each port and transport. HOST is the external address of the
    /// settings, or else the public URL's host, or else the one in `request_host` (a Host header; its port is ignored), or else
    /// the relay's address. A loopback host, and a header that names no host, count as missing.
    pub fn uris(&self, request_host: Option<&str>) -> Vec<String> {
        let host = self.host(request_host);
        self.ports.iter().map(|port| port.turn(&host)).chain(self.turns(&host, request_host)).collect()
    }

    /// The same with credentials, and one `stun:` URL if the relay has UDP, as `RTCPeerConnection` takes them.
    pub fn ice_servers(&self, credentials: &Credentials, request_host: Option<&str>) -> Vec<IceServer> {
        let host = self.host(request_host);
        let turn = self.uris(request_host).into_iter().map(|urls| IceServer {
            urls,
            username: Some(credentials.username.clone()),
            credential: Some(credentials.password.clone()),
        });
        let stun = self.stun(&host).into_iter().map(|urls| IceServer { urls, username: None, credential: None });
        turn.chain(stun).collect()
    }

    /// `stun:HOST:PORT` if the relay has UDP, with the host of [`Self::uris`]. Clients would learn nothing new from other ports.
    pub fn stun_uris(&self, request_host: Option<&str>) -> Vec<String> {
        self.stun(&self.host(request_host)).into_iter().collect()
    }

    fn stun(&self, host: &Host) -> Option<String> {
        let udp = self.ports.iter().find(|port| port.transport == UrlTransport::Udp)?;
        Some(format!("stun:{host}:{}", udp.port))
    }

    fn turns(&self, host: &Host, request_host: Option<&str>) -> Option<String> {
        let (certificates, port) = self.tls.as_ref()?;
        let certificate = certificates.current();
        if !certificate.is_trusted() {
            return None;
        }
        let host = self.tls_host(&certificate, host, request_host)?;
        Some(AdvertisedPort { transport: UrlTransport::Tls, port: *port }.turn(&host))
    }

    /// The host of a Host header, by which a client found the pages.
    pub fn asked_host(request_host: Option<&str>) -> Option<Host> {
        request_host.and_then(host_of_header)
    }

    /// The host of the certificate that a `turns:` URL names, where other URLs name `host`: a name before an address, because Firefox
    /// sends nothing to a `turns:` URL with an address. Names of the settings of the relay come first, then the one that the client
    /// used, that of the public URL, and the certificate's own.
    fn tls_host(&self, certificate: &Certificate, host: &Host, request_host: Option<&str>) -> Option<Host> {
        let asked = request_host.and_then(host_of_header);
        let known = || self.external.hosts().into_iter().chain(asked.clone()).chain(self.public.clone()).chain([host.clone()]);
        let covered = |host: &Host| certificate.covers(&interfaces::unbracketed(host));
        let is_name = |host: &Host| matches!(host, Host::Domain(_));
        let reaches_others = |host: &Host| is_name(host) && !interfaces::is_loopback_host(host);
        let names = known().filter(covered).chain(certificate.hosts()).filter(reaches_others);
        let local = || asked.clone().filter(|host| is_name(host) && covered(host));
        let addresses = || std::iter::once(host.clone()).chain(known()).find(covered);
        let own = || certificate.names.iter().filter(|name| !name.starts_with('*')).find_map(|name| host_of_header(name));
        names.into_iter().next().or_else(local).or_else(addresses).or_else(own)
    }

    /// The host of [`Self::uris`], for URLs without TLS.
    pub fn host(&self, request_host: Option<&str>) -> Host {
        // A browser resolves `localhost` to `::1` first, where a relay on IPv4 does not listen; and the other peer may be on
        // another machine.
        let usable = |host: &Host| !interfaces::is_loopback_host(host) && self.listens_on(host);
        let asked = || request_host.and_then(host_of_header).filter(usable);
        let own = || match self.external.address() {
            Some(address) if self.listening.is_unspecified() => address,
            Some(_) | None => self.listening,
        };
        let set = self.external.host().map(|host| self.in_asked_family(host, asked()));
        set.or_else(|| self.public.clone()).or_else(asked).unwrap_or_else(|| interfaces::host(own()))
    }

    /// A client that has found the pages at an IPv6 address may have no IPv4, and the other way round. So where the settings give this
    /// machine an address, such a client gets the one of its family, or the one that it used, if that is this machine's own.
    fn in_asked_family(&self, set: Host, asked: Option<Host>) -> Host {
        let is_ipv4 = |host: &Host| match host {
            Host::Domain(_) => None,
            Host::Ipv4(_) => Some(true),
            Host::Ipv6(_) => Some(false),
        };
        let Some((asked, wanted)) = asked.and_then(|asked| is_ipv4(&asked).map(|wanted| (asked, wanted))) else { return set };
        if is_ipv4(&set).is_none_or(|set| set == wanted) {
            return set;
        }
        let other = self.external.hosts().into_iter().find(|host| is_ipv4(host) == Some(wanted));
        let is_own = || interfaces::addresses().into_iter().any(|own| interfaces::host(own) == asked);
        other.or_else(|| is_own().then(|| asked.clone())).unwrap_or(set)
    }

    /// Whether the relay can be reached at the host by which the client found the pages.
    fn listens_on(&self, host: &Host) -> bool {
        let dual = matches!(self.listening, IpAddr::V6(ip) if ip.is_unspecified());
        let any = self.listening.is_unspecified();
        match host {
            Host::Domain(_) => any,
            Host::Ipv4(ip) => (any && (dual || self.listening.is_ipv4())) || self.listening == IpAddr::V4(*ip),
            Host::Ipv6(ip) => dual || self.listening == IpAddr::V6(*ip),
        }
    }
}

impl AdvertisedPort {
    /// `ports` with each transport that the relay has, the preferred port first.
    pub fn at(ports: impl IntoIterator<Item = u16>, udp: bool, tcp: bool) -> Vec<Self> {
        let transports = [(UrlTransport::Udp, udp), (UrlTransport::Tcp, tcp)];
        let of =
            |port| transports.into_iter().filter(|(_, listens)| *listens).map(move |(transport, _)| Self { transport, port });
        ports.into_iter().flat_map(of).collect()
    }

    fn turn(self, host: &Host) -> String {
        let port = self.port;
        match self.transport {
            UrlTransport::Udp => format!("turn:{host}:{port}?transport=udp"),
            UrlTransport::Tcp => format!("turn:{host}:{port}?transport=tcp"),
            UrlTransport::Tls => format!("turns:{host}:{port}?transport=tcp"),
        }
    }
}

/// The host of a Host header, if it is a name or an address, and nothing that could break out of a URL.
fn host_of_header(header: &str) -> Option<Host> {
    let end = match header.find(']') {
        Some(bracket) if header.starts_with('[') => bracket + 1,
        _ => header.find(':').unwrap_or(header.len()),
    };
    let (host, port) = header.split_at(end);
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    match Host::parse(host).ok()? {
        Host::Domain(name) => {
            let plain = name.len() <= 253 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
            (plain && !name.is_empty()).then_some(Host::Domain(name))
        }
        Host::Ipv4(ip) => (!ip.is_unspecified()).then_some(Host::Ipv4(ip)),
        Host::Ipv6(ip) => (!ip.is_unspecified()).then(|| interfaces::host(ip.to_canonical())),
    }
}

fn exposed<S: Serializer>(secret: &Option<Secret<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::config::{CertificateSource, Config, Settings};
    use crate::tls::ServerHosts;

    fn servers(settings: &Settings) -> IceServers {
        at("::", settings)
    }

    fn at(listening: &str, settings: &Settings) -> IceServers {
        let config = Config::read(settings).unwrap();
        let bound = [Some(Ipv4Addr::new(192, 0, 2, 7).into()), Some("2001:db8::7".parse().unwrap())];
        let external = ExternalAddresses::new(&config.relay.external, bound, None);
        let ports = vec![AdvertisedPort { transport: UrlTransport::Udp, port: 3478 }];
        IceServers::new(config.http.public_url.as_ref(), ports, listening.parse().unwrap(), external)
    }

    #[test]
    fn the_host_is_the_one_the_client_used() {
        let servers = servers(&Settings::default());
        let cases = [
            ("cast.example.org", "cast.example.org"),
            ("Cast.Example.org:8080", "cast.example.org"),
            ("192.0.2.9:8080", "192.0.2.9"),
            ("[2001:db8::1]:8080", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("[::ffff:192.0.2.9]:8080", "192.0.2.9"),
            ("tv_box.lan", "tv_box.lan"),
        ];
        for (header, host) in cases {
            assert_eq!(servers.uris(Some(header)), [format!("turn:{host}:3478?transport=udp")], "{header}");
        }
    }

    #[test]
    fn a_header_without_a_usable_host_gives_the_relays_address() {
        let servers = servers(&Settings::default());
        let bad = [
            "",
            ":8080",
            "a b",
            "evil.org/x",
            "evil.org?x",
            "evil.org:80:90",
            "evil.org:x",
            "user@evil.org",
            "a\"b",
            "[::1",
            "2001:db8::1",
            "0.0.0.0:8080",
            "localhost:8080",
            "127.0.0.1",
            "[::1]:8080",
            &"x.".repeat(200),
        ];
        for header in bad.map(Some).into_iter().chain([None]) {
            assert_eq!(servers.uris(header), ["turn:192.0.2.7:3478?transport=udp"], "{header:?}");
        }
    }

    #[test]
    fn a_host_where_nothing_listens_is_not_named() {
        let at = |listening: &str, header: &str| at(listening, &Settings::default()).uris(Some(header));
        assert_eq!(at("0.0.0.0", "[2001:db8::5]:8080"), ["turn:192.0.2.7:3478?transport=udp"]);
        assert_eq!(at("192.0.2.9", "cast.example.org"), ["turn:192.0.2.9:3478?transport=udp"]);
        assert_eq!(at("127.0.0.1", "localhost:8080"), ["turn:127.0.0.1:3478?transport=udp"]);
    }

    #[test]
    fn a_setting_wins_over_the_client() {
        let mut settings = Settings { public_url: Some("https://cast.example.org".into()), ..Settings::default() };
        assert_eq!(servers(&settings).uris(Some("other.org")), ["turn:cast.example.org:3478?transport=udp"]);
        settings.external_ip = Some("2001:db8::5".into());
        assert_eq!(servers(&settings).uris(Some("other.org")), ["turn:[2001:db8::5]:3478?transport=udp"]);
        settings.external_ip = Some("relay.example.org".into());
        assert_eq!(servers(&settings).uris(Some("other.org")), ["turn:relay.example.org:3478?transport=udp"]);
    }

    #[test]
    fn a_client_that_uses_an_address_gets_one_of_its_family() {
        let uris = |external: &str, asked: &str| {
            let settings = Settings { external_ip: Some(external.into()), ..Settings::default() };
            servers(&settings).uris(Some(asked)).remove(0)
        };
        let both = "203.0.113.7,2001:db8::9";
        for (external, asked, host) in [
            (both, "[2001:db8::1]:8080", "[2001:db8::9]"),
            (both, "198.51.100.1:8080", "203.0.113.7"),
            (both, "cast.example.org", "203.0.113.7"),
            ("203.0.113.7", "[2001:db8::1]:8080", "203.0.113.7"),
            ("relay.example.org", "[2001:db8::1]:8080", "relay.example.org"),
        ] {
            assert_eq!(uris(external, asked), format!("turn:{host}:3478?transport=udp"), "{external} {asked}");
        }
    }

    #[test]
    fn ice_servers_have_one_url_each() {
        let credentials = Credentials { username: "1:a".into(), password: Secret::new("pw".into()), ttl: Duration::from_secs(1) };
        let servers = servers(&Settings::default()).ice_servers(&credentials, None);
        assert!(!format!("{servers:?}").contains("pw"));
        assert_eq!(
            serde_json::to_value(servers).unwrap(),
            serde_json::json!([
                {"urls": "turn:192.0.2.7:3478?transport=udp", "username": "1:a", "credential": "pw"},
                {"urls": "stun:192.0.2.7:3478"},
            ])
        );
    }

    #[test]
    fn a_second_port_comes_after_the_first_and_stun_has_one() {
        let mut servers = servers(&Settings::default());
        servers.ports = AdvertisedPort::at([3478, 3479], true, true);
        let uris = [
            "turn:192.0.2.7:3478?transport=udp",
            "turn:192.0.2.7:3478?transport=tcp",
            "turn:192.0.2.7:3479?transport=udp",
            "turn:192.0.2.7:3479?transport=tcp",
        ];
        assert_eq!(servers.uris(None), uris);
        let credentials = Credentials { username: "1:a".into(), password: Secret::new("pw".into()), ttl: Duration::from_secs(1) };
        let named: Vec<String> = servers.ice_servers(&credentials, None).into_iter().map(|server| server.urls).collect();
        assert_eq!(named, [&uris[..], &["stun:192.0.2.7:3478"]].concat());
        assert_eq!(servers.stun_uris(None), ["stun:192.0.2.7:3478"]);
        assert_eq!(AdvertisedPort::at([3478, 3479], false, true).len(), 2);
    }

    /// With a certificate for `names`, whose authority clients trust.
    fn tls_uri(names: &[&str], settings: &Settings, request_host: Option<&str>) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("chain.pem"), made.cert.pem()).unwrap();
        std::fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let source = CertificateSource::Files { cert: at("chain.pem"), key: at("key.pem"), trusted: Some(true) };
        let certificates = Certificates::open(&source, folder.path(), ServerHosts::default()).unwrap();
        servers(settings).with_tls(certificates, 443).uris(request_host).into_iter().find(|uri| uri.starts_with("turns:"))
    }

    /// Firefox sends nothing to a `turns:` URL with an IP address.
    #[test]
    fn turns_names_what_the_certificate_covers_and_a_name_before_an_address() {
        let external = |external: &str| Settings { external_ip: Some(external.into()), ..Settings::default() };
        let public = Settings { public_url: Some("https://cast.example.org".into()), ..external("203.0.113.7") };
        let none = Settings::default();
        let (one, both) = (&["cast.example.org"][..], &["203.0.113.7", "cast.example.org", "tv.example.org"][..]);
        let (wild, addresses) = (&["*.example.org", "203.0.113.7"][..], &["203.0.113.7", "2001:db8::7"][..]);
        for (names, settings, asked, host) in [
            (one, &external("203.0.113.7"), Some("203.0.113.7:8443"), "cast.example.org"),
            (both, &external("203.0.113.7"), Some("203.0.113.7"), "cast.example.org"),
            (both, &external("203.0.113.7"), None, "cast.example.org"),
            (both, &none, Some("TV.example.org:8443"), "tv.example.org"),
            (both, &public, Some("tv.example.org"), "tv.example.org"),
            (both, &public, Some("other.example.org"), "cast.example.org"),
            (both, &external("tv.example.org"), Some("cast.example.org"), "tv.example.org"),
            (wild, &none, Some("any.example.org"), "any.example.org"),
            (wild, &public, Some("203.0.113.7"), "cast.example.org"),
            (wild, &none, Some("a.b.example.org"), "203.0.113.7"),
            (wild, &external("203.0.113.7"), Some("203.0.113.7"), "203.0.113.7"),
            (addresses, &none, Some("203.0.113.7:8443"), "203.0.113.7"),
            (addresses, &none, Some("[2001:db8::7]:8443"), "[2001:db8::7]"),
            (&["localhost", "203.0.113.7"], &none, Some("203.0.113.7"), "203.0.113.7"),
            (&["localhost", "127.0.0.1"], &none, Some("localhost:8443"), "localhost"),
            (&["localhost"], &none, Some("203.0.113.7"), "localhost"),
        ] {
            let uri = tls_uri(names, settings, asked);
            assert_eq!(uri, Some(format!("turns:{host}:443?transport=tcp")), "{names:?}, {asked:?}");
        }
        assert_eq!(tls_uri(&["*.example.org"], &none, Some("203.0.113.7")), None);
    }

    #[test]
    fn other_transports_have_their_own_urls() {
        let mut servers = servers(&Settings::default());
        servers.ports.push(AdvertisedPort { transport: UrlTransport::Tcp, port: 3478 });
        servers.ports.push(AdvertisedPort { transport: UrlTransport::Tls, port: 5349 });
        let tail = ["turn:192.0.2.7:3478?transport=tcp", "turns:192.0.2.7:5349?transport=tcp"];
        assert_eq!(servers.uris(None)[1..], tail);
    }
}
