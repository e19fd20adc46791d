//! Two paths for monitors: `/healthz` says that the process runs, `/readyz` that it can serve clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::operator::Operator;
use super::state::{ApiState, Readiness};
use crate::tls::Certificates;

#[derive(Serialize, ToSchema)]
pub(super) struct Ready<'a> {
    ready: bool,
    /// The parts that are not ready.
    #[schema(example = json!([]))]
    not_ready: Vec<&'a str>,
    /// Why parts are not ready, by their names. For operators.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    reasons: BTreeMap<&'a str, String>,
    /// For operators; `null` without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Option<CertificateState>>,
}

#[derive(Serialize, ToSchema)]
struct CertificateState {
    /// `self_signed`, `files`, `untrusted_files` or `acme`.
    #[schema(example = "acme")]
    kind: &'static str,
    /// Browsers accept it, as far as the server knows.
    trusted: bool,
    names: Vec<String>,
    /// SHA-256, in hexadecimal.
    fingerprint: String,
    /// In seconds since 1970.
    #[schema(example = 1_800_000_000_u64)]
    expires: u64,
    /// The certificate could not be renewed or read again.
    failing: bool,
}

/// Whether the process runs
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "server",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain", example = "ok\n")),
)]
pub(super) async fn alive() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// Whether the server can serve clients
///
/// The addresses of `CASTWAY_METRICS_ALLOW` also see why parts are not ready, and the certificate.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "server",
    responses(
        (status = 200, description = "It can.", body = Ready),
        (status = 503, description = "Some parts are not ready.", body = Ready),
    ),
)]
pub(super) async fn ready(State(api): State<Arc<ApiState>>, Operator(is_operator): Operator) -> Response {
    let database = (!api.directory.is_fresh()).then_some("database");
    let file = (!api.directory.is_in_place()).then_some("database_file");
    let mut not_ready: Vec<&str> = database.into_iter().chain(file).collect();
    let mut reasons = BTreeMap::new();
    for check in &api.readiness_checks {
        let readiness = (check.check)();
        if readiness != Readiness::Ready {
            not_ready.push(&check.name);
        }
        if let Readiness::NotReadyBecause(reason) = readiness {
            reasons.insert(&*check.name, reason);
        }
    }
    let status = if not_ready.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if !is_operator {
        reasons.clear();
    }
    let certificate = is_operator.then(|| api.certificates.as_ref().map(certificate));
    let body = Ready { ready: not_ready.is_empty(), not_ready, reasons, certificate };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn certificate(certificates: &Certificates) -> CertificateState {
    let current = certificates.current();
    CertificateState {
        kind: current.kind.name(),
        trusted: current.is_trusted(),
        names: current.names.clone(),
        fingerprint: current.fingerprint.clone(),
        expires: current.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        failing: certificates.problem().is_some(),
    }
}
