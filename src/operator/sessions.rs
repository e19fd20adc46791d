//! Casts, calls and rooms: the lists, and new codes.

use super::error::ActError;
use super::handle::Operator;
use super::ids;
use super::rows::{CallRow, CastRow, RoomRow};
use crate::cast::model::OperatorRefusal;
use crate::sentence::Sentence;

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
        tracing::info!(by, tv = id, %code, "operator gave a TV a new code");
        Ok(format!("The TV has the new code {code}."))
    }
}

/// Why something was not done to the row `id`, which is the TV's and its cast's.
pub(super) fn cast_error(refusal: OperatorRefusal, what: &str, id: &str) -> ActError {
    match refusal {
        OperatorRefusal::NoTv => ActError::NotFound(format!("there is no {what} {id} (any more)")),
        OperatorRefusal::NoCast | OperatorRefusal::CastRunning | OperatorRefusal::TvAway | OperatorRefusal::KeepsCode => {
            ActError::Refused(sentence(refusal))
        }
    }
}

pub(super) fn sentence(refusal: OperatorRefusal) -> Sentence {
    let in_chinese = match refusal {
        OperatorRefusal::NoTv => "此电视已不存在",
        OperatorRefusal::NoCast => "没有人在向此电视投屏",
        OperatorRefusal::CastRunning => "有人正在向此电视投屏；请先结束投屏",
        OperatorRefusal::TvAway => "此电视已断开；请在它重新连接后再试",
        OperatorRefusal::KeepsCode => "此电视的前端不支持更换投屏码",
    };
    Sentence::new(refusal.to_string(), in_chinese)
}
