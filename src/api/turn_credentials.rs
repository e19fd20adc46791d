//! `GET` and `POST /turn`: time-limited TURN credentials (draft-uberti-behave-turn-rest-00 §2).
//!
//! Who asks decides the scope of the credentials. A stranger, whom the access mode `open` allows, gets scope clients and learns nothing
//! about the name: no answer depends on whether there is such a user. Where the settings give strangers scope anyone, the name of a
//! user still gives them scope clients, so that they use nothing of that user. An API key or a user's password gives scope anyone, or the
//! scope of the user.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Number, Value};
use url::form_urlencoded;
use utoipa::{IntoResponses, ToSchema};

use super::described::{RequestedName, RequestedNameOrEmpty, RequestedSeconds, RequestedService};
use super::error::{ApiError, NoUsername};
use super::state::ApiState;
use crate::config::TurnAccess;
use crate::config::secret::Secret;
use crate::http::authorization::{basic, bearer};
use crate::http::client_info::ClientInfo;
use crate::http::problem::Problem;
use crate::turn::Scope;
use crate::users::{Credentials, check_requested};
use crate::whole_number;

/// The longest query string.
const MAX_QUERY_BYTES: usize = 4096;

/// The fields that a JSON body may have; others are ignored.
const FIELDS: [&str; 6] = ["username", "password", "service", "ttl", "key", "api"];

/// `{"username","password","ttl","uris"}` (draft-uberti-behave-turn-rest-00 §2.2); Janus and others parse it.
#[derive(Serialize, ToSchema)]
pub struct TurnReply<'a> {
    /// The Unix time at which the credentials expire, a colon, and the name that was asked for.
    #[schema(example = "1800000000:alice")]
    username: &'a str,
    /// The base64 HMAC-SHA1 of the username.
    #[schema(example = "nbRcrnq5h6xXhyNhlwk+lDLvVVo=")]
    password: &'a str,
    /// How long the credentials are valid, in seconds.
    #[schema(example = 86400)]
    ttl: u64,
    /// The relay's URLs, as in the `urls` of an ICE server.
    #[schema(example = json!(["turn:cast.example.org:3478?transport=udp"]))]
    uris: Vec<String>,
}

impl<'a> TurnReply<'a> {
    pub fn new(issued: &'a Credentials, uris: Vec<String>) -> Self {
        Self { username: &issued.username, password: issued.password.expose(), ttl: issued.ttl.as_secs(), uris }
    }
}

/// The fields of a form, which are also those of a query, except the password. An empty field counts as a missing one.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what CredentialRequest reads")]
pub(super) struct CredentialForm {
    /// Whose credentials; the relay counts what they use for this name.
    /// It may be left out where the query or HTTP Basic has it.
    #[schema(nullable = false)]
    username: Option<RequestedNameOrEmpty>,
    /// The password of this user of the server.
    #[schema(format = Password, nullable = false)]
    password: Option<String>,
    #[schema(nullable = false)]
    service: Option<RequestedService>,
    /// How long the credentials should be valid.
    #[schema(nullable = false)]
    ttl: Option<RequestedSeconds>,
    /// An API key.
    #[schema(nullable = false)]
    key: Option<String>,
    /// The same as `key`.
    #[schema(nullable = false)]
    api: Option<String>,
}

/// The fields of a JSON body: those of a form. `null` counts as a missing field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what CredentialRequest reads")]
pub(super) struct CredentialObject {
    /// Whose credentials; the relay counts what they use for this name.
    /// It may be left out where the query or HTTP Basic has it.
    username: Option<RequestedNameOrEmpty>,
    /// The password of this user of the server.
    #[schema(format = Password)]
    password: Option<String>,
    service: Option<RequestedService>,
    /// How long the credentials should be valid.
    ttl: Option<RequestedTtl>,
    /// API keys.
    key: Option<RequestKeys>,
    /// The same as `key`.
    api: Option<RequestKeys>,
}

/// Whole seconds, as a number or as text.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes a field")]
enum RequestedTtl {
    Number(i64),
    Text(RequestedSeconds),
}

