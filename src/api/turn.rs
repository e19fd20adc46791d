//! `GET` and `POST /turn`: time-limited credentials (draft-uberti-behave-turn-rest).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::Value;
use url::form_urlencoded;

use super::keys::bearer;
use super::{Api, Error};
use crate::config::TurnAccess;
use crate::config::secret::Secret;
use crate::http::client_info::ClientInfo;
use crate::users::{Credentials, check_requested};

/// Longest query string, in bytes.
const QUERY: usize = 4096;

const FIELDS: [&str; 5] = ["username", "service", "ttl", "key", "api"];

/// `{"username","password","ttl","uris"}`, as Janus and others parse it.
#[derive(Serialize)]
pub struct TurnReply<'a> {
    username: &'a str,
    password: &'a str,
    /// Seconds.
    ttl: u64,
    uris: Vec<String>,
}

impl<'a> TurnReply<'a> {
    pub fn new(issued: &'a Credentials, uris: Vec<String>) -> Self {
        Self { username: &issued.username, password: issued.password.expose(), ttl: issued.ttl.as_secs(), uris }
    }
}

/// What was asked for, from the query and the body together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    username: Option<String>,
    service: Option<String>,
    ttl: Option<String>,
    /// One that fits is enough: clients send the same key under several names.
    keys: Vec<Secret<String>>,
}

pub(super) async fn issue(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<ClientInfo>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    api.limiter.check(client.address).map_err(Error::TooManyRequests)?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge,
        _ => Error::BadRequest("The body could not be read.".into()),
    })?;
    let wish = Wish::read(query.as_deref().unwrap_or_default(), &headers, &body)?;
    let username = wish.username()?;
    if wish.service.as_deref().is_some_and(|service| service != "turn") {
        return Err(Error::BadRequest("The service must be turn.".into()));
    }
    let ttl = wish.ttl()?;
    if api.credentials.access == TurnAccess::Key {
        api.keys.check(&wish.keys, client.address, Instant::now())?;
    }
    if !api.directory.grants(api.credentials.access, username) {
        return Err(Error::Forbidden);
    }
    let issued = api.directory.issue(username, ttl, SystemTime::now());
    let reply = TurnReply::new(&issued, api.ice.uris(client.host.as_deref()));
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(reply)).into_response())
}

