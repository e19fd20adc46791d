//! Every setting, read at once from flags, the environment and `.env`.
//!
//! [`Settings`] is the raw text as clap collects it (a flag wins over its variable, a variable over `.env`); [`Config`] is what
//! the rest of the program gets. [`Config::read`] binds nothing and reports **all** problems together, each naming the
//! variable, the value and what is expected.

mod calls;
mod cast;
mod credentials;
mod external;
mod http;
mod layers;
mod listen;
mod multi;
mod origins;
mod relay;
pub mod secret;
mod tls;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

pub use calls::CallsConfig;
pub use cast::CastConfig;
pub use credentials::{CredentialsConfig, IceAccess, IceConfig, LONGEST_TTL, TurnAccess};
pub use external::{ExternalAddress, ExternalConfig, Public, StunServer};
pub use http::HttpConfig;
pub use listen::Listen;
pub use multi::MultiConfig;
pub use origins::{AllowedOrigin, CorsOrigins};
pub use relay::{Discovery, RelayConfig};
pub use tls::{AcmeConfig, CertificateSource, TlsConfig};

use crate::config::secret::Secret;

/// The text of every setting. Each flag has its variable and the other way round; an empty value counts as not set.
#[derive(Debug, Clone, Default, clap::Args, serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[command(next_help_heading = "Settings")]
#[allow(rustdoc::bare_urls, reason = "clap prints these lines as they are")]
pub struct Settings {
    /// Folder for the database and the generated secrets; made with mode 0700 [default: data]
    #[arg(long, env = "CASTWAY_DATA_DIR", value_name = "DIR", global = true, hide_env_values = true)]
    pub data_dir: Option<String>,
    /// Address of the pages, Socket.IO and the REST API without TLS, or a comma list: all of them serve the same, URLs name the
    /// first [default: 0.0.0.0:8080; port 80 with a domain, if it may]
    #[arg(long, env = "CASTWAY_HTTP_ADDR", value_name = "LIST", global = true, hide_env_values = true)]
    pub http_addr: Option<String>,
    /// Address of everything over TLS: HTTPS, WebSocket, TURN [default: 0.0.0.0:8443; port 443 with a domain, if it may]
    #[arg(long, env = "CASTWAY_HTTPS_ADDR", value_name = "IP:PORT", global = true, hide_env_values = true)]
    pub https_addr: Option<String>,
    /// Address of TURN over TLS at its standard port [default: 0.0.0.0:5349]
    #[arg(long, env = "CASTWAY_TURNS_ADDR", value_name = "IP:PORT", global = true, hide_env_values = true)]
    pub turns_addr: Option<String>,
    /// Whether TLS is off, because a proxy in front does it: true or false [default: false]
    #[arg(long, env = "CASTWAY_NO_TLS", value_name = "BOOL", global = true, hide_env_values = true)]
    pub no_tls: Option<String>,
    /// Comma list of the names of this server: Castway gets a certificate for them from Let's Encrypt
    #[arg(long, env = "CASTWAY_DOMAIN", value_name = "LIST", global = true, hide_env_values = true)]
    pub domain: Option<String>,
    /// E-mail address for the certificate authority to write to
    #[arg(long, env = "CASTWAY_ACME_EMAIL", value_name = "ADDRESS", global = true, hide_env_values = true)]
    pub acme_email: Option<String>,
    /// Directory of the certificate authority (ACME) [default: that of Let's Encrypt]
    #[arg(long, env = "CASTWAY_ACME_DIRECTORY", value_name = "URL", global = true, hide_env_values = true)]
    pub acme_directory: Option<String>,
    /// PEM file with the root certificate of the directory's own HTTPS, where it is not a public one
    #[arg(long, env = "CASTWAY_ACME_CA", value_name = "FILE", global = true, hide_env_values = true)]
    pub acme_ca: Option<String>,
    /// PEM file with the certificate and its chain, instead of a certificate authority; read again when it changes
    #[arg(long, env = "CASTWAY_CERT", value_name = "FILE", global = true, hide_env_values = true)]
    pub cert: Option<String>,
    /// PEM file with the certificate's private key
    #[arg(long, env = "CASTWAY_PKEY", value_name = "FILE", global = true, hide_env_values = true)]
    pub pkey: Option<String>,
    /// Whether clients know the authority that signed CASTWAY_CERT: true or false [default: true if it is a public one or in this
    /// machine's trust store]
    #[arg(long, env = "CASTWAY_CERT_TRUSTED", value_name = "BOOL", global = true, hide_env_values = true)]
    pub cert_trusted: Option<String>,
    /// Most TCP connections of one address at once; trusted proxies aside [default: 1000]
    #[arg(long, env = "CASTWAY_ADDRESS_CONNECTIONS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub address_connections: Option<String>,
    /// The address people type, e.g. https://cast.example.org, when a proxy or a name is in front
    #[arg(long, env = "CASTWAY_PUBLIC_URL", value_name = "URL", global = true, hide_env_values = true)]
    pub public_url: Option<String>,
    /// Comma list of addresses or networks of proxies whose X-Forwarded-* and Forwarded headers and PROXY protocol are believed
    #[arg(long, env = "CASTWAY_TRUSTED_PROXIES", value_name = "LIST", global = true, hide_env_values = true)]
    pub trusted_proxies: Option<String>,
    /// Comma list of addresses or networks that may read /metrics and the details of /readyz; none: nobody [default: this machine
    /// itself]
    #[arg(long, env = "CASTWAY_METRICS_ALLOW", value_name = "LIST", global = true, hide_env_values = true)]
    pub metrics_allow: Option<String>,
    /// Comma list of origins whose front ends may call this server, such as https://app.example.org, https://*.example.org (any
    /// one label), null, file:// or capacitor://localhost; or * [default: *]
    #[arg(long, env = "CASTWAY_CORS_ORIGINS", value_name = "LIST", global = true, hide_env_values = true)]
    pub cors_origins: Option<String>,
    /// Address of STUN and TURN, over UDP and TCP [default: 0.0.0.0:3478]
    #[arg(long, env = "CASTWAY_TURN_ADDR", value_name = "IP:PORT", global = true, hide_env_values = true)]
    pub turn_addr: Option<String>,
    /// The address under which the world reaches the relay, if it is not the machine's own (NAT, cloud): an IP address, a host
    /// name, auto, or PUBLIC/PRIVATE; comma list for IPv4 and IPv6
    #[arg(long, env = "CASTWAY_EXTERNAL_IP", value_name = "LIST", global = true, hide_env_values = true)]
    pub external_ip: Option<String>,
    /// Comma list of the STUN servers that are asked where CASTWAY_EXTERNAL_IP is auto
    #[arg(long, env = "CASTWAY_STUN_SERVERS", value_name = "LIST", global = true, hide_env_values = true)]
    pub stun_servers: Option<String>,
    /// The machine's address that relayed sockets are bound to; IPv4,IPv6 for both [default: those of the default routes]
    #[arg(long, env = "CASTWAY_RELAY_IP", value_name = "IP", global = true, hide_env_values = true)]
    pub relay_ip: Option<String>,
    /// Lowest port of relayed addresses [default: 49152]
    #[arg(long, env = "CASTWAY_MIN_PORT", value_name = "PORT", global = true, hide_env_values = true)]
    pub min_port: Option<String>,
    /// Highest port of relayed addresses [default: 65535]
    #[arg(long, env = "CASTWAY_MAX_PORT", value_name = "PORT", global = true, hide_env_values = true)]
    pub max_port: Option<String>,
    /// TURN realm; changing it makes users set their passwords again [default: castway]
    #[arg(long, env = "CASTWAY_REALM", value_name = "NAME", global = true, hide_env_values = true)]
    pub realm: Option<String>,
    /// Comma list of addresses or networks that the relay may reach although they are denied by default
    #[arg(long, env = "CASTWAY_ALLOWED_PEER_IP", value_name = "LIST", global = true, hide_env_values = true)]
    pub allowed_peer_ip: Option<String>,
    /// Comma list of addresses or networks that the relay must not reach, besides the built-in list
    #[arg(long, env = "CASTWAY_DENIED_PEER_IP", value_name = "LIST", global = true, hide_env_values = true)]
    pub denied_peer_ip: Option<String>,
    /// Whether STUN and TURN over UDP are off: true or false [default: false]
    #[arg(long, env = "CASTWAY_NO_UDP", value_name = "BOOL", global = true, hide_env_values = true)]
    pub no_udp: Option<String>,
    /// Whether STUN and TURN over TCP are off: true or false [default: false]
    #[arg(long, env = "CASTWAY_NO_TCP", value_name = "BOOL", global = true, hide_env_values = true)]
    pub no_tcp: Option<String>,
    /// Whether relaying to TCP peers (RFC 6062) is off: true or false [default: true]
    #[arg(long, env = "CASTWAY_NO_TCP_RELAY", value_name = "BOOL", global = true, hide_env_values = true)]
    pub no_tcp_relay: Option<String>,
    /// Whether clients may find out how their NAT behaves (RFC 5780), over UDP: true or false [default: false]
    #[arg(long, env = "CASTWAY_RFC5780", value_name = "BOOL", global = true, hide_env_values = true)]
    pub rfc5780: Option<String>,
    /// Another port for STUN and TURN, over UDP and TCP, and the other port of RFC 5780; 0: none, and for RFC 5780 the one above
    /// the first [default: 0]
    #[arg(long, env = "CASTWAY_ALT_LISTENING_PORT", value_name = "PORT", global = true, hide_env_values = true)]
    pub alt_listening_port: Option<String>,
    /// A second address of this machine for RFC 5780; PUBLIC/PRIVATE behind NAT
    #[arg(long, env = "CASTWAY_ALT_IP", value_name = "IP", global = true, hide_env_values = true)]
    pub alt_ip: Option<String>,
    /// Threads that relay [default: the processor cores, 4 at most]
    #[arg(long, env = "CASTWAY_RELAY_THREADS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub relay_threads: Option<String>,
    /// How long packets may gather under load, which saves processor time; 0: not at all [default: 200]
    #[arg(long, env = "CASTWAY_COALESCE", value_name = "MICROSECONDS", global = true, hide_env_values = true)]
    pub coalesce: Option<String>,
    /// Most allocations of one user at once; 0: any number [default: 0]
    #[arg(long, env = "CASTWAY_USER_QUOTA", value_name = "COUNT", global = true, hide_env_values = true)]
    pub user_quota: Option<String>,
    /// Most allocations at once; 0: any number [default: 0]
    #[arg(long, env = "CASTWAY_TOTAL_QUOTA", value_name = "COUNT", global = true, hide_env_values = true)]
    pub total_quota: Option<String>,
    /// Most bytes a second of one allocation, each direction by itself; 0: no limit [default: 0]
    #[arg(long, env = "CASTWAY_MAX_BPS", value_name = "BYTES", global = true, hide_env_values = true)]
    pub max_bps: Option<String>,
    /// Most bytes a second of all allocations of one user, each direction by itself; 0: no limit [default: 0]
    #[arg(long, env = "CASTWAY_USER_BPS", value_name = "BYTES", global = true, hide_env_values = true)]
    pub user_bps: Option<String>,
    /// Most bytes a second of all allocations together, each direction by itself; 0: no limit [default: 0]
    #[arg(long, env = "CASTWAY_BPS_CAPACITY", value_name = "BYTES", global = true, hide_env_values = true)]
    pub bps_capacity: Option<String>,
    /// Most peers that one allocation may permit at once [default: 64]
    #[arg(long, env = "CASTWAY_MAX_PERMISSIONS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub max_permissions: Option<String>,
    /// Most channels of one allocation [default: 64]
    #[arg(long, env = "CASTWAY_MAX_CHANNELS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub max_channels: Option<String>,
    /// Most connections with TCP peers of one allocation [default: 16]
    #[arg(long, env = "CASTWAY_MAX_CONNECTIONS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub max_connections: Option<String>,
    /// Most new peers of one allocation in a second, so that nobody scans networks; 0: no limit [default: 32]
    #[arg(long, env = "CASTWAY_NEW_PEERS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub new_peers: Option<String>,
    /// How long a nonce is good [default: 600]
    #[arg(long, env = "CASTWAY_STALE_NONCE", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub stale_nonce: Option<String>,
    /// Longest time between two refreshes of an allocation [default: 3600]
    #[arg(long, env = "CASTWAY_MAX_ALLOCATE_LIFETIME", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub max_allocate_lifetime: Option<String>,
    /// Whether an allocation ends when the credentials that made it expire: true or false [default: false]
    #[arg(long, env = "CASTWAY_STRICT_EXPIRY", value_name = "BOOL", global = true, hide_env_values = true)]
    pub strict_expiry: Option<String>,
    /// Whether a client may keep its allocation when its address changes (RFC 8016): true or false [default: false]
    #[arg(long, env = "CASTWAY_MOBILITY", value_name = "BOOL", global = true, hide_env_values = true)]
    pub mobility: Option<String>,
    /// Whether clients are told of ICMP errors (RFC 8656, 11.5): true or false; some clients end at the first one [default: false]
    #[arg(long, env = "CASTWAY_ICMP_INDICATIONS", value_name = "BOOL", global = true, hide_env_values = true)]
    pub icmp_indications: Option<String>,
    /// Whether answers tell the program and its version: true or false [default: false]
    #[arg(long, env = "CASTWAY_SOFTWARE", value_name = "BOOL", global = true, hide_env_values = true)]
    pub software: Option<String>,
    /// TURN server that all clients are sent to instead; IPv4,IPv6 for both
    #[arg(long, env = "CASTWAY_ALTERNATE_SERVER", value_name = "IP:PORT", global = true, hide_env_values = true)]
    pub alternate_server: Option<String>,
    /// Comma list of secrets shared with other TURN REST issuers, newest first [default: generated, in the database]
    #[arg(long, env = "CASTWAY_STATIC_AUTH_SECRET", value_name = "LIST", global = true, hide_env_values = true)]
    pub static_auth_secret: Option<String>,
    /// Who gets credentials from GET /turn: users (enabled users), key (users with an API key), open (anybody) [default: users]
    #[arg(long, env = "CASTWAY_TURN_ACCESS", value_name = "MODE", global = true, hide_env_values = true)]
    pub turn_access: Option<String>,
    /// Comma list of API keys for the access mode "key"
    #[arg(long, env = "CASTWAY_API_KEYS", value_name = "LIST", global = true, hide_env_values = true)]
    pub api_keys: Option<String>,
    /// Longest life of TURN credentials in seconds, and the one given when none is asked for [default: 86400]
    #[arg(long, env = "CASTWAY_TTL", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub ttl: Option<String>,
    /// Longest life in seconds of credentials that other issuers sign with a secret of CASTWAY_STATIC_AUTH_SECRET; 0: no limit
    /// [default: 0]
    #[arg(long, env = "CASTWAY_MAX_FOREIGN_TTL", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub max_foreign_ttl: Option<String>,
    /// Requests for credentials a minute from one address, GET /turn and CONFIG together [default: 60]
    #[arg(long, env = "CASTWAY_CREDENTIALS_RATE", value_name = "COUNT", global = true, hide_env_values = true)]
    pub credentials_rate: Option<String>,
    /// Who gets ICE servers from /v1alpha/iceconfig and /v1alpha/turn: open (anybody), key (whoever sends an API key) [default: open]
    #[arg(long, env = "CASTWAY_ICE_ACCESS", value_name = "MODE", global = true, hide_env_values = true)]
    pub ice_access: Option<String>,
    /// Requests to /v1alpha/iceconfig and /v1alpha/turn a minute from one address [default: 20]
    #[arg(long, env = "CASTWAY_ICE_RATE", value_name = "COUNT", global = true, hide_env_values = true)]
    pub ice_rate: Option<String>,
    /// Life of the credentials from /v1alpha/iceconfig and /v1alpha/turn in seconds, CASTWAY_TTL at most [default: 3600]
    #[arg(long, env = "CASTWAY_ICE_TTL", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub ice_ttl: Option<String>,
    /// Another address for Collider, AppRTC's WebSocket signaling, besides the main port, e.g. 0.0.0.0:8089
    #[arg(long, env = "CASTWAY_COLLIDER_ADDR", value_name = "IP:PORT", global = true, hide_env_values = true)]
    pub collider_addr: Option<String>,
    /// Most AppRTC rooms at once [default: 10000]
    #[arg(long, env = "CASTWAY_MAX_CALLS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub max_calls: Option<String>,
    /// Joins of AppRTC rooms a minute from one address [default: 60]
    #[arg(long, env = "CASTWAY_CALL_RATE", value_name = "COUNT", global = true, hide_env_values = true)]
    pub call_rate: Option<String>,
    /// Most AppRTC WebSockets of one address at once [default: 200]
    #[arg(long, env = "CASTWAY_CALL_SOCKETS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub call_sockets: Option<String>,
    /// Projection codes of letters and digits (letters) or of digits only (digits) [default: letters]
    #[arg(long, env = "CASTWAY_CODE_ALPHABET", value_name = "KIND", global = true, hide_env_values = true)]
    pub code_alphabet: Option<String>,
    /// When a TV whose page understands it gets a new code: never, after-idle (12 hours after its last cast) or after-cast (after each)
    /// [default: after-idle]
    #[arg(long, env = "CASTWAY_NEW_CODE", value_name = "WHEN", global = true, hide_env_values = true)]
    pub new_code: Option<String>,
    /// Seconds that a TV or caster keeps its place after its connection dropped [default: 60]
    #[arg(long, env = "CASTWAY_GRACE", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub grace: Option<String>,
    /// Whether a second caster takes the TV over from the first: true or false [default: true]
    #[arg(long, env = "CASTWAY_TAKEOVER", value_name = "BOOL", global = true, hide_env_values = true)]
    pub takeover: Option<String>,
    /// Wrong codes or room passwords a minute from one address before it has to wait; raise it where many casters share one [default: 20]
    #[arg(long, env = "CASTWAY_WRONG_CODES", value_name = "COUNT", global = true, hide_env_values = true)]
    pub wrong_codes: Option<String>,
    /// Most TVs at once [default: 10000]
    #[arg(long, env = "CASTWAY_MAX_ROOMS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub max_rooms: Option<String>,
    /// Seconds that a user of RTCMultiConnection keeps its place after its connection dropped [default: 20]
    #[arg(long, env = "CASTWAY_MULTI_GRACE", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub multi_grace: Option<String>,
    /// Most users of RTCMultiConnection at once [default: 10000]
    #[arg(long, env = "CASTWAY_MULTI_MAX_USERS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub multi_max_users: Option<String>,
    /// Most users of RTCMultiConnection from one address; raise it where many share one [default: 1000]
    #[arg(long, env = "CASTWAY_MULTI_MAX_PER_ADDRESS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub multi_max_per_address: Option<String>,
    /// Seconds that running casts get to end when the server stops [default: 5]
    #[arg(long, env = "CASTWAY_DRAIN", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub drain: Option<String>,
    /// What to log, as in RUST_LOG: error, warn, info, debug, or castway=debug,… [default: info]
    #[arg(long, env = "CASTWAY_LOG", value_name = "FILTER", global = true, hide_env_values = true)]
    pub log: Option<String>,
    /// How to log: text or json, one record a line [default: text]
    #[arg(long, env = "CASTWAY_LOG_FORMAT", value_name = "FORMAT", global = true, hide_env_values = true)]
    pub log_format: Option<String>,
}