/// One API key, or several.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes a field")]
enum RequestKeys {
    One(String),
    Several(Vec<String>),
}

/// The fields of a request, from its query, its headers and its body.
#[derive(Debug, Default, PartialEq, Eq)]
struct CredentialRequest {
    username: Option<String>,
    password: Option<Secret<String>>,
    service: Option<String>,
    ttl: Option<String>,
    /// One known key is enough: clients send the same key under several names.
    keys: Vec<Secret<String>>,
}

/// Whether a request has the password of the user, or an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Given,
    Missing,
}

/// What `/turn` refuses by any method.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
enum CredentialRefusals {
    #[response(status = 401, description = "`Unauthorized`: the access mode needs a key or a password.")]
    Unauthorized(Problem),
    #[response(
        status = 403,
        description = "`Forbidden`: this user gets no credentials. `QuotaReached`: the user has used up the quota of the month."
    )]
    Forbidden(Problem),
}

/// TURN credentials for a user
///
/// The TURN REST API (draft-uberti-behave-turn-rest-00). `CASTWAY_TURN_ACCESS` decides who gets credentials: `open` gives them to anybody,
/// `key` to callers with an API key, and `users` to users with their password, and to callers with a key.
#[utoipa::path(
    get,
    path = "/turn",
    operation_id = "turnCredentials",
    tag = "credentials",
    params(
        ("username" = RequestedName, Query, description = "Whose credentials."),
        ("service" = Option<RequestedService>, Query, description = "`turn`."),
        ("ttl" = Option<RequestedSeconds>, Query, description = "How long the credentials should be valid."),
        ("key" = Option<String>, Query, description = "An API key. It may come more than once, and as a bearer token."),
        ("api" = Option<String>, Query, description = "The same as `key`."),
    ),
    responses(
        (status = 200, description = "The credentials.", body = TurnReply),
        (status = 400, description = "`AppError`: there is no username. `BadRequest`: a field has a wrong value, or comes twice with different ones.", content((Problem = "application/problem+json"), (NoUsername = "application/json"))),
        CredentialRefusals,
        (status = 413, description = "`TooLarge`: the query has more than 4096 bytes.", body = Problem),
    ),
    security((), ("bearer" = []), ("password" = []), ("key" = [])),
)]
pub(super) async fn get(
    state: State<Arc<ApiState>>,
    client: Extension<ClientInfo>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    issue(state, client, query, &headers, Ok(Bytes::new()))
}

/// TURN credentials for a user, with the fields in the body
///
/// The same as `GET /turn`. Fields may come in the query and in the body; a password comes by HTTP Basic or in the body.
/// HTTP Basic names the user, too: then `username` may be left out, and must not be another name.
#[utoipa::path(
    post,
    path = "/turn",
    operation_id = "turnCredentialsByForm",
    tag = "credentials",
    params(
        ("username" = Option<RequestedNameOrEmpty>, Query, description = "Whose credentials, unless the body or HTTP Basic says it."),
        ("service" = Option<RequestedService>, Query, description = "`turn`."),
        ("ttl" = Option<RequestedSeconds>, Query, description = "How long the credentials should be valid."),
        ("key" = Option<String>, Query, description = "An API key. It may come more than once, and as a bearer token."),
        ("api" = Option<String>, Query, description = "The same as `key`."),
    ),
    request_body(content((CredentialForm = "application/x-www-form-urlencoded"), (CredentialObject = "application/json")), description = "At most 8 KiB. It may be left out where the query or HTTP Basic names the user."),
    responses(
        (status = 200, description = "The credentials.", body = TurnReply),
        (status = 400, description = "`AppError`: there is no username. `BadRequest`: the body can not be read, or a field has a wrong value, or comes twice with different ones.", content((Problem = "application/problem+json"), (NoUsername = "application/json"))),
        CredentialRefusals,
        (status = 413, description = "`TooLarge`: the body has more than 8 KiB, or the query more than 4096 bytes.", body = Problem),
    ),
    security((), ("bearer" = []), ("password" = []), ("key" = [])),
)]
pub(super) async fn post(
    state: State<Arc<ApiState>>,
    client: Extension<ClientInfo>,
    query: RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    issue(state, client, query, &headers, body)
}

