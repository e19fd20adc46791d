//! Tables of evidence and verdicts.

mod cast;
mod check;
mod every_input;

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::diagnosis::observation::{End, Facts, PathWitness, Witness};
use crate::diagnosis::report::{CandidateCounts, Outcome, Report, ServerReport};
use crate::diagnosis::words::VerdictReply;
use crate::turn::{CredentialRefusal, RefusalReason};

pub(super) const SERVER: &str = "203.0.113.7";
pub(super) const CASTER: &str = "198.51.100.9";
pub(super) const TV: &str = "192.0.2.20";

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// 14:02 UTC.
pub(super) fn at_two() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_021_720 / 86_400 * 86_400 + 14 * 3600 + 2 * 60)
}

/// A server with a name, all paths and a certificate, asked for the caster 10 minutes after [`at_two`].
pub(super) fn facts() -> Facts {
    Facts {
        client: Some(ip(CASTER)),
        udp_port: Some(3478),
        tcp_port: Some(3478),
        tls_port: Some(443),
        relayed_ports: Some((49_152, 65_535)),
        advertised: vec![ip(SERVER)],
        bound: vec![ip(SERVER)],
        host: Some("cast.example.org".to_owned()),
        host_addresses: vec![ip(SERVER)],
        asked_addresses: vec![ip(SERVER)],
        reached: Some(ip(SERVER)),
        certificate_trusted: Some(true),
        now: Some(at_two() + Duration::from_secs(600)),
        ..Facts::default()
    }
}

/// What the relay has seen of one path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen {
    Nothing,
    /// STUN requests without a TURN request.
    Stun,
    /// The first request came again and again.
    Unanswered,
    Refused(RefusalReason),
    /// Nobody has answered, as where the relay drops what it throttles.
    Dropped,
    Allocated,
}

pub(super) fn path_witness(seen: Seen) -> PathWitness {
    let none = PathWitness::default();
    match seen {
        Seen::Nothing => none,
        Seen::Stun => PathWitness { requests: 2, answered: 2, ..none },
        Seen::Unanswered => PathWitness { requests: 7, challenged: 7, ..none },
        Seen::Dropped => PathWitness { requests: 7, ..none },
        Seen::Refused(reason) => {
            let authenticated = u32::from(!matches!(reason, RefusalReason::Credentials(_)));
            PathWitness { requests: 2, challenged: 1, authenticated, refused: Some(reason), ..none }
        }
        Seen::Allocated => PathWitness { requests: 3, answered: 2, challenged: 1, authenticated: 2, allocated: 1, ..none },
    }
}

/// What a page and the relay have seen of UDP, TCP and TLS. Code 0: the page got a candidate; 1: it got neither candidate nor code.
pub(super) fn end(address: &str, pages: [Option<u16>; 3], seen: [Seen; 3]) -> End {
    let urls =
        ["turn:cast.example.org:3478?transport=udp", "turn:cast.example.org:3478?transport=tcp", "turns:cast.example.org:443"];
    let server = |(url, code): (&str, Option<u16>)| {
        let code = code?;
        let candidates = u32::from(code == 0);
        Some(ServerReport { url: url.to_owned(), candidates, code: (code > 1).then_some(code), text: None, ms: None })
    };
    let servers: Vec<ServerReport> = urls.into_iter().zip(pages).filter_map(server).collect();
    let relay = servers.iter().map(|server| server.candidates).sum();
    let report = Report { servers, local: CandidateCounts { host: 1, relay, ..CandidateCounts::default() }, ..failed() };
    End { report: Some(report), witness: witness(seen), address: ip(address) }
}

pub(super) fn failed() -> Report {
    Report::read(r#"{"outcome":"failed","ice":"failed","seconds":12}"#).unwrap()
}

pub(super) fn witness(seen: [Seen; 3]) -> Witness {
    Witness { paths: seen.map(path_witness), ..Witness::default() }
}

pub(super) fn without_report(end: End) -> End {
    End { report: None, ..end }
}

pub(super) fn connected(mut end: End) -> End {
    end.report.as_mut().unwrap().outcome = Outcome::Connected;
    end
}

pub(super) fn has_texts(reply: &VerdictReply) {
    for text in [&reply.en, &reply.zh] {
        assert!(!text.title.trim().is_empty() && !text.text.trim().is_empty(), "{reply:?}");
        let ends = |sentence: &str| sentence.ends_with(['.', '。']);
        assert!(ends(&text.text) && text.fix.as_deref().is_none_or(ends), "{text:?}");
        assert!(!text.text.contains("  ") && !text.text.contains(".."), "{text:?}");
    }
}

pub(super) const NO: Option<u16> = Some(701);
pub(super) const OK: Option<u16> = Some(0);
pub(super) const PENDING: Option<u16> = Some(1);
pub(super) const WRONG: RefusalReason = RefusalReason::Credentials(CredentialRefusal::WrongSignature);
