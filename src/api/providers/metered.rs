//! Metered's TURN REST API: `POST /api/v1/turn/credential?secretKey=…`, and `GET /api/v1/turn/credentials?apiKey=…`.
//!
//! From its documentation (metered.ca/docs/turn-rest-api: post-create-credential, get-credential, delete-credential,
//! post-disable-credential, post-enable-credential): a server creates credentials with the secret key (`expiryInSeconds`, `label`), and
//! gets their `apiKey`, with which any page may fetch the list of ICE servers. Errors of the list have `error`: 400 without a key, 401
//! with a wrong one; those of other calls have `message`, with the same statuses.
//!
//! Here that `apiKey` is the credentials themselves ([`api_key`]), so that nothing is stored, and a page learns no key of this server.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};
use url::form_urlencoded;
use utoipa::ToSchema;
use utoipa::openapi::schema::Schema;

use super::caller::{Caller, Grant, grant, granted};
use super::fields::{json_fields, lifetime, lifetime_schema_from, text};
use super::refusal::{Reason, Refusal, Refusals};
use crate::api::described::RequestedNameOrEmpty;
use crate::api::error::ApiError;
use crate::api::state::ApiState;
use crate::config::secret::{MIN_UNGUESSABLE_SECRET_BYTES, Secret};
use crate::http::client_info::ClientInfo;
use crate::users::Credentials;

/// The longest query string. A key of credentials has about 700 bytes at most.
const MAX_QUERY_BYTES: usize = 4096;

/// Under which name the traffic is kept where a request has no label.
const NO_LABEL: &str = "metered";

/// The fields of a request; others are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
pub(super) struct MeteredRequest {
    #[serde(rename = "expiryInSeconds")]
    #[schema(schema_with = expiry_schema, required = false)]
    expiry_in_seconds: Option<Value>,
    /// The name under which the traffic is kept; `metered` if it is absent or empty.
    label: Option<RequestedNameOrEmpty>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct MeteredCredential {
    username: String,
    password: String,
    #[serde(rename = "expiryInSeconds")]
    expiry_in_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    label: Option<String>,
    /// For `GET /api/v1/turn/credentials`. It ends with the credentials.
    #[serde(rename = "apiKey")]
    api_key: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct MeteredServer {
    urls: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    credential: Option<String>,
}

/// An error of the list.
#[derive(Serialize, ToSchema)]
pub(super) struct MeteredListProblem {
    error: String,
}

/// An error of the other calls.
#[derive(Serialize, ToSchema)]
pub(super) struct MeteredProblem {
    message: String,
}

#[derive(Debug)]
pub(super) struct ListError(Refusal);

#[derive(Debug)]
pub(super) struct CredentialError(Refusal);

/// The list of ICE servers, in the form of Metered
///
/// It has the credentials that the key belongs to.
#[utoipa::path(
    get,
    path = "/api/v1/turn/credentials",
    tag = "providers",
    operation_id = "meteredGetCredentials",
    params(
        ("apiKey" = String, Query, description = "The apiKey of created credentials, or an API key of this server, which then gives new ones.", min_length = 1),
        ("region" = Option<String>, Query, description = "It is ignored: this server is in one place."),
    ),
    responses(
        (status = 200, description = "ICE servers with credentials", body = Vec<MeteredServer>),
        Refusals<MeteredListProblem>,
    )
)]
pub(super) async fn list(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    RawQuery(query): RawQuery,
) -> Result<Response, ListError> {
    Ok(granted(StatusCode::OK, find(&api, &client, query.as_deref())?.servers(MeteredServer::new)))
}

/// New credentials, in the form of Metered
#[utoipa::path(
    post,
    path = "/api/v1/turn/credential",
    tag = "providers",
    operation_id = "meteredCreateCredential",
    params(("secretKey" = String, Query, description = "An API key of this server.", min_length = 1)),
    request_body = Option<MeteredRequest>,
    responses(
        (status = 200, description = "The credentials", body = MeteredCredential),
        Refusals<MeteredProblem>,
    )
)]
pub(super) async fn create(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, CredentialError> {
    let credential = issue(&api, &client, query.as_deref(), body)?;
    Ok(granted(StatusCode::OK, credential))
}

/// The deletion of Metered, which is always refused
///
/// Credentials are signed, not stored.
#[utoipa::path(
    delete,
    path = "/api/v1/turn/credential",
    tag = "providers",
    operation_id = "meteredDeleteCredential",
    responses((status = 501, description = "Single credentials can't be revoked here.", body = MeteredProblem))
)]
pub(super) async fn delete() -> CredentialError {
    CredentialError(Refusal::no_revocation())
}

