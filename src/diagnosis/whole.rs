//! Whole numbers in JSON. JSON Schema takes 3.0 for an integer, and programs whose numbers are all floating send that.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// JavaScript counts no further without losing precision.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// For `deserialize_with`.
pub(super) fn number<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Whole(PhantomData))
}

/// For `deserialize_with` of an optional number.
pub(super) fn optional<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Optional(PhantomData))
}

struct Whole<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for Whole<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number that is not negative")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let unsigned = u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))?;
        self.visit_u64(unsigned)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the condition excludes both")]
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        if number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&number) {
            self.visit_u64(number as u64)
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }
}

struct Optional<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for Optional<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, or a whole number that is not negative")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<T>, E> {
        Whole(PhantomData).visit_i64(number).map(Some)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
        Whole(PhantomData).visit_u64(number).map(Some)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Option<T>, E> {
        Whole(PhantomData).visit_f64(number).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnosis::report::Report;

    #[test]
    fn a_whole_number_may_be_written_as_a_floating_one() {
        let read = |bytes: &str, host: &str| {
            Report::read(&format!(r#"{{"outcome":"connected","bytes":{bytes},"local":{{"host":{host}}}}}"#))
        };
        for (bytes, expected) in [("7", Some(7)), ("7.0", Some(7)), ("7e2", Some(700)), ("null", None), ("0.0", Some(0))] {
            assert_eq!(read(bytes, "3.0").map(|report| (report.bytes, report.local.host)), Ok((expected, 3)), "{bytes}");
        }
        for (bytes, host) in
            [("7.5", "3"), ("-1", "3"), ("-1.0", "3"), ("1e300", "3"), ("\"7\"", "3"), ("7", "3.5"), ("7", "5e9"), ("7", "null")]
        {
            assert!(read(bytes, host).is_err(), "{bytes} {host}");
        }
    }
}
