//! What is shown of the value of an option: nothing, unless the option has values that are no secret, and this one is of their kind.

use std::net::{IpAddr, SocketAddr};

use super::config_file::{GivenOption, WITH_VALUE};
use super::coturn_options;
use crate::config::without_userinfo;
use crate::whole_number::is_digits;

/// Options whose value is a number.
const NUMBERS: &[&str] = &[
    "listening-port",
    "tls-listening-port",
    "alt-listening-port",
    "alt-tls-listening-port",
    "tcp-proxy-port",
    "sock-buf-size",
    "min-port",
    "max-port",
    "relay-threads",
    "cpus",
    "multiplex-peer-port",
    "multiplex-peer-max-peers",
    "secret-ts-exp-time",
    "user-quota",
    "total-quota",
    "max-bps",
    "bps-capacity",
    "stale-nonce",
    "max-allocate-lifetime",
    "channel-lifetime",
    "permission-lifetime",
    "max-allocate-timeout",
    "drain-min-allocations",
    "unauthorized-ratelimit-rps",
    "cli-port",
    "cli-max-output-sessions",
    "web-admin-port",
    "prometheus-port",
    "ne",
];
/// Options whose value is an address, a range of addresses or the name of a host.
const ADDRESSES: &[&str] = &[
    "listening-ip",
    "relay-ip",
    "external-ip",
    "aux-server",
    "allowed-peer-ip",
    "denied-peer-ip",
    "alternate-server",
    "tls-alternate-server",
    "udp-alternate-server",
    "tcp-alternate-server",
    "cli-ip",
    "web-admin-ip",
    "prometheus-address",
];
/// Options whose value is the name of a file or of something else that everybody may know.
const NAMES: &[&str] = &[
    "listening-device",
    "relay-device",
    "allocation-default-address-family",
    "realm",
    "server-name",
    "userdb",
    "db",
    "secret-key-file",
    "rest-api-separator",
    "cert",
    "pkey",
    "cipher-list",
    "CA-file",
    "ec-curve-name",
    "dh-file",
    "acme-redirect",
    "log-min-level",
    "log-file",
    "syslog-facility",
    "new-log-timestamp-format",
    "pidfile",
    "proc-user",
    "proc-group",
    "prometheus-path",
    "prometheus-cert",
    "prometheus-key",
];
/// What turnserver's documents have as the value of a flag.
const FLAG_VALUES: &[&str] = &["0", "1", "on", "off", "yes", "no", "true", "false", "y", "n", "t", "f"];

/// The value of an option that coturn has, as far as it is shown.
pub(super) fn shown_value(option: &GivenOption) -> Option<String> {
    let (name, bare) = (option.name.as_str(), option.bare());
    let is_flag = !WITH_VALUE.contains(&name) && coturn_options::find(name).is_some();
    let is_shown = NUMBERS.contains(&name) && is_digits(bare)
        || ADDRESSES.contains(&name) && bare.split([',', '/']).all(is_address)
        || is_flag && FLAG_VALUES.iter().any(|value| value.eq_ignore_ascii_case(bare));
    if is_shown {
        return Some(bare.to_owned());
    }
    let shown = without_userinfo(&option.value);
    // What tells a database where it is, or a server what is asked for, may have a password.
    (NAMES.contains(&name) && !shown.contains(['=', '?'])).then_some(shown)
}

/// Whether the text is an address, perhaps with a port or as a range, the bits of a network, or the name of a host.
fn is_address(text: &str) -> bool {
    let is_ip = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok();
    let host = text.rsplit_once(':').filter(|(_, port)| is_digits(port)).map_or(text, |(host, _)| host);
    let is_host = host == "localhost"
        || host.contains('.') && host.chars().all(|character| character.is_ascii_alphanumeric() || "-.".contains(character));
    text.split('-').all(is_ip) || is_host || is_digits(text)
}

#[cfg(test)]
mod tests {
    use super::super::config_file::options;
    use super::*;

    fn shown(line: &str) -> Option<String> {
        shown_value(&options(line)[0])
    }

    #[test]
    fn an_option_shows_values_of_its_kind_alone() {
        for (line, value) in [
            ("listening-port=3478 # hunter2", Some("3478")),
            ("listening-port=hunter2", None),
            ("stale-nonce=600", Some("600")),
            ("use-auth-secret=hunter2", None),
            ("use-auth-secret=true-hunter2", None),
            ("no-auth hunter2", None),
            ("lt-cred-mech=alice:hunter2", None),
            ("no-tls=TRUE", Some("TRUE")),
            ("external-ip=198.51.100.7/10.0.0.7", Some("198.51.100.7/10.0.0.7")),
            ("external-ip=turn.example.org", Some("turn.example.org")),
            ("external-ip=hunter2", None),
            ("external-ip=hunter2@turn.example.org", None),
            ("denied-peer-ip=10.0.0.0-10.255.255.255", Some("10.0.0.0-10.255.255.255")),
            ("denied-peer-ip=2001:db8::/32", Some("2001:db8::/32")),
            ("alternate-server=[2001:db8::9]:3480", Some("[2001:db8::9]:3480")),
            ("aux-server=203.0.113.7:33478", Some("203.0.113.7:33478")),
            ("userdb=/var/lib/turn/turndb", Some("/var/lib/turn/turndb")),
            ("userdb=mysql://u:hunter2@h/db", Some("mysql://(not shown)@h/db")),
            ("userdb=host=x password=hunter2", None),
            ("userdb=postgresql://h/db?password=hunter2", None),
            ("acme-redirect=https://u:hunter2@x/", Some("https://(not shown)@x/")),
            ("realm=north", Some("north")),
            ("static-auth-secret=hunter2", None),
            ("redis-statsdb=hunter2", None),
            ("cli-password=hunter2", None),
            ("an-option-of-tomorrow=true", None),
        ] {
            assert_eq!(shown(line).as_deref(), value, "{line}");
        }
    }

    /// Whatever coturn's options are used for, a password in them is not shown.
    #[test]
    fn no_option_shows_a_password() {
        for option in coturn_options::COTURN_OPTIONS {
            let values = ["alice:hunter2@x.org", "mysql://u:hunter2@h/db", "https://u:hunter2://x@h/", "host=x password=hunter2"];
            for value in values.into_iter().chain((!NAMES.contains(&option.name)).then_some("hunter2")) {
                let shown = shown(&format!("{}={value}", option.name)).unwrap_or_default();
                assert!(!shown.contains("hunter2"), "{}: {shown}", option.name);
            }
        }
    }

    #[test]
    fn the_lists_name_options_of_coturn_once() {
        let listed: Vec<_> = NUMBERS.iter().chain(ADDRESSES).chain(NAMES).collect();
        for (index, name) in listed.iter().enumerate() {
            assert!(coturn_options::find(name).is_some(), "{name}");
            assert!(!listed[..index].contains(name), "{name}");
        }
    }
}
