//! Verdicts: what stops a connection, and where.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::Serialize;

use super::observation::Path;
use crate::turn::RefusalReason;

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
    pub side: Side,
    /// The client's UDP packets may come from another address than its HTTP connection, so the server may have missed them.
    pub doubt: bool,
}

/// Whose network or machine has the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
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
    /// Nothing reached the relay's UDP port, TCP did, and nobody else's UDP arrives either.
    UdpClosed { port: u16 },
    /// The same with TCP.
    TcpClosed { port: u16, tls: bool },
    /// The relay answers, and no packet reached its relayed ports from outside.
    RangeClosed { ports: (u16, u16), sent: u32 },
    /// Relayed candidates have an address that does not lead here.
    WrongExternalAddress { reached: Option<IpAddr>, advertised: IpAddr },
    /// Requests arrived, and our answers did not reach the client.
    AnswersLost { from: IpAddr, path: Path },
    /// The name leads to a proxy that carries no UDP.
    ProxyBeforeName { name: String },
    /// TURN over TLS needs a certificate that devices trust.
    UntrustedCertificate,
    /// UDP works for others, and not for this client.
    VisitorBlocksUdp { last_elsewhere: SystemTime },
    /// Nothing of this client reaches the relay by any path.
    VisitorBlocksAll,
    /// The relay refused the credentials.
    CredentialsRefused { reason: RefusalReason },
    /// The relay refused the client for another reason: quotas, capacity.
    RelayRefused { reason: RefusalReason },
    /// Both ends have relayed addresses, and no packet crossed.
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
    pub fn new(fault: Fault, side: Side) -> Self {
        Self { fault, side, doubt: false }
    }
}
