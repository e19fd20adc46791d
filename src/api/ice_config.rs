//! `GET` and `POST /v1alpha/iceconfig`: ICE servers for AppRTC clients, which ask for them without a username.
//! `/v1alpha/turn` serves the clients of 2014 to 2016, which expect the response of the TURN REST API.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::error::ApiError;
use super::ice_server::IceServer;
use super::state::ApiState;
use super::turn_credentials::TurnReply;
use crate::config::IceAccess;
use crate::config::secret::Secret;
use crate::http::authorization::bearer;
use crate::http::client_info::ClientInfo;
use crate::http::problem::Problem;
use crate::turn::Scope;
use crate::users::Credentials;

/// What AppRTC clients read. Without any server it has `iceServers` alone.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct IceConfigReply {
    /// How long the credentials are valid: seconds, with an `s` behind them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "86400s", nullable = false)]
    lifetime_duration: Option<String>,
    ice_servers: Vec<IceServer>,
    /// Always `NOT_BLOCKED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "NOT_BLOCKED", nullable = false)]
    block_status: Option<&'static str>,
    /// Always `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "all", nullable = false)]
    ice_transport_policy: Option<&'static str>,
}

/// What `/v1alpha/iceconfig` and `/v1alpha/turn` read of the query; other fields are ignored.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what IceConfigRequest reads")]
struct IceConfigQuery {
    /// An API key; it may also come as a bearer token.
    key: Option<String>,
    /// The transport to the servers, `udp` or `tcp`; without it all URLs are in the answer.
    #[param(example = "udp")]
    tt: Option<String>,
}

#[derive(IntoResponses)]
#[response(status = 401, description = "`Unauthorized`: the access mode needs a key.")]
#[expect(dead_code, reason = "it describes an answer")]
struct KeyNeeded(Problem);

/// ICE servers for a call
///
/// AppRTC's clients request this, some by `GET`, some by `POST`, whose body is not read; no username is needed.
/// `CASTWAY_ICE_ACCESS=key` lets only callers with an API key have it.
#[utoipa::path(
    method(get, post),
    path = "/v1alpha/iceconfig",
    operation_id = "iceConfig",
    tag = "credentials",
    params(IceConfigQuery),
    responses((status = 200, description = "The servers, with credentials for a new name.", body = IceConfigReply), KeyNeeded),
    security((), ("bearer" = []), ("key" = [])),
)]
pub(super) async fn ice_config(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = IceConfigRequest::read(query.as_deref().unwrap_or_default(), &headers);
    let issued = asked.credentials(&api, &client)?;
    let host = client.host.as_deref();
    // A STUN URL has no transport.
    let stun = if asked.transport.is_none() { api.ice.stun_uris(host) } else { Vec::new() };
    let reply = reply(&issued, stun, asked.select(api.ice.uris(host)));
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(reply)).into_response())
}

/// ICE servers for a call, as the clients of 2014 to 2016 expect them
///
/// By `GET` or `POST`, whose body is not read.
#[utoipa::path(
    method(get, post),
    path = "/v1alpha/turn",
    operation_id = "callCredentials",
    tag = "credentials",
    params(IceConfigQuery),
    responses((status = 200, description = "Credentials for a new name.", body = TurnReply), KeyNeeded),
    security((), ("bearer" = []), ("key" = [])),
)]
pub(super) async fn turn(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = IceConfigRequest::read(query.as_deref().unwrap_or_default(), &headers);
    let issued = asked.credentials(&api, &client)?;
    let reply = TurnReply::new(&issued, asked.select(api.ice.uris(client.host.as_deref())));
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(reply)).into_response())
}

/// The fields of the query and of the headers.
struct IceConfigRequest {
    /// One known key is enough.
    keys: Vec<Secret<String>>,
    /// The transport in `?transport=…` of the URLs; `None` selects all.
    transport: Option<String>,
}

