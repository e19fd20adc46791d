//! Asks the operator's own server who may take a seat (`CASTWAY_AUTHORIZE_URL`).

use std::net::IpAddr;

use crate::config::secret::Secret;

/// What somebody wants to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeatKind {
    Tv,
    Caster,
    Call,
}

impl SeatKind {
    /// Its word in questions and in `CASTWAY_AUTHORIZE`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tv => "tv",
            Self::Caster => "caster",
            Self::Call => "call",
        }
    }
}

/// Who wants a seat, and which one.
#[derive(Debug, Clone)]
pub struct Question {
    pub kind: SeatKind,
    /// The whole code, or the room.
    pub place: Option<String>,
    /// The name that the client gives itself, which proves nothing.
    pub name: Option<String>,
    /// The user who signed in to this server.
    pub user: Option<String>,
    /// Whatever the front end sent.
    pub token: Option<Secret<String>>,
    pub address: IpAddr,
    /// The User-Agent of its connection.
    pub agent: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Allowed,
    /// With the sentence of the operator's server, if it has sent one.
    Refused(Option<String>),
    /// The operator's server has not answered in time, or not as it should, and `CASTWAY_AUTHORIZE_DOWN` doesn't allow what can't be asked.
    Unavailable,
}

/// Asks. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Authorizer;

impl Authorizer {
    /// Whether seats of this kind need an answer. If not, don't [`ask`](Self::ask).
    #[must_use]
    pub fn is_on(&self, _kind: SeatKind) -> bool {
        false
    }

    /// The answer, within two seconds.
    #[expect(clippy::unused_async, reason = "the questions come next")]
    pub async fn ask(&self, _question: Question) -> Answer {
        Answer::Allowed
    }
}
