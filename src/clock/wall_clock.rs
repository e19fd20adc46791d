//! Maps monotonic time to the wall clock, and notices when the wall clock was set. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds by which the wall clock may differ from its expected time before it counts as set.
const MAX_DRIFT_SECONDS: u64 = 3;

/// The wall clock at one instant, from which the time at every other instant follows.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    at: Instant,
    /// The time since 1970; zero for a clock before that.
    unix: Duration,
}

impl WallClock {
    /// `wall` is the time at `at`.
    pub fn new(at: Instant, wall: SystemTime) -> Self {
        Self { at, unix: wall.duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// The Unix time at `now`, in seconds.
    pub fn unix_seconds(&self, now: Instant) -> u64 {
        self.expected(now).as_secs()
    }

    /// The Unix time at `then`, which may be before this clock was read, in seconds. It stays the same as long as the clock is not set.
    pub fn unix_seconds_of_past(&self, then: Instant) -> u64 {
        (self.unix + then.saturating_duration_since(self.at)).saturating_sub(self.at.saturating_duration_since(then)).as_secs()
    }

    /// Compares the expected time with `wall`, the wall clock at `now`. `Some`: the wall clock was set, or the machine was suspended; the number
    /// is the difference in seconds, negative for a clock that was set back. From now on the time follows from `wall`.
    pub fn follow(&mut self, now: Instant, wall: SystemTime) -> Option<i64> {
        let read = Self::new(now, wall);
        let by = read.seconds_ahead_of(*self, now);
        (by.unsigned_abs() > MAX_DRIFT_SECONDS).then(|| {
            *self = read;
            by
        })
    }

    /// By how many seconds this clock is ahead of `other` at `now`; negative if it is behind.
    pub fn seconds_ahead_of(&self, other: Self, now: Instant) -> i64 {
        let (own, other) = (self.unix_seconds(now), other.unix_seconds(now));
        i64::try_from(i128::from(own) - i128::from(other)).unwrap_or(if own > other { i64::MAX } else { i64::MIN })
    }

    fn expected(&self, now: Instant) -> Duration {
        self.unix.saturating_add(now.saturating_duration_since(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: u64 = 1_700_000_000;

    fn unix(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn time_passes_and_small_corrections_are_no_jump() {
        let start = Instant::now();
        let mut clock = WallClock::new(start, unix(BOOT));
        let later = start + Duration::from_secs(3600);
        assert_eq!(clock.unix_seconds(later), BOOT + 3600);
        assert_eq!(clock.follow(later, unix(BOOT + 3600 - MAX_DRIFT_SECONDS)), None);
        assert_eq!(clock.follow(later, unix(BOOT + 3600 + MAX_DRIFT_SECONDS)), None);
        assert_eq!(clock.unix_seconds(later), BOOT + 3600);
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_once_in_either_direction() {
        let start = Instant::now();
        let mut clock = WallClock::new(start, unix(0));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(clock.follow(at(1), unix(BOOT + 1)), Some(BOOT.cast_signed()));
        assert_eq!(clock.follow(at(2), unix(BOOT + 2)), None);
        assert_eq!(clock.unix_seconds(at(5)), BOOT + 5);
        assert_eq!(clock.follow(at(10), unix(BOOT + 6)), Some(-4));
        assert_eq!(clock.unix_seconds(at(11)), BOOT + 7);
    }

    #[test]
    fn drift_adds_up_until_it_counts() {
        let start = Instant::now();
        let mut clock = WallClock::new(start, unix(BOOT));
        let found: Vec<_> = (1..10).filter_map(|n| clock.follow(start + Duration::from_secs(n), unix(BOOT + 2 * n))).collect();
        assert_eq!(found, [4, 4]);
    }

    #[test]
    fn two_clocks_differ_by_the_same_at_every_instant() {
        let start = Instant::now();
        let (late, right) = (WallClock::new(start, unix(0)), WallClock::new(start, unix(BOOT)));
        for now in [start, start + Duration::from_secs(86_400)] {
            assert_eq!(right.seconds_ahead_of(late, now), BOOT.cast_signed());
            assert_eq!(late.seconds_ahead_of(right, now), -BOOT.cast_signed());
        }
    }

    #[test]
    fn a_clock_before_1970_is_zero() {
        let start = Instant::now();
        let mut clock = WallClock::new(start, UNIX_EPOCH - Duration::from_secs(100));
        assert_eq!(clock.unix_seconds(start), 0);
        assert_eq!(clock.follow(start, UNIX_EPOCH - Duration::from_secs(1)), None);
    }
}
