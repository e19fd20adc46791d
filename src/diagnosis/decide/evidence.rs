//! What is known about one client, by path.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use crate::diagnosis::observation::{End, Facts, Path, PathWitness, Witness};
use crate::diagnosis::report::{CheckReport, PathKind, Report};
use crate::diagnosis::verdict::Side;
use crate::turn::{CredentialRefusal, RefusalReason};

/// Whoever used a path this long ago shows that the path works.
const RECENT: Duration = Duration::from_secs(3600);
/// The code of `icecandidateerror` where no answer came.
const NO_ANSWER: u16 = 701;

/// One client, as its page and the relay see it.
pub(super) struct Evidence<'a> {
    /// Which end it is.
    pub(super) end: Side,
    pub(super) address: Option<IpAddr>,
    pub(super) witness: &'a Witness,
    pages: [Page; 3],
    /// The page has said which paths it tries.
    pub(super) reported: bool,
    /// By UDP, the client may have another address than by HTTP.
    pub(super) doubt: bool,
}

/// What a page saw of a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) tried: bool,
    pub(super) worked: bool,
    pub(super) no_answer: bool,
    /// The code of an error response.
    pub(super) refused: Option<u16>,
}

impl Page {
    fn note(&mut self, worked: bool, code: Option<u16>) {
        self.tried = true;
        self.worked |= worked;
        match code {
            Some(NO_ANSWER) => self.no_answer = true,
            Some(code @ 300..=699) => self.refused = Some(code),
            Some(_) | None => {}
        }
    }
}

impl<'a> Evidence<'a> {
    pub(super) fn of_end(end: &'a End, side: Side, facts: &Facts) -> Self {
        let pages = end.report.as_ref().map(pages_of_report).unwrap_or_default();
        Self {
            end: side,
            address: Some(end.address.to_canonical()),
            witness: &end.witness,
            pages,
            reported: end.report.is_some(),
            doubt: may_differ(&end.witness, facts),
        }
    }

    /// The device that makes a check is its only end.
    pub(super) fn of_check(report: &CheckReport, witness: &'a Witness, facts: &Facts) -> Self {
        let mut pages = [Page::default(); 3];
        for result in report.paths.iter().filter(|result| !result.unsupported) {
            if let Some(path) = path_of_kind(result.kind) {
                pages[path as usize].note(result.ms.is_some(), result.code);
            }
        }
        Self { end: Side::Caster, address: facts.client, witness, pages, reported: true, doubt: may_differ(witness, facts) }
    }

    pub(super) fn page(&self, path: Path) -> Page {
        self.pages[path as usize]
    }

    pub(super) fn seen(&self, path: Path) -> &PathWitness {
        self.witness.path(path)
    }

    /// The paths that the server offers and that the client, as far as is known, has tried.
    pub(super) fn tried(&self, facts: &Facts) -> Vec<(Path, u16)> {
        let tries = |path: Path| !self.reported || self.page(path).tried;
        offered(facts).into_iter().filter(|(path, _)| tries(*path)).collect()
    }

    /// Whether the client has tried this path, and nothing of it arrived.
    pub(super) fn is_missing(&self, path: Path) -> bool {
        let page = self.page(path);
        !self.witness.unwatched && (!self.reported || page.tried) && !page.worked && self.seen(path).requests == 0
    }

    /// Whether the client has shown that this path works in both directions.
    pub(super) fn works(&self, path: Path) -> bool {
        self.page(path).worked || self.seen(path).authenticated > 0
    }

    /// Whether TLS fails for the client since it does not trust the certificate.
    pub(super) fn rejects_certificate(&self) -> bool {
        let page = self.page(Path::Tls);
        self.seen(Path::Tls).rejected > 0 && !self.works(Path::Tls) && (page.tried || !self.reported)
    }

    /// Why its credentials were refused, where none were ever accepted.
    pub(super) fn refused_credentials(&self) -> Option<Option<CredentialRefusal>> {
        if Path::ALL.iter().any(|path| self.works(*path)) {
            return None;
        }
        let witnessed = self.witnessed(|reason| {
            let RefusalReason::Credentials(why) = reason else { return None };
            Some(why)
        });
        let reported = Path::ALL.iter().any(|path| self.page(*path).refused == Some(401));
        (witnessed.is_some() || reported).then_some(witnessed)
    }