fn issue(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    RawQuery(query): RawQuery,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    api.limiter.check(client.address).map_err(ApiError::TooManyRequests)?;
    let asked = CredentialRequest::read(query.as_deref().unwrap_or_default(), headers, &body?)?;
    let username = asked.username()?;
    if asked.service.as_deref().is_some_and(|service| service != "turn") {
        return Err(ApiError::BadRequest("The service must be turn.".into()));
    }
    let ttl = asked.ttl()?;
    let (scope, proof) = asked.scope(&api, username, client.address)?;
    if proof == Proof::Given && api.directory.is_exhausted(scope, username) {
        return Err(quota_reached(&api, scope, username));
    }
    let issued = api.directory.issue(username, scope, ttl, SystemTime::now());
    let reply = TurnReply::new(&issued, api.ice.uris(client.host.as_deref()));
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(reply)).into_response())
}

impl CredentialRequest {
    fn read(query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        if query.len() > MAX_QUERY_BYTES {
            return Err(ApiError::TooLarge);
        }
        let mut asked = Self::default();
        if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "password") {
            let expected = "A query string ends up in logs: send the password by HTTP Basic or in a form.";
            return Err(ApiError::BadRequest(expected.into()));
        }
        asked.read_form(query.as_bytes())?;
        if let Some(token) = bearer(headers) {
            asked.keys.push(Secret::new(token.to_owned()));
        }
        if let Some((username, password)) = basic(headers) {
            asked.put("username", username)?;
            asked.put("password", password)?;
        }
        if body.is_empty() {
            return Ok(asked);
        }
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => asked.read_form(body)?,
            "application/json" => asked.read_json(body)?,
            _ => {
                let expected = "The body must be application/x-www-form-urlencoded or application/json.";
                return Err(ApiError::BadRequest(expected.into()));
            }
        }
        Ok(asked)
    }

    fn read_form(&mut self, text: &[u8]) -> Result<(), ApiError> {
        form_urlencoded::parse(text).try_for_each(|(name, value)| self.put(&name, value.into_owned()))
    }

    fn read_json(&mut self, text: &[u8]) -> Result<(), ApiError> {
        let Ok(Value::Object(fields)) = serde_json::from_slice(text) else {
            return Err(ApiError::BadRequest("The body must be a JSON object.".into()));
        };
        for (name, value) in fields.into_iter().filter(|(name, _)| FIELDS.contains(&name.as_str())) {
            let wrong = || ApiError::BadRequest(format!("The field {name} must be a string."));
            match value {
                Value::Null => {}
                Value::String(text) => self.put(&name, text)?,
                Value::Number(number) if name == "ttl" => self.put(&name, ttl_text(&number))?,
                Value::Array(keys) if matches!(name.as_str(), "key" | "api") => {
                    for key in keys {
                        self.keys.push(Secret::new(key.as_str().ok_or_else(wrong)?.to_owned()));
                    }
                }
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => return Err(wrong()),
            }
        }
        Ok(())
    }

    fn put(&mut self, name: &str, value: String) -> Result<(), ApiError> {
        let field = match name {
            "username" => &mut self.username,
            "password" => return self.put_password(value),
            "service" => &mut self.service,
            "ttl" => &mut self.ttl,
            "key" | "api" => {
                self.keys.push(Secret::new(value));
                return Ok(());
            }
            _ => return Ok(()),
        };
        // Forms send an empty field for an input that was left blank.
        if value.is_empty() || field.as_ref() == Some(&value) {
            return Ok(());
        }
        if field.replace(value).is_some() { Err(given_twice(name)) } else { Ok(()) }
    }

    fn put_password(&mut self, value: String) -> Result<(), ApiError> {
        let value = Secret::new(value);
        if value.expose().is_empty() || self.password.as_ref() == Some(&value) {
            return Ok(());
        }
        if self.password.replace(value).is_some() { Err(given_twice("password")) } else { Ok(()) }
    }

    /// The scope of the credentials for `username`, and whether the request has proved that it may ask for that user.
    ///
    /// # Errors
    /// The access mode requires a key or a password, which the request does not have.
    fn scope(&self, api: &ApiState, username: &str, from: IpAddr) -> Result<(Scope, Proof), ApiError> {
        let now = Instant::now();
        let of_key = || api.directory.trusted_scope(username).ok_or(ApiError::Forbidden);
        let by_password = || {
            let password = self.password.as_ref().ok_or(ApiError::NotSignedIn)?;
            api.passwords.check(&api.directory, username, password, from, now).map_err(ApiError::from)
        };
        match api.credentials.access {
            TurnAccess::Open if api.keys.any_is_known(&self.keys, from, now) => of_key(),
            TurnAccess::Open => match by_password() {
                Ok(scope) => Ok(scope),
                Err(ApiError::Forbidden) => Err(ApiError::Forbidden),
                Err(_) => return Ok((scope_of_stranger(api, username), Proof::Missing)),
            },
            TurnAccess::Key => {
                api.keys.check(&self.keys, from, now)?;
                of_key()
            }
            TurnAccess::Users => by_password().or_else(|refusal| match api.keys.check(&self.keys, from, now) {
                Ok(()) => of_key(),
                Err(ApiError::TooManyRequests(wait)) => Err(ApiError::TooManyRequests(wait)),
                Err(_) => Err(refusal),
            }),
        }
        .map(|scope| (scope, Proof::Given))
    }

    fn username(&self) -> Result<&str, ApiError> {
        let username = self.username.as_deref().ok_or(ApiError::NoUsername)?;
        check_requested(username).map_err(|error| ApiError::BadRequest(format!("The username is not allowed: {error}.")))?;
        Ok(username)
    }

    /// Whole seconds. The directory clamps zero, negative and huge numbers to the shortest and the longest lifetime.
    fn ttl(&self) -> Result<Option<Duration>, ApiError> {
        let Some(text) = self.ttl.as_deref() else { return Ok(None) };
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let seconds = whole_number::read_clamped(digits)
            .ok_or_else(|| ApiError::BadRequest("The ttl must be a whole number of seconds.".into()))?;
        Ok(Some(Duration::from_secs(if negative { 0 } else { seconds })))
    }
}

