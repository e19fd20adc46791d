//! Decides when a shard lets packets gather before it wakes: fewer wakes under load, no delay without load, and none for packets
//! that come together.
//!
//! A wake costs about as much as two packets, so a pause saves most where packets come one by one. Packets that come together, as
//! those of a video frame do, share a wake anyway: a pause would only delay them. So a shard pauses where several packets are to
//! be expected within the window, and where they come one by one. It learns how they come from *probes*: wakes that a packet has
//! caused, not the end of a pause. What a probe brings beyond one packet has come together with it. With the default window pauses
//! begin at 24,000 packets a second: below, the default favours the delay, and above the processor.

use std::time::{Duration, Instant};

/// Packets to be expected within five windows, at least; with fewer, a pause costs more delay than it saves.
const MIN_PACKETS_IN_5_WINDOWS: u128 = 12;
/// Beyond this average number of packets a wake, a pause would gain nothing.
const MAX_PACKETS_A_WAKE: u32 = 24;
/// How often the decision is made anew.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(4);
/// How many wakes without a pause a sample begins with.
const UNPAUSED_WAKES: u32 = 2;
/// What a probe counts in its own sample.
const PROBE: u32 = 1 << 10;
/// A wait of this length has blocked, so that a packet has ended it. One that finds packets takes about half of it.
const MIN_BLOCKED: Duration = Duration::from_micros(2);

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::relay) struct WakeCoalescer {
    window: Duration,
    gather: bool,
    /// When the sample began.
    since: Instant,
    sample: Sample,
}

/// What a shard has seen since the last decision. Wakes without packets don't count.
#[derive(Debug, Default)]
struct Sample {
    packets: u32,
    wakes: u32,
    /// Probes, each of which counts [`PROBE`]. Those of the sample before count half, and so on.
    probes: u32,
    /// Those of them that have brought several packets.
    of_several: u32,
}

impl WakeCoalescer {
    /// A window of zero never pauses.
    pub(in crate::relay) fn new(window: Duration, now: Instant) -> Self {
        Self { window, gather: false, since: now, sample: Sample::default() }
    }

    /// Records that a shard which had waited for events for a time of `waited`, after its pause, has woken at `now` and found
    /// `packets`.
    pub(in crate::relay) fn record_wake(&mut self, packets: u32, waited: Duration, now: Instant) {
        if self.window.is_zero() {
            return;
        }
        if packets > 0 {
            if self.pause().is_none() && waited >= MIN_BLOCKED {
                self.sample.probes += PROBE;
                self.sample.of_several += if packets > 1 { PROBE } else { 0 };
            }
            self.sample.packets += packets;
            self.sample.wakes += 1;
        }
        let sampled = now.saturating_duration_since(self.since);
        if sampled >= SAMPLE_INTERVAL {
            self.gather = self.sample.pauses_pay(self.window, sampled);
            let Sample { probes, of_several, .. } = self.sample;
            self.sample = Sample { probes: probes / 2, of_several: of_several / 2, ..Sample::default() };
            self.since = now;
        }
    }

    /// How long to let packets gather before the next wait.
    pub(in crate::relay) fn pause(&self) -> Option<Duration> {
        (self.gather && self.sample.wakes >= UNPAUSED_WAKES).then_some(self.window)
    }
}

impl Sample {
    fn pauses_pay(&self, window: Duration, sampled: Duration) -> bool {
        let several = 5 * window.as_nanos() * u128::from(self.packets) >= MIN_PACKETS_IN_5_WINDOWS * sampled.as_nanos();
        // Of single packets a few come together, too, when something has held up a sender or this shard.
        let one_by_one = 2 * self.of_several <= self.probes;
        several && one_by_one && self.packets < MAX_PACKETS_A_WAKE * self.wakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_micros(100);
    const MICROSECOND: Duration = Duration::from_micros(1);

    /// Packets that come as bursts of `size`, `every` so many microseconds.
    struct Bursts {
        size: u32,
        every: u32,
    }

    impl Bursts {
        /// `per_second`: packets.
        fn new(size: u32, per_second: u32) -> Self {
            Self { size, every: size * 1_000_000 / per_second }
        }
    }

    /// A shard that needs 3 µs to wake up, 4 µs for a wake and 2 µs for each packet.
    struct SimulatedShard {
        coalescer: WakeCoalescer,
        now: Instant,
        /// Bursts that have waited for the end of a pause.
        delayed: u32,
    }

    impl SimulatedShard {
        fn new(window: Duration) -> Self {
            let now = Instant::now();
            Self { coalescer: WakeCoalescer::new(window, now), now, delayed: 0 }
        }

        fn serve(&mut self, bursts: &Bursts, millis: u64) {
            let (end, mut next) = (self.now + Duration::from_millis(millis), self.now);
            while self.now < end {
                let pause = self.coalescer.pause();
                let waits_from = self.now + pause.unwrap_or_default();
                self.now = if next > waits_from { next + 3 * MICROSECOND } else { waits_from + MICROSECOND };
                let (woken, mut packets) = (self.now, 0);
                while next <= woken {
                    next += MICROSECOND * bursts.every;
                    packets += bursts.size;
                    self.delayed += u32::from(pause.is_some());
                }
                self.now += MICROSECOND * (4 + 2 * packets);
                self.coalescer.record_wake(packets, woken - waits_from, woken);
            }
        }
    }

    fn serving(bursts: &Bursts) -> SimulatedShard {
        let mut shard = SimulatedShard::new(WINDOW);
        shard.serve(bursts, 100);
        shard
    }

    #[test]
    fn packets_that_come_one_by_one_wait_under_load_alone() {
        for per_second in [40_000, 100_000] {
            let shard = serving(&Bursts::new(1, per_second));
            assert!(f64::from(shard.delayed) > f64::from(per_second) / 10.0 * 0.6, "{per_second} a second: {}", shard.delayed);
        }
        for per_second in [20_000, 1000, 50] {
            assert_eq!(serving(&Bursts::new(1, per_second)).delayed, 0, "{per_second} a second");
        }
        let mut switched_off = SimulatedShard::new(Duration::ZERO);
        switched_off.serve(&Bursts::new(1, 40_000), 100);
        assert_eq!(switched_off.delayed, 0);
    }

    #[test]
    fn packets_that_come_together_never_wait() {
        for size in [2, 3, 8, 16, 40] {
            for per_second in [20_000, 40_000, 80_000, 200_000] {
                let shard = serving(&Bursts::new(size, per_second));
                assert_eq!(shard.delayed, 0, "bursts of {size}, {per_second} packets a second");
            }
        }
    }

    #[test]
    fn bursts_after_single_packets_wait_for_two_samples_at_most() {
        let mut shard = serving(&Bursts::new(1, 40_000));
        shard.delayed = 0;
        shard.serve(&Bursts::new(8, 40_000), 100);
        assert!(shard.delayed <= 45, "{} of 500 bursts", shard.delayed);
    }

    #[test]
    fn an_idle_time_ends_the_pauses() {
        let mut shard = serving(&Bursts::new(1, 40_000));
        shard.now += Duration::from_secs(1);
        shard.coalescer.record_wake(1, Duration::from_secs(1), shard.now);
        assert_eq!(shard.coalescer.pause(), None);
    }
}
