//! Which ports clients need, and what the firewall does with them.

use super::ruleset::{TCP, UDP};
use crate::control::facts::Transport;

/// Ports that clients use from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needed {
    pub(super) transport: Transport,
    /// The first and the last.
    pub(super) ports: (u16, u16),
    pub(super) need: Need,
    /// Something listens there for IPv4, and for IPv6.
    pub(super) v4: bool,
    pub(super) v6: bool,
}

/// How much depends on ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Casts and pages.
    Required,
    /// A path beside others.
    Wanted,
    /// Relayed addresses of users and API keys, of which there are some.
    Users,
    /// The same, and there are none.
    Optional,
}

/// What this machine's packet filters do with the needed ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Whose rules were read, for example `nftables`; none: there are no rules.
    pub(super) filters: Vec<String>,
    pub(super) closed: Vec<Closed>,
    /// Sentences about ports of which nobody can tell.
    pub(super) unknown: Vec<String>,
}

/// Ports that are closed for strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) transport: Transport,
    pub(super) ports: (u16, u16),
    pub(super) need: Need,
    /// A sentence that names who drops what.
    pub(super) text: String,
    /// Opens the ports; `None`: somebody has to change a rule by hand, as `hint` says.
    pub(super) command: Option<String>,
    /// What else to do, as a sentence.
    pub(super) hint: Option<String>,
    /// The networks from which the ports are open.
    pub(super) admitted: Vec<String>,
}

/// As nft, iptables and firewalld write it.
pub(super) fn keyword(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    }
}

pub(super) fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Udp => UDP,
        Transport::Tcp => TCP,
    }
}

/// `UDP 3478`, `UDP 49152–65535`.
pub(super) fn in_words(transport: Transport, (first, last): (u16, u16)) -> String {
    let name = transport.name();
    if first == last { format!("{name} {first}") } else { format!("{name} {first}–{last}") }
}