/// Everything the program needs to know, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// As given, for [`Settings::record`].
    pub settings: Secret<Settings>,
    pub data_dir: PathBuf,
    pub http: HttpConfig,
    pub tls: TlsConfig,
    pub relay: RelayConfig,
    pub credentials: CredentialsConfig,
    pub cast: CastConfig,
    pub calls: CallsConfig,
    pub multi: MultiConfig,
    /// How long a stop waits for clients and relayed streams.
    pub drain: Duration,
    pub log: LogConfig,
}

/// What goes to the log and how.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// A `tracing` filter.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Checks `settings` as a whole.
    ///
    /// # Errors
    /// [`Problems`] with one line for each setting that can't be used.
    pub fn read(settings: &Settings) -> Result<Self, Problems> {
        let mut reader = Reader::default();
        let http = HttpConfig::read(settings, &mut reader);
        let relay = RelayConfig::read(settings, &mut reader);
        let config = Self {
            settings: Secret::new(settings.clone()),
            data_dir: PathBuf::from(text(&settings.data_dir).unwrap_or("data")),
            tls: TlsConfig::read(settings, &mut reader, http.main(), relay.addr),
            http,
            relay,
            credentials: CredentialsConfig::read(settings, &mut reader),
            cast: CastConfig::read(settings, &mut reader),
            calls: CallsConfig::read(settings, &mut reader),
            multi: MultiConfig::read(settings, &mut reader),
            drain: reader.seconds("CASTWAY_DRAIN", &settings.drain, 5, 0..=3600),
            log: LogConfig::read(settings, &mut reader),
        };
        if reader.problems.is_empty() { Ok(config) } else { Err(Problems(reader.problems)) }
    }
}

