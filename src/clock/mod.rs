//! The wall clock as it follows from monotonic time, and whether somebody has set it. PURE: both times come in as arguments.
//!
//! Monotonic time never jumps, so everything that waits goes by it; the wall clock is for what outlives this process, such as the
//! expiry of credentials. The two drift apart when the wall clock is set (a Raspberry Pi that has no battery, at its first NTP answer)
//! and when the machine was suspended. NTP's small corrections change the pace of both.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds that the wall clock may be off from where monotonic time says that it should be, before it counts as set.
const MAX_DRIFT_SECONDS: u64 = 3;

/// The wall clock at one instant, from which the time at every other follows.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    at: Instant,
    /// Since 1970; zero for a clock that is before that.
    unix: Duration,
}

impl WallClock {
    /// `wall` is the time at `at`.
    pub fn new(at: Instant, wall: SystemTime) -> Self {
        Self { at, unix: wall.duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// Unix seconds at `now`.
    pub fn unix_seconds(&self, now: Instant) -> u64 {
        self.expected(now).as_secs()
    }

    /// Compares with the wall clock itself. `Some`: it has been set (or the machine slept), by so many seconds forward or, if negative,
    /// back; from now on the time follows from this reading.
    pub fn follow(&mut self, now: Instant, wall: SystemTime) -> Option<i64> {
        let read = Self::new(now, wall);
        let (is, should) = (read.unix.as_secs(), self.unix_seconds(now));
        if is.abs_diff(should) <= MAX_DRIFT_SECONDS {
            return None;
        }
        *self = read;
        Some(i64::try_from(i128::from(is) - i128::from(should)).unwrap_or(i64::MAX))
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
    fn a_clock_before_1970_is_zero() {
        let start = Instant::now();
        let mut clock = WallClock::new(start, UNIX_EPOCH - Duration::from_secs(100));
        assert_eq!(clock.unix_seconds(start), 0);
        assert_eq!(clock.follow(start, UNIX_EPOCH - Duration::from_secs(1)), None);
    }
}
