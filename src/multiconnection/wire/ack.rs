//! Writes acks: of requests, and of events that can't be read.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::arguments::{Arguments, Json, arguments};
use super::room_list::PublicRoom;
use crate::multiconnection::model::{OpaqueJson as _, Refusal, RoomId, RoomInfo};

const MALFORMED: &str = "Malformed request";
const TOO_MANY_REQUESTS: &str = "Too many requests, try again later";

/// The ack for an event that can't be read, in the event's own shape.
pub fn malformed(event: &str) -> Arguments {
    match event {
        "check-presence" => absent(&Json::of(&Value::Null)),
        "is-valid-password" => arguments!(false, Value::Null, MALFORMED),
        "set-password" => arguments!(Value::Null, Value::Null, MALFORMED),
        "get-public-rooms" => arguments!(Value::Null, "publicRoomIdentifier is required"),
        "get-remote-user-extra-data" => Arguments::one(&"User ID does not exist"),
        "check-broadcast-presence" => Arguments::one(&false),
        "get-number-of-users-in-specific-broadcast" => Arguments::one(&0),
        "disconnect-with" => Arguments::none(),
        _ => arguments!(false, MALFORMED),
    }
}

/// The ack for an event of a client that has sent too much.
pub fn too_many_requests() -> Arguments {
    arguments!(false, TOO_MANY_REQUESTS)
}

pub fn done() -> Arguments {
    Arguments::none()
}

pub fn flag(value: bool) -> Arguments {
    Arguments::one(&value)
}

pub fn number(value: usize) -> Arguments {
    Arguments::one(&value)
}

pub fn room_entered(result: Result<(), Refusal>) -> Arguments {
    match result {
        Ok(()) => arguments!(true),
        Err(refusal) => arguments!(false, refusal.to_string()),
    }
}

pub fn presence(echo: &Json, room: Option<&RoomInfo<Json>>) -> Arguments {
    let Some(room) = room else { return absent(echo) };
    let state = json!({"isFull": room.is_full, "isPasswordProtected": room.is_password_protected});
    let extra = to_raw_value(&room.extra).expect("it was received as JSON");
    let mut members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(extra.get()).unwrap_or_else(|_| BTreeMap::from([("value".to_owned(), extra)]));
    members.insert("_room".to_owned(), to_raw_value(&state).expect("it is JSON"));
    Arguments(vec![Json::of(&true).into(), echo.clone().into(), Json::of(&members).into()])
}

pub fn password_check(echo: &Json, result: Result<(), Refusal>) -> Arguments {
    let error = result.map_or_else(|refusal| json!(refusal.to_string()), |()| json!(false));
    Arguments(vec![Json::of(&result.is_ok()).into(), echo.clone().into(), Json::of(&error).into()])
}

pub fn password_set(room: Option<RoomId>, result: Result<(), Refusal>) -> Arguments {
    match (room, result) {
        (Some(room), Ok(())) => arguments!(true, room.as_ref(), Value::Null),
        (Some(room), Err(refusal)) => arguments!(false, room.as_ref(), refusal.to_string()),
        (None, result) => arguments!(Value::Null, Value::Null, result.err().map(|refusal| refusal.to_string())),
    }
}

pub fn public_rooms(rooms: &[RoomInfo<Json>]) -> Arguments {
    Arguments::one(&rooms.iter().map(PublicRoom).collect::<Vec<_>>())
}

pub fn extra_data(extra: Option<&Json>) -> Arguments {
    extra.map_or_else(|| malformed("get-remote-user-extra-data"), |extra| extra.clone().into())
}

/// The original acknowledges `close-entire-session` always like this.
pub fn session_closed() -> Arguments {
    room_entered(Err(Refusal::NotAvailable))
}

pub fn presence_detected(id: &str, present: bool) -> Arguments {
    arguments!(present, id)
}

pub fn user_info(last_room_request: Result<Option<&Json>, Refusal>) -> Arguments {
    match last_room_request {
        Ok(request) => request.cloned().unwrap_or_else(Json::empty).into(),
        Err(refusal) => Arguments::one(&json!({"error": refusal.to_string()})),
    }
}

fn absent(echo: &Json) -> Arguments {
    let extra = json!({"_room": {"isFull": false, "isPasswordProtected": false}});
    Arguments(vec![Json::of(&false).into(), echo.clone().into(), Json::of(&extra).into()])
}
