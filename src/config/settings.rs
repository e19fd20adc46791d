//! [`Settings`]: the text of every setting, and the one place where each default stands.

use std::collections::BTreeMap;

use serde_json::Value;

/// The text of every setting. Each flag has its variable and the other way round; an empty value counts as not set.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[command(next_help_heading = "Settings")]
#[allow(rustdoc::bare_urls, rustdoc::broken_intra_doc_links, reason = "clap prints these lines as they are")]
pub struct Settings {
    /// Folder for the database and the generated secrets; created with mode 0700
    #[arg(long, env = "CASTWAY_DATA_DIR", value_name = "DIR", global = true, hide_env_values = true)]
    pub data_dir: Option<String>,
    /// One TCP port for everything, with and without TLS, e.g. 443, instead of CASTWAY_HTTP_ADDR and CASTWAY_HTTPS_ADDR
    #[arg(long, env = "CASTWAY_TCP_PORT", value_name = "PORT", global = true, hide_env_values = true)]
    pub tcp_port: Option<String>,
    /// Address of the pages, Socket.IO and the REST API without TLS, or a comma-separated list of addresses that all serve the same;
    /// URLs name the first. [::] takes IPv4 and IPv6; without IPv6 in the kernel the default is 0.0.0.0. With CASTWAY_DOMAIN the
    /// default is port 80 where it can be bound
    #[arg(long, env = "CASTWAY_HTTP_ADDR", value_name = "LIST", global = true, hide_env_values = true)]
    pub http_addr: Option<String>,
    /// Address of everything over TLS: HTTPS, WebSocket, TURN. The default has the IP address of CASTWAY_HTTP_ADDR, and with
    /// CASTWAY_DOMAIN port 443 where it can be bound
    #[arg(long, env = "CASTWAY_HTTPS_ADDR", value_name = "IP:PORT", global = true, hide_env_values = true)]
    pub https_addr: Option<String>,
    /// Address of TURN over TLS at its standard port. The default has the IP address of CASTWAY_TURN_ADDR
    #[arg(long, env = "CASTWAY_TURNS_ADDR", value_name = "IP:PORT", global = true, hide_env_values = true)]
    pub turns_addr: Option<String>,
    /// Turn TLS off because a proxy in front terminates it: true or false
    #[arg(long, env = "CASTWAY_NO_TLS", value_name = "BOOL", global = true, hide_env_values = true)]
    pub no_tls: Option<String>,
    /// Comma-separated list of this server's names: Castway obtains a certificate for them from Let's Encrypt
    #[arg(long, env = "CASTWAY_DOMAIN", value_name = "LIST", global = true, hide_env_values = true)]
    pub domain: Option<String>,
    /// E-mail address that the certificate authority may write to
    #[arg(long, env = "CASTWAY_ACME_EMAIL", value_name = "ADDRESS", global = true, hide_env_values = true)]
    pub acme_email: Option<String>,
    /// Directory URL of the certificate authority (ACME)
    #[arg(long, env = "CASTWAY_ACME_DIRECTORY", value_name = "URL", global = true, hide_env_values = true)]
    pub acme_directory: Option<String>,
    /// PEM file with the root certificate of the directory's own HTTPS, if it is not a public one
    #[arg(long, env = "CASTWAY_ACME_CA", value_name = "FILE", global = true, hide_env_values = true)]
    pub acme_ca: Option<String>,
    /// PEM file with the certificate and its chain, instead of a certificate authority; read again when it changes
    #[arg(long, env = "CASTWAY_CERT", value_name = "FILE", global = true, hide_env_values = true)]
    pub cert: Option<String>,
    /// PEM file with the certificate's private key
    #[arg(long, env = "CASTWAY_PKEY", value_name = "FILE", global = true, hide_env_values = true)]
    pub pkey: Option<String>,
    /// Whether clients trust the authority that signed CASTWAY_CERT: true or false [default: true if it is a public one or in
    /// this machine's trust store]
    #[arg(long, env = "CASTWAY_CERT_TRUSTED", value_name = "BOOL", global = true, hide_env_values = true)]
    pub cert_trusted: Option<String>,
    /// Maximum number of HTTP connections from one address; trusted proxies have no such limit
    #[arg(long, env = "CASTWAY_ADDRESS_CONNECTIONS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub address_connections: Option<String>,
    /// The address that people type, e.g. https://cast.example.org, when a proxy or a name is in front; with a path if a proxy
    /// publishes the server under one, e.g. https://example.org/castway/
    #[arg(long, env = "CASTWAY_PUBLIC_URL", value_name = "URL", global = true, hide_env_values = true)]
    pub public_url: Option<String>,
    /// Comma-separated list of addresses or networks of proxies whose X-Forwarded-* and Forwarded headers and PROXY protocol are
    /// believed
    #[arg(long, env = "CASTWAY_TRUSTED_PROXIES", value_name = "LIST", global = true, hide_env_values = true)]
    pub trusted_proxies: Option<String>,
    /// Comma-separated list of addresses or networks that may read /metrics and the details of /readyz; none: nobody
    #[arg(long, env = "CASTWAY_METRICS_ALLOW", value_name = "LIST", global = true, hide_env_values = true)]
    pub metrics_allow: Option<String>,
    /// Comma-separated list of addresses or networks whose clients may use everything but the pages (GET /turn, iceconfig, AppRTC,
    /// Socket.IO) without TLS although HTTP redirects to HTTPS, for clients that don't follow redirects
    #[arg(long, env = "CASTWAY_PLAIN_API", value_name = "LIST", global = true, hide_env_values = true)]
    pub plain_api: Option<String>,
    /// Comma-separated list of origins whose front ends may call this server, such as https://app.example.org,
    /// https://*.example.org (any one label), null, file:// or capacitor://localhost; or *
    #[arg(long, env = "CASTWAY_CORS_ORIGINS", value_name = "LIST", global = true, hide_env_values = true)]
    pub cors_origins: Option<String>,
    /// Comma-separated list of sites that may show the pages in a frame, such as self, https://portal.example.org or
    /// https://*.example.org (any subdomain); none: no site may
    #[arg(long, env = "CASTWAY_FRAME_ANCESTORS", value_name = "LIST", global = true, hide_env_values = true)]
    pub frame_ancestors: Option<String>,
    /// Comma-separated list of addresses or networks from which operators may use /admin; any: all
    #[arg(long, env = "CASTWAY_ADMIN_ALLOW", value_name = "LIST", global = true, hide_env_values = true)]
    pub admin_allow: Option<String>,
    /// Serve /admin although the path of CASTWAY_PUBLIC_URL shares its origin with other applications, whose pages could act as the
    /// operator: true or false
    #[arg(long, env = "CASTWAY_ADMIN_UNDER_PATH", value_name = "BOOL", global = true, hide_env_values = true)]
    pub admin_under_path: Option<String>,
    /// Address of STUN and TURN, over UDP and TCP; over TCP with and without TLS
    #[arg(long, env = "CASTWAY_TURN_ADDR", value_name = "IP:PORT", global = true, hide_env_values = true)]
    pub turn_addr: Option<String>,
    /// Serve the pages, Socket.IO and the API at the TCP ports of CASTWAY_TURN_ADDR and CASTWAY_ALT_LISTENING_PORT, too: true or false
    #[arg(long, env = "CASTWAY_TURN_HTTP", value_name = "BOOL", global = true, hide_env_values = true)]
    pub turn_http: Option<String>,
    /// The address under which the world reaches the relay, if it is not the machine's own (NAT, cloud): an IP address, a host
    /// name, auto, or PUBLIC/PRIVATE; IPv4,IPv6 for both
    #[arg(long, env = "CASTWAY_EXTERNAL_IP", value_name = "LIST", global = true, hide_env_values = true)]
    pub external_ip: Option<String>,
    /// Comma-separated list of the STUN servers to ask where CASTWAY_EXTERNAL_IP is auto
    #[arg(long, env = "CASTWAY_STUN_SERVERS", value_name = "LIST", global = true, hide_env_values = true)]
    pub stun_servers: Option<String>,
    /// This machine's address that relayed sockets are bound to; IPv4,IPv6 for both [default: those of the default routes, which
    /// are followed when they change]
    #[arg(long, env = "CASTWAY_RELAY_IP", value_name = "IP", global = true, hide_env_values = true)]
    pub relay_ip: Option<String>,
    /// Family of a relayed address whose request names none: ipv4, ipv6 or keep (that of the client's own address); where the
    /// relay has no address of that family, the other one
    #[arg(long, env = "CASTWAY_ALLOCATION_DEFAULT_ADDRESS_FAMILY", value_name = "FAMILY", global = true, hide_env_values = true)]
    pub allocation_default_address_family: Option<String>,
    /// Lowest port of the relayed addresses of users and API keys; casts and calls take none
    #[arg(long, env = "CASTWAY_MIN_PORT", value_name = "PORT", global = true, hide_env_values = true)]
    pub min_port: Option<String>,
    /// Highest port of these relayed addresses
    #[arg(long, env = "CASTWAY_MAX_PORT", value_name = "PORT", global = true, hide_env_values = true)]
    pub max_port: Option<String>,
    /// TURN realm; after a change users must set their passwords again
    #[arg(long, env = "CASTWAY_REALM", value_name = "NAME", global = true, hide_env_values = true)]
    pub realm: Option<String>,
    /// Comma-separated list of addresses or networks that the relay may reach although they are denied by default
    #[arg(long, env = "CASTWAY_ALLOWED_PEER_IP", value_name = "LIST", global = true, hide_env_values = true)]
    pub allowed_peer_ip: Option<String>,
    /// Comma-separated list of addresses or networks that the relay must not reach, in addition to the built-in list
    #[arg(long, env = "CASTWAY_DENIED_PEER_IP", value_name = "LIST", global = true, hide_env_values = true)]
    pub denied_peer_ip: Option<String>,
    /// Which peers the relay's clients may reach: credentials (the credentials decide), clients (only relayed addresses of this
    /// server) or anyone
    #[arg(long, env = "CASTWAY_RELAY_SCOPE", value_name = "SCOPE", global = true, hide_env_values = true)]
    pub relay_scope: Option<String>,
    /// Comma-separated list of addresses or networks that credentials of scope clients may reach in addition to relayed addresses
    /// of this server, e.g. a second relay or an SFU
    #[arg(long, env = "CASTWAY_CLIENTS_PEER_IP", value_name = "LIST", global = true, hide_env_values = true)]
    pub clients_peer_ip: Option<String>,
    /// How long an allocation of scope clients accepts requests with its key, counted from its creation, even if its credentials
    /// have expired
    #[arg(long, env = "CASTWAY_CLIENTS_LIFETIME", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub clients_lifetime: Option<String>,
    /// Maximum number of allocations of scope clients from one IPv4 address; an IPv6 /64 gets a fifth
    #[arg(long, env = "CASTWAY_CLIENTS_ALLOCATIONS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub clients_allocations: Option<String>,
    /// Percentage of the relay's capacity (ports, file descriptors, bandwidth) above which allocations of scope clients are
    /// refused or ended before others
    #[arg(long, env = "CASTWAY_CLIENTS_CAPACITY", value_name = "PERCENT", global = true, hide_env_values = true)]
    pub clients_capacity: Option<String>,
    /// Turn STUN and TURN over UDP off: true or false
    #[arg(long, env = "CASTWAY_NO_UDP", value_name = "BOOL", global = true, hide_env_values = true)]
    pub no_udp: Option<String>,
    /// Turn STUN and TURN over TCP off: true or false
    #[arg(long, env = "CASTWAY_NO_TCP", value_name = "BOOL", global = true, hide_env_values = true)]
    pub no_tcp: Option<String>,
    /// Turn relaying to TCP peers (RFC 6062) off: true or false
    #[arg(long, env = "CASTWAY_NO_TCP_RELAY", value_name = "BOOL", global = true, hide_env_values = true)]
    pub no_tcp_relay: Option<String>,
    /// Let clients find out how their NAT behaves (RFC 5780), over UDP: true or false
    #[arg(long, env = "CASTWAY_RFC5780", value_name = "BOOL", global = true, hide_env_values = true)]
    pub rfc5780: Option<String>,
    /// Another port for STUN and TURN, over UDP and TCP, and the other port of RFC 5780; 0: none, and for RFC 5780 the port above
    /// the first
    #[arg(long, env = "CASTWAY_ALT_LISTENING_PORT", value_name = "PORT", global = true, hide_env_values = true)]
    pub alt_listening_port: Option<String>,
    /// A second address of this machine for RFC 5780; PUBLIC/PRIVATE behind NAT
    #[arg(long, env = "CASTWAY_ALT_IP", value_name = "IP", global = true, hide_env_values = true)]
    pub alt_ip: Option<String>,
    /// Number of threads that relay [default: the number of processor cores, 4 at most]
    #[arg(long, env = "CASTWAY_RELAY_THREADS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub relay_threads: Option<String>,
    /// How long packets may gather under load, which saves processor time; 0: not at all
    #[arg(long, env = "CASTWAY_COALESCE", value_name = "MICROSECONDS", global = true, hide_env_values = true)]
    pub coalesce: Option<String>,
    /// Maximum number of allocations of one user; 0: no limit
    #[arg(long, env = "CASTWAY_USER_QUOTA", value_name = "COUNT", global = true, hide_env_values = true)]
    pub user_quota: Option<String>,
    /// Maximum number of allocations; 0: no limit
    #[arg(long, env = "CASTWAY_TOTAL_QUOTA", value_name = "COUNT", global = true, hide_env_values = true)]
    pub total_quota: Option<String>,
    /// Maximum bytes per second of one allocation, counted for each direction; 0: no limit
    #[arg(long, env = "CASTWAY_MAX_BPS", value_name = "BYTES", global = true, hide_env_values = true)]
    pub max_bps: Option<String>,
    /// Maximum bytes per second of all allocations of one user, counted for each direction; 0: no limit
    #[arg(long, env = "CASTWAY_USER_BPS", value_name = "BYTES", global = true, hide_env_values = true)]
    pub user_bps: Option<String>,
    /// Maximum bytes per second of all allocations together, counted for each direction; 0: no limit
    #[arg(long, env = "CASTWAY_BPS_CAPACITY", value_name = "BYTES", global = true, hide_env_values = true)]
    pub bps_capacity: Option<String>,
    /// Maximum bytes per second of all allocations of scope clients together, counted for each direction; 0: no limit
    #[arg(long, env = "CASTWAY_CLIENTS_BPS", value_name = "BYTES", global = true, hide_env_values = true)]
    pub clients_bps: Option<String>,
    /// Maximum number of peers that one allocation may permit at a time
    #[arg(long, env = "CASTWAY_MAX_PERMISSIONS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub max_permissions: Option<String>,
    /// Maximum number of channels of one allocation
    #[arg(long, env = "CASTWAY_MAX_CHANNELS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub max_channels: Option<String>,
    /// Maximum number of connections with TCP peers of one allocation
    #[arg(long, env = "CASTWAY_MAX_CONNECTIONS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub max_connections: Option<String>,
    /// Maximum number of new peers of one allocation in a second, so that nobody scans networks; 0: no limit
    #[arg(long, env = "CASTWAY_NEW_PEERS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub new_peers: Option<String>,
    /// Lifetime of a nonce
    #[arg(long, env = "CASTWAY_STALE_NONCE", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub stale_nonce: Option<String>,
    /// Longest time between two refreshes of an allocation
    #[arg(long, env = "CASTWAY_MAX_ALLOCATE_LIFETIME", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub max_allocate_lifetime: Option<String>,
    /// End an allocation when the credentials that made it expire: true or false
    #[arg(long, env = "CASTWAY_STRICT_EXPIRY", value_name = "BOOL", global = true, hide_env_values = true)]
    pub strict_expiry: Option<String>,
    /// Let a client keep its allocation when its address changes (RFC 8016): true or false
    #[arg(long, env = "CASTWAY_MOBILITY", value_name = "BOOL", global = true, hide_env_values = true)]
    pub mobility: Option<String>,
    /// Report ICMP errors to clients (RFC 8656, 11.5): true or false; some clients stop at the first one
    #[arg(long, env = "CASTWAY_ICMP_INDICATIONS", value_name = "BOOL", global = true, hide_env_values = true)]
    pub icmp_indications: Option<String>,
    /// Name the program and its version in STUN responses: true or false
    #[arg(long, env = "CASTWAY_SOFTWARE", value_name = "BOOL", global = true, hide_env_values = true)]
    pub software: Option<String>,
    /// TURN server that all clients are sent to instead; IPv4,IPv6 for both
    #[arg(long, env = "CASTWAY_ALTERNATE_SERVER", value_name = "IP:PORT", global = true, hide_env_values = true)]
    pub alternate_server: Option<String>,
    /// Comma-separated list of secrets shared with other TURN REST issuers, newest first [default: generated, in the database]
    #[arg(long, env = "CASTWAY_STATIC_AUTH_SECRET", value_name = "LIST", global = true, hide_env_values = true)]
    pub static_auth_secret: Option<String>,
    /// File with these secrets instead, one a line, newest first; read at the start
    #[arg(long, env = "CASTWAY_STATIC_AUTH_SECRET_FILE", value_name = "FILE", global = true, hide_env_values = true)]
    pub static_auth_secret_file: Option<String>,
    /// Who gets credentials from GET /turn: open (anybody, of scope clients), key (callers with an API key) or users (users with
    /// their password, and callers with an API key)
    #[arg(long, env = "CASTWAY_TURN_ACCESS", value_name = "MODE", global = true, hide_env_values = true)]
    pub turn_access: Option<String>,
    /// Comma-separated list of API keys, for callers of GET /turn and of the ICE service
    #[arg(long, env = "CASTWAY_API_KEYS", value_name = "LIST", global = true, hide_env_values = true)]
    pub api_keys: Option<String>,
    /// File with these keys instead, one a line; read at the start
    #[arg(long, env = "CASTWAY_API_KEYS_FILE", value_name = "FILE", global = true, hide_env_values = true)]
    pub api_keys_file: Option<String>,
    /// Longest lifetime of TURN credentials, and the lifetime of those whose request names none
    #[arg(long, env = "CASTWAY_TTL", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub ttl: Option<String>,
    /// Longest lifetime of credentials that other issuers sign with a secret of CASTWAY_STATIC_AUTH_SECRET; 0: no limit
    #[arg(long, env = "CASTWAY_MAX_FOREIGN_TTL", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub max_foreign_ttl: Option<String>,
    /// Maximum number of requests for credentials per minute from one address, GET /turn and CONFIG together
    #[arg(long, env = "CASTWAY_CREDENTIALS_RATE", value_name = "COUNT", global = true, hide_env_values = true)]
    pub credentials_rate: Option<String>,
    /// Who gets ICE servers from /v1alpha/iceconfig and /v1alpha/turn: open (anybody) or key (callers with an API key)
    #[arg(long, env = "CASTWAY_ICE_ACCESS", value_name = "MODE", global = true, hide_env_values = true)]
    pub ice_access: Option<String>,
    /// Maximum number of requests to /v1alpha/iceconfig and /v1alpha/turn per minute from one address
    #[arg(long, env = "CASTWAY_ICE_RATE", value_name = "COUNT", global = true, hide_env_values = true)]
    pub ice_rate: Option<String>,
    /// Lifetime of the credentials from /v1alpha/iceconfig and /v1alpha/turn, at most CASTWAY_TTL
    #[arg(long, env = "CASTWAY_ICE_TTL", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub ice_ttl: Option<String>,
    /// Comma-separated list of providers whose own API for TURN credentials this server speaks, too, with API keys: cloudflare,
    /// twilio, metered, xirsys
    #[arg(long, env = "CASTWAY_PROVIDER_APIS", value_name = "LIST", global = true, hide_env_values = true)]
    pub provider_apis: Option<String>,
    /// Serve the descriptions of this server's APIs (OpenAPI, AsyncAPI) at /api/docs: true or false
    #[arg(long, env = "CASTWAY_API_DOCS", value_name = "BOOL", global = true, hide_env_values = true)]
    pub api_docs: Option<String>,
    /// Under which name the traffic of names is kept that a key or another issuer signs: whole, none (all in one row), before:TEXT or
    /// after:TEXT (the part before or after the first TEXT)
    #[arg(long, env = "CASTWAY_USAGE_NAME", value_name = "RULE", global = true, hide_env_values = true)]
    pub usage_name: Option<String>,
    /// How long the traffic of each user and day is kept
    #[arg(long, env = "CASTWAY_USAGE_DAYS", value_name = "DAYS", global = true, hide_env_values = true)]
    pub usage_days: Option<String>,
    /// How long the traffic of each user and month is kept
    #[arg(long, env = "CASTWAY_USAGE_MONTHS", value_name = "MONTHS", global = true, hide_env_values = true)]
    pub usage_months: Option<String>,
    /// Another address for Collider, AppRTC's WebSocket signaling, in addition to the main port, e.g. [::]:8089
    #[arg(long, env = "CASTWAY_COLLIDER_ADDR", value_name = "IP:PORT", global = true, hide_env_values = true)]
    pub collider_addr: Option<String>,
    /// Maximum number of AppRTC rooms
    #[arg(long, env = "CASTWAY_MAX_CALLS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub max_calls: Option<String>,
    /// Maximum number of joins of AppRTC rooms per minute from one address
    #[arg(long, env = "CASTWAY_CALL_RATE", value_name = "COUNT", global = true, hide_env_values = true)]
    pub call_rate: Option<String>,
    /// Maximum number of AppRTC WebSockets from one address
    #[arg(long, env = "CASTWAY_CALL_SOCKETS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub call_sockets: Option<String>,
    /// Characters of projection codes: letters (letters and digits) or digits
    #[arg(long, env = "CASTWAY_CODE_ALPHABET", value_name = "KIND", global = true, hide_env_values = true)]
    pub code_alphabet: Option<String>,
    /// When a TV gets a new code, if its page supports it: never, after-idle (12 hours after its last cast) or after-cast (after
    /// each cast)
    #[arg(long, env = "CASTWAY_NEW_CODE", value_name = "WHEN", global = true, hide_env_values = true)]
    pub new_code: Option<String>,
    /// How long a TV or caster keeps its seat after its connection dropped
    #[arg(long, env = "CASTWAY_GRACE", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub grace: Option<String>,
    /// Let a second caster take a TV over from the first: true or false
    #[arg(long, env = "CASTWAY_TAKEOVER", value_name = "BOOL", global = true, hide_env_values = true)]
    pub takeover: Option<String>,
    /// Who may cast: anyone, or users, who sign in with the name and password of a user of this server
    #[arg(long, env = "CASTWAY_CAST_ACCESS", value_name = "WHO", global = true, hide_env_values = true)]
    pub cast_access: Option<String>,
    /// Number of wrong codes or room passwords per minute after which an address has to wait; raise it where many casters share
    /// an address
    #[arg(long, env = "CASTWAY_WRONG_CODES", value_name = "COUNT", global = true, hide_env_values = true)]
    pub wrong_codes: Option<String>,
    /// Most kbit/s that the pages send of a cast's picture; 0: no ceiling
    #[arg(long, env = "CASTWAY_MAX_BITRATE", value_name = "KBPS", global = true, hide_env_values = true)]
    pub max_bitrate: Option<String>,
    /// Maximum number of TVs
    #[arg(long, env = "CASTWAY_MAX_ROOMS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub max_rooms: Option<String>,
    /// How long a user of RTCMultiConnection keeps its seat after its connection dropped
    #[arg(long, env = "CASTWAY_MULTI_GRACE", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub multi_grace: Option<String>,
    /// Maximum number of RTCMultiConnection users
    #[arg(long, env = "CASTWAY_MULTI_MAX_USERS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub multi_max_users: Option<String>,
    /// Maximum number of RTCMultiConnection users from one address; raise it where many users share an address
    #[arg(long, env = "CASTWAY_MULTI_MAX_PER_ADDRESS", value_name = "COUNT", global = true, hide_env_values = true)]
    pub multi_max_per_address: Option<String>,
    /// Comma-separated list of URLs that are told by a POST when a cast or call begins or ends, a user's quota is reached, a certificate
    /// can't be renewed or a check fails; https, or http to this machine
    #[arg(long, env = "CASTWAY_WEBHOOK_URL", value_name = "LIST", global = true, hide_env_values = true)]
    pub webhook_url: Option<String>,
    /// Secret of at least 16 characters that signs the requests to CASTWAY_WEBHOOK_URL and CASTWAY_AUTHORIZE_URL
    #[arg(long, env = "CASTWAY_WEBHOOK_SECRET", value_name = "SECRET", global = true, hide_env_values = true)]
    pub webhook_secret: Option<String>,
    /// File with this secret instead, in one line; read at the start
    #[arg(long, env = "CASTWAY_WEBHOOK_SECRET_FILE", value_name = "FILE", global = true, hide_env_values = true)]
    pub webhook_secret_file: Option<String>,
    /// URL of your own server, which is asked who may be a TV, a caster or a caller; https, or http to this machine
    #[arg(long, env = "CASTWAY_AUTHORIZE_URL", value_name = "URL", global = true, hide_env_values = true)]
    pub authorize_url: Option<String>,
    /// Comma-separated list of what CASTWAY_AUTHORIZE_URL is asked about: tv, caster, call
    #[arg(long, env = "CASTWAY_AUTHORIZE", value_name = "LIST", global = true, hide_env_values = true)]
    pub authorize: Option<String>,
    /// What becomes of those that CASTWAY_AUTHORIZE_URL can't be asked about: refuse or allow
    #[arg(long, env = "CASTWAY_AUTHORIZE_DOWN", value_name = "WHAT", global = true, hide_env_values = true)]
    pub authorize_down: Option<String>,
    /// Let CASTWAY_WEBHOOK_URL and CASTWAY_AUTHORIZE_URL lead to private addresses: true or false
    #[arg(long, env = "CASTWAY_HOOKS_PRIVATE", value_name = "BOOL", global = true, hide_env_values = true)]
    pub hooks_private: Option<String>,
    /// How long running casts get to end when the server stops
    #[arg(long, env = "CASTWAY_DRAIN", value_name = "SECONDS", global = true, hide_env_values = true)]
    pub drain: Option<String>,
    /// What to log, in the syntax of RUST_LOG: error, warn, info, debug, or castway=debug,…
    #[arg(long, env = "CASTWAY_LOG", value_name = "FILTER", global = true, hide_env_values = true)]
    pub log: Option<String>,
    /// How to log: text or json, one record per line
    #[arg(long, env = "CASTWAY_LOG_FORMAT", value_name = "FORMAT", global = true, hide_env_values = true)]
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