impl Wish {
    fn read(query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        if query.len() > QUERY {
            return Err(Error::TooLarge);
        }
        let mut wish = Self::default();
        wish.read_form(query.as_bytes())?;
        if let Some(token) = bearer(headers) {
            wish.keys.push(Secret::new(token.to_owned()));
        }
        if body.is_empty() {
            return Ok(wish);
        }
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => wish.read_form(body)?,
            "application/json" => wish.read_json(body)?,
            _ => {
                let expected = "The body must be application/x-www-form-urlencoded or application/json.";
                return Err(Error::BadRequest(expected.into()));
            }
        }
        Ok(wish)
    }

    fn read_form(&mut self, text: &[u8]) -> Result<(), Error> {
        form_urlencoded::parse(text).try_for_each(|(name, value)| self.put(&name, value.into_owned()))
    }

    fn read_json(&mut self, text: &[u8]) -> Result<(), Error> {
        let Ok(Value::Object(fields)) = serde_json::from_slice(text) else {
            return Err(Error::BadRequest("The body must be a JSON object.".into()));
        };
        for (name, value) in fields.into_iter().filter(|(name, _)| FIELDS.contains(&name.as_str())) {
            let wrong = || Error::BadRequest(format!("The field {name} must be a string."));
            match value {
                Value::Null => {}
                Value::String(text) => self.put(&name, text)?,
                Value::Number(number) if name == "ttl" => self.put(&name, number.to_string())?,
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

    fn put(&mut self, name: &str, value: String) -> Result<(), Error> {
        let field = match name {
            "username" => &mut self.username,
            "service" => &mut self.service,
            "ttl" => &mut self.ttl,
            "key" | "api" => {
                self.keys.push(Secret::new(value));
                return Ok(());
            }
            _ => return Ok(()),
        };
        // An empty field is what a form sends for one that was left blank.
        if value.is_empty() || field.as_ref() == Some(&value) {
            return Ok(());
        }
        if field.replace(value).is_some() {
            return Err(Error::BadRequest(format!("The field {name} is there twice with different values.")));
        }
        Ok(())
    }

    fn username(&self) -> Result<&str, Error> {
        let username = self.username.as_deref().ok_or(Error::NoUsername)?;
        check_requested(username).map_err(|error| Error::BadRequest(format!("The username is not allowed: {error}.")))?;
        Ok(username)
    }

    /// Whole seconds. Zero, negative and huge numbers are wishes for the shortest and the longest life.
    fn ttl(&self) -> Result<Option<Duration>, Error> {
        let Some(text) = self.ttl.as_deref() else { return Ok(None) };
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::BadRequest("The ttl must be a whole number of seconds.".into()));
        }
        let seconds = if negative { 0 } else { digits.parse().unwrap_or(u64::MAX) };
        Ok(Some(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(query: &str, kind: Option<&'static str>, body: &str) -> Result<Wish, Error> {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        Wish::read(query, &headers, body.as_bytes())
    }

    #[test]
    fn fields_come_in_any_order_and_keys_more_than_once() {
        let wish = read("key=one&ttl=60&api=two&username=al%20ice&service=turn&key=three", None, "").unwrap();
        assert_eq!(wish.username().unwrap(), "al ice");
        assert_eq!(wish.ttl().unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(wish.keys, ["one", "two", "three"].map(|key| Secret::new(key.to_owned())));
    }

    #[test]
    fn a_body_says_the_same_as_a_query() {
        let query = read("username=alice&ttl=60&key=one", None, "").unwrap();
        let form = Some("application/x-www-form-urlencoded; charset=utf-8");
        assert_eq!(read("", form, "ttl=60&key=one&username=alice").unwrap(), query);
        let json = Some("application/json");
        assert_eq!(read("", json, r#"{"username":"alice","ttl":60,"key":["one"],"other":{}}"#).unwrap(), query);
        assert_eq!(read("username=alice", json, r#"{"username":"alice","ttl":"60","api":"one"}"#).unwrap(), query);
    }

    #[test]
    fn what_can_not_be_understood_says_so() {
        let bad = [
            read("username=alice&username=bob", None, ""),
            read("username=alice", Some("text/plain"), "x"),
            read("username=alice", None, "x"),
            read("", Some("application/json"), "[]"),
            read("", Some("application/json"), "{"),
            read("", Some("application/json"), r#"{"username":1}"#),
            read("", Some("application/json"), r#"{"username":["alice"]}"#),
        ];
        for wish in bad {
            assert!(matches!(wish, Err(Error::BadRequest(_))), "{wish:?}");
        }
        assert!(matches!(read(&"x".repeat(QUERY + 1), None, ""), Err(Error::TooLarge)));
    }

    #[test]
    fn a_ttl_is_a_number() {
        let ttl = |ttl: &str| Wish { ttl: Some(ttl.into()), ..Wish::default() }.ttl();
        for (text, seconds) in [("0", 0), ("-5", 0), ("7", 7), ("99999999999999999999999", u64::MAX)] {
            assert_eq!(ttl(text).unwrap(), Some(Duration::from_secs(seconds)));
        }
        for text in ["x", "1.5", "1e9", "+1", "--1", " 1", "-"] {
            assert!(ttl(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_username_is_needed() {
        assert!(matches!(read("username=", None, "").unwrap().username(), Err(Error::NoUsername)));
        assert!(matches!(read("user=alice", None, "").unwrap().username(), Err(Error::NoUsername)));
        for bad in ["username=a%0Ab", "username=%00", &format!("username={}", "x".repeat(129))] {
            assert!(matches!(read(bad, None, "").unwrap().username(), Err(Error::BadRequest(_))), "{bad}");
        }
    }
}
