//! Answers of the API: JSON that nobody keeps, and problems.

use std::time::Duration;

use axum::Json;
use axum::extract::FromRequest;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::http::problem::CodedProblem;
use crate::limits::retry_after;
use crate::operator::ActError;
use crate::operator::pages::fitting;
use crate::operator::rows::{MAX_PAGE_ROWS, Page};
use crate::sentence::Sentence;

/// Bytes of the rows of an answer, and of an event.
pub(super) const MAX_ROW_BYTES: usize = 256 * 1024;

/// Why the API does not do what was asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `/admin` is off.
    Off,
    SignedOut,
    WrongPassword,
    /// The request may have come from a page of another origin.
    Csrf,
    NotFound(String),
    Refused(Sentence),
    BadRequest(Sentence),
    TooLarge,
    TooManyAttempts(Duration),
    TooManyStreams,
    Busy,
    Failed(String),
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Off | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::SignedOut | Self::WrongPassword => StatusCode::UNAUTHORIZED,
            Self::Csrf => StatusCode::FORBIDDEN,
            Self::Refused(_) => StatusCode::CONFLICT,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyAttempts(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::TooManyStreams | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::SignedOut => "signed_out",
            Self::WrongPassword => "wrong_password",
            Self::Csrf => "csrf",
            Self::NotFound(_) => "not_found",
            Self::Refused(_) => "refused",
            Self::BadRequest(_) => "bad_request",
            Self::TooLarge => "too_large",
            Self::TooManyAttempts(_) => "too_many_attempts",
            Self::TooManyStreams | Self::Busy => "busy",
            Self::Failed(_) => "failed",
        }
    }

    fn message(&self) -> &str {
        match self {
            Self::Off => "The operator's page is off here; GET state says why.",
            Self::SignedOut => "You are not signed in.",
            Self::WrongPassword => "The name or the password is wrong.",
            Self::Csrf => {
                "A change has to come from the page of this server, as JSON and with the token of its session. Load the page again."
            }
            Self::NotFound(message) | Self::Failed(message) => message,
            Self::Refused(sentence) | Self::BadRequest(sentence) => &sentence.en,
            Self::TooLarge => "The body is too long.",
            Self::TooManyAttempts(_) => "There were too many attempts to sign in. Wait, and try again.",
            Self::TooManyStreams => "As many event streams are open as may be. Close a page of the operator, and try again.",
            Self::Busy => "The server is busy. Try again in a few seconds.",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut problem = CodedProblem::new(self.status(), self.code(), self.message());
        // The page has sentences of its own for the other codes.
        if let Self::Refused(sentence) | Self::BadRequest(sentence) = &self {
            problem = problem.zh(&sentence.zh);
        }
        let wait = if let Self::TooManyAttempts(wait) = self { Some(retry_after::seconds(wait)) } else { None };
        let wait = wait.or_else(|| (self == Self::Busy).then_some(1));
        problem.retry_after(wait).into_response()
    }
}

impl From<ActError> for Refusal {
    fn from(error: ActError) -> Self {
        match error {
            ActError::NotFound(message) => Self::NotFound(message),
            ActError::Refused(message) => Self::Refused(message),
            ActError::Busy(_) => Self::Busy,
            ActError::Failed(message) => Self::Failed(message),
        }
    }
}

/// JSON that no cache keeps.
pub(super) fn json(value: &impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

/// Rows in the form of all lists.
pub(super) fn rows(rows: &impl Serialize) -> Response {
    json(&json!({"rows": rows}))
}

/// The rows of a page, as many as an answer takes.
pub(super) fn page<T: Serialize>(page: Page<T>) -> Response {
    json(&fitting(page, MAX_ROW_BYTES))
}

/// The first rows of a list that grows with what others do.
pub(super) fn first_rows<T: Serialize>(mut rows: Vec<T>) -> Response {
    let total = rows.len();
    rows.truncate(MAX_PAGE_ROWS);
    page(Page { rows, total })
}

/// A body of JSON.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Refusal> {
        let body = axum::body::Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
            _ => Refusal::BadRequest(Sentence::new("The body could not be read.", "无法读取请求的内容。")),
        })?;
        // The error of the parser might repeat a password.
        let wrong = |_| {
            Refusal::BadRequest(Sentence::new(
                "The body does not have the form that this request needs.",
                "请求内容的格式不正确。",
            ))
        };
        serde_json::from_slice(&body).map(Self).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn an_act_that_the_server_is_too_busy_for_may_be_tried_again() {
        let answer = Refusal::from(ActError::Busy("too many".to_owned())).into_response();
        assert_eq!(
            (answer.status(), &answer.headers()[header::RETRY_AFTER]),
            (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(1))
        );
    }
}
