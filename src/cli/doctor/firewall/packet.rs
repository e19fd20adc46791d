//! The first packet of a stranger, and which conditions hold for it. A condition may hold for some strangers only, or nobody can tell:
//! then the answer is [`Holds::Maybe`].

use std::net::IpAddr;

use super::ruleset::{Condition, TCP};

/// The bits of the TCP header that a connection's first packet has.
pub(super) const SYN: u8 = 0x02;
/// Where programs take the ports of sockets that ask for none (Linux: 32768–60999, Windows and IANA: from 49152).
const CLIENT_PORTS: (u16, u16) = (32768, 60999);
/// Addresses of a network at least this large are those of the internet as a whole.
const INTERNET_PREFIX: (u8, u8) = (0, 3);

/// A packet from somewhere in the internet to this machine.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Packet {
    pub(super) v6: bool,
    /// [`super::ruleset::UDP`] or [`TCP`].
    pub(super) protocol: u8,
    pub(super) port: u16,
    /// The interfaces it may come in by.
    pub(super) interfaces: Vec<String>,
    /// The addresses of this machine that it may be for.
    pub(super) destinations: Vec<IpAddr>,
    /// Sources that rules admit or refuse by name count as the packet's.
    pub(super) from_named_source: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    Maybe,
}

impl Packet {
    pub(super) fn holds(&self, condition: &Condition) -> Holds {
        match condition {
            Condition::Known(known) => Holds::from(*known),
            Condition::Unknown => Holds::Maybe,
            Condition::Protocol(protocol) => Holds::from(*protocol == self.protocol),
            Condition::DestinationPort(first, last) => Holds::from((*first..=*last).contains(&self.port)),
            Condition::SourcePort(first, last) if *last < CLIENT_PORTS.0 || *first > CLIENT_PORTS.1 => Holds::No,
            Condition::SourcePort(first, last) if *first <= CLIENT_PORTS.0 && *last >= CLIENT_PORTS.1 => Holds::Yes,
            Condition::SourcePort(..) => Holds::Maybe,
            Condition::V6(v6) => Holds::from(*v6 == self.v6),
            Condition::Interface(name) => of_all(&self.interfaces, |interface| is_named(interface, name)),
            Condition::Source(network) if network.network().is_ipv6() != self.v6 => Holds::No,
            Condition::Source(network) => {
                let internet = if self.v6 { INTERNET_PREFIX.1 } else { INTERNET_PREFIX.0 };
                // A half of the internet, as some lists have.
                let large = network.prefix_len() <= 3;
                if network.prefix_len() <= internet || self.from_named_source {
                    Holds::Yes
                } else if large {
                    Holds::Maybe
                } else {
                    Holds::No
                }
            }
            Condition::SourceSet(_) => Holds::from(self.from_named_source),
            Condition::Destination(network) if network.network().is_ipv6() != self.v6 => Holds::No,
            Condition::Destination(network) => {
                let own: Vec<_> = self.destinations.iter().filter(|own| own.is_ipv6() == self.v6).collect();
                if network.prefix_len() == 0 { Holds::Yes } else { of_all(&own, |own| network.contains(*own)) }
            }
            Condition::TcpFlags(mask, set) => Holds::from(self.protocol == TCP && SYN & mask == *set),
            Condition::Not(inner) => match self.holds(inner) {
                Holds::Yes => Holds::No,
                Holds::No => Holds::Yes,
                Holds::Maybe => Holds::Maybe,
            },
            Condition::Any(all) => any(all.iter().map(|inner| self.holds(inner))),
            Condition::All(all) => self.all(all),
        }
    }

    pub(super) fn all(&self, conditions: &[Condition]) -> Holds {
        let mut holds = Holds::Yes;
        for condition in conditions {
            match self.holds(condition) {
                Holds::Yes => {}
                Holds::No => return Holds::No,
                Holds::Maybe => holds = Holds::Maybe,
            }
        }
        holds
    }
}

impl From<bool> for Holds {
    fn from(known: bool) -> Self {
        if known { Self::Yes } else { Self::No }
    }
}

/// Networks and sets of sources that stand in the conditions.
pub(super) fn named_sources(conditions: &[Condition]) -> Vec<String> {
    let mut names = Vec::new();
    let mut note = |condition: &Condition| match condition {
        Condition::Source(network) if network.prefix_len() > 3 => names.push(network.to_string()),
        Condition::SourceSet(name) => names.push(format!("the addresses in {name}")),
        _ => {}
    };
    conditions.iter().for_each(|condition| condition.visit(&mut note));
    names
}

fn any(all: impl Iterator<Item = Holds>) -> Holds {
    let mut holds = Holds::No;
    for one in all {
        match one {
            Holds::Yes => return Holds::Yes,
            Holds::No => {}
            Holds::Maybe => holds = Holds::Maybe,
        }
    }
    holds
}

/// Whether `has` is true of all; of some only is a maybe.
fn of_all<T>(all: &[T], has: impl Fn(&T) -> bool) -> Holds {
    match all.iter().filter(|one| has(one)).count() {
        _ if all.is_empty() => Holds::Maybe,
        0 => Holds::No,
        count if count == all.len() => Holds::Yes,
        _ => Holds::Maybe,
    }
}

fn is_named(interface: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => interface.starts_with(beginning),
        None => interface == pattern,
    }
}
