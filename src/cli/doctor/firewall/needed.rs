//! Which ports clients need, and what the firewall does with them.

use super::ruleset::{TCP, UDP};

/// Ports that clients use from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Needed {
    pub(in crate::cli) transport: Transport,
    /// The first and the last.
    pub(in crate::cli) ports: (u16, u16),
    /// Casts or a path that clients are told of don't work without them.
    pub(in crate::cli) required: bool,
    /// Something listens there for IPv4, and for IPv6.
    pub(in crate::cli) v4: bool,
    pub(in crate::cli) v6: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Transport {
    Udp,
    Tcp,
}

/// What this machine's packet filters do with the needed ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Report {
    /// Whose rules were read, for example `nftables`; none: there are no rules.
    pub(in crate::cli) filters: Vec<String>,
    pub(in crate::cli) closed: Vec<Closed>,
    /// Sentences about ports of which nobody can tell.
    pub(in crate::cli) unknown: Vec<String>,
}

/// Ports that are closed for strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Closed {
    pub(in crate::cli) transport: Transport,
    pub(in crate::cli) ports: (u16, u16),
    pub(in crate::cli) required: bool,
    /// A sentence that names who drops what.
    pub(in crate::cli) text: String,
    /// Opens the ports; `None`: somebody has to change a rule by hand, as `hint` says.
    pub(in crate::cli) command: Option<String>,
    /// What else to do, as a sentence.
    pub(in crate::cli) hint: Option<String>,
    /// The networks from which the ports are open.
    pub(in crate::cli) admitted: Vec<String>,
}

impl Transport {
    pub(in crate::cli) fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    pub(super) fn keyword(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }

    pub(super) fn number(self) -> u8 {
        match self {
            Self::Udp => UDP,
            Self::Tcp => TCP,
        }
    }
}

/// `UDP 3478`, `UDP 49152–65535`.
pub(in crate::cli) fn in_words(transport: Transport, (first, last): (u16, u16)) -> String {
    let name = transport.name();
    if first == last { format!("{name} {first}") } else { format!("{name} {first}–{last}") }
}
