//! Whether this machine's packet filters let clients in, and the command that opens what is closed.
//!
//! - Inputs: the needed ports; the rules of nftables and iptables, however they were made (ufw and firewalld make those too); the
//!   interfaces and routes of this machine.
//! - Output: a [`Report`]. Nothing is changed.
//! - Invariant: ports are reported as closed only where every rule on the way is understood; otherwise nobody can tell, and it says why.
//!
//! `programs` runs what lists the rules; `nft` and `iptables` read the lists into a `ruleset`; `evaluate` follows a `packet` through it;
//! `check` asks for each needed port, and `advice` writes the command. Firewalls before this machine, as the security groups of a cloud,
//! can't be seen from here.

mod advice;
mod check;
mod evaluate;
mod iptables;
mod needed;
mod nft;
mod nft_match;
mod nft_words;
mod outside;
mod packet;
mod programs;
mod read;
mod ruleset;

use std::net::IpAddr;

pub(in crate::cli) use needed::{Closed, Needed, Report, Transport, in_words};

/// Looks at the rules for the needed ports. `addresses`: those of this machine that clients reach, as far as they are known.
///
/// # Errors
/// A sentence that says why the rules can't be read.
pub(in crate::cli) fn look(needed: &[Needed], addresses: &[IpAddr]) -> Result<Report, String> {
    let read = read::ruleset()?;
    let mut report = check::check(&read.ruleset, needed, &outside::outside(addresses));
    report.unknown.extend(read.gaps);
    Ok(report)
}
