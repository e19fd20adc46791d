//! The clocks by which this server issued credentials before somebody set its clock.
//!
//! Credentials expire by the clock of the moment of issue. If the clock is then set forward (by decades on a machine without a battery),
//! they would expire immediately; if it is set back, their expiry would look too distant. Judged by the former clock, they have at least
//! the lifetime that they were given. A former clock is asked only for as long as the longest lifetime of credentials.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use super::credentials::{CLOCK_SLACK, unix_seconds};

/// Maximum number of former clocks. If the clock is set more often within the lifetime of credentials, some end early.
const MAX_FORMER_CLOCKS: usize = 4;

#[derive(Debug, Default)]
pub(super) struct FormerClocks(RwLock<Vec<FormerClock>>);

#[derive(Debug, Clone, Copy)]
struct FormerClock {
    /// Seconds by which it is behind the current clock; negative if it is ahead.
    behind: i64,
    /// When all credentials that were issued by it have expired, in Unix seconds of the current clock.
    ends: u64,
}

impl FormerClocks {
    /// The clock was set by `by` seconds, and says `now`; credentials live for `longest` at most.
    pub(super) fn note_set(&self, by: i64, now: SystemTime, longest: Duration) {
        let now = unix_seconds(now);
        let mut former = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for clock in &mut *former {
            clock.behind = clock.behind.saturating_add(by);
            clock.ends = clock.ends.saturating_add_signed(by);
        }
        former.retain(|clock| clock.ends > now);
        if former.len() >= MAX_FORMER_CLOCKS {
            former.remove(0);
        }
        former.push(FormerClock { behind: by, ends: now.saturating_add((longest + CLOCK_SLACK).as_secs()) });
    }

    /// The time by the clock, and by each former clock that still counts.
    pub(super) fn readings(&self, now: SystemTime) -> Vec<SystemTime> {
        let former = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let seconds = unix_seconds(now);
        let counts = former.iter().filter(|clock| clock.ends > seconds);
        let said = counts.filter_map(|clock| {
            let distance = Duration::from_secs(clock.behind.unsigned_abs());
            if clock.behind < 0 { now.checked_add(distance) } else { now.checked_sub(distance) }
        });
        std::iter::once(now).chain(said).collect()
    }
}
