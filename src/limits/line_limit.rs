//! Bounds the lines that clients cause in the log: one a minute about each subject, and so many a minute about all. PURE: the caller
//! writes the lines.
//!
//! A subject is for example a client's address with the reason of a refusal. What is left out is counted, each subject once a minute,
//! and the caller writes the count when the minute is over, even where nothing more comes.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::HashSet;
use std::hash::Hash;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
/// Subjects without a line that are remembered in a minute, so that each is counted once. Beyond them, whatever is left out counts.
const MAX_LEFT_OUT_SUBJECTS: usize = 4096;

/// The lines of one kind.
#[derive(Debug)]
pub struct LineLimit<S> {
    lines: usize,
    /// When the current minute began, with the first line after the one before.
    since: Option<Instant>,
    written: HashSet<S>,
    left_out: HashSet<S>,
    /// Left out besides the subjects of `left_out`.
    further: u64,
    /// Left out in minutes that are over, and not yet told.
    untold: u64,
}

impl<S: Hash + Eq> LineLimit<S> {
    /// Allows so many lines in a minute.
    #[must_use]
    pub fn new(lines: usize) -> Self {
        Self { lines, since: None, written: HashSet::new(), left_out: HashSet::new(), further: 0, untold: 0 }
    }

    /// Whether a line about the subject is due. If it is, the caller writes it.
    pub fn is_due(&mut self, subject: S, now: Instant) -> bool {
        self.advance(now);
        self.since.get_or_insert(now);
        if self.written.contains(&subject) {
            return false;
        }
        if self.written.len() < self.lines {
            return self.written.insert(subject);
        }
        if self.left_out.len() < MAX_LEFT_OUT_SUBJECTS {
            self.left_out.insert(subject);
        } else if !self.left_out.contains(&subject) {
            self.further += 1;
        }
        false
    }

    /// How many lines were left out in the minutes that are over, unless none was or the caller was told.
    pub fn take_left_out(&mut self, now: Instant) -> Option<u64> {
        self.advance(now);
        Some(std::mem::take(&mut self.untold)).filter(|count| *count > 0)
    }

    /// The current minute is over, because there will be no other one.
    pub fn end(&mut self) {
        self.untold += self.left_out.len() as u64 + self.further;
        self.since = None;
        self.further = 0;
        // A flood leaves no memory behind.
        (self.written, self.left_out) = (HashSet::new(), HashSet::new());
    }

    fn advance(&mut self, now: Instant) {
        if self.since.is_some_and(|since| now.saturating_duration_since(since) >= MINUTE) {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_has_a_line_a_minute() {
        let (mut limit, start) = (LineLimit::new(100), Instant::now());
        assert!(limit.is_due("one", start));
        assert!(!limit.is_due("one", start + MINUTE / 2));
        assert!(limit.is_due("other", start + MINUTE / 2));
        assert!(limit.is_due("one", start + MINUTE));
        assert_eq!(limit.take_left_out(start + 3 * MINUTE), None, "whatever has had its line is not left out");
    }

    #[test]
    fn a_minute_has_so_many_lines_and_the_count_comes_when_the_flood_has_ended() {
        let (mut limit, start) = (LineLimit::new(100), Instant::now());
        let lines = (0..2).flat_map(|_| 0..300).filter(|subject| limit.is_due(*subject, start)).count();
        assert_eq!(lines, 100);
        assert_eq!(limit.take_left_out(start + MINUTE - Duration::from_secs(1)), None);
        assert_eq!(limit.take_left_out(start + MINUTE), Some(200), "each subject counts once");
        assert_eq!(limit.take_left_out(start + 2 * MINUTE), None);
        assert!(limit.is_due(1000, start + 2 * MINUTE));
    }

    #[test]
    fn the_count_of_a_minute_that_does_not_end_is_not_lost() {
        let (mut limit, start) = (LineLimit::new(1), Instant::now());
        let _ = (limit.is_due(1, start), limit.is_due(2, start));
        limit.end();
        assert_eq!(limit.take_left_out(start), Some(1));
    }

    #[test]
    fn a_flood_is_counted_and_not_remembered() {
        let (mut limit, start) = (LineLimit::new(100), Instant::now());
        for subject in 0..100_000 {
            limit.is_due(subject, start);
        }
        assert!(limit.written.len() == 100 && limit.left_out.len() == MAX_LEFT_OUT_SUBJECTS);
        assert_eq!(limit.take_left_out(start + MINUTE), Some(100_000 - 100));
        assert_eq!(limit.written.capacity() + limit.left_out.capacity(), 0);
    }
}