    /// What the relay refused over a path that gave no allocation. Where the page got no answer over that path, the relay refused another
    /// program of the same address.
    fn witnessed<T>(&self, wanted: impl Fn(RefusalReason) -> Option<T>) -> Option<T> {
        let is_own = |path: &&Path| {
            let page = self.page(**path);
            self.seen(**path).allocated == 0 && !page.worked && (page.refused.is_some() || !page.no_answer)
        };
        Path::ALL.iter().filter(is_own).find_map(|path| wanted(self.seen(*path).refused?))
    }

    /// Why the relay made no allocation though the credentials may have been right, and the code of its error response.
    pub(super) fn refused_allocation(&self) -> Option<(Option<RefusalReason>, u16)> {
        let witnessed = self
            .witnessed(|reason| keeps_from_allocating(reason).then_some(reason))
            .map(|reason| (Some(reason), reason.code().number()));
        witnessed.or_else(|| Path::ALL.iter().find_map(|path| self.page(*path).refused).map(|code| (None, code)))
    }
}

/// The paths that the server offers, with their ports.
pub(super) fn offered(facts: &Facts) -> Vec<(Path, u16)> {
    let ports = [facts.udp_port, facts.tcp_port, facts.tls_port];
    Path::ALL.into_iter().zip(ports).filter_map(|(path, port)| Some((path, port?))).collect()
}

/// When another network last used a path, if that is recent.
pub(super) fn recent(last: Option<SystemTime>, facts: &Facts) -> Option<SystemTime> {
    let is_recent = |last: &SystemTime| facts.now.is_none_or(|now| now.duration_since(*last).is_ok_and(|ago| ago <= RECENT));
    last.filter(is_recent)
}

fn pages_of_report(report: &Report) -> [Page; 3] {
    let mut pages = [Page::default(); 3];
    for server in &report.servers {
        if let Some(path) = path_of_url(&server.url) {
            pages[path as usize].note(server.candidates > 0, server.code);
        }
    }
    pages
}

/// The path of a TURN URL (RFC 7065). A `stun:` URL tells nothing about the relay.
fn path_of_url(url: &str) -> Option<Path> {
    let (scheme, rest) = url.split_once(':')?;
    let transport = rest.split_once("?transport=").map(|(_, transport)| transport);
    if scheme.eq_ignore_ascii_case("turns") {
        return Some(Path::Tls);
    }
    let is_turn = scheme.eq_ignore_ascii_case("turn");
    is_turn.then(|| if transport.is_some_and(|name| name.eq_ignore_ascii_case("tcp")) { Path::Tcp } else { Path::Udp })
}

fn path_of_kind(kind: PathKind) -> Option<Path> {
    match kind {
        PathKind::Stun => None,
        PathKind::Udp => Some(Path::Udp),
        PathKind::Tcp => Some(Path::Tcp),
        PathKind::Tls => Some(Path::Tls),
    }
}

/// A client has several addresses where it was seen with another one, and may have where this server has both families.
fn may_differ(witness: &Witness, facts: &Facts) -> bool {
    let known = if facts.host_addresses.is_empty() { &facts.bound } else { &facts.host_addresses };
    let both = known.iter().any(IpAddr::is_ipv4) && known.iter().any(IpAddr::is_ipv6);
    both || !witness.other_addresses.is_empty()
}

/// Reasons that concern the Allocate itself, and that a new attempt does not get over.
fn keeps_from_allocating(reason: RefusalReason) -> bool {
    match reason {
        RefusalReason::PasswordAlgorithm
        | RefusalReason::NoAddressOfFamily(_)
        | RefusalReason::UserQuota
        | RefusalReason::TrafficQuota
        | RefusalReason::AddressQuota
        | RefusalReason::TotalQuota
        | RefusalReason::ShuttingDown
        | RefusalReason::NoPort
        | RefusalReason::NoReservation
        | RefusalReason::StrangersCapacity
        | RefusalReason::Socket(_)
        | RefusalReason::UnsupportedTransport(_) => true,
        RefusalReason::BadRequest
        | RefusalReason::NoCredentials
        | RefusalReason::Credentials(_)
        | RefusalReason::DeniedPeer(_)
        | RefusalReason::Scope
        | RefusalReason::MobilityOff
        | RefusalReason::NoAllocation
        | RefusalReason::NothingToEnd
        | RefusalReason::AllocationExists
        | RefusalReason::Opening
        | RefusalReason::StaleNonce
        | RefusalReason::UnknownFamily
        | RefusalReason::OtherUser
        | RefusalReason::PeerFamily
        | RefusalReason::Connected(_)
        | RefusalReason::TooManyPermissions
        | RefusalReason::TooManyChannels
        | RefusalReason::TooManyPeerConnections
        | RefusalReason::TooManyNewPeers => false,
    }
}
