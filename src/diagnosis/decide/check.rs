//! What the check of one device shows.

use super::evidence::{Evidence, offered};
use super::missing::{self, Elsewhere};
use super::server;
use crate::diagnosis::observation::{Facts, Path, Witness};
use crate::diagnosis::report::{CheckReport, LinkResult, PathKind, PathResult, Protocol, RangeResult, Route};
use crate::diagnosis::verdict::{Fault, Finding, NotTested, Side, Verdict};
use crate::limits::ip_prefix;

/// What the check of one device shows. `witness`: what the relay has seen of it meanwhile. `facts` are those for the device.
///
/// The fault that stops the most comes first. A path that does not work is a fault even where another one does, since other devices may
/// have that path only.
pub fn check(report: &CheckReport, witness: &Witness, facts: &Facts) -> Verdict {
    settled(of_device(report, witness, facts), report, facts)
}

fn of_device(report: &CheckReport, witness: &Witness, facts: &Facts) -> Verdict {
    let device = Evidence::of_check(report, witness, facts);
    let tested: Vec<&PathResult> = report.paths.iter().filter(|result| !result.unsupported).collect();
    let of_turn = |result: &&&PathResult| result.kind != PathKind::Stun;
    if tested.iter().filter(of_turn).count() == 0 {
        return Verdict::NotTested(NotTested::Unsupported);
    }
    let elsewhere = Elsewhere::of(facts);
    if !tested.iter().filter(of_turn).any(|result| result.ms.is_some()) {
        return Verdict::of_causes(missing::causes(&device, facts, elsewhere));
    }
    if let Some(refused) = missing::refusal(&device, facts).filter(|_| has_failed(&tested)) {
        return Verdict::Fault(refused);
    }
    let udp = path_fails(&tested, PathKind::Udp).then(|| udp_fails(&device, &tested, facts, elsewhere));
    if let Some(verdict) = udp {
        return verdict;
    }
    let streams =
        [PathKind::Tcp, PathKind::Tls].into_iter().find_map(|kind| stream_fails(&tested, kind, &device, facts, elsewhere));
    let range = || report.range.and_then(|range| range_fails(range, witness, facts));
    let links = || links_fail(report);
    if let Some(verdict) = streams.or_else(range).or_else(links) {
        return verdict;
    }
    match report.range {
        Some(range) if range.denied && facts.range_needed => Verdict::NotTested(NotTested::DeniedPeer),
        Some(_) | None => Verdict::Fine,
    }
}

/// Where the server or the device's network may be the cause over UDP, a second device in another network tells them apart: one that has the
/// same trouble rules out the network.
fn settled(verdict: Verdict, report: &CheckReport, facts: &Facts) -> Verdict {
    let (Verdict::Either(of_server, of_network), Some((second, witness))) = (&verdict, &facts.second_device) else {
        return verdict;
    };
    let is_apart = facts.client.is_some_and(|first| ip_prefix::of_site(first) != ip_prefix::of_site(*second));
    let over_udp = |link: &LinkResult| link.route == Route::Relay && link.protocol == Some(Protocol::Udp);
    let has_tried = report.links.iter().any(|link| over_udp(link) && !link.connected);
    let udp = witness.path(Path::Udp);
    let shows_the_same = if let Fault::UdpClosed { .. } = of_server.fault {
        // Another path shows that the device has asked the relay at all.
        udp.requests == 0 && witness.has_seen()
    } else {
        matches!(of_server.fault, Fault::AnswersLost { .. })
            && udp.challenged >= 2
            && udp.authenticated == 0
            && udp.refused.is_none()
    };
    let is_certain = is_apart && has_tried && shows_the_same && !witness.unwatched && of_network.side != Side::Server;
    if is_certain { Verdict::Fault(of_server.clone()) } else { verdict }
}

fn has_failed(tested: &[&PathResult]) -> bool {
    tested.iter().any(|result| result.ms.is_none())
}

/// A path fails where none of its URLs works: a name may lead to addresses of both families, of which the device has one.
fn path_fails(tested: &[&PathResult], kind: PathKind) -> bool {
    let mut results = tested.iter().filter(|result| result.kind == kind).peekable();
    results.peek().is_some() && results.all(|result| result.ms.is_none())
}

/// Another path works.
fn udp_fails(device: &Evidence<'_>, tested: &[&PathResult], facts: &Facts, elsewhere: Elsewhere) -> Verdict {
    let stun_works = tested.iter().any(|result| result.kind == PathKind::Stun && result.ms.is_some());
    if device.witness.unwatched || stun_works {
        return Verdict::Unknown;
    }
    let lost = missing::answers_lost(device, facts, elsewhere);
    Verdict::of_causes(if lost.is_empty() { missing::udp_missing(device, facts, elsewhere) } else { lost })
}

/// TCP or TLS fails, and UDP works or was not tested.
fn stream_fails(
    tested: &[&PathResult],
    kind: PathKind,
    device: &Evidence<'_>,
    facts: &Facts,
    elsewhere: Elsewhere,
) -> Option<Verdict> {
    if !path_fails(tested, kind) {
        return None;
    }
    let (path, tls) = if kind == PathKind::Tls { (Path::Tls, true) } else { (Path::Tcp, false) };
    if !device.is_missing(path) {
        return Some(Verdict::Unknown);
    }
    let untrusted = |known| Finding::of_server(Fault::UntrustedCertificate { known, others_work: true }, device.end);
    if tls && (facts.certificate_trusted == Some(false) || device.rejects_certificate()) {
        return Some(Verdict::Fault(untrusted(true)));
    }
    let (_, port) = offered(facts).into_iter().find(|(each, _)| *each == path)?;
    let works_elsewhere = !tls && elsewhere.tcp.is_some();
    let side = if works_elsewhere { device.end } else { Side::Server };
    let closed = Finding { doubt: device.doubt, ..Finding::new(Fault::TcpClosed { port, tls }, side, device.end) };
    Some(if tls { Verdict::Either(untrusted(false), closed) } else { Verdict::Fault(closed) })
}

/// None of the packets from outside arrived at the relayed ports.
fn range_fails(range: RangeResult, witness: &Witness, facts: &Facts) -> Option<Verdict> {
    if range.denied || range.sent == 0 || range.arrived > 0 || !facts.range_needed {
        return None;
    }
    // They came to the relayed port, so neither it nor the address is the cause.
    if witness.relayed_in > 0 {
        return Some(Verdict::Unknown);
    }
    let closed = || Some(Fault::RangeClosed { ports: facts.relayed_ports?, sent: range.sent });
    let fault = server::wrong_advertised(facts).or_else(closed);
    Some(fault.map_or(Verdict::Unknown, |fault| Verdict::Fault(Finding::of_server(fault, Side::Caster))))
}

/// The second step: not one relayed link of two devices works. What the relay has seen of the other one is not known here.
fn links_fail(report: &CheckReport) -> Option<Verdict> {
    let mut relayed = report.links.iter().filter(|link| link.route == Route::Relay).peekable();
    relayed.peek()?;
    if relayed.any(|link| link.connected) {
        return None;
    }
    Some(Verdict::Fault(Finding::new(Fault::NoPairWorked { last: None, path: None }, Side::Unknown, Side::Unknown)))
}
