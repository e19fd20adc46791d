//! `GET /api/info`: what the pages ask about the server before anything else.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Api;
use crate::address;
use crate::cast::code;

/// 200, `{name, version, publicUrl, origins, https, code: {length, alphabet}}`. `origins` are the addresses under which other
/// machines reach the pages, the likeliest first; `https`, where there is TLS, is `{port, selfSigned, fingerprint}`, with
/// `selfSigned` for every certificate that browsers warn about.
pub(super) async fn info(State(api): State<Arc<Api>>) -> Response {
    let origins = match &api.site.public_url {
        Some(url) => vec![url.clone()],
        None => address::origins("http", api.site.http),
    };
    let https = api.certificates.as_ref().zip(api.site.https_port).map(|(certificates, port)| {
        let current = certificates.current();
        json!({"port": port, "selfSigned": !current.is_trusted(), "fingerprint": current.fingerprint})
    });
    let body = json!({
        "name": "castway",
        "version": env!("CARGO_PKG_VERSION"),
        "publicUrl": api.site.public_url,
        "origins": origins,
        "https": https,
        "code": {"length": code::CODE_LENGTH, "alphabet": code::characters(api.site.alphabet)},
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