impl LogConfig {
    fn read(settings: &Settings, reader: &mut Reader) -> Self {
        let filter = text(&settings.log).unwrap_or("info").to_owned();
        if let Some(problem) = filter_problem(&filter) {
            let expected = format!("error, warn, info, debug, trace or off, or a list such as warn,castway=debug ({problem})");
            reader.problem("CASTWAY_LOG", &filter, &expected);
        }
        let format =
            reader.parse("CASTWAY_LOG_FORMAT", &settings.log_format, "text or json", LogFormat::Text, |value| match value {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            });
        Self { filter, format }
    }
}

/// A filter takes each word that is no level for the name of a module, and then logs that alone: a misspelt level would silence
/// the log.
fn filter_problem(filter: &str) -> Option<String> {
    let is_level = |word: &&str| word.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    let is_module = |word: &&str| word.contains(['=', '[', ':']) || word.starts_with("castway");
    let mut words = filter.split(',').map(str::trim).filter(|word| !word.is_empty());
    if let Some(word) = words.find(|word| !is_level(word) && !is_module(word)) {
        return Some(format!("{word:?} is no level"));
    }
    tracing_subscriber::EnvFilter::try_new(filter).err().map(|error| error.to_string())
}

/// All settings that can't be used, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = if self.0.len() == 1 { "setting" } else { "settings" };
        write!(f, "{} {many} can't be used:", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// A setting's text, `None` where it is empty.
fn text(setting: &Option<String>) -> Option<&str> {
    setting.as_deref().map(str::trim).filter(|value| !value.is_empty())
}

/// The items of a comma list, without blanks.
fn list(setting: &Option<String>) -> impl Iterator<Item = &str> {
    text(setting).unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// What [`network`] reads.
const NETWORKS: &str = "addresses or networks such as 10.1.2.3 or 10.0.0.0/8, separated by commas";

/// A network, or one address as the network of its own. One of IPv4-mapped addresses is the IPv4 network, as which all addresses are
/// compared.
fn network(value: &str) -> Option<IpNet> {
    let network = value.parse().ok().or_else(|| value.parse::<IpAddr>().ok().map(IpNet::from))?;
    let mapped = network.prefix_len().checked_sub(96).filter(|_| network.addr().is_ipv6());
    match (network.addr().to_canonical(), mapped) {
        (ip @ IpAddr::V4(_), Some(prefix)) => IpNet::new(ip, prefix).ok(),
        _ => Some(network),
    }
}

/// Collects problems while the topics read their settings.
#[derive(Default)]
struct Reader {
    problems: Vec<String>,
}

impl Reader {
    fn problem(&mut self, name: &str, value: &str, expected: &str) {
        self.problems.push(format!("{name}={value:?}: expected {expected}"));
    }

    /// For settings whose value must not be printed.
    fn secret_problem(&mut self, name: &str, expected: &str) {
        self.problems.push(format!("{name} (value not shown): expected {expected}"));
    }

    fn parse<T>(
        &mut self,
        name: &str,
        setting: &Option<String>,
        expected: &str,
        default: T,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(value) = text(setting) else { return default };
        parse(value).unwrap_or_else(|| {
            self.problem(name, value, expected);
            default
        })
    }

    fn parsed<T: FromStr>(&mut self, name: &str, setting: &Option<String>, expected: &str, default: T) -> T {
        self.parse(name, setting, expected, default, |value| value.parse().ok())
    }

    fn number(&mut self, name: &str, setting: &Option<String>, default: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.parse(name, setting, &expected, default, |value| value.parse().ok().filter(|number| range.contains(number)))
    }

    fn seconds(&mut self, name: &str, setting: &Option<String>, default: u64, range: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(name, setting, default, range))
    }

    fn list<T>(&mut self, name: &str, setting: &Option<String>, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let mut items = Vec::new();
        for item in list(setting) {
            match parse(item) {
                Some(parsed) => items.push(parsed),
                None => self.problem(name, item, expected),
            }
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_need_no_setting() {
        let config = Config::read(&Settings::default()).expect("defaults are valid");
        assert_eq!(config.http.listen, [Listen::exactly("0.0.0.0:8080".parse().unwrap())]);
        assert_eq!(config.relay.addr.to_string(), "0.0.0.0:3478");
        assert_eq!(config.credentials.access, TurnAccess::Users);
    }

    #[test]
    fn a_misspelt_level_does_not_silence_the_log() {
        let problem = |filter: &str| Config::read(&Settings { log: Some(filter.into()), ..Settings::default() }).err();
        for good in
            ["info", "WARN", "off", "warn,castway=debug", "castway::relay=trace,info", "castway", "hyper=debug", "[span]=debug"]
        {
            assert_eq!(problem(good), None, "{good}");
        }
        for (bad, named) in [("verbose", "verbose"), ("info,verbos", "verbos"), ("castway=loud", "loud"), ("warning", "warning")]
        {
            let problem = problem(bad).expect(bad).to_string();
            assert!(
                problem.contains("CASTWAY_LOG") && problem.contains(named) && problem.contains("error, warn, info"),
                "{problem}"
            );
        }
    }

    #[test]
    fn all_problems_are_reported_at_once_and_by_name() {
        let settings = Settings {
            http_addr: Some("nonsense".into()),
            min_port: Some("70000".into()),
            turn_access: Some("everyone".into()),
            denied_peer_ip: Some("10.0.0.0/33".into()),
            grace: Some("-1".into()),
            ..Settings::default()
        };
        let problems = Config::read(&settings).expect_err("five settings are wrong").0;
        for name in ["CASTWAY_HTTP_ADDR", "CASTWAY_MIN_PORT", "CASTWAY_TURN_ACCESS", "CASTWAY_DENIED_PEER_IP", "CASTWAY_GRACE"] {
            assert_eq!(problems.iter().filter(|problem| problem.starts_with(name)).count(), 1, "{name} in {problems:#?}");
        }
        assert_eq!(problems.len(), 5);
    }

    #[test]
    fn a_secret_is_never_part_of_a_problem() {
        let settings = Settings { static_auth_secret: Some("abc".into()), ..Settings::default() };
        let problems = Config::read(&settings).expect_err("too short").to_string();
        assert!(problems.contains("CASTWAY_STATIC_AUTH_SECRET"));
        assert!(!problems.contains("abc"));
    }

    #[test]
    fn a_network_of_mapped_addresses_is_one_of_ipv4() {
        for (text, read) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:127.0.0.1", "127.0.0.1/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(network(text).expect(text).to_string(), read);
        }
    }

    #[test]
    fn an_address_is_a_network_of_one() {
        assert_eq!(network("10.1.2.3"), "10.1.2.3/32".parse().ok());
        assert_eq!(network("fd00::/8"), "fd00::/8".parse().ok());
        assert_eq!(network("10.0.0.0/33"), None);
    }

    #[test]
    fn an_empty_value_counts_as_not_set() {
        let settings = Settings { public_url: Some(String::new()), max_port: Some("  ".into()), ..Settings::default() };
        assert!(Config::read(&settings).is_ok());
    }
}
