//! Cloudflare Realtime TURN: `POST /v1/turn/keys/{id}/credentials/generate-ice-servers`, and the older `…/generate`.
//!
//! From its documentation (developers.cloudflare.com/realtime/turn: generate-credentials, replacing-existing, faq): the key is a bearer
//! token; the body has `ttl` in seconds and `customIdentifier`, under which usage is kept; the answer is 201, and 204 to a revocation.
//! `generate` answers with one object instead of a list. Bodies of errors are not documented for these paths; `errorCode` and
//! `errorDescription` are those of the other API on the same host.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::caller::{Caller, Grant, granted};
use super::fields::{json_fields, lifetime, lifetime_schema, name_in_path, text};
use super::refusal::{Reason, Refusal, Refusals};
use crate::api::described::{RequestedName, RequestedNameOrEmpty};
use crate::api::error::ApiError;
use crate::api::ice_server::IceServer;
use crate::api::state::ApiState;
use crate::http::authorization::{BEARER_CHALLENGE, bearer};
use crate::http::client_info::ClientInfo;

/// The fields of a request; others are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
pub(super) struct CloudflareRequest {
    #[schema(schema_with = lifetime_schema, required = false)]
    ttl: Option<Value>,
    /// The name under which the traffic is kept; the id of the path if it is absent or empty.
    #[serde(rename = "customIdentifier")]
    custom_identifier: Option<RequestedNameOrEmpty>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CloudflareServers {
    #[serde(rename = "iceServers")]
    ice_servers: Vec<IceServer>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CloudflareCredentials {
    #[serde(rename = "iceServers")]
    ice_servers: IceServer,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CloudflareProblem {
    #[serde(rename = "errorCode")]
    error_code: &'static str,
    #[serde(rename = "errorDescription")]
    error_description: String,
}

#[derive(Debug)]
pub(super) struct CloudflareError(Refusal);

/// Credentials as a list of ICE servers, in the form of Cloudflare
#[utoipa::path(
    post,
    path = "/v1/turn/keys/{id}/credentials/generate-ice-servers",
    tag = "providers",
    operation_id = "cloudflareGenerateIceServers",
    params(("id" = RequestedName, Path, description = "Any name; the traffic is kept under it.", example = "my-application")),
    request_body = Option<CloudflareRequest>,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "ICE servers with credentials", body = CloudflareServers),
        Refusals<CloudflareProblem>,
    )
)]
pub(super) async fn generate_ice_servers(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, CloudflareError> {
    Ok(granted(StatusCode::CREATED, CloudflareServers::new(issue(&api, &client, id, &headers, body)?)))
}

/// Credentials as one ICE server, in the older form of Cloudflare
#[utoipa::path(
    post,
    path = "/v1/turn/keys/{id}/credentials/generate",
    tag = "providers",
    operation_id = "cloudflareGenerate",
    params(("id" = RequestedName, Path, description = "Any name; the traffic is kept under it.", example = "my-application")),
    request_body = Option<CloudflareRequest>,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "One ICE server with credentials", body = CloudflareCredentials),
        Refusals<CloudflareProblem>,
    )
)]
pub(super) async fn generate(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, CloudflareError> {
    Ok(granted(StatusCode::CREATED, CloudflareCredentials::new(issue(&api, &client, id, &headers, body)?)))
}

/// The revocation of Cloudflare, which is always refused
///
/// Credentials are signed, not stored.
#[utoipa::path(
    post,
    path = "/v1/turn/keys/{id}/credentials/{username}/revoke",
    tag = "providers",
    operation_id = "cloudflareRevoke",
    params(("id" = String, Path), ("username" = String, Path)),
    responses((status = 501, description = "Single credentials can't be revoked here.", body = CloudflareProblem))
)]
pub(super) async fn revoke() -> CloudflareError {
    CloudflareError(Refusal::no_revocation())
}

fn issue(
    api: &ApiState,
    client: &ClientInfo,
    id: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
    sent: Result<Bytes, BytesRejection>,
) -> Result<Grant, Refusal> {
    Caller::count(api, client)?;
    let caller = Caller::with_key(api, client, bearer(headers))?;
    let id = name_in_path(id)?;
    let fields = json_fields(&sent.map_err(ApiError::from)?)?;
    let name = text(&fields, "customIdentifier")?.unwrap_or(&id);
    caller.grant(name, lifetime(&fields, "ttl")?)
}

impl CloudflareServers {
    fn new(Grant { stun, turn, credentials }: Grant) -> Self {
        Self { ice_servers: IceServer::list(stun, turn, &credentials) }
    }
}

impl CloudflareCredentials {
    fn new(Grant { stun, turn, credentials }: Grant) -> Self {
        Self { ice_servers: IceServer::with_credentials([stun, turn].concat(), &credentials) }
    }
}

impl From<Refusal> for CloudflareError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for CloudflareError {
    fn into_response(self) -> Response {
        let error_code = match (self.0.reason, self.0.status) {
            (Reason::NoKey | Reason::WrongKey, _) => "unauthorized",
            (Reason::Lifetime, _) => "invalid_ttl",
            (Reason::Missing, _) => "not_implemented",
            (Reason::Other, StatusCode::TOO_MANY_REQUESTS) => "too_many_requests",
            (Reason::Other, StatusCode::FORBIDDEN) => "forbidden",
            (Reason::Other, _) => "invalid_request",
        };
        self.0.response(Some(BEARER_CHALLENGE), CloudflareProblem { error_code, error_description: self.0.message.clone() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::super::caller::example;
    use super::*;

    #[test]
    fn the_list_has_a_server_for_stun_and_one_for_turn() {
        let turn = json!({"urls": ["turn:h:1?transport=udp", "turn:h:1?transport=tcp"], "username": "1:a", "credential": "pw"});
        let full = to_value(CloudflareServers::new(example(&["stun:h:1"]))).unwrap();
        assert_eq!(full, json!({"iceServers": [{"urls": ["stun:h:1"]}, turn]}));
        assert_eq!(to_value(CloudflareServers::new(example(&[]))).unwrap(), json!({"iceServers": [turn]}));
    }

    #[test]
    fn the_older_form_is_one_server_with_all_urls() {
        let urls = ["stun:h:1", "turn:h:1?transport=udp", "turn:h:1?transport=tcp"];
        let expected = json!({"iceServers": {"urls": urls, "username": "1:a", "credential": "pw"}});
        assert_eq!(to_value(CloudflareCredentials::new(example(&["stun:h:1"]))).unwrap(), expected);
    }

    #[tokio::test]
    async fn an_error_has_a_code_and_a_description() {
        for (refusal, status, code) in [
            (Refusal::no_key(), 401, "unauthorized"),
            (Refusal::lifetime("ttl"), 400, "invalid_ttl"),
            (Refusal::malformed("x"), 400, "invalid_request"),
            (Refusal::no_revocation(), 501, "not_implemented"),
        ] {
            let response = CloudflareError(refusal).into_response();
            assert_eq!(response.status(), status);
            let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["errorCode"], code);
            assert!(body["errorDescription"].is_string());
        }
    }
}
