//! The HTTP-01 challenge of ACME (RFC 8555 §8.3), by which a certificate authority checks that this server controls a name.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::state::ApiState;

/// Responds 200 with the key authorization while an order is open, otherwise 404 (RFC 8555 §8.3).
pub(super) async fn respond(State(api): State<Arc<ApiState>>, Path(token): Path<String>) -> Response {
    match api.certificates.as_ref().and_then(|certificates| certificates.http_challenge(&token)) {
        Some(key_authorization) => ([(header::CONTENT_TYPE, "application/octet-stream")], key_authorization).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
