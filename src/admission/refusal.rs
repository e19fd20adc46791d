//! Why somebody gets no seat.

use std::time::Duration;

use crate::limits::retry_after;

/// The error's text is for people, [`Self::code`] for programs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionRefusal {
    #[error("only signed-in users may cast here; send a name and a password, or a token of /api/sign-in, as auth")]
    SignInRequired,
    #[error("the name or the password is wrong")]
    WrongPassword,
    #[error("too many wrong passwords; wait before you try again")]
    TooManyAttempts {
        /// Until the next try is considered.
        wait: Duration,
    },
    /// With the sentence of the operator's server.
    #[error("{}", .0.as_deref().unwrap_or("the operator of this server does not allow this"))]
    Refused(Option<String>),
    #[error("the operator has blocked this user")]
    Blocked,
    #[error("the server that decides who may take part does not answer; try again later")]
    Unavailable,
}

/// Seconds that a client is told to wait when the operator's server does not answer.
const UNAVAILABLE_WAIT_SECONDS: u64 = 10;

impl AdmissionRefusal {
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::SignInRequired => "sign_in_required",
            Self::WrongPassword => "wrong_password",
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::Refused(_) | Self::Blocked => "refused",
            Self::Unavailable => "unavailable",
        }
    }

    /// The sentence of the operator's server, in whatever language that has; pages show it below a title of their own.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        if let Self::Refused(reason) = self { reason.as_deref() } else { None }
    }

    /// Seconds until another try makes sense.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { wait } => Some(retry_after::seconds(*wait)),
            Self::Unavailable => Some(UNAVAILABLE_WAIT_SECONDS),
            Self::SignInRequired | Self::WrongPassword | Self::Refused(_) | Self::Blocked => None,
        }
    }
}