/// The disabling of Metered, which is always refused
///
/// Credentials are signed, not stored.
#[utoipa::path(
    post,
    path = "/api/v1/turn/credential/disable",
    tag = "providers",
    operation_id = "meteredDisableCredential",
    responses((status = 501, description = "Single credentials can't be revoked here.", body = MeteredProblem))
)]
pub(super) async fn disable() -> CredentialError {
    CredentialError(Refusal::no_revocation())
}

fn find(api: &ApiState, client: &ClientInfo, query: Option<&str>) -> Result<Grant, Refusal> {
    Caller::count(api, client)?;
    let key = field(query, "apiKey")?;
    if let Some((username, password)) = key.as_deref().and_then(credentials_in) {
        let ttl = api.directory.remaining_ttl(&username, password.expose(), SystemTime::now());
        // Pages show keys that have ended, which are no guesses.
        if api.directory.shortest_secret() < MIN_UNGUESSABLE_SECRET_BYTES {
            api.keys.check_signed(ttl.is_some(), client.address, Instant::now())?;
        }
        return Ok(grant(api, client, Credentials { username, password, ttl: ttl.ok_or_else(Refusal::wrong_key)? }));
    }
    Caller::with_key(api, client, key.as_deref())?.grant(NO_LABEL, None)
}

fn issue(
    api: &ApiState,
    client: &ClientInfo,
    query: Option<&str>,
    sent: Result<Bytes, BytesRejection>,
) -> Result<MeteredCredential, Refusal> {
    Caller::count(api, client)?;
    let caller = Caller::with_key(api, client, field(query, "secretKey")?.as_deref())?;
    let fields = json_fields(&sent.map_err(ApiError::from)?)?;
    let label = text(&fields, "label")?;
    let grant = caller.grant(label.unwrap_or(NO_LABEL), expiry(&fields)?)?;
    Ok(MeteredCredential::new(&grant.credentials, label))
}

/// Applications send 0 for credentials that never end; here they end with the longest lifetime.
fn expiry(fields: &Map<String, Value>) -> Result<Option<Duration>, Refusal> {
    const NAME: &str = "expiryInSeconds";
    if fields.get(NAME).and_then(Value::as_f64) == Some(0.0) { Ok(None) } else { lifetime(fields, NAME) }
}

fn expiry_schema() -> Schema {
    lifetime_schema_from(0)
}

fn field(query: Option<&str>, wanted: &str) -> Result<Option<String>, Refusal> {
    let query = query.unwrap_or_default();
    if query.len() > MAX_QUERY_BYTES {
        return Err(ApiError::TooLarge.into());
    }
    Ok(form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned()))
}

/// The credentials in characters that need no escape in a URL, because applications write none.
fn api_key(credentials: &Credentials) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}\n{}", credentials.username, credentials.password.expose()))
}

/// What [`api_key`] has encoded; `None` for an API key of this server. A name has no line break.
fn credentials_in(key: &str) -> Option<(String, Secret<String>)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(key).ok()?).ok()?;
    let (username, password) = text.split_once('\n')?;
    Some((username.to_owned(), Secret::new(password.to_owned())))
}

impl MeteredCredential {
    fn new(credentials: &Credentials, label: Option<&str>) -> Self {
        Self {
            username: credentials.username.clone(),
            password: credentials.password.expose().clone(),
            expiry_in_seconds: credentials.ttl.as_secs(),
            label: label.map(str::to_owned),
            api_key: api_key(credentials),
        }
    }
}

