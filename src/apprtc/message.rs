//! The wire of the room server and of Collider: ids, commands, frames, results. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use serde::Serialize;
use serde_json::{Map, Value};

use super::room::Refusal;
use crate::limits::message_size::{self, DESCRIPTION_KIB, TooLarge};
use crate::limits::reserved_names;

/// Bytes of a report to `/a/` at most.
pub const MAX_REPORT_BYTES: usize = 64 * 1024;
/// Bytes of a room's or a client's name at most.
const MAX_ID: usize = 256;

/// Whether the room server takes it for a room or a client: `[a-zA-Z0-9-_]+`, and nothing that every object of a client has.
pub fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() <= MAX_ID && !text.is_empty() && text.bytes().all(plain) && !reserved_names::is_property(text)
}

/// Why a room or a client can't be called so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("'clientid' or 'roomid' is too long")]
    TooLong,
    #[error("'clientid' or 'roomid' is a reserved name")]
    Reserved,
}

/// Checks the names that Collider is told, which may have any characters.
///
/// # Errors
/// [`BadName`].
pub fn check_names(room: &str, client: &str) -> Result<(), BadName> {
    let names = [room, client];
    if names.iter().any(|name| name.len() > MAX_ID) {
        return Err(BadName::TooLong);
    }
    if names.iter().any(|name| reserved_names::is_property(name)) {
        return Err(BadName::Reserved);
    }
    Ok(())
}

/// Checks a client's message to its peer: JSON, with an offer or an answer in it at most.
///
/// # Errors
/// [`TooLarge`].
pub fn check_size(message: &str) -> Result<(), TooLarge> {
    message_size::check(message, 0, DESCRIPTION_KIB)
}

/// What a client says to Collider; a field that is missing is empty.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Register { room: String, client: String },
    Send { message: String },
    Unexpected,
}

impl Command {
    /// Keys are read in any case; `null` is as good as missing.
    ///
    /// # Errors
    /// What is wrong with the JSON.
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

/// `{"msg","error"}`: one of them is empty, both are always there.
#[derive(Serialize)]
struct Frame<'a> {
    msg: &'a str,
    error: &'a str,
}

/// A peer's message as Collider sends it.
pub fn message_frame(message: &str) -> String {
    frame(&Frame { msg: message, error: "" })
}

/// An error as Collider sends it.
pub fn error_frame(error: &str) -> String {
    frame(&Frame { msg: "", error })
}

fn frame(frame: &Frame<'_>) -> String {
    serde_json::to_string(frame).expect("strings are JSON")
}

/// The room server's word for a refusal.
pub const fn result(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Full => "FULL",
        Refusal::UnknownRoom => "UNKNOWN_ROOM",
        Refusal::UnknownClient => "UNKNOWN_CLIENT",
        Refusal::ServerFull | Refusal::Slot(_) => "ERROR",
    }
}

/// Whether a body is an event as the web client reports it to `/a/`:
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
        for good in ["a", "Room-1_x", "00000001", "constructor-room", &"x".repeat(MAX_ID)] {
            assert!(is_id(good), "{good}");
        }
        for bad in
            ["__proto__", "constructor", "prototype", "toString", "", "a b", "a.b", "ä", "a/b", "%61", &"x".repeat(MAX_ID + 1)]
        {
            assert!(!is_id(bad), "{bad}");
        }
    }

    #[test]
    fn colliders_names_are_short_and_not_reserved() {
        assert_eq!(check_names("a room.x", ""), Ok(()));
        assert_eq!(check_names("r", &"x".repeat(MAX_ID + 1)), Err(BadName::TooLong));
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
    fn a_missing_field_is_empty_and_never_the_last_ones() {
        assert_eq!(Command::read(br#"{"cmd":"send"}"#), Ok(Command::Send { message: String::new() }));
        assert_eq!(Command::read(br#"{"cmd":"send","msg":null}"#), Ok(Command::Send { message: String::new() }));
        for other in ["{}", r#"{"cmd":""}"#, r#"{"cmd":"REGISTER"}"#, "null"] {
            assert_eq!(Command::read(other.as_bytes()), Ok(Command::Unexpected), "{other}");
        }
    }

    #[test]
    fn what_is_not_an_object_of_strings_can_not_be_read() {
        for bad in ["", "{", "[]", "1", r#""send""#, r#"{"cmd":1}"#, r#"{"cmd":"send","msg":{}}"#, "{}{}"] {
            assert!(Command::read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Command::read(b"\xff\xfe").is_err());
    }

    #[test]
    fn both_keys_are_always_present() {
        assert_eq!(message_frame("a\"b"), r#"{"msg":"a\"b","error":""}"#);
        assert_eq!(error_frame("e"), r#"{"msg":"","error":"e"}"#);
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
