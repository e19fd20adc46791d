//! Whether this machine's packet filters let clients in, and the command that opens what is closed.
//!
//! - Inputs: the needed ports; the rules of nftables and iptables, however they were made (ufw and firewalld make those too); the
//!   interfaces and routes of this machine.
//! - Output: lines. Nothing is changed.
//! - Invariant: ports are reported as closed only where every rule on the way is understood; otherwise nobody can tell, and it says why.
//!
//! `programs` runs what lists the rules; `nft` and `iptables` read the lists into a `ruleset`; `evaluate` follows a `packet` through it;
//! `check` asks for each needed port, `advice` writes the command, and `lines` knows what is needed and how to say it. Firewalls in front of this machine, such as a cloud's security group,
//! can't be seen from here.

mod advice;
mod check;
mod evaluate;
mod iptables;
mod lines;
mod needed;
mod nft;
mod nft_match;
mod nft_words;
mod outside;
mod packet;
mod programs;
mod read;
mod ruleset;
#[cfg(test)]
mod tests;

use super::inputs::Inputs;
use super::line::{Line, Topic};

/// Looks at the rules for the ports that clients need.
pub(super) async fn look(inputs: &Inputs) -> Vec<Line> {
    let (needed, addresses) = (lines::needed(inputs), lines::addresses(inputs));
    let looked = tokio::task::spawn_blocking(move || {
        let read = read::ruleset()?;
        let mut report = check::check(&read.ruleset, &needed, &outside::outside(&addresses));
        report.unknown.extend(read.gaps);
        Ok::<_, String>(report)
    });
    match looked.await {
        Ok(Ok(report)) => lines::lines(&report, &lines::addresses(inputs)),
        Ok(Err(reason)) => vec![Line::unknown(Topic::Firewall, reason)],
        Err(error) => vec![Line::unknown(Topic::Firewall, format!("the firewall could not be looked at: {error}"))],
    }
}