/// The answer to somebody who has proved to be the user or has an API key: others learn nothing about the user.
pub(super) fn quota_reached(api: &ApiState, scope: Scope, username: &str) -> ApiError {
    let usage = api.directory.usage();
    let owner = api.directory.usage_owner(scope, username);
    ApiError::QuotaReached { bytes: usage.totals(&owner).month, quota: usage.quota(&owner).unwrap_or_default() }
}

fn scope_of_stranger(api: &ApiState, username: &str) -> Scope {
    match api.credentials.strangers {
        // The quota, the rows and the bans of a user are not for strangers who use the name.
        Scope::Anyone if !api.directory.has_password(username) => Scope::Anyone,
        Scope::Anyone | Scope::Clients | Scope::OwnAddress => Scope::Clients,
    }
}

/// JSON Schema takes 60.0 for a whole number, and programs whose numbers are all floating send that.
fn ttl_text(number: &Number) -> String {
    let whole = number.as_f64().filter(|seconds| number.is_f64() && seconds.fract() == 0.0);
    whole.map_or_else(|| number.to_string(), |seconds| format!("{seconds:.0}"))
}

fn given_twice(field: &str) -> ApiError {
    ApiError::BadRequest(format!("The field {field} is there twice with different values."))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(query: &str, kind: Option<&'static str>, body: &str) -> Result<CredentialRequest, ApiError> {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        CredentialRequest::read(query, &headers, body.as_bytes())
    }

    #[test]
    fn fields_come_in_any_order_and_keys_more_than_once() {
        let asked = read("key=one&ttl=60&api=two&username=al%20ice&service=turn&key=three", None, "").unwrap();
        assert_eq!(asked.username().unwrap(), "al ice");
        assert_eq!(asked.ttl().unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(asked.keys, ["one", "two", "three"].map(|key| Secret::new(key.to_owned())));
    }

    #[test]
    fn a_body_has_the_same_fields_as_a_query() {
        let query = read("username=alice&ttl=60&key=one", None, "").unwrap();
        let form = Some("application/x-www-form-urlencoded; charset=utf-8");
        assert_eq!(read("", form, "ttl=60&key=one&username=alice").unwrap(), query);
        let json = Some("application/json");
        assert_eq!(read("", json, r#"{"username":"alice","ttl":60,"key":["one"],"other":{}}"#).unwrap(), query);
        assert_eq!(read("username=alice", json, r#"{"username":"alice","ttl":"60","api":"one"}"#).unwrap(), query);
        assert_eq!(read("", json, r#"{"username":"alice","ttl":6e1,"key":"one","api":null}"#).unwrap(), query);
    }

    #[test]
    fn a_password_comes_in_a_header_or_a_body() {
        let with = |query: &str, authorization: &'static str, body: &str| {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            let headers = [(header::CONTENT_TYPE, form), (header::AUTHORIZATION, HeaderValue::from_static(authorization))];
            CredentialRequest::read(query, &HeaderMap::from_iter(headers), body.as_bytes())
        };
        let (alice, none) = ("Basic YWxpY2U6cHc=", "");
        let expected = CredentialRequest {
            username: Some("alice".into()),
            password: Some(Secret::new("pw".into())),
            ..CredentialRequest::default()
        };
        for (query, authorization, body) in [
            ("", alice, ""),
            ("username=alice", alice, ""),
            ("", alice, "username=alice&password=pw"),
            ("username=alice", none, "password=pw"),
            ("username=alice", none, "password=pw&password="),
        ] {
            assert_eq!(with(query, authorization, body).unwrap(), expected, "{query} {authorization} {body}");
        }
        for (query, authorization, body) in [
            ("username=bob", alice, ""),
            ("", alice, "password=other"),
            ("", none, "username=alice&password=pw&password=other"),
            ("username=alice&password=pw", none, ""),
            ("username=alice&password=", alice, ""),
        ] {
            assert!(matches!(with(query, authorization, body), Err(ApiError::BadRequest(_))), "{query} {authorization} {body}");
        }
        assert!(matches!(
            read("", Some("application/json"), r#"{"username":"alice","password":7}"#),
            Err(ApiError::BadRequest(_))
        ));
    }

    #[test]
    fn a_request_that_can_not_be_read_is_a_bad_request() {
        let bad = [
            read("username=alice&username=bob", None, ""),
            read("username=alice", Some("text/plain"), "x"),
            read("username=alice", None, "x"),
            read("", Some("application/json"), "[]"),
            read("", Some("application/json"), "{"),
            read("", Some("application/json"), r#"{"username":1}"#),
            read("", Some("application/json"), r#"{"username":["alice"]}"#),
        ];
        for asked in bad {
            assert!(matches!(asked, Err(ApiError::BadRequest(_))), "{asked:?}");
        }
        assert!(matches!(read(&"x".repeat(MAX_QUERY_BYTES + 1), None, ""), Err(ApiError::TooLarge)));
    }

    #[test]
    fn a_ttl_is_a_number() {
        let ttl = |ttl: &str| CredentialRequest { ttl: Some(ttl.into()), ..CredentialRequest::default() }.ttl();
        for (text, seconds) in [("0", 0), ("-5", 0), ("7", 7), ("99999999999999999999999", u64::MAX)] {
            assert_eq!(ttl(text).unwrap(), Some(Duration::from_secs(seconds)));
        }
        for text in ["x", "1.5", "1e9", "+1", "--1", " 1", "-"] {
            assert!(ttl(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_username_is_needed() {
        assert!(matches!(read("username=", None, "").unwrap().username(), Err(ApiError::NoUsername)));
        assert!(matches!(read("user=alice", None, "").unwrap().username(), Err(ApiError::NoUsername)));
        for bad in ["username=a%0Ab", "username=%00", &format!("username={}", "x".repeat(129))] {
            assert!(matches!(read(bad, None, "").unwrap().username(), Err(ApiError::BadRequest(_))), "{bad}");
        }
    }
}
