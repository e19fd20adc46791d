//! The log lines and the metrics about wrong guesses. PURE: the caller of [`GuessReports::drain`] writes the lines.
//!
//! The 1st, 5th, 25th, 125th … wrong guess of a client in an hour becomes a line. Regardless of the number of clients, a minute has at most
//! [`MAX_LINES_PER_MINUTE`] lines. Half of them are for clients with more than one guess, so that clients with one guess can't hide these. One
//! more line says how many were left out.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::guess_kind::GuessKind;
use super::ip_prefix;
use super::throttled::{Forget, Throttled, ThrottledClients};

const MINUTE: Duration = Duration::from_secs(60);
/// Lines in one minute.
const MAX_LINES_PER_MINUTE: usize = 100;

/// A line for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuessLine {
    /// The wrong guesses of one client in an hour.
    Wrong { kind: GuessKind, address: IpAddr, failures: u32 },
    /// How many lines of the previous minute were left out.
    LeftOut(u64),
}

/// The reports of all counters; clones share them.
#[derive(Debug, Clone, Default)]
pub struct GuessReports(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    throttled: ThrottledClients,
    totals: [AtomicU64; GuessKind::ALL.len()],
    minute: Mutex<Minute>,
}

#[derive(Debug, Default)]
struct Minute {
    since: Option<Instant>,
    /// Lines of this minute about clients with one guess.
    first_lines: usize,
    /// Lines of this minute about clients with more guesses.
    repeated_lines: usize,
    left_out: u64,
    /// Lines that are not drained yet.
    waiting: Vec<GuessLine>,
}

impl GuessReports {
    /// Adds a wrong guess that gets no line.
    pub(super) fn count(&self, kind: GuessKind) {
        self.0.totals[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a wrong guess, which is the client's `failures`th in an hour.
    pub(super) fn note(&self, kind: GuessKind, address: IpAddr, failures: u32, now: Instant) {
        self.count(kind);
        if !is_reported(failures) {
            return;
        }
        let mut minute = self.0.minute.lock().unwrap_or_else(PoisonError::into_inner);
        minute.advance(now);
        let lines = if failures > 1 { &mut minute.repeated_lines } else { &mut minute.first_lines };
        if *lines < MAX_LINES_PER_MINUTE / 2 {
            *lines += 1;
            minute.waiting.push(GuessLine::Wrong { kind, address: address.to_canonical(), failures });
        } else {
            minute.left_out += 1;
        }
    }

    /// The lines to be logged, in order.
    #[must_use]
    pub fn drain(&self, now: Instant) -> Vec<GuessLine> {
        let mut minute = self.0.minute.lock().unwrap_or_else(PoisonError::into_inner);
        minute.advance(now);
        std::mem::take(&mut minute.waiting)
    }

    /// The clients that have to wait because of their wrong guesses, those that wait longest first; at most 500.
    #[must_use]
    pub fn throttled(&self, now: Instant) -> Vec<Throttled> {
        self.0.throttled.list(now)
    }

    /// Forgets the wrong guesses of the client and of the site of `from`, of all kinds; `false`: the client had to wait nowhere.
    pub fn forget(&self, from: IpAddr, now: Instant) -> bool {
        self.0.throttled.forget(from, ip_prefix::of_client(from), now)
    }

    /// A client may not guess for so long.
    pub(super) fn note_throttled(&self, kind: GuessKind, from: IpAddr, wait: Duration, now: Instant) {
        self.0.throttled.note(kind, ip_prefix::of_client(from), wait, now);
    }

    /// `table` forgets what [`Self::forget`] says.
    pub(super) fn register(&self, table: Weak<dyn Forget>) {
        self.0.throttled.register(table);
    }

    /// Wrong guesses since the start, by kind.
    pub fn totals(&self) -> impl Iterator<Item = (GuessKind, u64)> {
        GuessKind::ALL.into_iter().zip(self.0.totals.iter().map(|total| total.load(Ordering::Relaxed)))
    }
}

impl Minute {
    /// Begins the next minute if this one is over.
    fn advance(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) < MINUTE {
            return;
        }
        self.since = Some(now);
        (self.first_lines, self.repeated_lines) = (0, 0);
        let left_out = std::mem::take(&mut self.left_out);
        // Lines are not drained in a process that does not log them.
        if left_out > 0 && self.waiting.len() <= 2 * MAX_LINES_PER_MINUTE {
            self.waiting.push(GuessLine::LeftOut(left_out));
        }
        self.waiting.truncate(2 * MAX_LINES_PER_MINUTE);
    }
}

/// Whether it is a power of five.
fn is_reported(mut failures: u32) -> bool {
    while failures > 1 && failures.is_multiple_of(5) {
        failures /= 5;
    }
    failures == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_five_are_reported() {
        let reported: Vec<u32> = (0..1000).filter(|failures| is_reported(*failures)).collect();
        assert_eq!(reported, [1, 5, 25, 125, 625]);
    }

    #[test]
    fn a_minute_has_so_many_lines_and_those_who_tried_once_hide_nobody() {
        let (reports, start) = (GuessReports::default(), Instant::now());
        let address = |n: u32| IpAddr::V4(n.into());
        (0..100_000).for_each(|n| reports.note(GuessKind::Code, address(n), 1, start));
        reports.note(GuessKind::TurnPassword, "::ffff:192.0.2.1".parse().unwrap(), 25, start);
        let lines = reports.drain(start);
        assert_eq!(lines.len(), MAX_LINES_PER_MINUTE / 2 + 1);
        let guilty = GuessLine::Wrong { kind: GuessKind::TurnPassword, address: "192.0.2.1".parse().unwrap(), failures: 25 };
        assert_eq!(lines.last(), Some(&guilty));
        assert_eq!(reports.drain(start + MINUTE), [GuessLine::LeftOut(100_000 - 50)]);
        reports.note(GuessKind::Code, address(1), 5, start + MINUTE);
        assert_eq!(reports.drain(start + MINUTE).len(), 1);
        assert_eq!(reports.drain(start + 2 * MINUTE), []);
        let totals: Vec<_> = reports.totals().filter(|(_, total)| *total > 0).collect();
        assert_eq!(totals, [(GuessKind::Code, 100_001), (GuessKind::TurnPassword, 1)]);
    }

    #[test]
    fn what_nobody_drains_is_bounded() {
        let (reports, start) = (GuessReports::default(), Instant::now());
        for minute in 0..100 {
            (0..1000).for_each(|n: u32| reports.note(GuessKind::Code, IpAddr::V4(n.into()), 1, start + minute * MINUTE));
        }
        assert!(reports.drain(start + 100 * MINUTE).len() <= 4 * MAX_LINES_PER_MINUTE);
    }
}