impl IceConfigRequest {
    fn read(query: &str, headers: &HeaderMap) -> Self {
        let fields = || form_urlencoded::parse(query.as_bytes());
        let keys = fields().filter(|(name, _)| name == "key").map(|(_, key)| Secret::new(key.into_owned()));
        let token = bearer(headers).map(|token| Secret::new(token.to_owned()));
        let transport = fields().find(|(name, _)| name == "tt").map(|(_, transport)| transport.into_owned());
        Self { keys: keys.chain(token).collect(), transport: transport.filter(|transport| !transport.is_empty()) }
    }

    /// Issues credentials for a new random username: quotas are per user, and one caller must not exhaust another caller's.
    fn credentials(&self, api: &ApiState, client: &ClientInfo) -> Result<Credentials, ApiError> {
        api.ice_limiter.check(client.address).map_err(ApiError::TooManyRequests)?;
        let config = &api.credentials.ice;
        if config.access == IceAccess::Key {
            api.keys.check(&self.keys, client.address, Instant::now())?;
        }
        let username = format!("call-{:016x}", rand::random::<u64>());
        Ok(api.directory.issue(&username, Scope::Clients, Some(config.ttl), SystemTime::now()))
    }

    /// The URLs with the requested transport. An unknown transport selects none, like the filter of AppRTC's own clients.
    fn select(&self, mut urls: Vec<String>) -> Vec<String> {
        if let Some(transport) = &self.transport {
            urls.retain(|url| url.split_once("?transport=").is_some_and(|(_, named)| named == transport));
        }
        urls
    }
}

fn reply(issued: &Credentials, stun: Vec<String>, turn: Vec<String>) -> IceConfigReply {
    let servers = IceServer::list(stun, turn, issued);
    let any = !servers.is_empty();
    IceConfigReply {
        lifetime_duration: any.then(|| format!("{}s", issued.ttl.as_secs())),
        ice_servers: servers,
        block_status: any.then_some("NOT_BLOCKED"),
        ice_transport_policy: any.then_some("all"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn reply(issued: &Credentials, stun: Vec<String>, turn: Vec<String>) -> Value {
        serde_json::to_value(super::reply(issued, stun, turn)).unwrap()
    }

    #[test]
    fn a_transport_selects_urls_and_other_fields_are_ignored() {
        let urls = ["turn:h:1?transport=udp", "turn:h:1?transport=tcp", "turns:h:2?transport=tcp"];
        let selected = |query| IceConfigRequest::read(query, &HeaderMap::new()).select(urls.map(str::to_owned).to_vec());
        for any in ["", "tt=", "key=a&other=tcp"] {
            assert_eq!(selected(any), urls, "{any}");
        }
        assert_eq!(selected("key=&tt=udp"), urls[..1]);
        assert_eq!(selected("tt=tcp&tt=udp&x"), urls[1..]);
        for unknown in ["tt=tls", "tt=TCP", "tt=tc", "tt=tcp%26x"] {
            assert!(selected(unknown).is_empty(), "{unknown}");
        }
    }

    #[test]
    fn urls_are_never_empty_and_turn_has_credentials() {
        let issued = Credentials { username: "1:a".into(), password: Secret::new("pw".into()), ttl: Duration::from_secs(60) };
        let turn = json!({"urls": ["turn:h:1?transport=udp"], "username": "1:a", "credential": "pw"});
        let full = reply(&issued, vec!["stun:h:1".into()], vec!["turn:h:1?transport=udp".into()]);
        assert_eq!(full["iceServers"], json!([{"urls": ["stun:h:1"]}, turn]));
        assert_eq!((&full["lifetimeDuration"], &full["blockStatus"]), (&json!("60s"), &json!("NOT_BLOCKED")));
        assert_eq!(full["iceTransportPolicy"], "all");
        let tcp_alone = reply(&issued, vec![], vec!["turn:h:1?transport=udp".into()]);
        assert_eq!(tcp_alone["iceServers"], json!([turn]));
        assert_eq!(reply(&issued, vec![], vec![]), json!({"iceServers": []}));
    }
}
