//! Twilio's Network Traversal Service: `POST /2010-04-01/Accounts/{sid}/Tokens.json`.
//!
//! From its documentation (twilio.com/docs/stun-turn/api, /docs/usage/twilios-response and /docs/api/errors): HTTP Basic, whose user is the
//! account or the sid of a key; a form with `Ttl` in seconds, one day if it is absent; 201 with each URL in an entry of its own, as `url`
//! and `urls`, `ttl` as a text, and dates of RFC 2822. Errors have `code`, `message`, `more_info` and `status`: 20003 (401), 30012 and
//! 30013 for a ttl that is too small or too big, 20429. A longer ttl than this server's is clamped instead of 30013, and the answer says so.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use super::caller::{Caller, Grant, OneUrlServer, granted};
use super::fields::{lifetime_text, name_in_path};
use super::refusal::{Reason, Refusal, Refusals};
use crate::api::described::{RequestedLifetime, RequestedName};
use crate::api::error::ApiError;
use crate::api::state::ApiState;
use crate::http::authorization::{BASIC_CHALLENGE, basic};
use crate::http::client_info::ClientInfo;

/// The fields of the form; others are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
pub(super) struct TwilioRequest {
    /// The longest lifetime of this server if it is absent.
    #[serde(rename = "Ttl")]
    #[schema(nullable = false)]
    ttl: Option<RequestedLifetime>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct TwilioToken {
    account_sid: String,
    /// As RFC 2822 has it.
    #[schema(example = "Fri, 01 May 2020 01:42:57 +0000")]
    date_created: String,
    date_updated: String,
    ice_servers: Vec<OneUrlServer>,
    password: String,
    /// In seconds.
    #[schema(example = "3600")]
    ttl: String,
    username: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct TwilioProblem {
    code: u32,
    message: String,
    more_info: String,
    status: u16,
}

#[derive(Debug)]
pub(super) struct TwilioError(Refusal);

/// Credentials with a list of ICE servers, in the form of Twilio
///
/// HTTP Basic has any user, and an API key as the password.
#[utoipa::path(
    post,
    path = "/2010-04-01/Accounts/{sid}/Tokens.json",
    tag = "providers",
    operation_id = "twilioCreateToken",
    params(("sid" = RequestedName, Path, description = "Any name; the traffic is kept under it.", example = "AC0123456789abcdef0123456789abcdef")),
    request_body(content = Option<TwilioRequest>, content_type = "application/x-www-form-urlencoded"),
    security(("password" = [])),
    responses(
        (status = 201, description = "ICE servers with credentials", body = TwilioToken),
        Refusals<TwilioProblem>,
    )
)]
pub(super) async fn create_token(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    sid: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, TwilioError> {
    let token = issue(&api, &client, sid, &headers, body)?;
    Ok(granted(StatusCode::CREATED, token))
}

fn issue(
    api: &ApiState,
    client: &ClientInfo,
    sid: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
    sent: Result<Bytes, BytesRejection>,
) -> Result<TwilioToken, Refusal> {
    Caller::count(api, client)?;
    // The user is the account itself, or the sid of one of its keys, which this server does not have.
    let key = basic(headers).map(|(_, key)| key);
    let caller = Caller::with_key(api, client, key.as_deref())?;
    let sid = name_in_path(sid)?;
    let grant = caller.grant(&sid, ttl(&sent.map_err(ApiError::from)?)?)?;
    Ok(TwilioToken::new(sid, &grant, SystemTime::now()))
}

fn ttl(form: &[u8]) -> Result<Option<Duration>, Refusal> {
    let Some((_, ttl)) = form_urlencoded::parse(form).find(|(name, _)| name == "Ttl") else { return Ok(None) };
    lifetime_text(&ttl, "Ttl")
}

impl TwilioToken {
    fn new(account_sid: String, grant: &Grant, now: SystemTime) -> Self {
        let credentials = &grant.credentials;
        let date = date(now);
        Self {
            account_sid,
            date_created: date.clone(),
            date_updated: date,
            ice_servers: grant.servers(OneUrlServer::new),
            password: credentials.password.expose().clone(),
            ttl: credentials.ttl.as_secs().to_string(),
            username: credentials.username.clone(),
        }
    }
}

/// `Fri, 01 May 2020 01:42:57 +0000`; HTTP writes the zone as GMT.
fn date(now: SystemTime) -> String {
    httpdate::fmt_http_date(now).replace("GMT", "+0000")
}

impl From<Refusal> for TwilioError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for TwilioError {
    fn into_response(self) -> Response {
        let code = match (self.0.reason, self.0.status) {
            (Reason::NoKey | Reason::WrongKey, _) => 20003,
            (Reason::Lifetime, _) => 30012,
            (Reason::Missing | Reason::Other, StatusCode::TOO_MANY_REQUESTS) => 20429,
            (Reason::Missing | Reason::Other, status) => 20000 + u32::from(status.as_u16()),
        };
        let more_info = format!("https://www.twilio.com/docs/errors/{code}");
        let body = TwilioProblem { code, message: self.0.message.clone(), more_info, status: self.0.status.as_u16() };
        self.0.response(Some(BASIC_CHALLENGE), body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::super::caller::example;
    use super::*;

    #[test]
    fn a_token_has_the_members_of_twilios() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_588_297_377);
        let turn = |url: &str| json!({"url": url, "urls": url, "username": "1:a", "credential": "pw"});
        assert_eq!(
            to_value(TwilioToken::new("AC1".into(), &example(&["stun:h:1"]), now)).unwrap(),
            json!({
                "account_sid": "AC1",
                "date_created": "Fri, 01 May 2020 01:42:57 +0000",
                "date_updated": "Fri, 01 May 2020 01:42:57 +0000",
                "ice_servers": [
                    {"url": "stun:h:1", "urls": "stun:h:1"},
                    turn("turn:h:1?transport=udp"),
                    turn("turn:h:1?transport=tcp"),
                ],
                "password": "pw",
                "ttl": "60",
                "username": "1:a",
            })
        );
    }

    #[test]
    fn the_ttl_is_a_field_of_a_form() {
        assert_eq!(ttl(b"").unwrap(), None);
        assert_eq!(ttl(b"Other=1").unwrap(), None);
        assert_eq!(ttl(b"Other=1&Ttl=3600").unwrap(), Some(Duration::from_secs(3600)));
        for bad in ["Ttl=", "Ttl=x", "Ttl=0", "Ttl=-1", "Ttl=1.5"] {
            assert_eq!(ttl(bad.as_bytes()).unwrap_err().reason, Reason::Lifetime, "{bad}");
        }
    }

    #[tokio::test]
    async fn an_error_has_a_code_of_twilios_and_the_status() {
        for (refusal, status, code) in [
            (Refusal::no_key(), 401, 20003),
            (Refusal::wrong_key(), 401, 20003),
            (Refusal::lifetime("Ttl"), 400, 30012),
            (Refusal::malformed("x"), 400, 20400),
            (Refusal::new(Reason::Other, StatusCode::TOO_MANY_REQUESTS, "x"), 429, 20429),
        ] {
            let response = TwilioError(refusal).into_response();
            assert_eq!(response.status(), status);
            let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(status)));
            assert_eq!(body["more_info"], json!(format!("https://www.twilio.com/docs/errors/{code}")));
        }
    }
}
