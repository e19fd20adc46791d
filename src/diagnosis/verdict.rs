//! Verdicts: what stops a connection, and where.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::Serialize;
use utoipa::ToSchema;

use super::observation::Path;
use crate::turn::{CredentialRefusal, RefusalReason};

/// What the evidence says.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// All that was tested works.
    Fine,
    /// One cause explains the evidence.
    Fault(Finding),
    /// Two causes explain the evidence, and [`super::words`] says what would tell them apart.
    Either(Finding, Finding),
    /// Policy or the device kept the decisive test from being made.
    NotTested(NotTested),
    /// The evidence names no cause.
    Unknown,
}

/// A cause, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub fault: Fault,
    /// Whose network or machine has the problem.
    pub side: Side,
    /// The end whose connection shows it. A check has one end, the device that makes it, which stands here and in `side` as the caster.
    pub seen_by: Side,
    /// The client's UDP packets may come from another address than its HTTP connection, so the server may have missed them.
    pub doubt: bool,
}

/// Whose network or machine has the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Caster,
    Tv,
    Both,
    Server,
    Unknown,
}

/// The faults that are told apart; one for each row of the table in docs/troubleshooting.md.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Nothing reached the relay's UDP port, and nobody else's UDP arrives either. `tcp`: the port for TCP, if nothing reached that either.
    UdpClosed { port: u16, tcp: Option<u16> },
    /// The same with TCP alone.
    TcpClosed { port: u16, tls: bool },
    /// The relay answers, and no packet reached its relayed ports from outside.
    RangeClosed { ports: (u16, u16), sent: u32 },
    /// Relayed candidates, or the URLs of the relay, have an address that does not lead here. `reached`: where the client found the pages.
    WrongExternalAddress { reached: Option<IpAddr>, advertised: IpAddr },
    /// Requests arrived, and our answers did not reach the client.
    AnswersLost { from: Option<IpAddr>, path: Path },
    /// The name leads to a proxy that carries no UDP.
    ProxyBeforeName { name: String },
    /// TURN over TLS needs a certificate that devices trust. `known`: the server knows that they don't. `others_work`: other paths do.
    UntrustedCertificate { known: bool, others_work: bool },
    /// UDP works for others, and not for this client. `instead`: what works for it.
    VisitorBlocksUdp { port: u16, last_elsewhere: Option<SystemTime>, instead: Option<(Path, u16)> },
    /// Nothing of this client reaches the relay by any of these paths. `tried`: its page said that it tried them.
    VisitorBlocksAll { paths: Vec<(Path, u16)>, last_elsewhere: Option<SystemTime>, tried: bool },
    /// The relay refused the credentials. `reason`: as far as the server has seen it.
    CredentialsRefused { reason: Option<CredentialRefusal>, static_secret: bool },
    /// The relay refused the client for another reason, such as a quota. `code`: of the error response.
    RelayRefused { reason: Option<RefusalReason>, code: u16 },
    /// Both ends have relayed addresses, and no connection came about. `last`: whose packets came last to the relay, and over which path.
    NoPairWorked { last: Option<Side>, path: Option<Path> },
}

/// Why nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotTested {
    /// The relay's policy denies the client's address as a peer, as in every LAN.
    DeniedPeer,
    /// The browser has no WebRTC, or not enough of it.
    Unsupported,
}

impl Finding {
    pub fn new(fault: Fault, side: Side, seen_by: Side) -> Self {
        Self { fault, side, seen_by, doubt: false }
    }

    /// A problem of the server, which the connection of `seen_by` shows.
    pub fn of_server(fault: Fault, seen_by: Side) -> Self {
        Self::new(fault, Side::Server, seen_by)
    }
}

impl Fault {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UdpClosed { .. } => "udp_closed",
            Self::TcpClosed { .. } => "tcp_closed",
            Self::RangeClosed { .. } => "range_closed",
            Self::WrongExternalAddress { .. } => "wrong_external_address",
            Self::AnswersLost { .. } => "answers_lost",
            Self::ProxyBeforeName { .. } => "proxy_before_name",
            Self::UntrustedCertificate { .. } => "untrusted_certificate",
            Self::VisitorBlocksUdp { .. } => "visitor_blocks_udp",
            Self::VisitorBlocksAll { .. } => "visitor_blocks_all",
            Self::CredentialsRefused { .. } => "credentials_refused",
            Self::RelayRefused { .. } => "relay_refused",
            Self::NoPairWorked { .. } => "no_pair_worked",
        }
    }
}

impl Verdict {
    /// In snake_case; the label of `castway_failures_total`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Fault(finding) => finding.fault.code(),
            Self::Either(first, second) => pair_code(&first.fault, &second.fault),
            Self::NotTested(_) => "not_tested",
            Self::Unknown => "unknown",
        }
    }

    /// Whose network or machine has the problem, where all causes agree on it.
    pub fn side(&self) -> Side {
        match self {
            Self::Fault(finding) => finding.side,
            Self::Either(first, second) if first.side == second.side => first.side,
            Self::Fine | Self::Either(..) | Self::NotTested(_) | Self::Unknown => Side::Unknown,
        }
    }

    /// Whether the server may have missed what the client sent.
    pub fn doubt(&self) -> bool {
        match self {
            Self::Fault(finding) => finding.doubt,
            Self::Either(first, second) => first.doubt || second.doubt,
            Self::Fine | Self::NotTested(_) | Self::Unknown => false,
        }
    }

    /// The verdict on one or two causes.
    pub fn of_causes(causes: Vec<Finding>) -> Self {
        let mut causes = causes.into_iter();
        match (causes.next(), causes.next()) {
            (None, _) => Self::Unknown,
            (Some(only), None) => Self::Fault(only),
            (Some(first), Some(second)) => Self::Either(first, second),
        }
    }
}

/// The code of two causes, of which [`super::decide`] makes these pairs only.
fn pair_code(first: &Fault, second: &Fault) -> &'static str {
    let pair = ALL_CODES.iter().find(|code| code.split_once("_or_") == Some((first.code(), second.code())));
    pair.copied().unwrap_or(first.code())
}

/// The codes of all verdicts.
pub const ALL_CODES: [&str; 24] = [
    "fine",
    "udp_closed",
    "tcp_closed",
    "range_closed",
    "wrong_external_address",
    "answers_lost",
    "proxy_before_name",
    "untrusted_certificate",
    "visitor_blocks_udp",
    "visitor_blocks_all",
    "credentials_refused",
    "relay_refused",
    "no_pair_worked",
    "not_tested",
    "unknown",
    "udp_closed_or_visitor_blocks_udp",
    "udp_closed_or_visitor_blocks_all",
    "udp_closed_or_untrusted_certificate",
    "tcp_closed_or_visitor_blocks_all",
    "tcp_closed_or_untrusted_certificate",
    "answers_lost_or_visitor_blocks_udp",
    "proxy_before_name_or_udp_closed",
    "untrusted_certificate_or_tcp_closed",
    "range_closed_or_visitor_blocks_all",
];
