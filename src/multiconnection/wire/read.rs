//! Reads clients' events.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::ack::malformed;
use super::arguments::{Arguments, Json, arguments};
use super::event_names::{RESERVED_NAME, is_request, is_reserved};
use super::json_text::{description, description_of, echo, members, payload, text, truthy};
use super::request::{AdminRequest, Request};
use crate::config::secret::Secret;
use crate::limits::message_size::{self, DESCRIPTION_KIB, EVENT_KIB, TooLarge};
use crate::limits::reserved_names;
use crate::multiconnection::model::{OpaqueJson as _, RelayMessage, RoomRequest};

/// Reads an event. `json` is the whole array, the event's name first; `message_event` is the client's name for the relay event.
///
/// # Errors
/// The ack for an event that can't be read.
pub fn read(event: &str, json: &str, attachments: VecDeque<Bytes>, message_event: &str) -> Result<Request, Arguments> {
    let limit = if carries_descriptions(event, message_event) { DESCRIPTION_KIB } else { EVENT_KIB };
    message_size::check(json, attachments.iter().map(Bytes::len).sum(), limit).map_err(|large| too_large(event, large))?;
    let all: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| malformed(event))?;
    let argument = |index: usize| all.get(index + 1).map(|json| json.get());
    let read = match event {
        "open-room" => room_request(argument(0)).map(Request::Open),
        "join-room" => room_request(argument(0)).map(Request::Join),
        "check-presence" => Some(Request::CheckPresence { room: text(argument(0)).unwrap_or_default(), echo: echo(argument(0)) }),
        "is-valid-password" => return password_check(argument(0), argument(1)),
        "set-password" => match argument(0) {
            None | Some("null" | "\"\"") => Some(Request::SetPassword(None)),
            password => text(password).map(|password| Request::SetPassword(Some(Secret::new(password)))),
        },
        "get-public-rooms" => text(argument(0)).filter(|identifier| !identifier.trim().is_empty()).map(Request::PublicRooms),
        "changed-uuid" => text(argument(0)).filter(|id| !id.is_empty()).map(|id| Request::ChangeId(id.into())),
        "disconnect-with" => text(argument(0)).map(Request::DisconnectWith),
        "extra-data-updated" => argument(0).and_then(description_of).map(Request::UpdateExtra),
        "get-remote-user-extra-data" => text(argument(0)).map(Request::ExtraDataOf),
        "close-entire-session" => Some(Request::CloseSession),
        "set-custom-socket-event-listener" => {
            let name = text(argument(0)).filter(|name| !name.is_empty());
            if name.as_deref().is_some_and(is_reserved) {
                return Err(arguments!(false, RESERVED_NAME));
            }
            name.map(|name| Request::AnnounceCustomEvent(name.into()))
        }
        "join-broadcast" => join_broadcast(argument(0)),
        "can-relay-broadcast" => Some(Request::CanRelay(true)),
        "can-not-relay-broadcast" => Some(Request::CanRelay(false)),
        "scalable-broadcast-message" => payload(argument(0), attachments).map(Request::BroadcastMessage),
        "check-broadcast-presence" => text(argument(0)).map(Request::CheckBroadcast),
        "get-number-of-users-in-specific-broadcast" => text(argument(0)).map(Request::CountViewers),
        "admin" => admin(argument(0)).map(Request::Admin),
        name if name == message_event => message(argument(0), attachments),
        _ => payload(argument(0), attachments).map(|message| Request::Custom { event: event.to_owned(), message }),
    };
    read.ok_or_else(|| malformed(event))
}

/// Offers and answers are sent by the relay event, and by any custom event that clients choose for them.
fn carries_descriptions(event: &str, message_event: &str) -> bool {
    event == message_event || !is_request(event)
}

/// The ack for an event that is too large.
fn too_large(event: &str, large: TooLarge) -> Arguments {
    match event {
        "is-valid-password" => arguments!(false, Value::Null, large.to_string()),
        "set-password" => arguments!(Value::Null, Value::Null, large.to_string()),
        event if is_request(event) && event != "open-room" && event != "join-room" => malformed(event),
        _ => arguments!(false, large.to_string()),
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
    Some(Request::Message(RelayMessage { to, message, participation, user_left }))
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
