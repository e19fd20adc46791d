//! The ids of rows. `cast-3` names a row for as long as the server runs.

use crate::whole_number;

pub(super) const CAST: &str = "cast-";
pub(super) const CALL: &str = "call-";
pub(super) const ROOM: &str = "room-";
pub(super) const ALLOCATION: &str = "alloc-";

/// The number in an id that begins with `kind`.
pub(super) fn number(id: &str, kind: &str) -> Option<u64> {
    whole_number::read(id.strip_prefix(kind)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_digits_alone() {
        assert_eq!(number("cast-17", CAST), Some(17));
        for other in ["cast-", "cast-+1", "cast- 1", "cast-x", "Cast-1", "call-1", "cast-99999999999999999999"] {
            assert_eq!(number(other, CAST), None, "{other}");
        }
    }
}
