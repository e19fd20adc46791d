//! The size of the objects that one side of a room describes itself to the other with.

use super::failure::Failure;
use crate::limits::message_size::TooLarge;

/// KiB of a TV's `screen`, and of a `CAST_STATE`.
const MAX_KIB: usize = 2;

/// Checks an object of so many bytes.
///
/// # Errors
/// The object is too large.
pub(super) fn check(bytes: usize) -> Result<(), Failure> {
    match bytes.div_ceil(1024) {
        sent if sent > MAX_KIB => Err(Failure::too_large(TooLarge { limit: MAX_KIB, sent })),
        _ => Ok(()),
    }
}
