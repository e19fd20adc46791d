//! The texts of the room server and of Collider: ids, commands, frames and results. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use serde::Serialize;
use serde_json::{Map, Value};

use super::model::Refusal;
use super::slots::BYE;
use crate::limits::message_size::{self, DESCRIPTION_KIB, TooLarge};
use crate::limits::reserved_names;

/// The largest report to `/a/`.
pub const MAX_REPORT_BYTES: usize = 64 * 1024;
/// The longest name of a room or a client.
pub const MAX_ID_BYTES: usize = 256;

/// Collider's error for a client that has to join the room first.
pub const NOT_JOINED: &str = "The client has not joined the room";

/// Whether the room server accepts `text` as the id of a room or a client: `[a-zA-Z0-9-_]+`, except for properties that every
/// JavaScript object has.
pub fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() <= MAX_ID_BYTES && !text.is_empty() && text.bytes().all(plain) && !reserved_names::is_property(text)
}

/// Why Collider refuses the name of a room or a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("'clientid' or 'roomid' is too long")]
    TooLong,
    #[error("'clientid' or 'roomid' is a reserved name")]
    Reserved,
}

/// Checks the names in a Collider request, which may have any characters.
///
/// # Errors
/// [`BadName`].
pub fn check_names(room: &str, client: &str) -> Result<(), BadName> {
    let names = [room, client];
    if names.iter().any(|name| name.len() > MAX_ID_BYTES) {
        return Err(BadName::TooLong);
    }
    if names.iter().any(|name| reserved_names::is_property(name)) {
        return Err(BadName::Reserved);
    }
    Ok(())
}

/// Checks the size of a client's message to its peer: JSON that contains one session description at most.
///
/// # Errors
/// [`TooLarge`].
pub fn check_size(message: &str) -> Result<(), TooLarge> {
    message_size::check(message, 0, DESCRIPTION_KIB)
}

/// A frame of a client to Collider; a missing field is empty.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Register { room: String, client: String },
    Send { message: String },
    Unexpected,
}

impl Command {
    /// Keys are case-insensitive, and `null` counts as missing.
    ///
    /// # Errors
    /// The parser's text about invalid JSON.
    pub fn read(frame: &[u8]) -> Result<Self, String> {
        let fields: Option<Map<String, Value>> = serde_json::from_slice(frame).map_err(|error| error.to_string())?;
        let mut fields: Map<_, _> = fields.into_iter().flatten().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
        let mut text = |key: &str| match fields.remove(key) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(format!("{key} must be a string"))
            }
        };
        let (command, message, room, client) = (text("cmd")?, text("msg")?, text("roomid")?, text("clientid")?);
        Ok(match command.as_str() {
            "register" => Self::Register { room, client },
            "send" => Self::Send { message },
            _ => Self::Unexpected,
        })
    }
}

/// `{"msg","error"}`: both fields are always present, and one of them is empty.
#[derive(Serialize)]
struct ServerFrame<'a> {
    msg: &'a str,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Collider's frame with a peer's message.
pub fn message_frame(message: &str) -> String {
    frame(&ServerFrame { msg: message, error: "", reason: None })
}

/// Collider's frame with a bye, which also says that an operator has closed the call. No peer's message can say that: it would be within
/// `msg`.
pub fn operator_bye_frame() -> String {
    frame(&ServerFrame { msg: BYE, error: "", reason: Some("ended_by_operator") })
}

/// Collider's frame with an error.
pub fn error_frame(error: &str) -> String {
    frame(&ServerFrame { msg: "", error, reason: None })
}

fn frame(frame: &ServerFrame<'_>) -> String {
    serde_json::to_string(frame).expect("strings are JSON")
}

/// The room server's result for a refusal.
pub const fn result(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Full => "FULL",
        Refusal::UnknownRoom => "UNKNOWN_ROOM",
        Refusal::UnknownClient => "UNKNOWN_CLIENT",
        Refusal::ServerFull | Refusal::Slot(_) => "ERROR",
    }
}

