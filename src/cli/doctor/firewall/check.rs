//! Asks the rules about each needed port.

use std::net::IpAddr;

use super::advice::{Manager, advice};
use super::evaluate::{Drop, Fate, fate};
use super::needed::{Closed, Needed, Report, in_words, number};
use super::packet::Packet;
use super::ruleset::{Condition, Ruleset};

/// Parts of a range of ports that are asked one by one.
const MAX_PARTS: usize = 128;
/// Closed ports and unknown ones that are reported.
const MAX_REPORTED: usize = 8;

/// How packets from outside come to this machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Outside {
    pub(super) interfaces: Vec<String>,
    /// This machine's addresses at these interfaces.
    pub(super) addresses: Vec<IpAddr>,
    /// Strangers can reach it by IPv4, and by IPv6.
    pub(super) v4: bool,
    pub(super) v6: bool,
}

pub(super) fn check(ruleset: &Ruleset, needed: &[Needed], outside: &Outside) -> Report {
    let mut report = Report { filters: filters(ruleset), ..Report::default() };
    for needed in needed {
        for v6 in [false, true] {
            let asked = if v6 { needed.v6 && outside.v6 } else { needed.v4 && outside.v4 };
            if asked {
                check_family(ruleset, needed, v6, outside, &mut report);
            }
        }
    }
    report.closed.truncate(MAX_REPORTED);
    report.unknown.truncate(MAX_REPORTED);
    report
}

fn check_family(ruleset: &Ruleset, needed: &Needed, v6: bool, outside: &Outside, report: &mut Report) {
    let starts = parts(ruleset, needed.ports);
    let mut pending: Option<((u16, u16), Fate)> = None;
    for (index, first) in starts.iter().enumerate() {
        let last = starts.get(index + 1).map_or(needed.ports.1, |next| next - 1);
        let packet = Packet {
            v6,
            protocol: number(needed.transport),
            port: *first,
            interfaces: outside.interfaces.clone(),
            destinations: outside.addresses.clone(),
            from_named_source: false,
        };
        let fate = fate(ruleset, &packet);
        match &mut pending {
            Some((ports, same)) if *same == fate => ports.1 = last,
            _ => {
                if let Some((ports, fate)) = pending.replace(((*first, last), fate)) {
                    note(ruleset, needed, ports, v6, fate, report);
                }
            }
        }
    }
    if let Some((ports, fate)) = pending {
        note(ruleset, needed, ports, v6, fate, report);
    }
}

/// The first ports of the parts of the range in which all ports are treated alike.
fn parts(ruleset: &Ruleset, (first, last): (u16, u16)) -> Vec<u16> {
    let mut starts = vec![first];
    let mut note = |condition: &Condition| {
        if let Condition::DestinationPort(low, high) = condition {
            starts.extend([Some(*low), high.checked_add(1)].into_iter().flatten().filter(|port| *port > first && *port <= last));
        }
    };
    let rules = ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    for rule in rules {
        rule.conditions.iter().for_each(|condition| condition.visit(&mut note));
        rule.branches.iter().flat_map(|branch| &branch.conditions).for_each(|condition| condition.visit(&mut note));
    }
    starts.sort_unstable();
    starts.dedup();
    starts.truncate(MAX_PARTS);
    starts
}

fn note(ruleset: &Ruleset, needed: &Needed, ports: (u16, u16), v6: bool, fate: Fate, report: &mut Report) {
    match fate {
        Fate::Accepted => {}
        Fate::Unknown(reason) => {
            let family = if v6 { " over IPv6" } else { "" };
            let sentence = format!("Whether {}{family} is open can't be told: {reason}.", in_words(needed.transport, ports));
            if !report.unknown.contains(&sentence) {
                report.unknown.push(sentence);
            }
        }
        Fate::Dropped(drops) => {
            for drop in drops {
                note_drop(ruleset, needed, ports, v6, &drop, report);
            }
        }
    }
}

fn note_drop(ruleset: &Ruleset, needed: &Needed, ports: (u16, u16), v6: bool, drop: &Drop, report: &mut Report) {
    let table = ruleset.tables.iter().find(|table| table.program == drop.program && table.name == drop.table);
    let chains = table.into_iter().flat_map(|table| &table.chains).map(|chain| chain.name.as_str());
    let manager = Manager::of(drop, chains);
    let advice = advice(manager, drop, needed.transport, ports);
    let same =
        |closed: &&mut Closed| closed.transport == needed.transport && closed.ports == ports && closed.command == advice.command;
    // One command opens both families, so it is named once.
    if report.closed.iter_mut().find(same).is_some() {
        return;
    }
    let place = drop.chains.last().map_or_else(|| drop.chain.clone(), Clone::clone);
    let family = if v6 { " over IPv6" } else { "" };
    let what = in_words(needed.transport, ports);
    let from = if drop.admitted.is_empty() { String::new() } else { format!(", except from {}", drop.admitted.join(", ")) };
    let text = format!("{} drops {what}{family}{from} (table {}, chain {place}: {})", manager.name(), drop.table, drop.text);
    report.closed.push(Closed {
        transport: needed.transport,
        ports,
        need: needed.need,
        text,
        command: advice.command,
        hint: advice.hint,
        admitted: drop.admitted.clone(),
    });
}

/// Whose rules these are.
fn filters(ruleset: &Ruleset) -> Vec<String> {
    let mut names = Vec::new();
    for table in &ruleset.tables {
        let name = if table.chains.iter().any(|chain| chain.name.starts_with("ufw")) {
            "ufw"
        } else if table.name.ends_with(" firewalld") {
            "firewalld"
        } else if table.program == super::ruleset::Program::Nft {
            "nftables"
        } else {
            "iptables"
        };
        let has_rules = table.chains.iter().any(|chain| chain.base.is_some_and(|base| base.drops) || !chain.rules.is_empty());
        if has_rules && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}
