//! When to let packets gather before they are looked at: fewer wakes under load, and no delay without.
//!
//! Waiting pays where it brings a second packet, and only hurts where packets come in bunches already. So a shard pauses when
//! at least two packets are to be expected within the window, and a wake brings fewer than a dozen on average.

use std::time::{Duration, Instant};

/// A wake that brings more has gathered enough.
const ENOUGH: u32 = 12;
/// How long the past is that a decision looks at.
const PAST: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(in crate::relay) struct Pace {
    window: Duration,
    since: Instant,
    packets: u32,
    wakes: u32,
    gather: bool,
}

impl Pace {
    /// A window of zero never pauses.
    pub(in crate::relay) const fn new(window: Duration, now: Instant) -> Self {
        Self { window, since: now, packets: 0, wakes: 0, gather: false }
    }

    /// A wake at `now` has brought so many packets.
    pub(in crate::relay) fn woke(&mut self, packets: u32, now: Instant) {
        if self.window.is_zero() {
            return;
        }
        self.packets += packets;
        self.wakes += 1;
        let past = now.saturating_duration_since(self.since);
        if past < PAST {
            return;
        }
        let expected_two = self.window.as_nanos() * u128::from(self.packets) >= 2 * past.as_nanos();
        self.gather = expected_two && self.packets < ENOUGH * self.wakes;
        (self.since, self.packets, self.wakes) = (now, 0, 0);
    }

    /// How long to let packets gather before the next wake.
    pub(in crate::relay) fn pause(&self) -> Option<Duration> {
        self.gather.then_some(self.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(window: u64, wakes: u32, packets: u32, every: u64) -> Option<Duration> {
        let mut now = Instant::now();
        let mut pace = Pace::new(Duration::from_micros(window), now);
        for _ in 0..wakes {
            now += Duration::from_micros(every);
            pace.woke(packets, now);
        }
        pace.pause()
    }

    #[test]
    fn it_pauses_under_load_alone() {
        let window = Some(Duration::from_micros(200));
        assert_eq!(after(200, 100, 1, 50), window, "20,000 a second, one by one");
        assert_eq!(after(200, 100, 1, 1000), None, "a video stream");
        assert_eq!(after(200, 100, 32, 100), None, "in bunches already");
        assert_eq!(after(0, 100, 1, 10), None, "switched off");
    }

    #[test]
    fn an_idle_time_ends_it() {
        let mut now = Instant::now();
        let mut pace = Pace::new(Duration::from_micros(200), now);
        for _ in 0..100 {
            now += Duration::from_micros(20);
            pace.woke(1, now);
        }
        assert!(pace.pause().is_some());
        pace.woke(1, now + Duration::from_secs(1));
        assert_eq!(pace.pause(), None);
    }
}
