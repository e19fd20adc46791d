//! For whoever watches the process: `/healthz` says that it runs, `/readyz` that it can do its work.

use std::sync::Arc;
use std::time::SystemTime;

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

/// 200, `{"ready": true, "not_ready": [], "certificate": {kind, trusted, names, fingerprint, expires, failing}}`, or 503 with
/// the names of what is not ready. `trusted`: clients take it, as far as we know. `expires` is in seconds since 1970; without TLS
/// there is no certificate.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    let database = (!api.directory.is_current()).then_some("database");
    let probes = api.probes.iter().filter(|probe| !(probe.ready)()).map(|probe| &*probe.name);
    let not_ready: Vec<_> = database.into_iter().chain(probes).collect();
    let status = if not_ready.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let certificate = api.certificates.as_ref().map(|certificates| {
        let current = certificates.current();
        json!({
            "kind": current.kind.name(),
            "trusted": current.is_trusted(),
            "names": current.names,
            "fingerprint": current.fingerprint,
            "expires": current.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
            "failing": certificates.problem().is_some(),
        })
    });
    let body = Json(json!({ "ready": not_ready.is_empty(), "not_ready": not_ready, "certificate": certificate }));
    (status, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}
