//! Xirsys: `PUT /_turn/{channel}`.
//!
//! From its documentation (docs.xirsys.com/?pg=api-turn; github.com/xirdev/docs-api: turn-service, v3-api) and the samples of its
//! dashboard: HTTP Basic with `ident:secret`, which may stand in the URL; a JSON body with `format` and `expire`, or the same in the query;
//! 200 with `{"v":{"iceServers":…},"s":"ok"}`. With the format `urls` that is one server with a list of URLs, otherwise a list of servers
//! with `url`, to which this server adds `urls`, because browsers no longer know the other. Errors are `{"v":TEXT,"s":"error"}`; their
//! texts and statuses are not documented.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use url::form_urlencoded;
use utoipa::ToSchema;

use super::caller::{Caller, Grant, OneUrlServer, granted};
use super::fields::{json_fields, lifetime, lifetime_schema, name_in_path, text};
use super::refusal::{Refusal, Refusals};
use crate::api::described::{RequestedLifetime, RequestedName};
use crate::api::error::ApiError;
use crate::api::state::ApiState;
use crate::http::authorization::{BASIC_CHALLENGE, basic};
use crate::http::client_info::ClientInfo;

/// The fields of a request; others are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
pub(super) struct XirsysRequest {
    /// `urls` gives one server with all URLs, anything else a list.
    #[schema(example = "urls")]
    format: Option<String>,
    #[schema(schema_with = lifetime_schema, required = false)]
    expire: Option<Value>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct XirsysReply {
    v: XirsysServers,
    #[schema(example = "ok")]
    s: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(super) struct XirsysServers {
    #[serde(rename = "iceServers")]
    ice_servers: XirsysFormat,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum XirsysFormat {
    Urls { username: String, urls: Vec<String>, credential: String },
    List(Vec<OneUrlServer>),
}

#[derive(Serialize, ToSchema)]
pub(super) struct XirsysProblem {
    v: String,
    #[schema(example = "error")]
    s: &'static str,
}

#[derive(Debug)]
pub(super) struct XirsysError(Refusal);

/// ICE servers with credentials, in the form of Xirsys
///
/// HTTP Basic has any user, and an API key as the password.
#[utoipa::path(
    put,
    path = "/_turn/{channel}",
    tag = "providers",
    operation_id = "xirsysTurn",
    params(
        ("channel" = RequestedName, Path, description = "Any name, which may have slashes; the traffic is kept under it.", example = "my-channel"),
        ("format" = Option<String>, Query, description = "As in the body."),
        ("expire" = Option<RequestedLifetime>, Query, description = "As in the body."),
    ),
    request_body = Option<XirsysRequest>,
    security(("password" = [])),
    responses(
        (status = 200, description = "ICE servers with credentials", body = XirsysReply),
        Refusals<XirsysProblem>,
    )
)]
pub(super) async fn turn(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    channel: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, XirsysError> {
    let reply = issue(&api, &client, channel, query.as_deref().unwrap_or_default(), &headers, body)?;
    Ok(granted(StatusCode::OK, reply))
}

fn issue(
    api: &ApiState,
    client: &ClientInfo,
    channel: Result<Path<String>, PathRejection>,
    query: &str,
    headers: &HeaderMap,
    sent: Result<Bytes, BytesRejection>,
) -> Result<XirsysReply, Refusal> {
    Caller::count(api, client)?;
    let key = basic(headers).map(|(_, key)| key);
    let caller = Caller::with_key(api, client, key.as_deref())?;
    let channel = name_in_path(channel)?;
    let asked = Asked::read(query, &sent.map_err(ApiError::from)?)?;
    let grant = caller.grant(&channel, asked.expire)?;
    Ok(XirsysReply::new(&grant, asked.urls))
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    expire: Option<Duration>,
    /// The format `urls`.
    urls: bool,
}

impl Asked {
    /// A field of the body counts more than that of the query.
    fn read(query: &str, body: &[u8]) -> Result<Self, Refusal> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        let mut fields: Map<String, Value> = pairs.map(|(name, value)| (name.into_owned(), Value::from(value))).collect();
        // What the body replaces has to be right, too.
        lifetime(&fields, "expire")?;
        fields.extend(json_fields(body)?);
        Ok(Self { expire: lifetime(&fields, "expire")?, urls: text(&fields, "format")? == Some("urls") })
    }
}

impl XirsysReply {
    fn new(grant: &Grant, urls: bool) -> Self {
        let ice_servers = if urls {
            XirsysFormat::Urls {
                username: grant.credentials.username.clone(),
                urls: [&grant.stun[..], &grant.turn[..]].concat(),
                credential: grant.credentials.password.expose().clone(),
            }
        } else {
            XirsysFormat::List(grant.servers(OneUrlServer::new))
        };
        Self { v: XirsysServers { ice_servers }, s: "ok" }
    }
}

impl From<Refusal> for XirsysError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for XirsysError {
    fn into_response(self) -> Response {
        let body = XirsysProblem { v: self.0.message.clone(), s: "error" };
        self.0.response(Some(BASIC_CHALLENGE), body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::super::caller::example;
    use super::*;

    #[test]
    fn the_format_urls_is_one_server() {
        let urls = ["stun:h:1", "turn:h:1?transport=udp", "turn:h:1?transport=tcp"];
        assert_eq!(
            to_value(XirsysReply::new(&example(&["stun:h:1"]), true)).unwrap(),
            json!({"v": {"iceServers": {"username": "1:a", "urls": urls, "credential": "pw"}}, "s": "ok"})
        );
    }

    #[test]
    fn the_other_format_is_a_list() {
        let turn = |url: &str| json!({"username": "1:a", "url": url, "urls": url, "credential": "pw"});
        let stun = json!({"url": "stun:h:1", "urls": "stun:h:1"});
        assert_eq!(
            to_value(XirsysReply::new(&example(&["stun:h:1"]), false)).unwrap(),
            json!({"v": {"iceServers": [stun, turn("turn:h:1?transport=udp"), turn("turn:h:1?transport=tcp")]}, "s": "ok"})
        );
    }

    #[test]
    fn fields_come_in_the_body_or_in_the_query() {
        let read = |query: &str, body: &str| Asked::read(query, body.as_bytes()).unwrap();
        let asked = |seconds: Option<u64>, urls| Asked { expire: seconds.map(Duration::from_secs), urls };
        assert_eq!(read("", ""), asked(None, false));
        assert_eq!(read("", r#"{"format":"urls","expire":"30"}"#), asked(Some(30), true));
        assert_eq!(read("webrtc=1&expire=60", ""), asked(Some(60), false));
        assert_eq!(read("expire=60&format=urls", r#"{"expire":30,"format":"x"}"#), asked(Some(30), false));
        for (query, body) in [
            ("expire=x", ""),
            ("expire=null", r#"{"expire":30}"#),
            ("", "[]"),
            ("", "sdsd"),
            ("", r#"{"format":1}"#),
            ("", r#"{"expire":"0"}"#),
        ] {
            assert!(Asked::read(query, body.as_bytes()).is_err(), "{query} {body}");
        }
    }

    #[tokio::test]
    async fn an_error_is_a_text_and_the_word_error() {
        let response = XirsysError(Refusal::wrong_key()).into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((body["v"].is_string(), &body["s"]), (true, &json!("error")));
    }
}
