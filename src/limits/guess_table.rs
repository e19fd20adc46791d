//! Counts the wrong guesses for each key, in a table of fixed size. PURE.
//!
//! Each key may be in one of eight entries. If all eight are used, the entry with the least weight is replaced: the one with the
//! fewest wrong guesses in its window, then in its hour, then the oldest one. So no flood makes the table forget all keys. To
//! have one entry replaced, an attacker would have to fill its group with entries of as much weight, without knowing which keys
//! belong to that group.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Duration;

/// Entries in which a key may be.
const ENTRIES_PER_GROUP: usize = 8;

/// Tenths of a second since the owner's epoch.
pub(super) type Ticks = u32;

/// A duration in whole ticks.
pub(super) const fn ticks(time: Duration) -> Ticks {
    let ticks = time.as_millis() / 100;
    if ticks > Ticks::MAX as u128 { Ticks::MAX } else { ticks as Ticks }
}

pub(super) const fn time(ticks: Ticks) -> Duration {
    Duration::from_millis(ticks as u64 * 100)
}

/// The time for which [`GuessCount::total`] counts.
pub(super) const TOTAL_WINDOW: Ticks = ticks(Duration::from_secs(3600));

/// The wrong guesses of one key.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GuessCount {
    /// 0 if the entry is free.
    key: u64,
    /// When the window of `count` began.
    since: Ticks,
    count: u32,
    total_since: Ticks,
    /// The guesses that may get a line in the log, since `total_since`, for [`TOTAL_WINDOW`].
    pub(super) total: u32,
    pub(super) last: Ticks,
}

impl GuessCount {
    /// The wrong guesses in the current window.
    pub(super) fn count(&self, window: Ticks, now: Ticks) -> u32 {
        if now.saturating_sub(self.since) < window { self.count } else { 0 }
    }

    /// The ticks that are left of that window.
    pub(super) fn left(&self, window: Ticks, now: Ticks) -> Ticks {
        self.since.saturating_add(window).saturating_sub(now)
    }

    fn weight(&self, window: Ticks, now: Ticks) -> (u32, u32, Ticks) {
        let total = if now.saturating_sub(self.total_since) < TOTAL_WINDOW { self.total } else { 0 };
        (self.count(window, now), total, self.last)
    }
}

/// What a wrong guess changes besides [`GuessCount::count`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Changes {
    pub(super) last: bool,
    pub(super) total: bool,
}

/// A table of guess counts.
#[derive(Debug)]
pub(super) struct GuessTable {
    /// A group is allocated when one of its keys is counted for the first time.
    groups: Vec<Option<Box<[GuessCount; ENTRIES_PER_GROUP]>>>,
}

impl GuessTable {
    /// Makes a table of so many entries, of 32 bytes each.
    pub(super) fn new(entries: usize) -> Self {
        Self { groups: vec![None; entries.div_ceil(ENTRIES_PER_GROUP).max(1)] }
    }

    /// The entry of a key. The key must be a hash that no client can compute.
    pub(super) fn entry(&self, key: u64) -> Option<&GuessCount> {
        let entries = self.groups[self.group(key)].as_deref()?;
        entries.iter().find(|entry| entry.key == key.max(1))
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, key: u64) {
        let group = self.group(key);
        let Some(entries) = self.groups[group].as_deref_mut() else { return };
        entries.iter_mut().filter(|entry| entry.key == key.max(1)).for_each(|entry| *entry = GuessCount::default());
    }

    /// Counts one more wrong guess, in a window of this length.
    pub(super) fn count(&mut self, key: u64, window: Ticks, now: Ticks) -> GuessCount {
        self.count_as(key, window, now, Changes { last: true, total: true })
    }

    /// As [`Self::count`], where not all of the entry changes.
    pub(super) fn count_as(&mut self, key: u64, window: Ticks, now: Ticks, changes: Changes) -> GuessCount {
        let group = self.group(key);
        let entries = self.groups[group].get_or_insert_default();
        let key = key.max(1);
        let index = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            let weakest = (0..ENTRIES_PER_GROUP).min_by_key(|index| {
                let entry = &entries[*index];
                (entry.key != 0, entry.weight(window, now))
            });
            weakest.unwrap_or_default()
        });
        let entry = &mut entries[index];
        if entry.key != key {
            *entry = GuessCount { key, since: now, total_since: now, last: now, ..GuessCount::default() };
        }
        if now.saturating_sub(entry.since) >= window {
            (entry.since, entry.count) = (now, 0);
        }
        if now.saturating_sub(entry.total_since) >= TOTAL_WINDOW {
            (entry.total_since, entry.total) = (now, 0);
        }
        entry.count = entry.count.saturating_add(1);
        entry.total = entry.total.saturating_add(u32::from(changes.total));
        if changes.last {
            entry.last = now;
        }
        *entry
    }

    #[expect(clippy::cast_possible_truncation, reason = "a remainder of the number of groups fits")]
    fn group(&self, key: u64) -> usize {
        (key % self.groups.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Ticks = ticks(Duration::from_secs(60));

    #[test]
    fn a_key_is_counted_by_the_window_and_by_the_hour() {
        let mut table = GuessTable::new(64);
        for n in 1..=5 {
            let entry = table.count(7, MINUTE, 100);
            assert_eq!((entry.count(MINUTE, 100), entry.total), (n, n));
        }
        assert_eq!(table.entry(7).unwrap().left(MINUTE, 300), 400);
        assert_eq!(table.entry(7).unwrap().count(MINUTE, 700), 0);
        let entry = table.count(7, MINUTE, 700);
        assert_eq!((entry.count(MINUTE, 700), entry.total), (1, 6));
        assert_eq!(table.count(7, MINUTE, 100 + TOTAL_WINDOW).total, 1);
        assert!(table.entry(8).is_none());
    }

    #[test]
    fn where_there_is_no_room_the_least_guilty_and_oldest_goes() {
        let mut table = GuessTable::new(ENTRIES_PER_GROUP);
        for key in 1..=ENTRIES_PER_GROUP as u64 {
            for _ in 0..key + 1 {
                table.count(key, MINUTE, key as Ticks);
            }
        }
        // Keys with one guess replace each other, but no key with more guesses.
        for key in 100..10_000 {
            table.count(key, MINUTE, 50);
        }
        assert!(table.entry(1).is_none(), "it had tried twice, and somebody had to go");
        assert!((2..=ENTRIES_PER_GROUP as u64).all(|key| table.entry(key).is_some()));
        assert!(table.entry(9_999).is_some());
    }
}
