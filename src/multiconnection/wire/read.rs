//! Reads clients' events.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::ack::malformed;
use super::arguments::{Arguments, Json, arguments};
use super::event_names::{RESERVED_NAME, is_reserved};
use super::json_text::{description, description_of, echo, members, payload, text, truthy};
use super::request::{AdminRequest, Request};
use crate::config::secret::Secret;
use crate::limits::message_size::{self, DESCRIPTION_KIB, EVENT_KIB, TooLarge};
use crate::limits::reserved_names;
use crate::multiconnection::model::{OpaqueJson as _, RoomRequest, UserMessage};

/// Reads the first two arguments of an event that the server handles itself. `Ok(None)`: they are malformed; `Err`: the ack of an error
/// that has a text of its own.
type EventReader = fn(Option<&str>, Option<&str>) -> Result<Option<Request>, Arguments>;

/// Reads an event. `json` is the whole array, the event's name first; `message_event` is the client's name for the message event.
///
/// # Errors
/// The ack for an event that can't be read.
pub fn read(event: &str, json: &str, attachments: VecDeque<Bytes>, message_event: &str) -> Result<Request, Arguments> {
    let reader = reader(event);
    // Offers and answers are sent by the message event, and by any custom event that clients choose for them.
    let limit = if event == message_event || reader.is_none() { DESCRIPTION_KIB } else { EVENT_KIB };
    message_size::check(json, attachments.iter().map(Bytes::len).sum(), limit).map_err(|large| too_large(event, large))?;
    let all: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| malformed(event))?;
    let argument = |index: usize| all.get(index + 1).map(|json| json.get());
    let request = match reader {
        Some(read) => read(argument(0), argument(1))?,
        None if event == "scalable-broadcast-message" => payload(argument(0), attachments).map(Request::BroadcastMessage),
        None if event == message_event => message(argument(0), attachments),
        None => payload(argument(0), attachments).map(|message| Request::Custom { event: event.to_owned(), message }),
    };
    request.ok_or_else(|| malformed(event))
}

/// The reader of an event that the server handles itself; `None`: the server forwards the event.
fn reader(event: &str) -> Option<EventReader> {
    Some(match event {
        "open-room" => |room, _| Ok(room_request(room).map(Request::Open)),
        "join-room" => |room, _| Ok(room_request(room).map(Request::Join)),
        "check-presence" => |room, _| Ok(Some(Request::CheckPresence { room: text(room).unwrap_or_default(), echo: echo(room) })),
        "is-valid-password" => |password, room| password_check(password, room).map(Some),
        "set-password" => |password, _| Ok(new_password(password)),
        "get-public-rooms" => {
            |identifier, _| Ok(text(identifier).filter(|identifier| !identifier.trim().is_empty()).map(Request::PublicRooms))
        }
        "changed-uuid" => |id, _| Ok(text(id).filter(|id| !id.is_empty()).map(|id| Request::ChangeId(id.into()))),
        "disconnect-with" => |id, _| Ok(text(id).map(Request::DisconnectWith)),
        "extra-data-updated" => |extra, _| Ok(extra.and_then(description_of).map(Request::UpdateExtra)),
        "get-remote-user-extra-data" => |id, _| Ok(text(id).map(Request::ExtraDataOf)),
        "close-entire-session" => |_, _| Ok(Some(Request::CloseSession)),
        "set-custom-socket-event-listener" => |name, _| custom_event(name),
        "join-broadcast" => |broadcast, _| Ok(join_broadcast(broadcast)),
        "can-relay-broadcast" => |_, _| Ok(Some(Request::CanRelay(true))),
        "can-not-relay-broadcast" => |_, _| Ok(Some(Request::CanRelay(false))),
        "check-broadcast-presence" => |id, _| Ok(text(id).map(Request::CheckBroadcast)),
        "get-number-of-users-in-specific-broadcast" => |id, _| Ok(text(id).map(Request::CountViewers)),
        "admin" => |request, _| Ok(admin(request).map(Request::Admin)),
        _ => return None,
    })
}

/// The ack for an event that is too large.
fn too_large(event: &str, large: TooLarge) -> Arguments {
    match event {
        "is-valid-password" => arguments!(false, Value::Null, large.to_string()),
        "set-password" => arguments!(Value::Null, Value::Null, large.to_string()),
        event if reader(event).is_some() && event != "open-room" && event != "join-room" => malformed(event),
        _ => arguments!(false, large.to_string()),
    }
}

fn new_password(json: Option<&str>) -> Option<Request> {
    match json {
        None | Some("null" | "\"\"") => Some(Request::SetPassword(None)),
        password => text(password).map(|password| Request::SetPassword(Some(Secret::new(password)))),
    }
}

fn custom_event(json: Option<&str>) -> Result<Option<Request>, Arguments> {
    match text(json).filter(|name| !name.is_empty()) {
        Some(reserved) if is_reserved(&reserved) => Err(arguments!(false, RESERVED_NAME)),
        name => Ok(name.map(|name| Request::AnnounceCustomEvent(name.into()))),
    }
}

