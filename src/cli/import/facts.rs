//! What the options say together, where one of them alone does not say it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::config_file::{GivenOption, Place};
use crate::turn::STANDARD_PORT;
use crate::whole_number;

/// Options that may be set several times, and all of them count. Of the others the last one counts.
const REPEATABLE: &[&str] = &[
    "listening-ip",
    "relay-ip",
    "external-ip",
    "static-auth-secret",
    "allowed-peer-ip",
    "denied-peer-ip",
    "alternate-server",
    "tls-alternate-server",
    "udp-alternate-server",
    "tcp-alternate-server",
    "aux-server",
    "user",
];

#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Where each option is set for the last time.
    last: HashMap<String, Place>,
    values: HashMap<String, String>,
    pub(super) listening_ips: Vec<IpAddr>,
    pub(super) relay_ips: Vec<IpAddr>,
    pub(super) alternate_servers: Vec<SocketAddr>,
}

impl Facts {
    pub(super) fn new(options: &[GivenOption]) -> Self {
        let mut facts = Self::default();
        for option in options {
            facts.last.insert(option.name.clone(), option.place);
            facts.values.insert(option.name.clone(), option.bare().to_owned());
            match option.name.as_str() {
                "listening-ip" => facts.listening_ips.extend(ip(option.bare())),
                "relay-ip" => facts.relay_ips.extend(ip(option.bare())),
                "alternate-server" => facts.alternate_servers.extend(server(option.bare())),
                _ => {}
            }
        }
        facts
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.last.contains_key(name)
    }

    /// The last value of an option, without a comment.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether a flag is set, and not to false.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| flag(value) == Some(true))
    }

    /// Whether time-limited credentials are the only ones that turnserver accepts: it then ignores all users.
    pub(super) fn has_secrets_alone(&self) -> bool {
        self.has("use-auth-secret") || self.has("static-auth-secret")
    }

    /// The place of the option that counts instead of this one.
    pub(super) fn replaced_by(&self, option: &GivenOption) -> Option<Place> {
        let last = self.last.get(&option.name).copied()?;
        (last != option.place && !REPEATABLE.contains(&option.name.as_str())).then_some(last)
    }

    pub(super) fn port(&self) -> u16 {
        self.value("listening-port").and_then(whole_number::read).unwrap_or(STANDARD_PORT)
    }

    /// The one address that the relay listens at, and whether turnserver listens at others than the relay then does.
    pub(super) fn listening_ip(&self) -> (IpAddr, bool) {
        let ips = &self.listening_ips;
        let all = |text: &str| text.parse().expect("a wildcard is an address");
        let is_wider_than = |wildcards: usize| ips.iter().filter(|ip| ip.is_unspecified()).count() < wildcards;
        match ips.as_slice() {
            [] => (all("::"), false),
            [one] => (*one, false),
            _ if ips.iter().all(IpAddr::is_ipv4) => (all("0.0.0.0"), is_wider_than(1)),
            _ => (all("::"), is_wider_than(2)),
        }
    }

    /// The addresses of relayed sockets, where they follow from several addresses to listen at.
    pub(super) fn implied_relay_ips(&self) -> Vec<IpAddr> {
        if self.listening_ips.len() < 2 || !self.relay_ips.is_empty() || self.listening_ips.iter().any(IpAddr::is_unspecified) {
            return Vec::new();
        }
        let outside: Vec<IpAddr> = self.listening_ips.iter().copied().filter(|ip| !ip.is_loopback()).collect();
        first_of_each_family(&outside, |ip| ip.is_ipv4())
    }

    pub(super) fn is_first_of_family(&self, ip: IpAddr) -> bool {
        first_of_each_family(&self.relay_ips, |ip| ip.is_ipv4()).contains(&ip)
    }

    pub(super) fn is_first_alternate(&self, server: SocketAddr) -> bool {
        first_of_each_family(&self.alternate_servers, |server| server.is_ipv4()).contains(&server)
    }
}

fn first_of_each_family<T: Copy>(all: &[T], is_v4: impl Fn(&T) -> bool) -> Vec<T> {
    let first = |v4: bool| all.iter().find(|one| is_v4(one) == v4).copied();
    first(true).into_iter().chain(first(false)).collect()
}

pub(super) fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

/// Reads `IP` or `IP:PORT`.
pub(super) fn server(text: &str) -> Option<SocketAddr> {
    let bare = || text.trim_matches(['[', ']']).parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, STANDARD_PORT));
    text.parse().ok().or_else(bare)
}

/// Reads a flag as turnserver does.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text {
        "" | "on" | "On" | "ON" => Some(true),
        "off" | "Off" | "OFF" => Some(false),
        _ => match text.chars().next() {
            Some('1'..='9' | 'y' | 'Y' | 't' | 'T') => Some(true),
            Some('0' | 'n' | 'N' | 'f' | 'F') => Some(false),
            _ => None,
        },
    }
}
