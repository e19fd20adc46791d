//! A token bucket that is one number (the "generic cell rate algorithm"): the time at which the bucket will be full again.
//!
//! A plain `u64` is the bucket of one owner, an `AtomicU64` one that shards share. Time is nanoseconds since an epoch; nothing
//! here reads a clock.

use std::sync::atomic::{AtomicU64, Ordering};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The buckets of both directions.
#[derive(Debug, Default)]
pub(super) struct Bandwidth {
    pub(super) to_peer: AtomicU64,
    pub(super) to_client: AtomicU64,
}

/// Units per second, with one second's worth as the burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimit {
    per_second: u64,
    /// How far ahead of now the bucket may be booked.
    burst: u64,
}

impl RateLimit {
    /// `None` is no limit. A burst is at least `largest` units, so that no packet is too large to pass at all.
    pub(super) fn new(per_second: Option<u64>, largest: u64) -> Option<Self> {
        let per_second = per_second?.max(1);
        Some(Self { per_second, burst: NANOS_PER_SECOND.max(cost(per_second, largest)) })
    }

    /// Takes `units` from the bucket, or nothing where they exceed the limit.
    pub(super) fn take(self, state: &mut u64, units: u64, now: u64) -> bool {
        let Some(next) = self.next(*state, units, now) else { return false };
        *state = next;
        true
    }

    /// Takes `units` even where they exceed the limit, and returns for how many nanoseconds the caller should wait.
    pub(super) fn charge(self, state: &mut u64, units: u64, now: u64) -> u64 {
        *state = (*state).max(now).saturating_add(cost(self.per_second, units));
        (*state - now).saturating_sub(self.burst)
    }

    pub(super) fn charge_shared(self, state: &AtomicU64, units: u64, now: u64) -> u64 {
        let mut wait = 0;
        let charged = |mut state| {
            wait = self.charge(&mut state, units, now);
            Some(state)
        };
        let _ = state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged);
        wait
    }

    /// How many nanoseconds' worth of the bucket are taken; a full one has none.
    pub(super) fn taken(self, state: &AtomicU64, now: u64) -> u64 {
        state.load(Ordering::Relaxed).saturating_sub(now)
    }

    /// How many nanoseconds' worth the bucket holds.
    pub(super) const fn burst(self) -> u64 {
        self.burst
    }

    pub(super) fn take_shared(self, state: &AtomicU64, units: u64, now: u64) -> bool {
        state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| self.next(state, units, now)).is_ok()
    }

    fn next(self, state: u64, units: u64, now: u64) -> Option<u64> {
        let next = state.max(now).saturating_add(cost(self.per_second, units));
        (next - now <= self.burst).then_some(next)
    }
}

fn cost(per_second: u64, units: u64) -> u64 {
    units.saturating_mul(NANOS_PER_SECOND) / per_second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = RateLimit::new(Some(1000), 1).expect("a limit");
        let mut state = 0;
        let start = 50 * NANOS_PER_SECOND;
        assert_eq!((0..5000).filter(|_| rate.take(&mut state, 1, start)).count(), 1000);
        assert_eq!((0..5000).filter(|_| rate.take(&mut state, 1, start + NANOS_PER_SECOND / 2)).count(), 500);
        let shared = AtomicU64::new(0);
        assert!(rate.take_shared(&shared, 1000, start));
        assert!(!rate.take_shared(&shared, 1, start));
    }

    #[test]
    fn a_packet_larger_than_a_second_still_passes() {
        let rate = RateLimit::new(Some(100), 65_535).expect("a limit");
        let mut state = 0;
        assert!(rate.take(&mut state, 65_535, NANOS_PER_SECOND));
        assert!(!rate.take(&mut state, 1, NANOS_PER_SECOND));
    }

    #[test]
    fn what_is_charged_beyond_the_burst_is_waited_for() {
        let rate = RateLimit::new(Some(100_000), 1).expect("a limit");
        let (mut state, shared) = (0, AtomicU64::new(0));
        for (units, wait) in [(60_000, 0), (60_000, NANOS_PER_SECOND / 5), (10_000, NANOS_PER_SECOND * 3 / 10)] {
            assert_eq!(rate.charge(&mut state, units, NANOS_PER_SECOND), wait);
            assert_eq!(rate.charge_shared(&shared, units, NANOS_PER_SECOND), wait);
        }
        assert_eq!(rate.charge(&mut state, 1, 2 * NANOS_PER_SECOND), 0);
    }
}
