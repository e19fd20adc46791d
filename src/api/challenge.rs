//! HTTP-01 (RFC 8555 §8.3): how a certificate authority sees that a name is ours.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Api;

/// 200 with the key authorization while the authority is expected, else 404.
pub(super) async fn answer(State(api): State<Arc<Api>>, Path(token): Path<String>) -> Response {
    match api.certificates.as_ref().and_then(|certificates| certificates.http_challenge(&token)) {
        Some(proof) => ([(header::CONTENT_TYPE, "application/octet-stream")], proof).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
