//! What the log and the metrics learn of wrong tries. PURE: the owner drains [`GuessReports::drain`] and writes the lines.
//!
//! The 1st, 5th, 25th, 125th … wrong try of a client in an hour is a line. However many clients an attack has, a minute has
//! [`MAX_LINES`] at most, and half of them are for clients that went on, so that those who tried once can't hide them. What was left out
//! is one number a minute.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
/// Lines in a minute.
const MAX_LINES: usize = 100;

/// What was guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuessKind {
    /// A TV's code, by a caster or by a TV that claims it.
    Code,
    /// Of a room of RTCMultiConnection.
    RoomPassword,
    /// Of RTCMultiConnection's admin page.
    AdminPassword,
    /// Of `/turn` and `/v1alpha`.
    ApiKey,
    /// Over TCP or TLS, whose handshake proves the address.
    TurnPassword,
    /// Over UDP, where whoever once had an address may still use it as the sender's: nobody should be banned for these.
    TurnPasswordUdp,
}

impl GuessKind {
    /// In the order of the variants.
    pub const ALL: [Self; 6] =
        [Self::Code, Self::RoomPassword, Self::AdminPassword, Self::ApiKey, Self::TurnPassword, Self::TurnPasswordUdp];

    /// Whether nobody is told how long to wait, so that a client which is beyond its bound is heard once in a while.
    pub(super) const fn has_pause(self) -> bool {
        match self {
            Self::Code | Self::RoomPassword | Self::AdminPassword => false,
            Self::ApiKey | Self::TurnPassword | Self::TurnPasswordUdp => true,
        }
    }

    /// As logs and metrics have it; the filter in `deploy/fail2ban` knows these words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::RoomPassword => "room_password",
            Self::AdminPassword => "admin_password",
            Self::ApiKey => "api_key",
            Self::TurnPassword => "turn_password",
            Self::TurnPasswordUdp => "turn_password_udp",
        }
    }
}

/// A line for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuessLine {
    /// A client's wrong tries in an hour.
    Wrong { kind: GuessKind, address: IpAddr, failures: u32 },
    /// So many lines of the minute before are missing.
    LeftOut(u64),
}

/// Where all counters of wrong tries report to; clones share it.
#[derive(Debug, Clone, Default)]
pub struct GuessReports(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    totals: [AtomicU64; GuessKind::ALL.len()],
    minute: Mutex<Minute>,
}

#[derive(Debug, Default)]
struct Minute {
    since: Option<Instant>,
    /// Of this minute: lines of clients that tried once, and of those that went on.
    lines: [usize; 2],
    left_out: u64,
    /// Not drained yet.
    waiting: Vec<GuessLine>,
}

impl GuessReports {
    /// One more wrong try, which is this client's `failures`th in an hour.
    pub(super) fn note(&self, kind: GuessKind, address: IpAddr, failures: u32, now: Instant) {
        self.0.totals[kind as usize].fetch_add(1, Ordering::Relaxed);
        if !is_reported(failures) {
            return;
        }
        let mut minute = self.0.minute.lock().unwrap_or_else(PoisonError::into_inner);
        minute.turn(now);
        let lines = &mut minute.lines[usize::from(failures > 1)];
        if *lines < MAX_LINES / 2 {
            *lines += 1;
            minute.waiting.push(GuessLine::Wrong { kind, address: address.to_canonical(), failures });
        } else {
            minute.left_out += 1;
        }
    }

    /// The lines that are due, in their order.
    #[must_use]
    pub fn drain(&self, now: Instant) -> Vec<GuessLine> {
        let mut minute = self.0.minute.lock().unwrap_or_else(PoisonError::into_inner);
        minute.turn(now);
        std::mem::take(&mut minute.waiting)
    }

    /// Wrong tries since the start, by kind.
    pub fn totals(&self) -> impl Iterator<Item = (GuessKind, u64)> {
        GuessKind::ALL.into_iter().zip(self.0.totals.iter().map(|total| total.load(Ordering::Relaxed)))
    }
}

impl Minute {
    /// Begins the next minute where this one is over.
    fn turn(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) < WINDOW {
            return;
        }
        self.since = Some(now);
        self.lines = [0; 2];
        let left_out = std::mem::take(&mut self.left_out);
        // Nobody drains where nobody logs.
        if left_out > 0 && self.waiting.len() <= 2 * MAX_LINES {
            self.waiting.push(GuessLine::LeftOut(left_out));
        }
        self.waiting.truncate(2 * MAX_LINES);
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
        assert_eq!(lines.len(), MAX_LINES / 2 + 1);
        let guilty = GuessLine::Wrong { kind: GuessKind::TurnPassword, address: "192.0.2.1".parse().unwrap(), failures: 25 };
        assert_eq!(lines.last(), Some(&guilty));
        assert_eq!(reports.drain(start + WINDOW), [GuessLine::LeftOut(100_000 - 50)]);
        reports.note(GuessKind::Code, address(1), 5, start + WINDOW);
        assert_eq!(reports.drain(start + WINDOW).len(), 1);
        assert_eq!(reports.drain(start + 2 * WINDOW), []);
        let totals: Vec<_> = reports.totals().filter(|(_, total)| *total > 0).collect();
        assert_eq!(totals, [(GuessKind::Code, 100_001), (GuessKind::TurnPassword, 1)]);
    }

    #[test]
    fn what_nobody_drains_is_bounded() {
        let (reports, start) = (GuessReports::default(), Instant::now());
        for minute in 0..100 {
            (0..1000).for_each(|n: u32| reports.note(GuessKind::Code, IpAddr::V4(n.into()), 1, start + minute * WINDOW));
        }
        assert!(reports.drain(start + 100 * WINDOW).len() <= 4 * MAX_LINES);
    }
}
