//! The command that opens ports, in front of what drops their packets and behind everything else, so that bans keep their effect.

use super::evaluate::Drop;
use super::needed::keyword;
use super::ruleset::Program;
use crate::control::facts::Transport;

/// Who has made the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Ufw,
    Firewalld,
    Nftables,
    Iptables,
}

/// What to do about a drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) command: Option<String>,
    pub(super) hint: Option<String>,
}

const ZONE_CHAINS: [&str; 2] = ["filter_IN_", "IN_"];
/// Parts of a zone's chain.
const ZONE_PARTS: [&str; 5] = ["_pre", "_log", "_deny", "_allow", "_post"];

impl Manager {
    /// `chains`: the names of all chains of the table that drops.
    pub(super) fn of<'a>(drop: &Drop, mut chains: impl Iterator<Item = &'a str>) -> Self {
        if drop.table.ends_with(" firewalld") || drop.passed.iter().any(|chain| chain == "INPUT_ZONES") {
            Self::Firewalld
        } else if chains.any(|chain| chain.starts_with("ufw-") || chain.starts_with("ufw6-")) {
            Self::Ufw
        } else if drop.program == Program::Nft {
            Self::Nftables
        } else {
            Self::Iptables
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ufw => "ufw",
            Self::Firewalld => "firewalld",
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

pub(super) fn advice(manager: Manager, drop: &Drop, transport: Transport, ports: (u16, u16)) -> Advice {
    let by_hand = |hint: String| Advice { command: None, hint: Some(hint) };
    let last = drop.chains.last().map(String::as_str).unwrap_or_default();
    match manager {
        Manager::Ufw => {
            let ports = format!("{}/{}", range(ports, ":"), keyword(transport));
            if ["ufw-user-input", "ufw6-user-input", "ufw-user-limit", "ufw6-user-limit"].contains(&last) {
                // ufw inserts no rule that differs from an existing one by its verb only.
                let verb = if last.contains("limit") {
                    "limit"
                } else if drop.text.contains("REJECT") {
                    "reject"
                } else {
                    "deny"
                };
                let command = format!("sudo ufw delete {verb} {ports}; sudo ufw prepend allow {ports}");
                Advice { command: Some(command), hint: None }
            } else if last.contains("before-input") {
                by_hand("A rule of /etc/ufw/before.rules drops them; change it there.".to_owned())
            } else {
                Advice { command: Some(format!("sudo ufw allow {ports}")), hint: None }
            }
        }
        Manager::Firewalld => {
            let zone = zone(drop).map(|zone| quoted(&zone));
            if ZONE_PARTS.iter().any(|part| last.ends_with(part)) {
                let zone = zone.map(|zone| format!(" --zone={zone}")).unwrap_or_default();
                return by_hand(format!("A rich rule refuses them; sudo firewall-cmd{zone} --list-rich-rules shows it."));
            }
            let zone = zone.map(|zone| format!(" --zone={zone}")).unwrap_or_default();
            let port = format!("--add-port={}/{}", range(ports, "-"), keyword(transport));
            let command = format!("sudo firewall-cmd --permanent{zone} {port} && sudo firewall-cmd --reload");
            Advice { command: Some(command), hint: None }
        }
        // nft can't name what other programs may have called by any name.
        Manager::Nftables if !is_name(&drop.chain) || !drop.table.split_once(' ').is_some_and(|(_, name)| is_name(name)) => {
            by_hand(
                "nft can't write a name of this table or chain; open the ports with the program that has made them.".to_owned(),
            )
        }
        Manager::Nftables => Advice {
            command: Some(nft(drop, transport, ports)),
            hint: Some("Add the rule to /etc/nftables.conf as well, or it ends with the next start of the machine.".to_owned()),
        },
        Manager::Iptables => Advice {
            command: Some(iptables(drop, transport, ports)),
            hint: Some(
                "Save the rules (sudo netfilter-persistent save), or they end with the next start of the machine.".to_owned(),
            ),
        },
    }
}

fn nft(drop: &Drop, transport: Transport, ports: (u16, u16)) -> String {
    let rule = format!("{} dport {} accept", keyword(transport), range(ports, "-"));
    let chain = format!("{} {}", drop.table, drop.chain);
    match drop.rule.and_then(|rule| rule.handle) {
        _ if drop.only_accepts_before => format!("sudo nft insert rule {chain} {rule}"),
        Some(handle) => format!("sudo nft insert rule {chain} handle {handle} {rule}"),
        None => format!("sudo nft add rule {chain} {rule}"),
    }
}

fn iptables(drop: &Drop, transport: Transport, ports: (u16, u16)) -> String {
    let table = if drop.table == "filter" { String::new() } else { format!(" -t {}", quoted(&drop.table)) };
    let rule = format!("-p {} --dport {} -j ACCEPT", keyword(transport), range(ports, ":"));
    let (program, chain) = (drop.program.command(), quoted(&drop.chain));
    match drop.rule {
        _ if drop.only_accepts_before => format!("sudo {program}{table} -I {chain} {rule}"),
        Some(position) => format!("sudo {program}{table} -I {chain} {} {rule}", position.index + 1),
        None => format!("sudo {program}{table} -A {chain} {rule}"),
    }
}

/// A name as nft takes it, in which nothing means something to a shell.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
}

/// As one word for a shell.
fn quoted(name: &str) -> String {
    if is_name(name) { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

fn range((first, last): (u16, u16), between: &str) -> String {
    if first == last { first.to_string() } else { format!("{first}{between}{last}") }
}

/// The zone of firewalld whose rules the packet has passed last.
fn zone(drop: &Drop) -> Option<String> {
    drop.passed.iter().rev().find_map(|chain| {
        let zone = ZONE_CHAINS.iter().find_map(|beginning| chain.strip_prefix(beginning))?;
        let is_zone = !zone.starts_with("policy_") && !ZONE_PARTS.iter().any(|part| zone.ends_with(part));
        is_zone.then(|| zone.to_owned())
    })
}
