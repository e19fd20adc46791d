//! The rules of packet filters in one form, whichever program has read them.

use ipnet::IpNet;

/// TCP's or UDP's number (IANA).
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// All tables that see packets to this machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ruleset {
    pub(super) tables: Vec<Table>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    pub(super) program: Program,
    pub(super) families: Families,
    /// As its program writes it, for example `inet filter`; of iptables, the name alone.
    pub(super) name: String,
    pub(super) chains: Vec<Chain>,
}

/// The program that changes a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Program {
    Nft,
    Iptables,
    Ip6tables,
    IptablesLegacy,
    Ip6tablesLegacy,
}

/// The families of addresses whose packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Families {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Chain {
    pub(super) name: String,
    /// `None`: only other chains lead here.
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<Rule>,
}

/// How the kernel uses a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    /// The chain translates addresses.
    pub(super) translates: bool,
    pub(super) drops: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rule {
    /// The number by which nft names it.
    pub(super) handle: Option<u64>,
    /// All of them must hold.
    pub(super) conditions: Vec<Condition>,
    /// The first whose conditions hold counts; a rule of iptables has one, a verdict map has several.
    pub(super) branches: Vec<Branch>,
    /// The rule, or its beginning, as its program writes it.
    pub(super) text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Branch {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    /// Drops or rejects.
    Drop,
    /// The chain's caller goes on, or its policy counts.
    Return,
    Jump(String),
    Goto(String),
    /// Sends the packet elsewhere.
    Translate,
    /// Nobody can tell what becomes of the packet.
    Unknown,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// True or false for every packet that is asked for.
    Known(bool),
    /// Nobody can tell.
    Unknown,
    Protocol(u8),
    /// From the first to the last.
    DestinationPort(u16, u16),
    SourcePort(u16, u16),
    /// IPv6, or else IPv4.
    V6(bool),
    /// A name, or its beginning where the last character is `*`.
    Interface(String),
    Source(IpNet),
    /// A set of sources whose elements are elsewhere.
    SourceSet(String),
    Destination(IpNet),
    /// The flags of TCP that are looked at, and those of them that are set.
    TcpFlags(u8, u8),
    Not(Box<Condition>),
    /// One of these is true.
    Any(Vec<Condition>),
    /// All of these are true.
    All(Vec<Condition>),
}

impl Rule {
    /// A rule that does one thing.
    pub(super) fn new(conditions: Vec<Condition>, action: Option<Action>) -> Self {
        let branches = action.map(|action| Branch { conditions: Vec::new(), action }).into_iter().collect();
        Self { conditions, branches, ..Self::default() }
    }
}

impl Condition {
    pub(super) fn negated(self, negated: bool) -> Self {
        if negated { Self::Not(Box::new(self)) } else { self }
    }

    /// Calls `visit` with this condition and each one within it.
    pub(super) fn visit(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        match self {
            Self::Not(inner) => inner.visit(visit),
            Self::Any(all) | Self::All(all) => all.iter().for_each(|inner| inner.visit(visit)),
            Self::Known(_)
            | Self::Unknown
            | Self::Protocol(_)
            | Self::DestinationPort(..)
            | Self::SourcePort(..)
            | Self::V6(_)
            | Self::Interface(_)
            | Self::Source(_)
            | Self::SourceSet(_)
            | Self::Destination(_)
            | Self::TcpFlags(..) => {}
        }
    }
}

impl Families {
    pub(super) const BOTH: Self = Self { v4: true, v6: true };
    pub(super) const V4: Self = Self { v4: true, v6: false };
    pub(super) const V6: Self = Self { v4: false, v6: true };

    pub(super) fn has(self, v6: bool) -> bool {
        if v6 { self.v6 } else { self.v4 }
    }
}

impl Program {
    /// The command that changes its tables.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Iptables => "iptables",
            Self::Ip6tables => "ip6tables",
            Self::IptablesLegacy => "iptables-legacy",
            Self::Ip6tablesLegacy => "ip6tables-legacy",
        }
    }
}
