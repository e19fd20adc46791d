//! `POST /api/sign-in`: a caster's name and password become a token, which front ends show instead of the password.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;

use super::state::ApiState;
use crate::admission::{AdmissionRefusal, SignedIn};
use crate::config::secret::Secret;
use crate::http::client_info::ClientInfo;

#[derive(Deserialize)]
struct SignInRequest {
    name: String,
    password: String,
}

/// Responds 200 with `{token, name, expires}`, `expires` in Unix seconds, or with `{error: {code, message, retryAfter?}}`: 401
/// `wrong_password`, 429 `too_many_attempts`, 400 `malformed_payload`, and 404 `off` where casters need no sign-in.
///
/// The content type is not looked at: no cookie tells who asks, so a form of another site could do no harm.
pub(super) async fn sign_in(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Some(sign_in) = api.admission.sign_in() else {
        return failed(StatusCode::NOT_FOUND, "off", "casters need no sign-in here", None);
    };
    let sent = body.ok().and_then(|body| serde_json::from_slice::<SignInRequest>(&body).ok());
    let Some(SignInRequest { name, password }) = sent else {
        return failed(StatusCode::BAD_REQUEST, "malformed_payload", "malformed payload: expected {name, password}", None);
    };
    match sign_in.sign_in(&name, &Secret::new(password), client.address, SystemTime::now()) {
        Ok(SignedIn { token, expires }) => {
            let body = json!({"token": token.expose(), "name": name, "expires": expires});
            ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
        Err(refusal) => {
            let throttled = matches!(refusal, AdmissionRefusal::TooManyAttempts { .. });
            let status = if throttled { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::UNAUTHORIZED };
            failed(status, refusal.code(), &refusal.to_string(), refusal.retry_after())
        }
    }
}

fn failed(status: StatusCode, code: &str, message: &str, retry_after: Option<u64>) -> Response {
    let mut error = json!({"code": code, "message": message});
    if let Some(seconds) = retry_after {
        error["retryAfter"] = seconds.into();
    }
    let mut response = (status, [(header::CACHE_CONTROL, "no-store")], Json(json!({"error": error}))).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
