//! Limits by source, in a table of **fixed size**, so that no number of strangers takes more memory.
//!
//! Four entries share each hash. A new source replaces the entry with the smallest count, so that a flood of random sources does
//! not evict the one source that it mostly hits. The shards share the table, which is made of single atomics: a lost race
//! miscounts by one. Time is nanoseconds since an epoch; nothing here reads a clock.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Entries that share one hash.
pub(super) const WAYS: usize = 4;

/// How many times each source was counted in the current window.
#[derive(Debug)]
pub(super) struct SourceLimits {
    /// Tag (32 bits), window (16 bits), count (16 bits).
    entries: Box<[AtomicU64]>,
    seed: u64,
    window: u64,
    limit: u16,
}

impl SourceLimits {
    /// At most `limit` for each source in a window of `seconds`, for about `entries` sources at a time.
    pub(super) fn new(entries: usize, seed: u64, seconds: u64, limit: u16) -> Self {
        let entries = entries.next_power_of_two().max(WAYS);
        Self {
            entries: (0..entries).map(|_| AtomicU64::new(0)).collect(),
            seed,
            window: seconds.max(1) * NANOS_PER_SECOND,
            limit,
        }
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
        let (set, tag) = place(self.seed, key, self.entries.len() / WAYS);
        (&self.entries[set * WAYS..(set + 1) * WAYS], tag, (now / self.window) as u16)
    }
}

/// The set of a key, of `sets`, and its tag. The tag is never 0, so that an empty entry matches no source.
pub(super) fn place(seed: u64, key: impl Hash, sets: usize) -> (usize, u32) {
    let mut hasher = DefaultHasher::new();
    (seed, key).hash(&mut hasher);
    let hash = hasher.finish();
    (hash as usize % sets, (hash >> 32) as u32 | 1)
}

/// The entry of `tag` with its count, or else the entry with the smallest count, which is overwritten.
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
    fn a_source_is_counted_by_the_window() {
        let limits = SourceLimits::new(64, 1, 1, 10);
        let now = 7 * NANOS_PER_SECOND;
        assert_eq!((0..100).filter(|_| limits.count("a", now)).count(), 10);
        assert!(limits.allows("b", now) && !limits.allows("a", now));
        assert!(limits.count("a", now + NANOS_PER_SECOND));
    }

    #[test]
    fn a_flood_of_others_does_not_wash_out_one_that_repeats() {
        let limits = SourceLimits::new(64, 1, 1, 10);
        let answered = (0..100_000_u32).filter(|other| {
            let _ = limits.count(other, NANOS_PER_SECOND);
            other % 8 == 0 && limits.count("victim", NANOS_PER_SECOND)
        });
        assert!(answered.count() <= 30);
    }
}
