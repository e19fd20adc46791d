//! Why two ends do not connect.

use std::net::IpAddr;

use super::evidence::Evidence;
use super::missing::{self, Elsewhere};
use super::server;
use crate::diagnosis::observation::{End, Facts, Path};
use crate::diagnosis::report::{Outcome, Report};
use crate::diagnosis::verdict::{Fault, Finding, Side, Verdict};
use crate::limits::ip_prefix;

/// Why a cast or a call between two ends does not connect. `tv` is the callee of a call. `facts` are those for one of them.
///
/// Credentials of scope *clients* reach relayed addresses of this server only, so both ends need one where no direct path exists. Packets
/// between two relayed addresses of this server do not leave it; neither the range of ports nor the external address matters to them.
pub fn cast(caster: &End, tv: &End, facts: &Facts) -> Verdict {
    if [caster, tv].iter().all(|end| end.report.as_ref().is_some_and(is_connected)) {
        return Verdict::Fine;
    }
    let caster_seen = Evidence::of_end(caster, Side::Caster, facts);
    let tv_seen = Evidence::of_end(tv, Side::Tv, facts);
    match (has_relay(caster, &caster_seen), has_relay(tv, &tv_seen)) {
        (true, true) => no_pair_worked(caster, tv),
        (false, true) => one_lacks(caster, &caster_seen, tv, &tv_seen, facts),
        (true, false) => one_lacks(tv, &tv_seen, caster, &caster_seen, facts),
        (false, false) => both_lack(&caster_seen, &tv_seen, facts),
    }
}

fn is_connected(report: &Report) -> bool {
    match report.outcome {
        Outcome::Connected => true,
        Outcome::Ended => report.route.is_some(),
        Outcome::Gathered | Outcome::Failed => false,
    }
}

/// Pages know best what they have got; the relay may have seen another client of the same address.
fn has_relay(end: &End, seen: &Evidence<'_>) -> bool {
    if end.report.as_ref().is_some_and(|report| report.local.relay > 0 || is_connected(report)) {
        return true;
    }
    let allocated = Path::ALL.iter().any(|path| seen.seen(*path).allocated > 0);
    let names_servers = end.report.as_ref().is_some_and(|report| !report.servers.is_empty());
    Path::ALL.iter().any(|path| seen.page(*path).worked) || (!names_servers && allocated)
}

fn one_lacks(end: &End, lacking: &Evidence<'_>, other: &End, other_seen: &Evidence<'_>, facts: &Facts) -> Verdict {
    let tried = Path::ALL.iter().any(|path| lacking.page(*path).tried);
    let sent = other.witness.relayed_out;
    // Packets to an end without a relayed address leave this server, and so do the answers reach the range of relayed ports.
    if !tried && !end.witness.has_seen() && facts.range_needed && sent > 0 && other.witness.relayed_in == 0 {
        return range_unreached(lacking, other_seen, sent, facts);
    }
    let elsewhere = elsewhere_of(lacking, other_seen, facts);
    Verdict::of_causes(missing::causes(lacking, facts, elsewhere))
}

fn range_unreached(lacking: &Evidence<'_>, other: &Evidence<'_>, sent: u64, facts: &Facts) -> Verdict {
    if let Some(wrong) = server::wrong_advertised(facts) {
        return Verdict::Fault(Finding::of_server(wrong, other.end));
    }
    let Some(ports) = facts.relayed_ports else { return Verdict::Unknown };
    let sent = u32::try_from(sent).unwrap_or(u32::MAX);
    let closed = Finding::of_server(Fault::RangeClosed { ports, sent }, lacking.end);
    let blocks = Fault::VisitorBlocksAll { paths: Vec::new(), last_elsewhere: None, tried: false };
    Verdict::Either(closed, Finding::new(blocks, lacking.end, lacking.end))
}

fn are_addresses_apart(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    one.map(ip_prefix::of_site) != other.map(ip_prefix::of_site)
}

/// What clients of other networks than this end's have used.
fn elsewhere_of(end: &Evidence<'_>, other: &Evidence<'_>, facts: &Facts) -> Elsewhere {
    // The facts speak of other networks than that of the client which they were collected for.
    let known = if are_addresses_apart(end.address, facts.client) { Elsewhere::default() } else { Elsewhere::of(facts) };
    let now = |path| facts.now.filter(|_| are_apart(end, other) && other.seen(path).authenticated > 0);
    Elsewhere { udp: now(Path::Udp).or(known.udp), tcp: now(Path::Tcp).or(known.tcp) }
}

fn are_apart(one: &Evidence<'_>, other: &Evidence<'_>) -> bool {
    are_addresses_apart(one.address, other.address)
}

fn both_lack(caster: &Evidence<'_>, tv: &Evidence<'_>, facts: &Facts) -> Verdict {
    let of_caster = missing::causes(caster, facts, elsewhere_of(caster, tv, facts));
    let of_tv = missing::causes(tv, facts, elsewhere_of(tv, caster, facts));
    // Without a report, nothing says that the TV has tried.
    let of_tv = if tv.reported || of_caster.is_empty() { of_tv } else { Vec::new() };
    if let (Some(first), Some(second)) = (of_caster.first(), of_tv.first()) {
        let explains_both = are_apart(caster, tv) || of_caster.len() == 1;
        if let Some(shared) = missing::of_both(first, second).filter(|_| explains_both) {
            return Verdict::Fault(shared);
        }
    }
    let is_certain = |causes: &Vec<Finding>| causes.len() == 1;
    let is_servers = |causes: &Vec<Finding>| is_certain(causes) && causes.iter().all(|cause| cause.side == Side::Server);
    let chosen = if is_servers(&of_tv) && !is_servers(&of_caster)
        || of_caster.is_empty()
        || (is_certain(&of_tv) && !is_certain(&of_caster))
    {
        of_tv
    } else {
        of_caster
    };
    Verdict::of_causes(chosen)
}

/// Both have relayed addresses, and packets between them stay within this server.
fn no_pair_worked(caster: &End, tv: &End) -> Verdict {
    let (from_caster, from_tv) = (caster.witness.last_relayed_out, tv.witness.last_relayed_out);
    let (last, end) = match (from_caster, from_tv) {
        (None, None) => (None, None),
        (from_caster, from_tv) if from_caster >= from_tv => (Some(Side::Caster), Some(caster)),
        _ => (Some(Side::Tv), Some(tv)),
    };
    let path = end.and_then(|end| {
        let allocated = Path::ALL.into_iter().filter(|path| end.witness.path(*path).allocated > 0);
        allocated.max_by_key(|path| end.witness.path(*path).last)
    });
    let side = silent_side(caster, tv);
    Verdict::Fault(Finding::new(Fault::NoPairWorked { last, path }, side, Side::Both))
}

/// The end whose packets do not arrive, or that receives none.
fn silent_side(caster: &End, tv: &End) -> Side {
    if caster.witness.unwatched || tv.witness.unwatched {
        return Side::Unknown;
    }
    let sends = |end: &End| end.witness.relayed_out > 0;
    let hears = |end: &End| {
        let received = end.report.as_ref().and_then(|report| report.checks).map(|checks| checks.received + checks.answered);
        received.is_none_or(|received| received > 0) || end.witness.relayed_in == 0
    };
    match ((sends(caster), sends(tv)), (hears(caster), hears(tv))) {
        ((false, true), _) | ((true, true), (false, true)) => Side::Caster,
        ((true, false), _) | ((true, true), (true, false)) => Side::Tv,
        ((false, false), _) | ((true, true), (false, false)) => Side::Both,
        ((true, true), (true, true)) => Side::Unknown,
    }
}
