//! The shell of the outcomes: writes lines, counts results, and keeps what pages send to the operator.
//!
//! Lines are written by whoever calls [`Reporter::log`] every second, so that no gateway waits for the log under its lock.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;

use super::counts::ResultCounts;
use super::line::{Line, spoken_route};
use super::output::{Began, Ended, Kind, RecordId, Reported, SentReport};
use crate::hooks::event::{Event, Events};
use crate::limits::ip_prefix;
use crate::limits::line_limit::LineLimit;

/// Lines about casts and calls in a minute.
const MAX_LINES_PER_MINUTE: usize = 100;
/// Reports for the operator that are kept in a minute, one of each client.
const MAX_SENT_PER_MINUTE: usize = 20;
/// Lines that wait. A process that does not write them keeps no more.
const MAX_WAITING_LINES: usize = 4 * MAX_LINES_PER_MINUTE;

/// The codes of verdicts that are shown from the start. The code of a verdict that names two causes is shown once there was one.
const VERDICTS: [&str; 14] = [
    "answers_lost",
    "credentials_refused",
    "fine",
    "no_pair_worked",
    "proxy_before_name",
    "range_closed",
    "relay_refused",
    "tcp_closed",
    "udp_closed",
    "unknown",
    "untrusted_certificate",
    "visitor_blocks_all",
    "visitor_blocks_udp",
    "wrong_external_address",
];

/// Keeps the reports that pages send to the operator. It must not block.
pub trait ReportSink: Send + Sync + 'static {
    /// `json` has at most [`crate::diagnosis::report::MAX_REPORT_BYTES`].
    fn keep(&self, kind: Kind, address: IpAddr, json: String);
}

/// Clones share it.
#[derive(Clone)]
pub struct Reporter(Arc<Inner>);

struct Inner {
    casts: ResultCounts,
    calls: ResultCounts,
    failures: Mutex<BTreeMap<&'static str, u64>>,
    lines: Mutex<Lines>,
    sink: Box<dyn ReportSink>,
    events: Events,
    /// The part of the names of casts and calls in events that tells those of other starts of the server apart.
    start: u32,
}

struct Lines {
    waiting: Vec<Line>,
    ended: LineLimit<(Kind, RecordId)>,
    sent: LineLimit<IpAddr>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}

impl Reporter {
    pub fn new(sink: impl ReportSink, events: Events) -> Self {
        let lines =
            Lines { waiting: Vec::new(), ended: LineLimit::new(MAX_LINES_PER_MINUTE), sent: LineLimit::new(MAX_SENT_PER_MINUTE) };
        Self(Arc::new(Inner {
            casts: ResultCounts::default(),
            calls: ResultCounts::default(),
            failures: Mutex::new(VERDICTS.into_iter().map(|code| (code, 0)).collect()),
            lines: Mutex::new(lines),
            sink: Box::new(sink),
            events,
            start: rand::random(),
        }))
    }

    pub fn perform(&self, kind: Kind, reported: Reported, now: Instant) {
        match reported {
            Reported::Began(began) => self.tell_began(kind, began),
            Reported::Failed(code) => *self.failures().entry(code).or_default() += 1,
            Reported::Ended(ended) => self.note_ended(kind, ended, now),
            Reported::Sent(sent) => self.keep(kind, sent, now),
        }
    }

    fn note_ended(&self, kind: Kind, ended: Ended, now: Instant) {
        let counts = match kind {
            Kind::Cast => &self.0.casts,
            Kind::Call => &self.0.calls,
        };
        counts.count(&ended);
        self.tell_ended(kind, &ended);
        let mut lines = self.lines();
        if lines.ended.is_due((kind, ended.record), now) && lines.waiting.len() < MAX_WAITING_LINES {
            lines.waiting.push(Line::Ended(kind, ended));
        }
    }

    fn keep(&self, kind: Kind, sent: SentReport, now: Instant) {
        let mut lines = self.lines();
        if lines.sent.is_due(ip_prefix::of_client(sent.address), now) && lines.waiting.len() < MAX_WAITING_LINES {
            self.tell_sent(&sent);
            self.0.sink.keep(kind, sent.address, sent.json.clone());
            lines.waiting.push(Line::Sent(kind, SentReport { json: String::new(), ..sent }));
        }
    }

    fn tell_began(&self, kind: Kind, Began { record, name, caster, tv, user }: Began) {
        let id = self.name(record);
        self.0.events.tell(match kind {
            Kind::Cast => Event::CastStarted { id, code: name, tv, caster, user },
            Kind::Call => Event::CallStarted { id, room: name, members: caster.into_iter().chain(tv).collect() },
        });
    }

    fn tell_ended(&self, kind: Kind, ended: &Ended) {
        let (id, name, seconds, bytes) = (self.name(ended.record), ended.name.clone(), ended.duration.as_secs(), ended.bytes);
        let route = ended.route.map(|route| spoken_route(Some(route), ended.protocol));
        let reason = ended.reason.to_owned();
        self.0.events.tell(match kind {
            Kind::Cast => Event::CastEnded { id, code: name, seconds, route, bytes, reason },
            Kind::Call => Event::CallEnded { id, room: name, seconds, route, bytes, reason },
        });
    }

    /// A page has sent a report of a connection that failed.
    fn tell_sent(&self, sent: &SentReport) {
        let Some(code) = sent.verdict.filter(|code| *code != "fine") else { return };
        let json: Value = serde_json::from_str(&sent.json).unwrap_or_default();
        let sentence = json["verdict"]["en"]["text"].as_str().unwrap_or_default().to_owned();
        self.0.events.tell(Event::CheckFailed { address: Some(sent.address), verdict: code.to_owned(), sentence });
    }

    fn name(&self, record: RecordId) -> String {
        format!("{:08x}-{}", self.0.start, record.0)
    }

    /// Writes the lines that wait. To be called every second.
    pub fn log(&self, now: Instant) {
        self.write(|lines| (lines.ended.take_left_out(now), lines.sent.take_left_out(now)));
    }

    /// Writes the lines that wait, and the counts of those that were left out. Nothing follows.
    pub fn log_last(&self, now: Instant) {
        self.write(|Lines { ended, sent, .. }| {
            ended.end();
            sent.end();
            (ended.take_left_out(now), sent.take_left_out(now))
        });
    }

    /// The lock is not held while lines are written, since the log may block.
    fn write(&self, left_out: impl FnOnce(&mut Lines) -> (Option<u64>, Option<u64>)) {
        let (waiting, (ended, sent)) = {
            let mut lines = self.lines();
            (std::mem::take(&mut lines.waiting), left_out(&mut lines))
        };
        waiting.iter().for_each(Line::write);
        if let Some(count) = ended {
            tracing::info!(count, "more lines about ended casts and calls were left out");
        }
        if let Some(count) = sent {
            tracing::info!(count, "more reports that pages have sent were not kept");
        }
    }

    pub fn casts(&self) -> &ResultCounts {
        &self.0.casts
    }

    pub fn calls(&self) -> &ResultCounts {
        &self.0.calls
    }

    /// Attempts that have failed, by the code of the verdict.
    pub fn failures_by_verdict(&self) -> Vec<(&'static str, u64)> {
        self.failures().iter().map(|(code, count)| (*code, *count)).collect()
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.0.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
