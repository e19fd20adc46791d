//! Two paths for monitors: `/healthz` says that the process runs, `/readyz` that it can serve clients.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::operator::Operator;
use super::state::{ApiState, Readiness};
use crate::tls::Certificates;

/// Responds 200 with `ok`.
pub(super) async fn alive() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// Responds 200 with `{"ready": true, "not_ready": []}`, or 503 with the names of the parts that are not ready. Operators also
/// see `reasons`, by the names of parts whose reason is known, and the certificate: `{kind, trusted, names, fingerprint, expires,
/// failing}`, or `null` without TLS. `trusted` means that browsers accept it, as far as the server knows; `expires` is in seconds since
/// 1970.
pub(super) async fn ready(State(api): State<Arc<ApiState>>, Operator(is_operator): Operator) -> Response {
    let database = (!api.directory.is_fresh()).then_some("database");
    let file = (!api.directory.is_in_place()).then_some("database_file");
    let mut not_ready: Vec<&str> = database.into_iter().chain(file).collect();
    let mut reasons = Map::new();
    for check in &api.readiness_checks {
        let readiness = (check.check)();
        if readiness != Readiness::Ready {
            not_ready.push(&check.name);
        }
        if let Readiness::NotReadyBecause(reason) = readiness {
            reasons.insert(check.name.to_string(), reason.into());
        }
    }
    let status = if not_ready.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({ "ready": not_ready.is_empty(), "not_ready": not_ready });
    if is_operator {
        if !reasons.is_empty() {
            body["reasons"] = reasons.into();
        }
        body["certificate"] = json!(api.certificates.as_ref().map(certificate));
    }
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn certificate(certificates: &Certificates) -> Value {
    let current = certificates.current();
    json!({
        "kind": current.kind.name(),
        "trusted": current.is_trusted(),
        "names": current.names,
        "fingerprint": current.fingerprint,
        "expires": current.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        "failing": certificates.problem().is_some(),
    })
}