/// Whether a body is an analytics event of the web client:
/// `{type: "event", request_time_ms, event: {event_type, event_time_ms, …}}`.
pub fn is_analytics_event(body: &[u8]) -> bool {
    let Ok(report) = serde_json::from_slice::<Value>(body) else { return false };
    let event = &report["event"];
    let kind = &event["event_type"];
    report["type"] == "event"
        && report["request_time_ms"].is_number()
        && (kind.is_number() || kind.is_string())
        && event["event_time_ms"].is_number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_and_clients_have_plain_names() {
        for good in ["a", "Room-1_x", "00000001", "constructor-room", &"x".repeat(MAX_ID_BYTES)] {
            assert!(is_id(good), "{good}");
        }
        for bad in [
            "__proto__",
            "constructor",
            "prototype",
            "toString",
            "",
            "a b",
            "a.b",
            "ä",
            "a/b",
            "%61",
            &"x".repeat(MAX_ID_BYTES + 1),
        ] {
            assert!(!is_id(bad), "{bad}");
        }
    }

    #[test]
    fn colliders_names_are_short_and_not_reserved() {
        assert_eq!(check_names("a room.x", ""), Ok(()));
        assert_eq!(check_names("r", &"x".repeat(MAX_ID_BYTES + 1)), Err(BadName::TooLong));
        for (room, client) in [("__proto__", "1"), ("r", "constructor"), ("valueOf", "valueOf")] {
            assert_eq!(check_names(room, client), Err(BadName::Reserved));
        }
    }

    #[test]
    fn keys_are_case_insensitive_and_extra_keys_are_ignored() {
        let command = Command::read(br#"{"CMD":"register","RoomID":"r","clientId":"c","extra":{"x":[1]}}"#);
        assert_eq!(command, Ok(Command::Register { room: "r".into(), client: "c".into() }));
        assert_eq!(Command::read(br#"{"Cmd":"send","Msg":"m"}"#), Ok(Command::Send { message: "m".into() }));
    }

    #[test]
    fn a_missing_field_is_empty_and_never_that_of_the_last_frame() {
        assert_eq!(Command::read(br#"{"cmd":"send"}"#), Ok(Command::Send { message: String::new() }));
        assert_eq!(Command::read(br#"{"cmd":"send","msg":null}"#), Ok(Command::Send { message: String::new() }));
        for other in ["{}", r#"{"cmd":""}"#, r#"{"cmd":"REGISTER"}"#, "null"] {
            assert_eq!(Command::read(other.as_bytes()), Ok(Command::Unexpected), "{other}");
        }
    }

    #[test]
    fn only_an_object_of_strings_can_be_read() {
        for bad in ["", "{", "[]", "1", r#""send""#, r#"{"cmd":1}"#, r#"{"cmd":"send","msg":{}}"#, "{}{}"] {
            assert!(Command::read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Command::read(b"\xff\xfe").is_err());
    }

    #[test]
    fn both_keys_are_always_present() {
        assert_eq!(message_frame("a\"b"), r#"{"msg":"a\"b","error":""}"#);
        assert_eq!(error_frame("e"), r#"{"msg":"","error":"e"}"#);
        assert_eq!(operator_bye_frame(), r#"{"msg":"{\"type\":\"bye\"}","error":"","reason":"ended_by_operator"}"#);
    }

    #[test]
    fn an_event_is_well_formed_or_not() {
        let event = br#"{"type":"event","request_time_ms":1.5,"event":{"event_type":3,"event_time_ms":2,"room_id":"r"}}"#;
        assert!(is_analytics_event(event));
        for bad in [
            "",
            "[]",
            r#"{"type":"event"}"#,
            r#"{"type":"other","request_time_ms":1,"event":{"event_type":3,"event_time_ms":2}}"#,
            r#"{"type":"event","request_time_ms":1,"event":{"event_time_ms":2}}"#,
            r#"{"type":"event","event":{"event_type":3,"event_time_ms":2}}"#,
        ] {
            assert!(!is_analytics_event(bad.as_bytes()), "{bad}");
        }
    }
}
