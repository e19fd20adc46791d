//! Limits on what happens how often. Time is nanoseconds since an epoch; nothing here reads a clock.
//!
//! - [`RateLimit`] is a token bucket in one number: the time at which it would be full again (the "generic cell rate algorithm"). A plain
//!   `u64` keeps one owner's bucket, an `AtomicU64` one that shards share.
//! - [`SourceLimits`] counts per key in a table of **fixed size**: nothing is remembered for strangers beyond it. Four entries stand behind
//!   each hash; the one with the smallest count makes room, so that a flood of random sources does not wash out the one that it mostly hits.
//!   The table is shared between shards and made of single atomics: a lost race miscounts by one, and nothing more.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

const SECOND: u64 = 1_000_000_000;

/// Units per second, with one second's worth as the burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimit {
    per_second: u64,
    /// How far ahead of now the bucket may be booked.
    burst: u64,
}

impl RateLimit {
    /// `None` is no limit. A burst is at least one unit of `largest`, so that no single packet is too large for ever.
    pub(super) fn new(per_second: Option<u64>, largest: u64) -> Option<Self> {
        let per_second = per_second?.max(1);
        Some(Self { per_second, burst: SECOND.max(cost(per_second, largest)) })
    }

    /// Takes `units` from the bucket `state`, or leaves it alone.
    pub(super) fn take(self, state: &mut u64, units: u64, now: u64) -> bool {
        let Some(next) = self.next(*state, units, now) else { return false };
        *state = next;
        true
    }

    /// Takes `units` in any case and returns for how many nanoseconds nothing more should follow.
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

    pub(super) fn take_shared(self, state: &AtomicU64, units: u64, now: u64) -> bool {
        state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| self.next(state, units, now)).is_ok()
    }

    fn next(self, state: u64, units: u64, now: u64) -> Option<u64> {
        let next = state.max(now).saturating_add(cost(self.per_second, units));
        (next - now <= self.burst).then_some(next)
    }
}

fn cost(per_second: u64, units: u64) -> u64 {
    units.saturating_mul(SECOND) / per_second
}

const WAYS: usize = 4;

/// How many times each key was counted in the current window.
#[derive(Debug)]
pub(super) struct SourceLimits {
    /// Tag (32 bits), window (16 bits), count (16 bits).
    entries: Box<[AtomicU64]>,
    seed: u64,
    window: u64,
    limit: u16,
}

impl SourceLimits {
    /// At most `limit` a key in each window of `seconds`, for about `entries` keys at a time.
    pub(super) fn new(entries: usize, seed: u64, seconds: u64, limit: u16) -> Self {
        let entries = entries.next_power_of_two().max(WAYS);
        Self { entries: (0..entries).map(|_| AtomicU64::new(0)).collect(), seed, window: seconds.max(1) * SECOND, limit }
    }

    /// Counts one and says whether it was within the limit.
    pub(super) fn count(&self, key: impl Hash, now: u64) -> bool {
        let (ways, tag, window) = self.place(key, now);
        let (entry, count) = match find(ways, tag, window) {
            Ok(found) => found,
            Err(weakest) => (weakest, 0),
        };
        if count >= self.limit {
            return false;
        }
        entry.store(pack(tag, window, count + 1), Ordering::Relaxed);
        true
    }

    /// Whether one more would be within the limit; counts nothing.
    pub(super) fn allows(&self, key: impl Hash, now: u64) -> bool {
        let (ways, tag, window) = self.place(key, now);
        find(ways, tag, window).map_or(true, |(_, count)| count < self.limit)
    }

    fn place(&self, key: impl Hash, now: u64) -> (&[AtomicU64], u32, u16) {
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        key.hash(&mut hasher);
        let hash = hasher.finish();
        let start = (hash as usize % (self.entries.len() / WAYS)) * WAYS;
        // The tag is never 0, so that an empty entry is nobody's.
        (&self.entries[start..start + WAYS], (hash >> 32) as u32 | 1, (now / self.window) as u16)
    }
}

/// The entry of `tag` and its count, or else the entry that loses least by being overwritten.
fn find(ways: &[AtomicU64], tag: u32, window: u16) -> Result<(&AtomicU64, u16), &AtomicU64> {
    let mut weakest = (&ways[0], u16::MAX);
    for entry in ways {
        let state = entry.load(Ordering::Relaxed);
        let count = if (state >> 16) as u16 == window { state as u16 } else { 0 };
        if (state >> 32) as u32 == tag {
            return Ok((entry, count));
        }
        if count < weakest.1 {
            weakest = (entry, count);
        }
    }
    Err(weakest.0)
}

const fn pack(tag: u32, window: u16, count: u16) -> u64 {
    (tag as u64) << 32 | (window as u64) << 16 | count as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = RateLimit::new(Some(1000), 1).expect("a limit");
        let mut state = 0;
        let start = 50 * SECOND;
        assert_eq!((0..5000).filter(|_| rate.take(&mut state, 1, start)).count(), 1000);
        assert_eq!((0..5000).filter(|_| rate.take(&mut state, 1, start + SECOND / 2)).count(), 500);
        let shared = AtomicU64::new(0);
        assert!(rate.take_shared(&shared, 1000, start));
        assert!(!rate.take_shared(&shared, 1, start));
    }

    #[test]
    fn a_packet_larger_than_a_second_still_passes() {
        let rate = RateLimit::new(Some(100), 65_535).expect("a limit");
        let mut state = 0;
        assert!(rate.take(&mut state, 65_535, SECOND));
        assert!(!rate.take(&mut state, 1, SECOND));
    }

    #[test]
    fn what_is_charged_beyond_the_burst_is_waited_for() {
        let rate = RateLimit::new(Some(100_000), 1).expect("a limit");
        let (mut state, shared) = (0, AtomicU64::new(0));
        for (units, wait) in [(60_000, 0), (60_000, SECOND / 5), (10_000, SECOND * 3 / 10)] {
            assert_eq!(rate.charge(&mut state, units, SECOND), wait);
            assert_eq!(rate.charge_shared(&shared, units, SECOND), wait);
        }
        assert_eq!(rate.charge(&mut state, 1, 2 * SECOND), 0);
    }

    #[test]
    fn a_source_is_counted_by_the_window() {
        let limits = SourceLimits::new(64, 1, 1, 10);
        let now = 7 * SECOND;
        assert_eq!((0..100).filter(|_| limits.count("a", now)).count(), 10);
        assert!(limits.allows("b", now) && !limits.allows("a", now));
        assert!(limits.count("a", now + SECOND));
    }

    #[test]
    fn a_flood_of_others_does_not_wash_out_one_that_repeats() {
        let limits = SourceLimits::new(64, 1, 1, 10);
        let answered = (0..100_000_u32).filter(|other| {
            let _ = limits.count(other, SECOND);
            other % 8 == 0 && limits.count("victim", SECOND)
        });
        assert!(answered.count() <= 30);
    }
}
