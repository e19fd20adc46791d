//! Days and months since 1970, UTC. PURE.

use std::time::SystemTime;

use crate::users::credentials::unix_seconds;

const SECONDS_PER_DAY: u64 = 86_400;
const DAYS_PER_400_YEARS: i64 = 146_097;
/// From the first of March of year 0 to the first of January 1970.
const DAYS_BEFORE_1970: i64 = 719_468;

/// The day of a time.
#[must_use]
pub fn day_of(time: SystemTime) -> i64 {
    i64::try_from(unix_seconds(time) / SECONDS_PER_DAY).unwrap_or(i64::MAX)
}

/// The month of a day.
#[must_use]
pub fn month_of(day: i64) -> i64 {
    let (year, month, _) = date(day);
    (year - 1970) * 12 + month - 1
}

/// As `2026-11-29`.
#[must_use]
pub fn day_name(day: i64) -> String {
    let (year, month, day) = date(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// As `2026-11`.
#[must_use]
pub fn month_name(month: i64) -> String {
    format!("{:04}-{:02}", 1970 + month.div_euclid(12), month.rem_euclid(12) + 1)
}

/// Year, month and day of the Gregorian calendar. Years are counted from March here, so that the day that leap years add is their last.
fn date(day: i64) -> (i64, i64, i64) {
    let day = day.saturating_add(DAYS_BEFORE_1970);
    let (era, mut rest) = (day.div_euclid(DAYS_PER_400_YEARS), day.rem_euclid(DAYS_PER_400_YEARS));
    // The last day of four centuries, and of four years, would begin another one.
    let century = (rest / 36_524).min(3);
    rest -= century * 36_524;
    let four = rest / 1461;
    rest -= four * 1461;
    let one = (rest / 365).min(3);
    rest -= one * 365;
    let year = era * 400 + century * 100 + four * 4 + one;
    // The months from March on have 31, 30, 31, 30 and 31 days, and again.
    let from_march = (5 * rest + 2) / 153;
    let day = rest - (153 * from_march + 2) / 5 + 1;
    if from_march < 10 { (year, from_march + 3, day) } else { (year + 1, from_march - 9, day) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_have_their_dates() {
        // As `date -u -d @SECONDS +%F` prints them.
        for (day, name) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (10_956, "1999-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_786, "2026-11-29"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(day_name(day), name, "{day}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = date(0);
        for day in 1..200_000 {
            let now = date(day);
            let follows = now == (before.0, before.1, before.2 + 1)
                || now == (before.0, before.1 + 1, 1) && before.2 >= 28
                || now == (before.0 + 1, 1, 1) && (before.1, before.2) == (12, 31);
            assert!(follows, "{before:?} {now:?}");
            before = now;
        }
    }

    #[test]
    fn months_are_those_of_their_days() {
        assert_eq!((month_of(0), month_of(30), month_of(31)), (0, 0, 1));
        assert_eq!(month_name(month_of(20_786)), "2026-11");
        assert_eq!(day_of(SystemTime::UNIX_EPOCH + Duration::from_secs(86_399)), 0);
        assert_eq!(day_of(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400)), 1);
    }
}
