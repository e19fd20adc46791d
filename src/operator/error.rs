//! [`ActError`]: why something was not done.

use crate::sentence::Sentence;

/// A sentence for the operator in each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// There is no such row, user or ban (any more).
    #[error("{0}")]
    NotFound(String),
    /// What was asked for makes no sense, or is not possible now.
    #[error("{0}")]
    Refused(Sentence),
    /// Too much of this is being done now; later it may go.
    #[error("{0}")]
    Busy(String),
    /// The disk, or a part of the server, has failed.
    #[error("{0}")]
    Failed(String),
}
