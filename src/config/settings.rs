//! [`Settings`]: the text of every setting, and the one place where each default stands.

use std::collections::BTreeMap;

use serde_json::Value;

/// The text of every setting. Each flag has its variable and the other way round; an empty value counts as not set.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[allow(rustdoc::bare_urls, rustdoc::broken_intra_doc_links, reason = "clap prints these lines as they are")]
pub struct Settings {
    /// Folder for the database and the generated secrets; created with mode 0700
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// One TCP port for everything, with and without TLS, e.g. 443, instead of CASTWAY_HTTP_ADDR and CASTWAY_HTTPS_ADDR: for
    /// containers, which publish ports by number, and where a firewall lets one port through
    #[arg(long, value_name = "PORT")]
    pub tcp_port: Option<String>,
    /// Address of the pages, Socket.IO and the REST API without TLS, or a comma-separated list of addresses that all serve the same;
    /// URLs name the first. [::] takes IPv4 and IPv6; without IPv6 in the kernel the default is 0.0.0.0. With CASTWAY_DOMAIN the
    /// default is port 80 where it can be bound
    #[arg(long, value_name = "LIST")]
    pub http_addr: Option<String>,
    /// Address of everything over TLS: HTTPS, WebSocket, TURN. The default has the IP address of CASTWAY_HTTP_ADDR, and with
    /// CASTWAY_DOMAIN port 443 where it can be bound
    #[arg(long, value_name = "IP:PORT")]
    pub https_addr: Option<String>,
    /// Address of TURN over TLS at its standard port. The default has the IP address of CASTWAY_TURN_ADDR
    #[arg(long, value_name = "IP:PORT")]
    pub turns_addr: Option<String>,
    /// Turn TLS off because a proxy in front terminates it
    #[arg(long, value_name = "BOOL")]
    pub no_tls: Option<String>,
    /// Comma-separated list of this server's names: Castway obtains a certificate for them from Let's Encrypt. Without names it
    /// signs its own certificate
    #[arg(long, value_name = "LIST")]
    pub domain: Option<String>,
    /// E-mail address that the certificate authority may write to
    #[arg(long, value_name = "ADDRESS")]
    pub acme_email: Option<String>,
    /// Directory URL of the certificate authority (ACME)
    #[arg(long, value_name = "URL")]
    pub acme_directory: Option<String>,
    /// PEM file with the root certificate of the directory's own HTTPS, if it is not a public one
    #[arg(long, value_name = "FILE")]
    pub acme_ca: Option<String>,
    /// PEM file with the certificate and its chain, instead of a certificate authority; read again when it changes and on
    /// SIGHUP
    #[arg(long, value_name = "FILE")]
    pub cert: Option<String>,
    /// PEM file with the certificate's private key
    #[arg(long, value_name = "FILE")]
    pub pkey: Option<String>,
    /// Whether clients trust the authority that signed CASTWAY_CERT, e.g. a company's own. If not, HTTP is not redirected to
    /// HTTPS, and no turns: URL is advertised
    #[arg(long, value_name = "BOOL")]
    pub cert_trusted: Option<String>,
    /// Maximum number of HTTP connections from one address, never more than half of those that the limit of open files allows
    /// in all; trusted proxies have no such limit
    #[arg(long, value_name = "COUNT")]
    pub address_connections: Option<String>,
    /// The address that people type, e.g. https://cast.example.org, when a proxy or a name is in front; with a path if a proxy
    /// publishes the server under one, e.g. https://example.org/castway/. The proxy may forward the path or remove it
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Comma-separated list of addresses or networks of proxies whose X-Forwarded-* and Forwarded headers and PROXY protocol are
    /// believed
    #[arg(long, value_name = "LIST")]
    pub trusted_proxies: Option<String>,
    /// Comma-separated list of addresses or networks that may read /metrics and the details of /readyz; none: nobody. This
    /// machine has to ask localhost, 127.0.0.1 or [::1]
    #[arg(long, value_name = "LIST")]
    pub metrics_allow: Option<String>,
    /// Comma-separated list of addresses or networks whose clients may use everything but the pages (GET /turn, iceconfig,
    /// AppRTC, Socket.IO) without TLS although HTTP redirects to HTTPS, for clients that don't follow redirects, such as Janus
    #[arg(long, value_name = "LIST")]
    pub plain_api: Option<String>,
    /// Comma-separated list of origins whose front ends may call this server, such as https://app.example.org,
    /// https://*.example.org (any one label), null, file:// or capacitor://localhost; or *. The server's own pages always may.
    /// A list turns JSONP polling off, which names no origin
    #[arg(long, value_name = "LIST")]
    pub cors_origins: Option<String>,
    /// Comma-separated list of sites that may show the pages in a frame, such as self, https://portal.example.org or
    /// https://*.example.org (any subdomain); none: no site may
    #[arg(long, value_name = "LIST")]
    pub frame_ancestors: Option<String>,
    /// Comma-separated list of addresses or networks from which operators may use /admin; any: all. Others get 404
    #[arg(long, value_name = "LIST")]
    pub admin_allow: Option<String>,
    /// Serve /admin although the path of CASTWAY_PUBLIC_URL shares its origin with other applications, whose pages could act as
    /// the operator: set it only if you trust all of them
    #[arg(long, value_name = "BOOL")]
    pub admin_under_path: Option<String>,
    /// Address of STUN and TURN, over UDP and TCP; over TCP with and without TLS
    #[arg(long, value_name = "IP:PORT")]
    pub turn_addr: Option<String>,
    /// Serve the pages, Socket.IO and the API at the TCP ports of CASTWAY_TURN_ADDR and CASTWAY_ALT_LISTENING_PORT, too
    #[arg(long, value_name = "BOOL")]
    pub turn_http: Option<String>,
    /// The address under which the world reaches the relay, if it is not the machine's own (NAT, cloud): an IP address, a host
    /// name (resolved again every minute), auto (the servers of CASTWAY_STUN_SERVERS are asked), or PUBLIC/PRIVATE; IPv4,IPv6
    /// for both. Casts and calls don't need it
    #[arg(long, value_name = "LIST")]
    pub external_ip: Option<String>,
    /// Comma-separated list of the STUN servers to ask where CASTWAY_EXTERNAL_IP is auto
    #[arg(long, value_name = "LIST")]
    pub stun_servers: Option<String>,
    /// This machine's address that relayed sockets are bound to; IPv4,IPv6 for both
    #[arg(long, value_name = "IP")]
    pub relay_ip: Option<String>,
    /// Family of a relayed address whose request names none: ipv4, ipv6 or keep (that of the client's own address); where the
    /// relay has no address of that family, the other one
    #[arg(long, value_name = "FAMILY")]
    pub allocation_default_address_family: Option<String>,
    /// Lowest port of the relayed addresses of users and API keys; casts and calls take none
    #[arg(long, value_name = "PORT")]
    pub min_port: Option<String>,
    /// Highest port of these relayed addresses
    #[arg(long, value_name = "PORT")]
    pub max_port: Option<String>,
    /// TURN realm; after a change users must set their passwords again
    #[arg(long, value_name = "NAME")]
    pub realm: Option<String>,
    /// Comma-separated list of addresses or networks that the relay may reach although they are denied by default: private
    /// networks and those of this machine, even if they are public
    #[arg(long, value_name = "LIST")]
    pub allowed_peer_ip: Option<String>,
    /// Comma-separated list of addresses or networks that the relay must not reach, in addition to the built-in list
    #[arg(long, value_name = "LIST")]
    pub denied_peer_ip: Option<String>,
    /// Which peers the relay's clients may reach: credentials (the credentials decide), clients (only relayed addresses of this
    /// server) or anyone (all peers that the lists permit)
    #[arg(long, value_name = "SCOPE")]
    pub relay_scope: Option<String>,
    /// Comma-separated list of addresses or networks that credentials of scope clients may reach in addition to relayed
    /// addresses of this server, e.g. a second relay or an SFU. Their allocations then take ports of CASTWAY_MIN_PORT to
    /// CASTWAY_MAX_PORT
    #[arg(long, value_name = "LIST")]
    pub clients_peer_ip: Option<String>,
    /// How long an allocation of scope clients accepts requests with its key, counted from its creation, even if its
    /// credentials have expired: many clients never get new ones
    #[arg(long, value_name = "SECONDS")]
    pub clients_lifetime: Option<String>,
    /// Maximum number of allocations of scope clients from one IPv4 address; an IPv6 /64 gets a fifth
    #[arg(long, value_name = "COUNT")]
    pub clients_allocations: Option<String>,
    /// Percentage of the relay's capacity (ports, file descriptors, bandwidth) above which allocations of scope clients are
    /// refused or ended before others
    #[arg(long, value_name = "PERCENT")]
    pub clients_capacity: Option<String>,
    /// Turn STUN and TURN over UDP off
    #[arg(long, value_name = "BOOL")]
    pub no_udp: Option<String>,
    /// Turn STUN and TURN over TCP off
    #[arg(long, value_name = "BOOL")]
    pub no_tcp: Option<String>,
    /// Turn relaying to TCP peers (RFC 6062) off
    #[arg(long, value_name = "BOOL")]
    pub no_tcp_relay: Option<String>,
    /// Let clients find out how their NAT behaves (RFC 5780), over UDP
    #[arg(long, value_name = "BOOL")]
    pub rfc5780: Option<String>,
    /// Another port for STUN and TURN, over UDP and TCP, which clients are told of, and the other port of RFC 5780; 0: none,
    /// and for RFC 5780 the port above the first
    #[arg(long, value_name = "PORT")]
    pub alt_listening_port: Option<String>,
    /// A second address of this machine for RFC 5780; PUBLIC/PRIVATE behind NAT
    #[arg(long, value_name = "IP")]
    pub alt_ip: Option<String>,
    /// Number of threads that relay
    #[arg(long, value_name = "COUNT")]
    pub relay_threads: Option<String>,
    /// How long packets that come one by one may gather under load, which saves processor time; 0: not at all. Packets that come together never wait
    #[arg(long, value_name = "MICROSECONDS")]
    pub coalesce: Option<String>,
    /// Maximum number of allocations of one user; 0: no limit
    #[arg(long, value_name = "COUNT")]
    pub user_quota: Option<String>,
    /// Maximum number of allocations; 0: no limit
    #[arg(long, value_name = "COUNT")]
    pub total_quota: Option<String>,
    /// Maximum bytes per second of one allocation, counted for each direction; 0: no limit
    #[arg(long, value_name = "BYTES")]
    pub max_bps: Option<String>,
    /// Maximum bytes per second of all allocations of one user, counted for each direction; 0: no limit
    #[arg(long, value_name = "BYTES")]
    pub user_bps: Option<String>,
    /// Maximum bytes per second of all allocations together, counted for each direction; 0: no limit
    #[arg(long, value_name = "BYTES")]
    pub bps_capacity: Option<String>,
    /// Maximum bytes per second of all allocations of scope clients together, counted for each direction; 0: no limit
    #[arg(long, value_name = "BYTES")]
    pub clients_bps: Option<String>,
    /// Maximum number of peers that one allocation may permit at a time
    #[arg(long, value_name = "COUNT")]
    pub max_permissions: Option<String>,
    /// Maximum number of channels of one allocation
    #[arg(long, value_name = "COUNT")]
    pub max_channels: Option<String>,
    /// Maximum number of connections with TCP peers of one allocation
    #[arg(long, value_name = "COUNT")]
    pub max_connections: Option<String>,
    /// Maximum number of new peers of one allocation in a second, so that nobody scans networks; 0: no limit
    #[arg(long, value_name = "COUNT")]
    pub new_peers: Option<String>,
    /// Lifetime of a nonce
    #[arg(long, value_name = "SECONDS")]
    pub stale_nonce: Option<String>,
    /// Longest time between two refreshes of an allocation
    #[arg(long, value_name = "SECONDS")]
    pub max_allocate_lifetime: Option<String>,
    /// End an allocation when the credentials that made it expire
    #[arg(long, value_name = "BOOL")]
    pub strict_expiry: Option<String>,
    /// Let a client keep its allocation when its address changes (RFC 8016)
    #[arg(long, value_name = "BOOL")]
    pub mobility: Option<String>,
    /// Report ICMP errors to clients (RFC 8656, 11.5); some clients stop at the first one
    #[arg(long, value_name = "BOOL")]
    pub icmp_indications: Option<String>,
    /// Name the program and its version in STUN responses
    #[arg(long, value_name = "BOOL")]
    pub software: Option<String>,
    /// TURN server that all clients are sent to instead; IPv4,IPv6 for both
    #[arg(long, value_name = "IP:PORT")]
    pub alternate_server: Option<String>,
    /// Comma-separated list of secrets shared with other TURN REST issuers, newest first
    #[arg(long, value_name = "LIST")]
    pub static_auth_secret: Option<String>,
    /// File with these secrets instead, one a line, newest first; a comma is a part of its secret; read at the start
    #[arg(long, value_name = "FILE")]
    pub static_auth_secret_file: Option<String>,
    /// Who gets credentials from GET /turn: open (anybody, of scope clients), key (callers with an API key) or users (users with
    /// their password, and callers with an API key)
    #[arg(long, value_name = "MODE")]
    pub turn_access: Option<String>,
    /// Comma-separated list of API keys, for callers of GET /turn and of /v1alpha/iceconfig
    #[arg(long, value_name = "LIST")]
    pub api_keys: Option<String>,
    /// File with these keys instead, one a line; a comma is a part of its key; read at the start
    #[arg(long, value_name = "FILE")]
    pub api_keys_file: Option<String>,
    /// Longest lifetime of TURN credentials, and the lifetime of those whose request names none
    #[arg(long, value_name = "SECONDS")]
    pub ttl: Option<String>,
    /// Longest lifetime of credentials that other issuers sign with a secret of CASTWAY_STATIC_AUTH_SECRET; 0: no limit
    #[arg(long, value_name = "SECONDS")]
    pub max_foreign_ttl: Option<String>,
    /// Maximum number of requests for credentials per minute from one address, GET /turn and CONFIG together
    #[arg(long, value_name = "COUNT")]
    pub credentials_rate: Option<String>,
    /// Who gets ICE servers from /v1alpha/iceconfig and /v1alpha/turn: open (anybody, as AppRTC's clients expect) or key
    /// (callers with an API key)
    #[arg(long, value_name = "MODE")]
    pub ice_access: Option<String>,
    /// Maximum number of requests to /v1alpha/iceconfig and /v1alpha/turn per minute from one address
    #[arg(long, value_name = "COUNT")]
    pub ice_rate: Option<String>,
    /// Lifetime of the credentials from /v1alpha/iceconfig and /v1alpha/turn, at most CASTWAY_TTL
    #[arg(long, value_name = "SECONDS")]
    pub ice_ttl: Option<String>,
    /// Comma-separated list of providers whose own API for TURN credentials this server speaks, too: cloudflare, twilio,
    /// metered, xirsys. Applications written for them need another URL and one of CASTWAY_API_KEYS
    #[arg(long, value_name = "LIST")]
    pub provider_apis: Option<String>,
    /// Serve the descriptions of this server's APIs (OpenAPI, AsyncAPI) at /api/docs
    #[arg(long, value_name = "BOOL")]
    pub api_docs: Option<String>,
    /// Under which name the traffic of names is kept that a key or another issuer signs: whole, none (all in one row), before:TEXT or
    /// after:TEXT (the part before or after the first TEXT)
    #[arg(long, value_name = "RULE")]
    pub usage_name: Option<String>,
    /// How long the traffic of each user and day is kept
    #[arg(long, value_name = "DAYS")]
    pub usage_days: Option<String>,
    /// How long the traffic of each user and month is kept
    #[arg(long, value_name = "MONTHS")]
    pub usage_months: Option<String>,
    /// Characters of projection codes: letters (letters and digits) or digits
    #[arg(long, value_name = "KIND")]
    pub code_alphabet: Option<String>,
    /// When a TV gets a new code, if its page supports it: never, after-idle (12 hours after its last cast) or after-cast (after
    /// each cast)
    #[arg(long, value_name = "WHEN")]
    pub new_code: Option<String>,
    /// How long a TV or caster keeps its seat after its connection dropped
    #[arg(long, value_name = "SECONDS")]
    pub grace: Option<String>,
    /// Let a second caster take a TV over from the first
    #[arg(long, value_name = "BOOL")]
    pub takeover: Option<String>,
    /// Who may cast: anyone (people who see the code of a TV) or users (people who sign in with the name and password of a user
    /// of this server)
    #[arg(long, value_name = "WHO")]
    pub cast_access: Option<String>,
    /// Number of wrong codes or room passwords per minute after which an address has to wait; raise it where many casters share
    /// an address
    #[arg(long, value_name = "COUNT")]
    pub wrong_codes: Option<String>,
    /// Most kbit/s that the pages send of a cast's picture; 0: no ceiling
    #[arg(long, value_name = "KBPS")]
    pub max_bitrate: Option<String>,
    /// Maximum number of TVs. One address (an IPv6 /64) may have a tenth of them, and at least 1000
    #[arg(long, value_name = "COUNT")]
    pub max_rooms: Option<String>,
    /// Another address for Collider, AppRTC's WebSocket signaling, in addition to the main port, e.g. [::]:8089
    #[arg(long, value_name = "IP:PORT")]
    pub collider_addr: Option<String>,
    /// Maximum number of AppRTC rooms
    #[arg(long, value_name = "COUNT")]
    pub max_calls: Option<String>,
    /// Maximum number of joins of AppRTC rooms per minute from one address, which may send thirty times as many messages over
    /// HTTP
    #[arg(long, value_name = "COUNT")]
    pub call_rate: Option<String>,
    /// Maximum number of AppRTC WebSockets from one address
    #[arg(long, value_name = "COUNT")]
    pub call_sockets: Option<String>,
    /// How long a user of RTCMultiConnection keeps its seat after its connection dropped
    #[arg(long, value_name = "SECONDS")]
    pub multi_grace: Option<String>,
    /// Maximum number of RTCMultiConnection users
    #[arg(long, value_name = "COUNT")]
    pub multi_max_users: Option<String>,
    /// Maximum number of RTCMultiConnection users from one address; raise it where many users share an address
    #[arg(long, value_name = "COUNT")]
    pub multi_max_per_address: Option<String>,
    /// Comma-separated list of URLs that are told by a POST when a cast or call begins or ends, a user's quota is reached, a certificate
    /// can't be renewed or a check fails; https, or http to this machine
    #[arg(long, value_name = "LIST")]
    pub webhook_url: Option<String>,
    /// Secret of at least 16 characters that signs the requests to CASTWAY_WEBHOOK_URL and CASTWAY_AUTHORIZE_URL
    #[arg(long, value_name = "SECRET")]
    pub webhook_secret: Option<String>,
    /// File with this secret instead, in one line; read at the start
    #[arg(long, value_name = "FILE")]
    pub webhook_secret_file: Option<String>,
    /// URL of your own server, which is asked who may be a TV, a caster or a caller; https, or http to this machine
    #[arg(long, value_name = "URL")]
    pub authorize_url: Option<String>,
    /// Comma-separated list of what CASTWAY_AUTHORIZE_URL is asked about: tv (who may be a TV), caster (who may cast), call
    /// (who may join a call at /r)
    #[arg(long, value_name = "LIST")]
    pub authorize: Option<String>,
    /// What happens when CASTWAY_AUTHORIZE_URL can't be asked: refuse or allow
    #[arg(long, value_name = "WHAT")]
    pub authorize_down: Option<String>,
    /// Let CASTWAY_WEBHOOK_URL and CASTWAY_AUTHORIZE_URL lead to private addresses
    #[arg(long, value_name = "BOOL")]
    pub hooks_private: Option<String>,
    /// How long running casts get to end when the server stops
    #[arg(long, value_name = "SECONDS")]
    pub drain: Option<String>,
    /// What to log, in the syntax of RUST_LOG: error, warn, info, debug, or castway=debug,…
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How to log: text or json, one record per line
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl Settings {
    /// The fields whose values are secrets. Each has a field with `_file` at its end that names a file with them.
    pub const SECRETS: [&str; 3] = ["static_auth_secret", "api_keys", "webhook_secret"];
    /// The fields whose values are not shown either, because the paths of such URLs may be secrets.
    pub const PRIVATE: [&str; 2] = ["webhook_url", "authorize_url"];

    /// The text of each setting by its field's name, without blanks at the ends; `None` where it is empty or not set.
    pub(super) fn fields(&self) -> BTreeMap<String, Option<String>> {
        let Ok(Value::Object(fields)) = serde_json::to_value(self) else { return BTreeMap::new() };
        let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        fields.iter().map(|(field, value)| (field.clone(), text(value))).collect()
    }

    /// The names of the fields that are set, with their texts.
    pub fn set_fields(&self) -> impl Iterator<Item = (String, String)> {
        self.fields().into_iter().filter_map(|(field, text)| Some((field, text?)))
    }
}