impl MeteredServer {
    fn new(urls: &str, credentials: Option<&Credentials>) -> Self {
        Self {
            urls: urls.to_owned(),
            username: credentials.map(|credentials| credentials.username.clone()),
            credential: credentials.map(|credentials| credentials.password.expose().clone()),
        }
    }
}

/// 400 where the key is missing; the other statuses are the usual ones.
fn with_status_of_metered(refusal: Refusal) -> Refusal {
    let status = if refusal.reason == Reason::NoKey { StatusCode::BAD_REQUEST } else { refusal.status };
    Refusal { status, ..refusal }
}

impl From<Refusal> for ListError {
    fn from(refusal: Refusal) -> Self {
        Self(with_status_of_metered(refusal))
    }
}

impl From<Refusal> for CredentialError {
    fn from(refusal: Refusal) -> Self {
        Self(with_status_of_metered(refusal))
    }
}

impl IntoResponse for ListError {
    fn into_response(self) -> Response {
        // These two texts are documented.
        let error = match self.0.reason {
            Reason::NoKey => "Please specify API Key".to_owned(),
            Reason::WrongKey => "Invalid API Key".to_owned(),
            Reason::Lifetime | Reason::Missing | Reason::Other => self.0.message.clone(),
        };
        self.0.response(None, MeteredListProblem { error })
    }
}

impl IntoResponse for CredentialError {
    fn into_response(self) -> Response {
        // These three texts are documented.
        let message = match self.0.reason {
            Reason::NoKey => "Please specify secret key".to_owned(),
            Reason::WrongKey => "Invalid secret key".to_owned(),
            Reason::Lifetime => "please enter a positive integer value for expiryInSeconds".to_owned(),
            Reason::Missing | Reason::Other => self.0.message.clone(),
        };
        self.0.response(None, MeteredProblem { message })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::super::caller::example;
    use super::*;

    #[test]
    fn the_list_has_one_url_in_each_entry() {
        let turn = |url: &str| json!({"urls": url, "username": "1:a", "credential": "pw"});
        assert_eq!(
            to_value(example(&["stun:h:1"]).servers(MeteredServer::new)).unwrap(),
            json!([{"urls": "stun:h:1"}, turn("turn:h:1?transport=udp"), turn("turn:h:1?transport=tcp")])
        );
    }

    #[test]
    fn a_credential_has_a_key_that_holds_it_and_no_more() {
        let credentials = example(&[]).credentials;
        let credential = MeteredCredential::new(&credentials, Some("kiosk"));
        let key = credential.api_key.clone();
        assert_eq!(
            to_value(credential).unwrap(),
            json!({"username": "1:a", "password": "pw", "expiryInSeconds": 60, "label": "kiosk", "apiKey": key})
        );
        assert_eq!(credentials_in(&key), Some(("1:a".to_owned(), Secret::new("pw".to_owned()))));
        assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert!(to_value(MeteredCredential::new(&credentials, None)).unwrap().get("label").is_none());
        for other in ["", "a-key-of-sixteen-or-more", "MTph", "a b", "ü"] {
            assert_eq!(credentials_in(other), None, "{other}");
        }
    }

    #[test]
    fn no_expiry_is_the_longest() {
        let read = |value: Value| expiry(&Map::from_iter([("expiryInSeconds".to_owned(), value)]));
        assert_eq!(read(json!(3600)).unwrap(), Some(Duration::from_secs(3600)));
        assert_eq!((read(json!(0)).unwrap(), read(json!(0.0)).unwrap()), (None, None));
        assert_eq!(expiry(&Map::new()).unwrap(), None);
        assert_eq!(read(json!(-1)).unwrap_err().reason, Reason::Lifetime);
    }

    #[test]
    fn a_missing_key_is_a_bad_request() {
        assert_eq!(ListError::from(Refusal::no_key()).into_response().status(), StatusCode::BAD_REQUEST);
        assert_eq!(CredentialError::from(Refusal::no_key()).into_response().status(), StatusCode::BAD_REQUEST);
        assert_eq!(ListError::from(Refusal::wrong_key()).into_response().status(), StatusCode::UNAUTHORIZED);
        assert_eq!(CredentialError::from(Refusal::wrong_key()).into_response().status(), StatusCode::UNAUTHORIZED);
    }
}
