//! Decides when a shard lets packets gather before it wakes: fewer wakes under load, and no delay without load.
//!
//! A pause saves a wake for each packet that it brings, and only adds delay where packets arrive in bunches already. So a shard
//! pauses when several packets are to be expected within the window, and a wake brings fewer than a dozen on average. With the
//! default window that begins at 30,000 packets a second: below, the default favours the delay, and above the processor.

use std::time::{Duration, Instant};

/// With fewer packets to be expected within the window, a pause costs more delay than it saves.
const MIN_PACKETS_A_WINDOW: u128 = 6;
/// Beyond this average number of packets a wake, a pause would gain nothing.
const MAX_PACKETS_A_WAKE: u32 = 12;
/// How often the decision is made anew.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(1);

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::relay) struct WakeCoalescer {
    window: Duration,
    since: Instant,
    packets: u32,
    wakes: u32,
    gather: bool,
}

impl WakeCoalescer {
    /// A window of zero never pauses.
    pub(in crate::relay) const fn new(window: Duration, now: Instant) -> Self {
        Self { window, since: now, packets: 0, wakes: 0, gather: false }
    }

    /// Records that a wake at `now` has brought `packets`.
    pub(in crate::relay) fn record_wake(&mut self, packets: u32, now: Instant) {
        if self.window.is_zero() {
            return;
        }
        self.packets += packets;
        self.wakes += 1;
        let sampled = now.saturating_duration_since(self.since);
        if sampled < SAMPLE_INTERVAL {
            return;
        }
        let several = self.window.as_nanos() * u128::from(self.packets) >= MIN_PACKETS_A_WINDOW * sampled.as_nanos();
        self.gather = several && self.packets < MAX_PACKETS_A_WAKE * self.wakes;
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
        let mut coalescer = WakeCoalescer::new(Duration::from_micros(window), now);
        for _ in 0..wakes {
            now += Duration::from_micros(every);
            coalescer.record_wake(packets, now);
        }
        coalescer.pause()
    }

    #[test]
    fn it_pauses_under_load_alone() {
        let window = Some(Duration::from_micros(200));
        assert_eq!(after(200, 100, 1, 25), window, "40,000 a second, one by one");
        assert_eq!(after(200, 100, 1, 50), None, "20,000 a second, one by one");
        assert_eq!(after(200, 100, 1, 1000), None, "a video stream");
        assert_eq!(after(200, 100, 32, 100), None, "in bunches already");
        assert_eq!(after(0, 100, 1, 10), None, "switched off");
    }

    #[test]
    fn an_idle_time_ends_it() {
        let mut now = Instant::now();
        let mut coalescer = WakeCoalescer::new(Duration::from_micros(200), now);
        for _ in 0..100 {
            now += Duration::from_micros(20);
            coalescer.record_wake(1, now);
        }
        assert!(coalescer.pause().is_some());
        coalescer.record_wake(1, now + Duration::from_secs(1));
        assert_eq!(coalescer.pause(), None);
    }
}
