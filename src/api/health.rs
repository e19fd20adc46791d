//! For whoever watches the process: `/healthz` says that it runs, `/readyz` that it can do its work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Api;

/// 200, `ok`.
pub(super) async fn alive() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// 200, `{"ready":true,"not_ready":[]}`, or 503 with the names of what is not ready.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    let database = (!api.directory.is_current()).then_some("database");
    let probes = api.probes.iter().filter(|probe| !(probe.ready)()).map(|probe| probe.name);
    let not_ready: Vec<_> = database.into_iter().chain(probes).collect();
    let status = if not_ready.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Json(json!({ "ready": not_ready.is_empty(), "not_ready": not_ready }));
    (status, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}
