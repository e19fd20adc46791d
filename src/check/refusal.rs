//! What a request to `/check` is refused with: a status and a [`Problem`].

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::key_table::KeyRefusal;
use crate::http::problem::Problem;
use crate::limits::retry_after;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("This key is not valid: keys end after 15 minutes. Ask the operator for a new one (castway doctor).")]
    UnknownKey,
    #[error("This key has been used. Each key starts one check: ask the operator for a new one (castway doctor).")]
    UsedKey,
    #[error("No check waits for a second device with these digits. They end after 5 wrong tries: start a new check then.")]
    UnknownDigits,
    #[error("This check is over: a check ends after 15 minutes.")]
    NoSession,
    #[error("No second device has joined this check.")]
    NoPeer,
    #[error("{0}")]
    BadRequest(String),
    #[error("The other device has not taken the earlier messages, or this check has sent too many.")]
    TooManyMessages,
    #[error("This check has sent all the results that it may send.")]
    TooManyResults,
    #[error("The request is too large.")]
    TooLarge,
    #[error("Too many requests. Try again later.")]
    TooManyRequests(Duration),
}

impl From<KeyRefusal> for Refusal {
    fn from(refusal: KeyRefusal) -> Self {
        match refusal {
            KeyRefusal::Used => Self::UsedKey,
            KeyRefusal::Unknown => Self::UnknownKey,
        }
    }
}

impl Refusal {
    const fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownKey => (StatusCode::FORBIDDEN, "UnknownKey"),
            Self::UsedKey => (StatusCode::GONE, "UsedKey"),
            Self::UnknownDigits => (StatusCode::FORBIDDEN, "UnknownDigits"),
            Self::NoSession => (StatusCode::NOT_FOUND, "NoSession"),
            Self::NoPeer => (StatusCode::CONFLICT, "NoPeer"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::TooManyMessages => (StatusCode::TOO_MANY_REQUESTS, "TooManyMessages"),
            Self::TooManyResults => (StatusCode::TOO_MANY_REQUESTS, "TooManyResults"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "TooLarge"),
            Self::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, name) = self.parts();
        let problem = Problem::new(status, name, self.to_string());
        match self {
            Self::TooManyRequests(wait) => problem.retry_after(retry_after::seconds(wait)),
            Self::UnknownKey
            | Self::UsedKey
            | Self::UnknownDigits
            | Self::NoSession
            | Self::NoPeer
            | Self::BadRequest(_)
            | Self::TooManyMessages
            | Self::TooManyResults
            | Self::TooLarge => problem,
        }
        .into_response()
    }
}
