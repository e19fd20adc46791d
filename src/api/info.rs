//! `GET /api/info`: the facts about the server that each page requests first.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::operator::Operator;
use super::state::ApiState;
use crate::addresses::interfaces;
use crate::cast::code;
use crate::http::client_info::ClientInfo;
use crate::http::connection_info::LocalAddress;
use crate::http::own_address;

/// Responds 200 with `{name, version, publicUrl, origins, https, maxBitrate, code: {length, alphabet},
/// castAccess}`. With `castAccess: "users"` casters sign in at `/api/sign-in`.
///
/// `publicUrl` is the configured address, with the base path if it has one. `origins` are the addresses under which other machines
/// reach the pages, the most likely one first. A browser on this machine
/// gets all of them, other browsers the one that they used. `https` is `null` without TLS, otherwise `{port, selfSigned,
/// fingerprint}`: `selfSigned` is true for every certificate that browsers warn about, and the fingerprint belongs to the
/// certificate for the requested host.
pub(super) async fn info(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    local: Option<Extension<LocalAddress>>,
    Operator(is_operator): Operator,
) -> Response {
    let origins = match &api.public.public_url {
        Some(url) => vec![url.clone()],
        None if is_operator && client.address.is_loopback() => interfaces::origins("http", api.public.http),
        None => client.host.iter().map(|host| format!("{}://{host}", client.scheme.as_str())).collect(),
    };
    let https = api.certificates.as_ref().zip(api.public.https_port).map(|(certificates, port)| {
        let host = client.host.as_deref().and_then(own_address::parsed_host);
        let host = host.map(|host| interfaces::unbracketed(&host)).unwrap_or_default();
        // The certificate is chosen by the address that the client connected to, as for its TLS handshake: a choice by an address
        // in the request would reveal which addresses this machine has.
        let local = local.and_then(|Extension(LocalAddress(local))| local);
        let current = certificates.for_client(Some(&host), local, client.address);
        json!({"port": port, "selfSigned": !current.is_trusted(), "fingerprint": current.fingerprint})
    });
    let body = json!({
        "name": "castway",
        "version": env!("CARGO_PKG_VERSION"),
        "publicUrl": api.public.public_url,
        "origins": origins,
        "https": https,
        "maxBitrate": api.public.max_bitrate,
        "castAccess": if api.admission.needs_sign_in() { "users" } else { "anyone" },
        "code": {"length": code::CODE_LENGTH, "alphabet": code::characters(api.public.alphabet)},
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
