//! PURE. Whole numbers in text: how they are written, and the sentence that says which are expected.
//!
//! A number is written in decimal digits alone. Rust's own `parse` also takes a `+`, which no setting, id or field here has.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Whether `text` is one decimal digit at least, and nothing else.
#[must_use]
pub fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number that `text` writes; `None` for anything but digits, and for more than `N` holds.
#[must_use]
pub fn read<N: FromStr>(text: &str) -> Option<N> {
    is_digits(text).then(|| text.parse().ok()).flatten()
}

/// The number that `text` writes, if it is in `range`.
#[must_use]
pub fn read_in<N: FromStr + PartialOrd>(text: &str, range: &RangeInclusive<N>) -> Option<N> {
    read(text).filter(|number| range.contains(number))
}

/// The number that `text` writes, or the largest one where it is larger; `None` for anything but digits.
#[must_use]
pub fn read_clamped(text: &str) -> Option<u64> {
    is_digits(text).then(|| text.parse().unwrap_or(u64::MAX))
}

/// What is expected of a text that [`read_in`] reads; `unit` is what it counts, as in "of seconds", or empty.
#[must_use]
pub fn expected<N: Display>(range: &RangeInclusive<N>, unit: &str) -> String {
    format!("{} from {} to {}", counted(unit), range.start(), range.end())
}

/// The same without an upper end.
#[must_use]
pub fn expected_from(least: u64, unit: &str) -> String {
    format!("{} from {least}", counted(unit))
}

fn counted(unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { " " };
    format!("a whole number{space}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_WHOLE: [&str; 10] = ["", "-", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "١"];

    #[test]
    fn a_number_has_digits_alone() {
        assert_eq!((read("0"), read("007"), read("255")), (Some(0_u8), Some(7), Some(255)));
        assert_eq!(read::<u8>("256"), None, "it is more than a byte holds");
        for text in NOT_WHOLE {
            assert_eq!(read::<i64>(text), None, "{text:?}");
            assert_eq!(read_clamped(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_range_has_both_of_its_ends() {
        let read = |text| read_in(text, &(1..=60_u64));
        assert_eq!((read("1"), read("60")), (Some(1), Some(60)));
        assert_eq!((read("0"), read("61"), read("+1")), (None, None, None));
    }

    #[test]
    fn a_number_that_is_too_large_may_be_clamped() {
        assert_eq!(read_clamped("18446744073709551615"), Some(u64::MAX));
        assert_eq!(read_clamped("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(read_clamped("86400"), Some(86_400));
    }

    #[test]
    fn what_is_expected_names_the_unit_and_the_ends() {
        assert_eq!(expected(&(1..=60), "of seconds"), "a whole number of seconds from 1 to 60");
        assert_eq!(expected(&(0..=9), ""), "a whole number from 0 to 9");
        assert_eq!(expected_from(1, "of seconds"), "a whole number of seconds from 1");
    }
}
