//! The error type of the REST API's handlers: a status and a [`Problem`], except where the name is missing.
//!
//! A handler returns [`ApiError`] for anything that it refuses. An `anyhow::Error` from a lower layer becomes
//! [`ApiError::Internal`], which is logged here and sent without its cause.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::authorization::{BASIC_CHALLENGE, BEARER_CHALLENGE};
use crate::http::problem::Problem;
use crate::limits::retry_after;
use crate::users::PasswordRefusal;

const BEARER: HeaderValue = HeaderValue::from_static(BEARER_CHALLENGE);
const BASIC: HeaderValue = HeaderValue::from_static(BASIC_CHALLENGE);

/// The answer where the name is missing, which clients of the TURN REST API expect in exactly this form.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NoUsername {
    #[schema(example = "AppError")]
    error: &'static str,
    #[schema(example = "Must provide username.")]
    message: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The TURN REST contract fixes the whole answer.
    #[error("Must provide username.")]
    NoUsername,
    #[error("{0}")]
    BadRequest(String),
    #[error("The request is too large.")]
    TooLarge,
    #[error("An API key is needed: send it as key=… or as a bearer token.")]
    Unauthorized,
    #[error("An API key is needed as a bearer token: Authorization: Bearer KEY.")]
    NoBearer,
    /// Unknown and disabled users and wrong passwords get the same answer, so that it does not reveal which names exist.
    #[error("Send the name and the password of a user by HTTP Basic or in a form, or send an API key.")]
    NotSignedIn,
    /// Removed, disabled and banned users get the same text.
    #[error("This username gets no credentials here.")]
    Forbidden,
    /// For the user and for API keys alone.
    #[error(
        "This user has used up the quota of this month: {bytes} of {quota} bytes were relayed. The next month begins at 00:00 UTC on its first day."
    )]
    QuotaReached { bytes: u64, quota: u64 },
    #[error("Too many requests. Try again later.")]
    TooManyRequests(Duration),
    /// The cause is logged once and never sent.
    #[error("Something went wrong on the server.")]
    Internal(#[source] anyhow::Error),
}

impl ApiError {
    fn name(&self) -> &'static str {
        match self {
            Self::NoUsername => "AppError",
            Self::BadRequest(_) => "BadRequest",
            Self::TooLarge => "TooLarge",
            Self::Unauthorized | Self::NoBearer | Self::NotSignedIn => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::QuotaReached { .. } => "QuotaReached",
            Self::TooManyRequests(_) => "TooManyRequests",
            Self::Internal(_) => "Internal",
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoUsername | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthorized | Self::NoBearer | Self::NotSignedIn => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::QuotaReached { .. } => StatusCode::FORBIDDEN,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            _ => Self::BadRequest("The body could not be read.".into()),
        }
    }
}

impl From<PasswordRefusal> for ApiError {
    fn from(refusal: PasswordRefusal) -> Self {
        match refusal {
            PasswordRefusal::Banned => Self::Forbidden,
            PasswordRefusal::Wrong => Self::NotSignedIn,
            PasswordRefusal::TooMany(wait) => Self::TooManyRequests(wait),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Internal(cause) = &self {
            tracing::error!(cause = format!("{cause:#}"), "a request failed");
        }
        if let Self::NoUsername = &self {
            let body = NoUsername { error: self.name(), message: self.to_string() };
            return (self.status(), [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response();
        }
        let mut problem = Problem::new(self.status(), self.name(), self.to_string());
        if let Self::TooManyRequests(wait) = &self {
            problem = problem.retry_after(retry_after::seconds(*wait));
        }
        let mut response = problem.into_response();
        match self {
            Self::Unauthorized | Self::NoBearer => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, BEARER);
            }
            Self::NotSignedIn => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, BASIC);
                response.headers_mut().append(header::WWW_AUTHENTICATE, BEARER);
            }
            Self::NoUsername
            | Self::BadRequest(_)
            | Self::TooLarge
            | Self::Forbidden
            | Self::QuotaReached { .. }
            | Self::TooManyRequests(_)
            | Self::Internal(_) => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cause_is_never_sent() {
        let response = ApiError::Internal(anyhow::anyhow!("secret path /data")).into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("/data"));
    }

    #[test]
    fn retry_after_is_rounded_up() {
        for (wait, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_500, "60")] {
            let response = ApiError::TooManyRequests(Duration::from_millis(wait)).into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
    }
}
