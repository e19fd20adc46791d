//! The fields of requests: JSON objects and lifetimes.

use std::time::Duration;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use serde_json::{Map, Number, Value};
use utoipa::ToSchema as _;
use utoipa::openapi::Ref;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};

use super::refusal::Refusal;
use crate::api::described::RequestedLifetime;
use crate::users::check_requested;
use crate::whole_number;

/// A name in the path, decoded. It has to be one also where another field replaces it.
pub(super) fn name_in_path(name: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    let Path(name) = name.map_err(|_| Refusal::malformed("The name in the path must be UTF-8."))?;
    check_name(&name)?;
    Ok(name)
}

pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    check_requested(name).map_err(|error| Refusal::malformed(format!("The name is not allowed: {error}.")))
}

/// The fields of a JSON body, whose content type is not looked at: curl and old clients send another one. No body has no fields.
pub(super) fn json_fields(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Null) => Ok(Map::new()),
        _ => Err(Refusal::malformed("The body must be a JSON object.")),
    }
}

/// A text, if there is one that is not empty.
pub(super) fn text<'a>(fields: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Refusal> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(Refusal::malformed(format!("{field} must be a string."))),
    }
}

/// A lifetime of whole seconds, as a number or as digits; `None` where the field is absent.
pub(super) fn lifetime(fields: &Map<String, Value>, field: &str) -> Result<Option<Duration>, Refusal> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => lifetime_of(number, field),
        Some(Value::String(text)) => lifetime_text(text, field),
        Some(_) => Err(Refusal::lifetime(field)),
    }
}

/// The same for a text. Numbers beyond 64 bits are clamped: the directory clamps them further, to its longest lifetime.
pub(super) fn lifetime_text(text: &str, field: &str) -> Result<Option<Duration>, Refusal> {
    at_least_one(whole_number::read_clamped(text).ok_or_else(|| Refusal::lifetime(field))?, field)
}

fn lifetime_of(number: &Number, field: &str) -> Result<Option<Duration>, Refusal> {
    // Python writes a whole number of its type float as 3600.0.
    let whole = || number.as_f64().filter(|number| number.fract() == 0.0 && *number >= 1.0).map(|number| number as u64);
    at_least_one(number.as_u64().or_else(whole).unwrap_or_default(), field)
}

fn at_least_one(seconds: u64, field: &str) -> Result<Option<Duration>, Refusal> {
    if seconds == 0 { Err(Refusal::lifetime(field)) } else { Ok(Some(Duration::from_secs(seconds))) }
}

/// What [`lifetime`] takes.
pub(super) fn lifetime_schema() -> Schema {
    lifetime_schema_from(1)
}

pub(super) fn lifetime_schema_from(least: u64) -> Schema {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least));
    let text = Ref::from_schema_name(RequestedLifetime::name());
    let null = ObjectBuilder::new().schema_type(Type::Null);
    let zero = if least == 0 { ", 0" } else { "" };
    let description =
        format!("In seconds, as a number or as text; the longest lifetime of this server if it is absent{zero} or longer.");
    OneOfBuilder::new().item(number).item(text).item(null).description(Some(description)).into()
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::json;

    use super::super::refusal::Reason;
    use super::*;

    fn fields(body: &str) -> Result<Map<String, Value>, Refusal> {
        json_fields(body.as_bytes())
    }

    #[test]
    fn a_body_is_a_json_object_or_missing() {
        assert!(fields("").unwrap().is_empty() && fields("null").unwrap().is_empty() && fields("{}").unwrap().is_empty());
        assert_eq!(fields(r#"{"label":"a"}"#).unwrap()["label"], json!("a"));
        for bad in ["[]", "{", "7", "\"x\"", "a=b", "\u{feff}{}"] {
            assert_eq!(fields(bad).unwrap_err().status, StatusCode::BAD_REQUEST, "{bad}");
        }
    }

    #[test]
    fn a_lifetime_is_a_number_or_its_digits() {
        let read = |value: Value| lifetime(&Map::from_iter([("ttl".to_owned(), value)]), "ttl");
        for (value, seconds) in [
            (json!(1), 1),
            (json!(86400), 86_400),
            (json!("86400"), 86_400),
            (json!(3600.0), 3600),
            (json!(u64::MAX), u64::MAX),
            (json!(1e30), u64::MAX),
            (json!("99999999999999999999999"), u64::MAX),
        ] {
            assert_eq!(read(value.clone()).unwrap(), Some(Duration::from_secs(seconds)), "{value}");
        }
        assert_eq!(read(Value::Null).unwrap(), None);
        assert_eq!(lifetime(&Map::new(), "ttl").unwrap(), None);
        for bad in [
            json!(0),
            json!(-1),
            json!(1.5),
            json!("x"),
            json!(""),
            json!("-1"),
            json!("1e3"),
            json!("3600.0"),
            json!(0.5),
            json!([1]),
            json!(true),
        ] {
            assert_eq!(read(bad.clone()).unwrap_err().reason, Reason::Lifetime, "{bad}");
        }
    }

    #[test]
    fn a_text_is_a_string() {
        let map = fields(r#"{"label":"a","empty":"","number":1,"none":null}"#).unwrap();
        assert_eq!(text(&map, "label").unwrap(), Some("a"));
        for none in ["empty", "none", "absent"] {
            assert_eq!(text(&map, none).unwrap(), None, "{none}");
        }
        assert_eq!(text(&map, "number").unwrap_err().status, StatusCode::BAD_REQUEST);
    }
}
