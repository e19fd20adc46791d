//! The lines that wait, and how many there may be.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::limits::ip_prefix;
use crate::limits::line_limit::LineLimit;
use crate::relay::refusals::line::{Event, EventKind, Line};
use crate::turn::{FiveTuple, RefusedRequest};

/// Lines in one minute, and as many more about details, which are written only at the level debug.
const MAX_LINES_PER_MINUTE: usize = 100;
/// Lines that wait. A process that does not write them keeps no more.
const MAX_WAITING_LINES: usize = 4 * MAX_LINES_PER_MINUTE;

/// A client's address, a reason, and for a peer that is denied its address.
type Subject = (IpAddr, EventKind, Option<IpAddr>);

/// The refusals of all shards; clones share them.
#[derive(Debug, Clone, Default)]
pub struct RefusalReports(Arc<Mutex<Waiting>>);

#[derive(Debug)]
struct Waiting {
    lines: Vec<Line>,
    limit: LineLimit<Subject>,
    details: LineLimit<Subject>,
}

impl Default for Waiting {
    fn default() -> Self {
        let limit = || LineLimit::new(MAX_LINES_PER_MINUTE);
        Self { lines: Vec::new(), limit: limit(), details: limit() }
    }
}

impl RefusalReports {
    /// A request was refused.
    pub(in crate::relay) fn note_refused(&self, refused: &RefusedRequest, now: Instant) {
        self.note(Event::Refused(refused.reason), &refused.client, &refused.username, now);
    }

    /// A stranger's allocation was displaced.
    pub(in crate::relay) fn note_displaced(&self, client: &FiveTuple, user: &str, now: Instant) {
        self.note(Event::Displaced, client, user, now);
    }

    /// Writes the lines that wait. To be called every second.
    pub fn log(&self, now: Instant) {
        self.write(|waiting| (waiting.limit.take_left_out(now), waiting.details.take_left_out(now)));
    }

    /// Writes the lines that wait, and the count of those that were left out. Nothing follows.
    pub fn log_last(&self, now: Instant) {
        self.write(|Waiting { limit, details, .. }| {
            limit.end();
            details.end();
            (limit.take_left_out(now), details.take_left_out(now))
        });
    }

    fn note(&self, event: Event, client: &FiveTuple, username: &str, now: Instant) {
        let is_detail = event.is_detail();
        if is_detail && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let denied_peer = event.peer().filter(|_| is_detail).as_ref().map(SocketAddr::ip);
        let subject = (ip_prefix::of_client(client.client.ip()), event.kind(), denied_peer);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { lines, limit, details } = &mut *waiting;
        let limit = if is_detail { details } else { limit };
        if limit.is_due(subject, now) && lines.len() < MAX_WAITING_LINES {
            lines.push(Line::new(event, client, username));
        }
    }

    /// The lock is not held while lines are written, since the log may block.
    fn write(&self, left_out: impl FnOnce(&mut Waiting) -> (Option<u64>, Option<u64>)) {
        let (lines, (count, details)) = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut waiting.lines), left_out(&mut waiting))
        };
        lines.iter().for_each(Line::write);
        if let Some(count) = count {
            tracing::info!(count, "more lines about refused requests were left out");
        }
        if let Some(count) = details {
            tracing::debug!(count, "more lines about denied peers, wrong passwords and ended allocations were left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::turn::{RefusalReason, Transport};

    fn refused(client: &str, reason: RefusalReason) -> RefusedRequest {
        let client =
            FiveTuple { client: client.parse().unwrap(), server: "[::]:3478".parse().unwrap(), transport: Transport::Tcp };
        RefusedRequest { client, username: "alice".into(), reason }
    }

    fn waiting(reports: &RefusalReports) -> usize {
        reports.0.lock().unwrap().lines.len()
    }

    #[test]
    fn r74_an_address_has_one_line_a_minute_for_each_reason() {
        let (reports, start) = (RefusalReports::default(), Instant::now());
        for port in 1..50 {
            reports.note_refused(&refused(&format!("198.51.100.1:{port}"), RefusalReason::NoAllocation), start);
        }
        assert_eq!(waiting(&reports), 1);
        reports.note_refused(&refused("198.51.100.1:1", RefusalReason::AllocationExists), start);
        reports.note_refused(&refused("198.51.100.2:1", RefusalReason::NoAllocation), start);
        assert_eq!(waiting(&reports), 3, "another reason of one code, and another address");
        for n in 0..50 {
            reports.note_refused(&refused(&format!("[2001:db8::{n:x}]:1"), RefusalReason::NoPort), start);
        }
        assert_eq!(waiting(&reports), 4, "a /64 is one client");
        for port in 1..50 {
            let peer = format!("192.0.2.{port}:{port}").parse().unwrap();
            reports.note_refused(&refused("198.51.100.1:1", RefusalReason::Connected(peer)), start);
        }
        assert_eq!(waiting(&reports), 5, "the peers are no reasons");
        reports.note_refused(&refused("198.51.100.1:1", RefusalReason::NoAllocation), start + Duration::from_secs(60));
        assert_eq!(waiting(&reports), 6);
    }

    #[test]
    fn r74_what_nobody_writes_is_bounded() {
        let (reports, start) = (RefusalReports::default(), Instant::now());
        for minute in 0..100 {
            for n in 0..200 {
                let request = refused(&format!("198.51.100.{n}:1"), RefusalReason::NoPort);
                reports.note_refused(&request, start + Duration::from_secs(60 * minute));
            }
        }
        assert_eq!(waiting(&reports), MAX_WAITING_LINES);
    }
}
