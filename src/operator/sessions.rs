//! Casts, calls and rooms: the lists, and new codes.

use super::error::ActError;
use super::handle::Operator;
use super::ids;
use super::rows::{CallRow, CastRow, RoomRow};
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

    /// Gives the TV of this row a new code.
    ///
    /// # Errors
    /// [`ActError`].
    pub fn new_code(&self, id: &str, by: &str) -> Result<String, ActError> {
        let number = ids::number(id, ids::CAST).ok_or_else(|| ActError::NotFound(format!("there is no TV {id:?}")))?;
        let code = self.0.cast.new_code(number).map_err(|refusal| cast_error(refusal, "TV", id))?;
        tracing::info!(by, tv = id, %code, "an operator has given a TV a new code");
        Ok(format!("The TV has the new code {code}."))
    }
}

/// Why something was not done to the row `id`, which is the TV's and its cast's.
pub(super) fn cast_error(refusal: OperatorRefusal, what: &str, id: &str) -> ActError {
    match refusal {
        OperatorRefusal::NoTv => ActError::NotFound(format!("there is no {what} {id} (any more)")),
        OperatorRefusal::NoCast | OperatorRefusal::CastRunning | OperatorRefusal::TvAway | OperatorRefusal::KeepsCode => {
            ActError::Refused(refusal.to_string())
        }
    }
}
