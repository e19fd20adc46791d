//! Reads parts of a client's JSON; lengths are bounded here.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::arguments::Json;
use crate::socketio::gateway::packet::ForwardedJson;

/// Bytes of an id, a name or a password.
pub(super) const MAX_TEXT_BYTES: usize = 256;
/// Bytes of a user's extra data, and of a session.
pub(super) const MAX_DESCRIPTION_BYTES: usize = 16 * 1024;

/// A string, or a number as its text: clients name rooms by both.
pub(super) fn text(json: Option<&str>) -> Option<String> {
    let json = json?;
    let text = match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok()?,
        b'-' | b'0'..=b'9' => json.to_owned(),
        _ => return None,
    };
    (text.len() <= MAX_TEXT_BYTES).then_some(text)
}

/// The part of an event that its ack repeats, if it is short.
pub(super) fn echo(json: Option<&str>) -> Json {
    let raw = json.filter(|json| json.len() <= MAX_TEXT_BYTES).and_then(|json| RawValue::from_string(json.to_owned()).ok());
    raw.map_or_else(|| Json::of(&Value::Null), Json::raw)
}

/// JSON that is forwarded as it was received.
pub(super) fn payload(json: Option<&str>, attachments: VecDeque<Bytes>) -> Option<Json> {
    let raw = RawValue::from_string(json.unwrap_or("null").to_owned()).ok()?;
    ForwardedJson::new(raw, attachments).map(Json::from)
}

/// A description (extra data, a session), which is sent along with what others send. It may not contain placeholders for binary attachments,
/// since a client that gets one without its attachment disconnects, nor members that change all objects of a page which merges it into its
/// own.
pub(super) fn description(json: Box<RawValue>) -> Option<Json> {
    let fits = json.get().len() <= MAX_DESCRIPTION_BYTES;
    let tree: Value = serde_json::from_str(json.get()).ok().filter(|_| fits)?;
    (!is_harmful(&tree)).then(|| Json::raw(json))
}

pub(super) fn description_of(json: &str) -> Option<Json> {
    description(RawValue::from_string(json.to_owned()).ok()?)
}

fn is_harmful(tree: &Value) -> bool {
    match tree {
        Value::Object(map) => {
            map.contains_key("_placeholder")
                || map.contains_key("__proto__")
                || map.get("constructor").is_some_and(|constructor| constructor.get("prototype").is_some())
                || map.values().any(is_harmful)
        }
        Value::Array(items) => items.iter().any(is_harmful),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The members of an object, each as its JSON text. If a member occurs twice the last one counts, as in JavaScript.
pub(super) fn members(json: Option<&str>) -> Option<BTreeMap<String, Box<RawValue>>> {
    serde_json::from_str(json?).ok()
}

/// What JavaScript would take for true.
pub(super) fn truthy(json: Option<&RawValue>) -> bool {
    json.is_some_and(|json| !matches!(json.get(), "false" | "null" | "0" | "\"\""))
}
