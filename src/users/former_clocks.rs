//! The clocks by which this server issued credentials before somebody set its clock.
//!
//! Credentials expire by the clock of the moment of issue. If the clock is then set forward (by decades on a machine without a battery),
//! they would expire immediately; if it is set back, their expiry would look too distant. Judged by the former clock, they have at least
//! the lifetime that they were given. A former clock is asked only for as long as the longest lifetime of credentials.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::credentials::{CLOCK_SLACK, unix_seconds};
use crate::clock::WallClock;

/// Maximum number of former clocks. If the clock is set more often within the lifetime of credentials, the former clock that differs least
/// from another one is forgotten. A clock that is set by a few seconds again and again then costs credentials a few seconds, and a former
/// clock that was years away is kept.
const MAX_FORMER_CLOCKS: usize = 8;

#[derive(Debug, Default)]
pub(super) struct FormerClocks(RwLock<Clocks>);

#[derive(Debug, Default)]
struct Clocks {
    /// The current clock, as this server last saw it; `None` where nobody watches the clock.
    watched: Option<WallClock>,
    former: Vec<FormerClock>,
}

#[derive(Debug, Clone, Copy)]
struct FormerClock {
    /// Seconds by which it is behind the watched clock; negative if it is ahead.
    behind: i64,
    /// When all credentials that were issued by it have expired, in Unix seconds of the current clock.
    ends: u64,
}

impl FormerClocks {
    /// The current clock from now on. Until [`Self::note_set`] says that somebody has set it, credentials of before are judged by it.
    pub(super) fn watch(&self, clock: WallClock) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).watched = Some(clock);
    }

    /// The clock was set by `by` seconds, and says `now`; credentials live for `longest` at most.
    pub(super) fn note_set(&self, by: i64, now: SystemTime, longest: Duration) {
        let now = unix_seconds(now);
        let mut clocks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let former = &mut clocks.former;
        for clock in former.iter_mut() {
            clock.behind = clock.behind.saturating_add(by);
            clock.ends = clock.ends.saturating_add_signed(by);
        }
        former.retain(|clock| clock.ends > now);
        former.push(FormerClock { behind: by, ends: now.saturating_add((longest + CLOCK_SLACK).as_secs()) });
        if former.len() > MAX_FORMER_CLOCKS {
            let least = (0..former.len()).min_by_key(|at| distance_to_another(former, *at));
            former.remove(least.expect("there are more than the maximum"));
        }
    }

    /// The earliest of these times: what is over by it is over by every clock that counts.
    pub(super) fn earliest(&self, now: SystemTime) -> SystemTime {
        self.readings(now).into_iter().min().unwrap_or(now)
    }

    /// The time by the clock, and by each former clock that still counts.
    pub(super) fn readings(&self, now: SystemTime) -> Vec<SystemTime> {
        let clocks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // Differs from `now` if the clock was set and nobody has noticed yet.
        let watched = clocks.watched.map(|clock| UNIX_EPOCH + Duration::from_secs(clock.unix_seconds(Instant::now())));
        let base = watched.unwrap_or(now);
        let seconds = unix_seconds(base);
        let said = clocks.former.iter().filter(|clock| clock.ends > seconds).filter_map(|clock| {
            let distance = Duration::from_secs(clock.behind.unsigned_abs());
            if clock.behind < 0 { base.checked_add(distance) } else { base.checked_sub(distance) }
        });
        std::iter::once(now).chain(watched).chain(said).collect()
    }
}

/// How many seconds the clock at `at` is from the current clock, or from another former one that counts at least as long.
fn distance_to_another(former: &[FormerClock], at: usize) -> u64 {
    let FormerClock { behind, ends } = former[at];
    let others = former.iter().enumerate().filter(|(other, clock)| *other != at && clock.ends >= ends);
    let nearest = others.map(|(_, clock)| clock.behind.abs_diff(behind)).min();
    nearest.unwrap_or(u64::MAX).min(behind.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const YEAR: i64 = 365 * 86_400;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn until_somebody_notices_the_clock_of_before_counts() {
        let (clocks, start) = (FormerClocks::default(), Instant::now());
        clocks.watch(WallClock::new(start, at(1_800_000_000)));
        clocks.note_set(YEAR, at(1_800_000_000), DAY);
        let before = [at(1_800_000_000), at(1_800_000_000 - YEAR.unsigned_abs())];
        let near = |one: &SystemTime, other: SystemTime| one.duration_since(other).is_ok_and(|passed| passed < DAY);
        for now in [0, 1_800_000_000, 4_000_000_000] {
            let readings = clocks.readings(at(now));
            assert_eq!(readings[0], at(now));
            assert!(before.iter().all(|time| readings.iter().any(|reading| near(reading, *time))), "{readings:?}");
        }
    }

    #[test]
    fn many_small_steps_do_not_push_out_a_large_one() {
        let (clocks, mut now) = (FormerClocks::default(), 1_800_000_000);
        clocks.note_set(YEAR, at(now), DAY);
        for step in [4, 4, -7, 5, 4, 4, -30, 6, 4, 60, 4, -4, 4, 5, 5, 5] {
            now = (now + 10).saturating_add_signed(step);
            clocks.note_set(step, at(now), DAY);
        }
        let readings = clocks.readings(at(now));
        assert!(readings.len() <= 1 + MAX_FORMER_CLOCKS);
        let year_ago = now - YEAR.unsigned_abs();
        assert!(readings.iter().any(|reading| *reading < at(year_ago + 100)), "{readings:?}");
        assert_eq!(clocks.earliest(at(now)), *readings.iter().min().unwrap());
        assert_eq!(clocks.earliest(at(now + 2 * 86_400)), at(now + 2 * 86_400), "no former clock counts for ever");
    }
}