/// `{sessionid, session, …, extra, identifier, password}`; in scalable broadcasts `extra.broadcastId` names the room instead of
/// `sessionid`.
fn room_request(json: Option<&str>) -> Option<RoomRequest<Json>> {
    let mut all = members(json)?;
    let password = all.remove("password");
    let member = |name: &str| all.get(name).map(|json| json.get());
    let session = members(member("session")).unwrap_or_default();
    let one_way = ["oneway", "broadcast"].iter().any(|name| session.get(*name).is_some_and(|flag| flag.get() == "true"));
    let filled = |name: &str| text(member(name)).filter(|text| !text.is_empty());
    let broadcast = members(member("extra")).and_then(|extra| text(extra.get("broadcastId").map(|id| id.get())));
    let described = |name: &str| member(name).map_or_else(|| Some(Json::empty()), description_of);
    Some(RoomRequest {
        room: filled("sessionid")?.into(),
        broadcast: broadcast.filter(|id| !id.is_empty()).map(Arc::from),
        session: described("session")?,
        one_way,
        extra: described("extra")?,
        identifier: filled("identifier"),
        password: text(password.as_ref().map(|json| json.get())).filter(|text| !text.is_empty()).map(Secret::new),
        // Only admins see it, so a user whose request is too long still gets in.
        request_json: to_raw_value(&all).ok().and_then(description).unwrap_or_else(Json::empty),
    })
}

fn password_check(password: Option<&str>, room: Option<&str>) -> Result<Request, Arguments> {
    let given = |json| text(json).filter(|text| !text.trim_matches(' ').is_empty());
    let refused = |why: &str| Arguments(vec![Json::of(&false).into(), echo(room).into(), Json::of(&why).into()]);
    let password = given(password).ok_or_else(|| refused("You did not enter the password."))?;
    let asked = given(room).ok_or_else(|| refused("You did not enter the room-id."))?;
    Ok(Request::CheckPassword { room: asked, password: Secret::new(password), echo: echo(room) })
}

/// `{remoteUserId, message, sender}`; `sender` is ignored, since the server knows it.
fn message(json: Option<&str>, attachments: VecDeque<Bytes>) -> Option<Request> {
    let mut all = members(json)?;
    let to = text(all.get("remoteUserId").map(|json| json.get()))?;
    let message = all.remove("message")?;
    let flags = members(Some(message.get())).unwrap_or_default();
    let flag = |name: &str| truthy(flags.get(name).map(AsRef::as_ref));
    if to == "system" && flag("detectPresence") {
        return text(flags.get("userid").map(|json| json.get())).map(Request::DetectPresence);
    }
    if flags.iter().any(|(name, json)| names_a_property(name, json)) {
        return None;
    }
    let (participation, user_left) = (flag("newParticipationRequest"), flag("userLeft"));
    let message = payload(Some(message.get()), attachments)?;
    Some(Request::Message(UserMessage { to, message, participation, user_left }))
}

/// Whether the receiver would look up this member of a message among its peers or streams, and find a property that every object has.
fn names_a_property(member: &str, json: &RawValue) -> bool {
    match member {
        "oldUUID" | "newUUID" | "newParticipant" | "streamid" => {
            text(Some(json.get())).is_some_and(|name| reserved_names::is_property_of_peers(&name))
        }
        "allParticipants" => {
            let all: Vec<Value> = serde_json::from_str(json.get()).unwrap_or_default();
            all.iter().any(|one| one.as_str().is_some_and(reserved_names::is_property_of_peers))
        }
        _ => false,
    }
}

fn join_broadcast(json: Option<&str>) -> Option<Request> {
    let all = members(json)?;
    let member = |name: &str| all.get(name).map(|json| json.get());
    let types = member("typeOfStreams").filter(|json| *json != "null");
    Some(Request::JoinBroadcast {
        user: text(member("userid")).filter(|id| !id.is_empty()).map(Arc::from),
        broadcast: text(member("broadcastId")).filter(|id| !id.is_empty() && !reserved_names::is_property_of_peers(id))?,
        types: types.map_or_else(|| Some(Json::of(&json!({"audio": true, "video": true}))), description_of)?,
    })
}

fn admin(json: Option<&str>) -> Option<AdminRequest> {
    let all = members(json)?;
    let asks = |name: &str| all.get(name).is_some_and(|flag| flag.get() == "true");
    let named = |name: &str| text(all.get(name).map(|json| json.get()));
    match () {
        () if asks("all") => Some(AdminRequest::Overview),
        () if asks("userinfo") => named("userid").map(AdminRequest::UserInfo),
        () if asks("clearLogs") => Some(AdminRequest::ClearLogs),
        () if asks("deleteUser") => named("userid").map(AdminRequest::DeleteUser),
        () if asks("deleteRoom") => named("roomid").map(AdminRequest::DeleteRoom),
        () => None,
    }
}
