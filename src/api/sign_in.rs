//! `POST /api/sign-in`: a caster's name and password become a token, which front ends show instead of the password.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::state::ApiState;
use crate::admission::{AdmissionRefusal, SignedIn};
use crate::config::secret::Secret;
use crate::http::client_info::ClientInfo;
use crate::http::problem::{CodedProblem, as_sentence};

#[derive(Deserialize, ToSchema)]
pub(super) struct SignInRequest {
    #[schema(example = "alice")]
    name: String,
    #[schema(format = Password, example = "correct horse battery staple")]
    password: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct SignInReply<'a> {
    /// What front ends show instead of the password.
    token: &'a str,
    #[schema(example = "alice")]
    name: &'a str,
    /// In Unix seconds.
    #[schema(example = 1_800_000_000_u64)]
    expires: u64,
}

/// A caster's name and password become a token
///
/// Front ends show the token instead of the password: in `auth.token` of Socket.IO's handshake, and as a bearer token of `POST /join/ROOM`.
/// The content type is not looked at.
// No cookie tells who asks, so a form of another site could do no harm.
#[utoipa::path(
    post,
    path = "/api/sign-in",
    operation_id = "signIn",
    tag = "users",
    request_body = SignInRequest,
    responses(
        (status = 200, description = "The password is right.", body = SignInReply),
        (status = 400, description = "`malformed_payload`: the body is no such object.", body = CodedProblem),
        (status = 401, description = "`wrong_password`: the name or the password is wrong. `refused`: the user is blocked.", body = CodedProblem),
        (status = 404, description = "`off`: casters need no sign-in here.", body = CodedProblem),
        (status = 429, description = "`too_many_attempts`: wait as long as `retryAfter` says.", body = CodedProblem),
    ),
)]
pub(super) async fn sign_in(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Some(sign_in) = api.admission.sign_in() else {
        return failed(StatusCode::NOT_FOUND, "off", "Casters need no sign-in here.", None);
    };
    let sent = body.ok().and_then(|body| serde_json::from_slice::<SignInRequest>(&body).ok());
    let Some(SignInRequest { name, password }) = sent else {
        return failed(
            StatusCode::BAD_REQUEST,
            "malformed_payload",
            "The body must be a JSON object {name, password} of strings.",
            None,
        );
    };
    match sign_in.sign_in(&name, &Secret::new(password), client.address, SystemTime::now()) {
        Ok(SignedIn { token, expires }) => {
            let body = SignInReply { token: token.expose(), name: &name, expires };
            ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
        Err(refusal) => {
            let throttled = matches!(refusal, AdmissionRefusal::TooManyAttempts { .. });
            let status = if throttled { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::UNAUTHORIZED };
            failed(status, refusal.code(), &as_sentence(&refusal.to_string()), refusal.retry_after())
        }
    }
}

fn failed(status: StatusCode, code: &'static str, message: &str, retry_after: Option<u64>) -> Response {
    CodedProblem::new(status, code, message).retry_after(retry_after).into_response()
}
