//! `GET /api/info`: the facts about the server that each page requests first.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::operator::Operator;
use super::state::ApiState;
use crate::addresses::interfaces;
use crate::cast::code;
use crate::http::client_info::ClientInfo;
use crate::http::connection_info::LocalAddress;
use crate::http::own_address;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info<'a> {
    #[schema(example = "castway")]
    name: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The configured address, with the base path if it has one.
    #[schema(example = "https://cast.example.org", required)]
    public_url: Option<&'a str>,
    /// The addresses under which other machines reach the pages, the most likely one first. A browser on this machine gets all of
    /// them, other browsers the one that they used.
    #[schema(example = json!(["https://cast.example.org"]))]
    origins: Vec<String>,
    /// `null` without TLS.
    #[schema(required)]
    https: Option<Https>,
    /// kbit/s that a page may send of its picture; `null`: as many as it likes.
    #[schema(required, example = 4000)]
    max_bitrate: Option<u32>,
    /// With `users` casters sign in at `/api/sign-in`.
    cast_access: CastAccess,
    code: CodeForm,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Https {
    #[schema(example = 8443)]
    port: u16,
    /// True for every certificate that browsers warn about.
    self_signed: bool,
    /// SHA-256 of the certificate for the requested host, in hexadecimal.
    fingerprint: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum CastAccess {
    Users,
    Anyone,
}

/// The form of the codes that TVs show.
#[derive(Serialize, ToSchema)]
struct CodeForm {
    #[schema(example = 6)]
    length: usize,
    #[schema(example = "0123456789")]
    alphabet: &'static str,
}

/// Facts about the server, which each page requests first
#[utoipa::path(
    get,
    path = "/api/info",
    operation_id = "info",
    tag = "server",
    responses((status = 200, description = "The facts.", body = Info)),
)]
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
        Https { port, self_signed: !current.is_trusted(), fingerprint: current.fingerprint.clone() }
    });
    let body = Info {
        name: "castway",
        version: env!("CARGO_PKG_VERSION"),
        public_url: api.public.public_url.as_deref(),
        origins,
        https,
        max_bitrate: api.public.max_bitrate,
        cast_access: if api.admission.needs_sign_in() { CastAccess::Users } else { CastAccess::Anyone },
        code: CodeForm { length: code::CODE_LENGTH, alphabet: code::characters(api.public.alphabet) },
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
