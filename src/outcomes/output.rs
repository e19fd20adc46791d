//! What the table of casts or calls has its shell do.

use std::net::IpAddr;
use std::time::Duration;

use crate::diagnosis::report::{Protocol, Route};
use crate::diagnosis::verdict::Side;
use crate::diagnosis::words::VerdictReply;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Cast,
    Call,
}

impl Kind {
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Cast => "cast",
            Self::Call => "call",
        }
    }
}

/// Names a cast or call for as long as the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub(super) u64);

#[derive(Debug)]
pub enum Output<T> {
    /// Answers a report; `verdict`: of an attempt that failed.
    Answer { to: T, verdict: Option<VerdictReply> },
    /// The caster reads the verdict now, and the TV may say so.
    TellTv { record: RecordId, side: Side, code: &'static str },
    /// For the reporter.
    Report(Reported),
    /// The cast is over, and nothing about it is kept.
    Forgotten(RecordId),
}

/// For [`super::reporter::Reporter`].
#[derive(Debug)]
pub enum Reported {
    Began(Began),
    /// An attempt has failed; the code of the verdict.
    Failed(&'static str),
    Ended(Ended),
    Sent(SentReport),
}

/// A cast or call that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Began {
    pub record: RecordId,
    /// The code or room, with its middle hidden.
    pub name: String,
    pub caster: Option<IpAddr>,
    pub tv: Option<IpAddr>,
    /// The caster, if it has signed in.
    pub user: Option<String>,
}

/// A cast or call that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub record: RecordId,
    /// The code or room, with its middle hidden.
    pub name: String,
    pub caster: Option<IpAddr>,
    pub tv: Option<IpAddr>,
    pub duration: Duration,
    pub route: Option<Route>,
    pub protocol: Option<Protocol>,
    pub bytes: Option<u64>,
    pub result: CastResult,
    /// The code of the last verdict, where the cast has never connected.
    pub verdict: Option<&'static str>,
    pub reason: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CastResult {
    Connected,
    Failed,
    /// No page has reported.
    Unknown,
}

impl CastResult {
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// A report that a page has sent to the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentReport {
    pub name: String,
    pub address: IpAddr,
    /// The code of the verdict.
    pub verdict: Option<&'static str>,
    /// Both ends' reports and the verdict, at most [`crate::diagnosis::report::MAX_REPORT_BYTES`].
    pub json: String,
}
