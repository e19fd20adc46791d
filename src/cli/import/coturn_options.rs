//! [`COTURN_OPTIONS`]: what each option of coturn's turnserver becomes here.
//!
//! The table has the options of turnserver 4.5 to 4.17, in turnserver.conf and on the command line.

/// An option of coturn, by its name in turnserver.conf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoturnOption {
    pub name: &'static str,
    pub becomes: Counterpart,
}

/// What an option becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counterpart {
    /// A setting, by its variable. The value means the same.
    Setting(&'static str),
    /// A setting that serves the same purpose, by its variable, and a sentence on what to write there: it doesn't follow from the value.
    ByHand(&'static str, &'static str),
    /// Users and secrets, as the sentence says.
    Users(&'static str),
    /// Nothing, because Castway does it anyway, as the sentence says.
    Always(&'static str),
    /// Nothing, because of what the sentence says.
    None(&'static str),
}

const fn setting(name: &'static str, variable: &'static str) -> CoturnOption {
    CoturnOption { name, becomes: Counterpart::Setting(variable) }
}

const fn by_hand(name: &'static str, variable: &'static str, sentence: &'static str) -> CoturnOption {
    CoturnOption { name, becomes: Counterpart::ByHand(variable, sentence) }
}

const fn users(name: &'static str, sentence: &'static str) -> CoturnOption {
    CoturnOption { name, becomes: Counterpart::Users(sentence) }
}

const fn always(name: &'static str, sentence: &'static str) -> CoturnOption {
    CoturnOption { name, becomes: Counterpart::Always(sentence) }
}

const fn none(name: &'static str, sentence: &'static str) -> CoturnOption {
    CoturnOption { name, becomes: Counterpart::None(sentence) }
}

const BY_ADDRESS: &str = "Sockets are bound to addresses, not to devices: CASTWAY_TURN_ADDR and CASTWAY_RELAY_IP name them.";
const NO_DTLS: &str = "There is no TURN over DTLS; clients with turns: URLs use TLS over TCP.";
const OWN_TLS: &str = "TLS 1.2 and 1.3 with forward secrecy are the only choices, and they need no further settings.";
const OLD_TLS: &str = "Versions before TLS 1.2 can't be used.";
const NO_OAUTH: &str = "Third-party authorization (RFC 7635) is not supported; time-limited credentials serve the same purpose.";
const LOG: &str = "The log goes to standard error: journald or the container's log keeps it.";
const LOG_TIMES: &str = "Each line of the log begins with its time in ISO 8601, in UTC.";
const NO_CLI: &str =
    "There is no Telnet console: commands such as `castway sessions` and `castway block` ask the running server.";
const ADMIN: &str = "The operator's pages are at /admin over HTTPS, for those that `castway user add --operator` has added.";
const METRICS: &str = "Prometheus reads /metrics of the pages' port; name its address there.";
const METRICS_PORT: &str = "/metrics is a path of the pages' port, with its TLS; CASTWAY_METRICS_ALLOW says who reads it.";
const NO_REDIS_STATS: &str = "Nothing is written to Redis: /metrics, /admin and CASTWAY_WEBHOOK_URL tell what is relayed.";
const UNIT: &str = "The service's unit or the container decides as which user the server runs.";
const BATCHES: &str = "Packets are received and sent in batches wherever the kernel can; CASTWAY_COALESCE bounds the delay.";
const NO_MULTIPLEXING: &str = "Allocations of scope clients take no ports anyway; the others have a port each.";
const OLD_CLIENTS: &str = "Binding requests of RFC 3489 are not answered.";
const RATES: &str = "Requests without valid credentials are limited for each address, without a setting.";
const NONCES: &str = "Nonces are stateless, and their key is made anew at each start.";
const ONE_LIST: &str = "CASTWAY_ALTERNATE_SERVER holds for all transports.";
const ON_THE_SPOT: &str = "A dump of the database is read instead of the database itself: give it with --db.";

/// By topic.
pub const COTURN_OPTIONS: &[CoturnOption] = &[
    // Where the relay listens.
    setting("listening-port", "CASTWAY_TURN_ADDR"),
    setting("listening-ip", "CASTWAY_TURN_ADDR"),
    none("listening-device", BY_ADDRESS),
    setting("tls-listening-port", "CASTWAY_TURNS_ADDR"),
    setting("alt-listening-port", "CASTWAY_ALT_LISTENING_PORT"),
    none("alt-tls-listening-port", "TURN over TLS has one port, because NAT behavior discovery runs over UDP alone."),
    by_hand("tcp-proxy-port", "CASTWAY_TRUSTED_PROXIES", "Every TCP port reads the PROXY protocol of the proxies named there."),
    by_hand(
        "aux-server",
        "CASTWAY_ALT_LISTENING_PORT",
        "The relay has one address and at most one other port: name the port there.",
    ),
    none("udp-self-balance", "All relay threads share the ports that the server listens at."),
    setting("no-udp", "CASTWAY_NO_UDP"),
    setting("no-tcp", "CASTWAY_NO_TCP"),
    setting("no-tls", "CASTWAY_NO_TLS"),
    none("dtls", NO_DTLS),
    always("no-dtls", NO_DTLS),
    setting("rfc5780", "CASTWAY_RFC5780"),
    setting("no-rfc5780", "CASTWAY_RFC5780"),
    none("sock-buf-size", "The relay sizes the buffers of its sockets itself."),
    // Relayed addresses.
    none("relay-device", BY_ADDRESS),
    setting("relay-ip", "CASTWAY_RELAY_IP"),
    setting("external-ip", "CASTWAY_EXTERNAL_IP"),
    setting("min-port", "CASTWAY_MIN_PORT"),
    setting("max-port", "CASTWAY_MAX_PORT"),
    setting("relay-threads", "CASTWAY_RELAY_THREADS"),
    setting("cpus", "CASTWAY_RELAY_THREADS"),
    setting("allocation-default-address-family", "CASTWAY_ALLOCATION_DEFAULT_ADDRESS_FAMILY"),
    setting("keep-address-family", "CASTWAY_ALLOCATION_DEFAULT_ADDRESS_FAMILY"),
    none("no-udp-relay", "Relayed addresses for UDP can't be turned off."),
    setting("no-tcp-relay", "CASTWAY_NO_TCP_RELAY"),
    none("multiplex-peer", NO_MULTIPLEXING),
    none("multiplex-peer-port", NO_MULTIPLEXING),
    none("multiplex-peer-max-peers", NO_MULTIPLEXING),
    none("server-relay", "It lets anybody relay without permissions, and has no counterpart."),
    // Who may relay.
    always("lt-cred-mech", "The relay always asks for long-term credentials."),
    none("no-auth", "The relay always asks for credentials; the server's own pages get theirs without a user."),
    none("st-cred-mech", "Short-term credentials are not for TURN; coturn has removed them, too."),
    users("user", "The user is added with this password or key."),
    setting("realm", "CASTWAY_REALM"),
    users("userdb", "Give this file with --db, and its users, secrets and peers are taken over."),
    users("db", "Give this file with --db, and its users, secrets and peers are taken over."),
    users("psql-userdb", "Give the output of `pg_dump` with --db."),
    users("sql-userdb", "Give the output of `pg_dump` with --db."),
    users("mysql-userdb", "Give the output of `mysqldump` with --db."),
    users("redis-userdb", "Give a text dump with --db; docs/coturn.md has the command."),
    none("mongo-userdb", "MongoDB is not read: write its users as user=NAME:0xKEY lines into the file given with --config."),
    none("redis-statsdb", NO_REDIS_STATS),
    none("secret-key-file", ON_THE_SPOT),
    always("use-auth-secret", "Time-limited credentials are always accepted."),
    setting("static-auth-secret", "CASTWAY_STATIC_AUTH_SECRET"),
    none("rest-api-separator", "The time and the name of time-limited credentials are always separated by a colon."),
    none("secret-ts-exp-time", "Each name of time-limited credentials has its own time; coturn has removed the option."),
    none(
        "no-auth-pings",
        "The users and secrets are in a database in the data folder, which needs no requests to stay connected.",
    ),
    none("no-dynamic-ip-list", "Allowed and denied peers are settings and are read at the start."),
    none("no-dynamic-realms", "The server has one realm."),
    none("check-origin-consistency", "The server has one realm, whatever a client sends as ORIGIN."),
    none("server-name", NO_OAUTH),
    none("oauth", NO_OAUTH),
    none("secure-stun", "Binding requests are answered without credentials, as all WebRTC clients expect."),
    none("stun-only", "The relay can't be turned off."),
    none("no-stun", "Binding requests are always answered, as all WebRTC clients expect."),
    // Limits.
    setting("user-quota", "CASTWAY_USER_QUOTA"),
    setting("total-quota", "CASTWAY_TOTAL_QUOTA"),
    setting("max-bps", "CASTWAY_MAX_BPS"),
    setting("bps-capacity", "CASTWAY_BPS_CAPACITY"),
    setting("stale-nonce", "CASTWAY_STALE_NONCE"),
    always("stateless-nonce", NONCES),
    none("stateless-nonce-secret", NONCES),
    setting("max-allocate-lifetime", "CASTWAY_MAX_ALLOCATE_LIFETIME"),
    none("channel-lifetime", "A channel always lives for 600 seconds (RFC 8656)."),
    none("permission-lifetime", "A permission always lives for 300 seconds (RFC 8656)."),
    none("max-allocate-timeout", "A client that has no allocation is not remembered, so there is nothing to time out."),
    none("drain-min-allocations", "The server stops after CASTWAY_DRAIN seconds at the latest."),
    always("unauthorized-ratelimit", RATES),
    none("unauthorized-ratelimit-rps", RATES),
    // Peers.
    setting("allowed-peer-ip", "CASTWAY_ALLOWED_PEER_IP"),
    setting("denied-peer-ip", "CASTWAY_DENIED_PEER_IP"),
    setting("allow-loopback-peers", "CASTWAY_ALLOWED_PEER_IP"),
    always("no-loopback-peers", "Loopback addresses are denied unless CASTWAY_ALLOWED_PEER_IP names them."),
    always("no-multicast-peers", "Multicast and broadcast addresses are always denied."),
    // TLS.
    setting("cert", "CASTWAY_CERT"),
    setting("pkey", "CASTWAY_PKEY"),
    none("pkey-pwd", "The key file must not be encrypted; `openssl pkey -in OLD -out NEW` decrypts it."),
    none("raw-public-keys", "TLS needs a certificate."),
    none("cipher-list", OWN_TLS),
    none("CA-file", "Clients are not asked for certificates."),
    none("ec-curve-name", OWN_TLS),
    none("dh-file", OWN_TLS),
    none("dh566", OWN_TLS),
    none("dh1066", OWN_TLS),
    none("dh2066", OWN_TLS),
    none("tlsv1", OLD_TLS),
    none("tlsv1_1", OLD_TLS),
    always("no-sslv2", OLD_TLS),
    always("no-sslv3", OLD_TLS),
    always("no-tlsv1", OLD_TLS),
    always("no-tlsv1_1", OLD_TLS),
    none("no-tlsv1_2", "TLS 1.2 can't be turned off."),
    by_hand("acme-redirect", "CASTWAY_DOMAIN", "The server obtains and renews a certificate for the names given there."),
    // What clients see.
    always("fingerprint", "A response has FINGERPRINT if its request has it."),
    setting("mobility", "CASTWAY_MOBILITY"),
    setting("alternate-server", "CASTWAY_ALTERNATE_SERVER"),
    none("tls-alternate-server", ONE_LIST),
    none("udp-alternate-server", ONE_LIST),
    none("tcp-alternate-server", ONE_LIST),
    setting("software-attribute", "CASTWAY_SOFTWARE"),
    setting("no-software-attribute", "CASTWAY_SOFTWARE"),
    setting("prod", "CASTWAY_SOFTWARE"),
    none("include-reason-string", "Error responses have an empty reason phrase, so that answers to strangers stay short."),
    none("stun-backward-compatibility", "A response to a Binding request has XOR-MAPPED-ADDRESS alone."),
    always("no-stun-backward-compatibility", OLD_CLIENTS),
    none("rfc3489-compatibility", OLD_CLIENTS),
    always("rfc5766-channel-numbers", "Channel numbers are those of RFC 5766."),
    always("response-origin-only-with-rfc5780", "RESPONSE-ORIGIN is sent with CASTWAY_RFC5780 alone."),
    by_hand("respond-http-unsupported", "CASTWAY_TURN_HTTP", "With true, the pages are served at the ports of TURN, too."),
    none("no-http", "The pages have ports of their own unless CASTWAY_TURN_HTTP is true."),
    always("drop-invalid-packets", "Packets that are neither STUN nor ChannelData are dropped and counted."),
    none("drop-invalid-packets-log", "Packets that are dropped are counted in /metrics, and none is logged."),
    // The log.
    by_hand("verbose", "CASTWAY_LOG", "info, the default, logs what is refused and why; debug logs more."),
    by_hand("Verbose", "CASTWAY_LOG", "debug logs more than the default, and castway=trace logs everything."),
    setting("log-min-level", "CASTWAY_LOG"),
    none("log-file", LOG),
    none("no-stdout-log", LOG),
    none("syslog", LOG),
    none("syslog-facility", LOG),
    none("simple-log", LOG),
    always("new-log-timestamp", LOG_TIMES),
    none("new-log-timestamp-format", LOG_TIMES),
    none("log-binding", "Binding requests are counted in /metrics, and none is logged."),
    // The process.
    none("daemon", "systemd or a container keeps the server running in the background."),
    none("pidfile", "systemd or the container knows the process."),
    none("proc-user", UNIT),
    none("proc-group", UNIT),
    none("version", "`castway --version` prints the version."),
    none("ne", "The relay threads take turns by themselves."),
    none("udp-recvmmsg", BATCHES),
    none("udp-recvmmsg-log", BATCHES),
    none("udp-sendmmsg", BATCHES),
    none("udp-sendmmsg-log", BATCHES),
    none("udp-gso", BATCHES),
    // The operator.
    always("no-cli", NO_CLI),
    none("cli", NO_CLI),
    none("cli-ip", NO_CLI),
    none("cli-port", NO_CLI),
    none("cli-password", NO_CLI),
    none("cli-max-output-sessions", NO_CLI),
    by_hand("web-admin", "CASTWAY_ADMIN_ALLOW", ADMIN),
    by_hand("web-admin-ip", "CASTWAY_ADMIN_ALLOW", "It names the addresses from which operators may use /admin."),
    none("web-admin-port", ADMIN),
    none("web-admin-listen-on-workers", ADMIN),
    by_hand("prometheus", "CASTWAY_METRICS_ALLOW", METRICS),
    by_hand("prometheus-address", "CASTWAY_METRICS_ALLOW", METRICS),
    none("prometheus-port", METRICS_PORT),
    none("prometheus-path", METRICS_PORT),
    none("prometheus-tls", METRICS_PORT),
    none("prometheus-cert", METRICS_PORT),
    none("prometheus-key", METRICS_PORT),
    none("prometheus-username-labels", "/metrics has no names of users; `castway usage` and /admin show what each user relays."),
];

/// The option with this name in turnserver.conf; `None`: coturn has none.
pub(super) fn find(name: &str) -> Option<&'static CoturnOption> {
    COTURN_OPTIONS.iter().find(|option| option.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::config::{Settings, variable_of};

    fn row(option: &CoturnOption) -> String {
        let becomes = match option.becomes {
            Counterpart::Setting(variable) => format!("`{variable}`"),
            Counterpart::ByHand(variable, sentence) => format!("By hand, `{variable}`: {sentence}"),
            Counterpart::Users(sentence) => sentence.to_owned(),
            Counterpart::Always(sentence) => format!("Always so: {sentence}"),
            Counterpart::None(sentence) => format!("None: {sentence}"),
        };
        format!("| `{}` | {becomes} |", option.name)
    }

    /// `BLESS=1` writes the table of the document anew.
    #[test]
    fn the_document_has_the_same_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/coturn.md");
        let text = fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once("<!-- options -->").unwrap();
        let (_, after) = rest.split_once("<!-- end of options -->").unwrap();
        let mut options: Vec<&CoturnOption> = COTURN_OPTIONS.iter().collect();
        options.sort_by_key(|option| option.name.to_lowercase());
        let rows: Vec<String> = options.into_iter().map(row).collect();
        let table = format!("\n\n| Option of turnserver | Here |\n|---|---|\n{}\n\n", rows.join("\n"));
        let expected = format!("{before}<!-- options -->{table}<!-- end of options -->{after}");
        if std::env::var_os("BLESS").is_some() {
            fs::write(path, &expected).unwrap();
        }
        assert_eq!(expected, fs::read_to_string(path).unwrap());
    }

    #[test]
    fn every_option_stands_once_and_names_a_setting() {
        let names: BTreeSet<&str> = COTURN_OPTIONS.iter().map(|option| option.name).collect();
        assert_eq!(names.len(), COTURN_OPTIONS.len());
        let fields = serde_json::to_value(Settings::default()).unwrap();
        let known: BTreeSet<String> = fields.as_object().unwrap().keys().map(|field| variable_of(field)).collect();
        for option in COTURN_OPTIONS {
            let words = match option.becomes {
                Counterpart::Setting(words) => words.to_owned(),
                Counterpart::ByHand(variable, sentence) => format!("{variable} {sentence}"),
                Counterpart::Users(sentence) | Counterpart::Always(sentence) | Counterpart::None(sentence) => sentence.to_owned(),
            };
            let is_part = |character: char| character.is_ascii_uppercase() || character == '_' || character.is_ascii_digit();
            let variables = words.split(|character| !is_part(character)).filter(|word| word.starts_with("CASTWAY_"));
            variables.for_each(|variable| assert!(known.contains(variable), "{}: {variable}", option.name));
        }
    }
}
