//! Reads the rules of this machine with the programs that are there.

use std::fs;

use super::programs::{Listed, list};
use super::ruleset::{Program, Ruleset};
use super::{iptables, nft};

const AS_ROOT: &str = "Only root may read the firewall's rules: run sudo castway doctor.";

#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) ruleset: Ruleset,
    /// Sentences about rules that could not be read.
    pub(super) gaps: Vec<String>,
}

/// # Errors
/// A sentence that says why no rule can be read.
pub(super) fn ruleset() -> Result<Read, String> {
    let mut read = Read::default();
    let (mut found, mut denied) = (false, false);
    // Tables of nftables that iptables has made, and that it reads better.
    let mut known: Vec<(&str, String)> = Vec::new();
    for (save, family, program, legacy, names) in [
        (
            "iptables-save",
            "ip",
            Program::Iptables,
            ("iptables-legacy-save", Program::IptablesLegacy),
            "/proc/net/ip_tables_names",
        ),
        (
            "ip6tables-save",
            "ip6",
            Program::Ip6tables,
            ("ip6tables-legacy-save", Program::Ip6tablesLegacy),
            "/proc/net/ip6_tables_names",
        ),
    ] {
        match list(save, &[]) {
            Listed::Text(text) => {
                found = true;
                let tables = iptables::read(&text, program);
                if text.contains("(nf_tables)") {
                    known.extend(tables.tables.iter().map(|table| (family, table.name.clone())));
                }
                read.ruleset.tables.extend(tables.tables);
                let has_legacy = fs::read_to_string(names).is_ok_and(|names| !names.trim().is_empty());
                if has_legacy && text.contains("(nf_tables)") {
                    match list(legacy.0, &[]) {
                        Listed::Text(text) => read.ruleset.tables.extend(iptables::read(&text, legacy.1).tables),
                        Listed::Missing | Listed::Denied | Listed::Failed(_) => {
                            read.gaps.push(format!("There are rules of an older iptables, which {} would list.", legacy.0));
                        }
                    }
                }
            }
            Listed::Missing => {}
            Listed::Denied => denied = true,
            Listed::Failed(reason) => read.gaps.push(format!("The rules of iptables can't be read: {reason}.")),
        }
    }
    match list("nft", &["-j", "list", "ruleset"]) {
        Listed::Text(text) => {
            found = true;
            let skipped = |family: &str, name: &str| known.iter().any(|(known, table)| *known == family && table == name);
            read.ruleset.tables.extend(nft::read(&text, &skipped)?.tables);
        }
        Listed::Missing => {}
        Listed::Denied => denied = true,
        Listed::Failed(reason) => read.gaps.push(format!("The rules of nftables can't be read: {reason}.")),
    }
    match (found, denied) {
        (_, true) => Err(AS_ROOT.to_owned()),
        (false, false) if read.gaps.is_empty() => {
            Err("Neither nft nor iptables is installed here, so nobody can tell what the kernel drops.".to_owned())
        }
        (false, false) => Err(read.gaps.join(" ")),
        (true, false) => Ok(read),
    }
}
