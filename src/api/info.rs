//! `GET /api/info`: what the pages ask about the server before anything else.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;
use url::Url;

use super::Api;
use super::insider::Insider;
use crate::addresses::interfaces;
use crate::cast::code;
use crate::http::client_info::{CameTo, ClientInfo};

/// 200, `{name, version, publicUrl, origins, https, code: {length, alphabet}}`. `origins` are the addresses under which other
/// machines reach the pages, the likeliest first: all of them for this machine itself, whose browser knows none; for others the one
/// that they came by. `https`, where there is TLS, is `{port, selfSigned, fingerprint}`, with `selfSigned` for every certificate that
/// browsers warn about, and the fingerprint of the one for the host that was asked.
pub(super) async fn info(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<ClientInfo>,
    came_to: Option<Extension<CameTo>>,
    Insider(may_see): Insider,
) -> Response {
    let origins = match &api.site.public_url {
        Some(url) => vec![url.clone()],
        None if may_see && client.address.is_loopback() => interfaces::origins("http", api.site.http),
        None => client.host.iter().map(|host| format!("{}://{host}", client.scheme.as_str())).collect(),
    };
    let https = api.certificates.as_ref().zip(api.site.https_port).map(|(certificates, port)| {
        let host = client
            .host
            .as_ref()
            .and_then(|host| format!("http://{host}").parse::<Url>().ok()?.host().map(|host| host.to_owned()));
        let host = host.map(|host| interfaces::unbracketed(&host)).unwrap_or_default();
        // As its handshake will be judged: by where it comes to, and not by an address that it asks for, or it would learn which are ours.
        let local = came_to.and_then(|Extension(CameTo(local))| local);
        let current = certificates.for_client(Some(&host), local, client.address);
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
