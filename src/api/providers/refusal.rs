//! Why a request for credentials is refused, in no provider's shape.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::api::error::ApiError;
use crate::limits::retry_after;
use crate::whole_number;

/// What the providers have numbers, texts or statuses of their own for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    NoKey,
    WrongKey,
    /// The lifetime is no positive number of seconds.
    Lifetime,
    /// The server does not have the function.
    Missing,
    Other,
}

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(reason: Reason, status: StatusCode, message: impl Into<String>) -> Self {
        Self { reason, status, message: message.into(), retry_after: None }
    }

    pub(super) fn no_key() -> Self {
        Self::new(Reason::NoKey, StatusCode::UNAUTHORIZED, "An API key is needed.")
    }

    pub(super) fn wrong_key() -> Self {
        Self::new(Reason::WrongKey, StatusCode::UNAUTHORIZED, "This API key is unknown.")
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(Reason::Other, StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn lifetime(field: &str) -> Self {
        let message = format!("{field} must be {}.", whole_number::expected_from(1, "of seconds"));
        Self::new(Reason::Lifetime, StatusCode::BAD_REQUEST, message)
    }

    /// Credentials are signed, not stored. An answer 404 would mean that they are gone.
    pub(super) fn no_revocation() -> Self {
        let message = "Single credentials can't be revoked here: they end with their ttl, when the operator bans their name, or when the operator replaces the secret that signs them.";
        Self::new(Reason::Missing, StatusCode::NOT_IMPLEMENTED, message)
    }

    /// The answer, whose body is in the provider's shape. `challenge`: how its clients send a key (RFC 9110 §11.6.1).
    pub(super) fn response(&self, challenge: Option<&'static str>, body: impl Serialize) -> Response {
        let mut response = (self.status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(challenge) = challenge.filter(|_| self.status == StatusCode::UNAUTHORIZED) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after::seconds(wait)));
        }
        response
    }
}

/// What every call for credentials refuses, in the description; `P` is the form of the provider's errors.
pub(super) struct Refusals<P>(PhantomData<P>);

impl<P: ToSchema> IntoResponses for Refusals<P> {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let answer = |description| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(P::name()))).build();
            ResponseBuilder::new().description(description).content("application/json", content).build().into()
        };
        [
            (StatusCode::BAD_REQUEST, "A field has a wrong form, or a key is missing that comes in the query."),
            (StatusCode::UNAUTHORIZED, "The key is missing or unknown, or has ended."),
            (StatusCode::FORBIDDEN, "The name gets no credentials, or its quota is used up."),
            (StatusCode::PAYLOAD_TOO_LARGE, "The body or the query is too large."),
            (StatusCode::TOO_MANY_REQUESTS, "There were too many requests, or too many wrong keys."),
        ]
        .into_iter()
        .map(|(status, description)| (status.as_str().to_owned(), answer(description)))
        .collect()
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        if matches!(error, ApiError::Unauthorized) {
            return Self::wrong_key();
        }
        let retry_after = if let ApiError::TooManyRequests(wait) = &error { Some(*wait) } else { None };
        Self { retry_after, ..Self::new(Reason::Other, error.status(), error.to_string()) }
    }
}
