//! One end of a cast or call, and how often its page may report. The time is an argument.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::diagnosis::observation::{End, Witness};
use crate::diagnosis::report::{Outcome, Protocol, Report, Route};
use crate::diagnosis::watch::{Watch, WatchHandle};
use crate::limits::token_bucket::TokenBucket;

/// Between two reports of one client with the same outcome.
const MIN_REPORT_INTERVAL: Duration = Duration::from_secs(2);
/// Reports of one client in a row, and the interval at which one more is taken: twenty a minute.
const MAX_REPORTS_IN_A_ROW: u32 = 20;
const REPORT_INTERVAL: Duration = Duration::from_secs(3);
/// What a report takes in memory besides its texts.
const REPORT_OVERHEAD_BYTES: usize = 512;

/// The two ends of a cast. In a call the caller is the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Caster,
    Tv,
}

impl Role {
    pub const ALL: [Self; 2] = [Self::Caster, Self::Tv];

    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Caster => Self::Tv,
            Self::Tv => Self::Caster,
        }
    }
}

/// A client that takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub address: IpAddr,
    /// The user of its TURN credentials, without the expiry; `None`: not known.
    pub user: Option<String>,
    /// The user who signed in.
    pub signed_in: Option<String>,
    /// The name by which it reached this server.
    pub host: Option<String>,
    /// The address of this machine that its connection came to; `None` behind a proxy.
    pub reached: Option<IpAddr>,
}

/// A page sends this; `send` asks to show it to the operator.
#[derive(Debug, Clone, PartialEq)]
pub struct PageReport {
    /// `None`: the last one is to be sent.
    pub report: Option<Report>,
    pub send: bool,
}

/// Why a report is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportRefusal {
    #[error("a report like this came less than two seconds ago; wait before you send the next one")]
    TooSoon { wait: Duration },
    #[error("a client may send twenty reports a minute; wait before you send the next one")]
    TooMany { wait: Duration },
    #[error("there is no report to send to the operator yet")]
    NothingToSend,
}

/// What is known of the media at the end of a cast, from the reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) route: Option<Route>,
    pub(super) protocol: Option<Protocol>,
    pub(super) bytes: Option<u64>,
}

/// A report that waits for its answer. `T` names who gets the answer.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) to: T,
    pub(super) due: Instant,
    pub(super) send: bool,
}

/// One end of a cast.
#[derive(Debug)]
pub(super) struct Party<T> {
    /// `None`: it has been away since before the cast began.
    pub(super) member: Option<Member>,
    watch: Option<WatchHandle>,
    /// What the relay had seen when the verdict of this attempt was made.
    seen: Option<Witness>,
    /// The last report of this attempt.
    pub(super) report: Option<Report>,
    /// Its page has sent a report in this cast.
    pub(super) reports: bool,
    pub(super) is_connected: bool,
    pub(super) has_failed: bool,
    /// Its page has sent its last report.
    pub(super) is_over: bool,
    pub(super) totals: Totals,
    pub(super) waiting: Option<Waiting<T>>,
    limit: ReportLimit,
}

#[derive(Debug)]
struct ReportLimit {
    /// When the last report of each kind came.
    last: [Option<Instant>; 5],
    bucket: TokenBucket,
}

impl<T> Party<T> {
    pub(super) fn new(member: Option<Member>) -> Self {
        Self {
            member,
            watch: None,
            seen: None,
            report: None,
            reports: false,
            is_connected: false,
            has_failed: false,
            is_over: false,
            totals: Totals::default(),
            waiting: None,
            limit: ReportLimit { last: [None; 5], bucket: TokenBucket::new(MAX_REPORTS_IN_A_ROW, REPORT_INTERVAL) },
        }
    }

    /// Counts a report against the limits of its client.
    pub(super) fn check(&mut self, sent: &PageReport, now: Instant) -> Result<(), ReportRefusal> {
        self.limit.check(sent, now)
    }

    /// Takes a report into the totals, and keeps it for the verdict.
    pub(super) fn take(&mut self, report: Report) {
        self.reports = true;
        let totals = &mut self.totals;
        totals.route = report.route.or(totals.route);
        totals.protocol = report.protocol.or(totals.protocol);
        totals.bytes = report.bytes.or(totals.bytes);
        match report.outcome {
            Outcome::Gathered => {}
            Outcome::Connected => self.is_connected = true,
            Outcome::Failed => self.has_failed = true,
            Outcome::Ended => self.is_over = true,
        }
        // The last report of a cast has the totals, and says nothing new about how it connects.
        if report.outcome == Outcome::Ended && self.report.is_some() {
            return;
        }
        let before = self.report.take();
        self.report = Some(match before.filter(|before| is_update(before, &report)) {
            Some(Report { servers, local, remote, checks, .. }) => Report { servers, local, remote, checks, ..report },
            None => report,
        });
    }

    /// A new attempt begins.
    pub(super) fn begin_attempt(&mut self) {
        self.report = None;
        self.seen = None;
        self.is_connected = false;
        self.has_failed = false;
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    pub(super) fn open_watch(&mut self, watch: &Watch) {
        self.watch = self.member.as_ref().map(|member| watch.open(member.address, member.user.clone()));
    }

    pub(super) fn close_watch(&mut self) {
        self.watch = None;
    }

    /// Keeps what was seen in this attempt, and watches anew.
    pub(super) fn keep_witness(&mut self, watch: &Watch) {
        self.seen = Some(self.witness());
        self.open_watch(watch);
    }

    pub(super) fn end(&self) -> End {
        let address = self.member.as_ref().map_or(Ipv4Addr::UNSPECIFIED.into(), |member| member.address);
        End { report: self.report.clone(), witness: self.witness(), address }
    }

    fn witness(&self) -> Witness {
        let unwatched = || Witness { unwatched: true, ..Witness::default() };
        self.seen.clone().or_else(|| self.watch.as_ref().map(WatchHandle::witness)).unwrap_or_else(unwatched)
    }

    /// The bytes that its report takes.
    pub(super) fn report_bytes(&self) -> usize {
        self.report.as_ref().map_or(0, report_bytes)
    }

    /// Forgets what the page said of each server, which is most of a report.
    pub(super) fn forget_servers(&mut self) {
        if let Some(report) = &mut self.report {
            report.servers = Vec::new();
        }
    }
}

/// While it is connected, a page reports how the media go, and leaves out how it has connected.
fn is_update(before: &Report, report: &Report) -> bool {
    before.outcome == Outcome::Connected && report.outcome == Outcome::Connected && report.servers.is_empty()
}

pub(super) fn report_bytes(report: &Report) -> usize {
    let servers = report
        .servers
        .iter()
        .map(|server| size_of_val(server) + server.url.capacity() + server.text.as_ref().map_or(0, String::capacity));
    REPORT_OVERHEAD_BYTES + report.ice.capacity() + servers.sum::<usize>()
}

impl ReportLimit {
    fn check(&mut self, sent: &PageReport, now: Instant) -> Result<(), ReportRefusal> {
        let kind = match (sent.send, sent.report.as_ref().map(|report| report.outcome)) {
            (true, _) | (false, None) => 4,
            (false, Some(outcome)) => outcome as usize,
        };
        let since = self.last[kind].map(|last| now.saturating_duration_since(last));
        if let Some(since) = since.filter(|since| *since < MIN_REPORT_INTERVAL) {
            return Err(ReportRefusal::TooSoon { wait: MIN_REPORT_INTERVAL - since });
        }
        self.bucket.take(now).map_err(|wait| ReportRefusal::TooMany { wait })?;
        self.last[kind] = Some(now);
        Ok(())
    }
}
