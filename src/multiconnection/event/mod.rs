//! The wire of RTCMultiConnection: here what clients ask for, in `write` what they hear, in `ack` what is answered, in `handshake` the
//! query.
//!
//! Input is whatever a client sends: what can't be read becomes an error ack in the event's own shape, or silence where the
//! event has none. What clients pass to each other stays the JSON text it is. Lengths are bounded here.

pub mod ack;
mod arguments;
mod handshake;
mod listed;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

pub use self::arguments::{Arguments, Json};
pub use self::handshake::{Handshake, handshake, is_ours};
pub use self::write::write;

use self::ack::malformed;
use self::arguments::arguments;
use super::room::{Entry, Message, Opaque as _, UserId};
use crate::config::secret::Secret;
use crate::limits::message_size::{self, DESCRIPTION_KIB, EVENT_KIB, TooLarge};
use crate::limits::reserved_names;
use crate::socketio::packet::Payload;

/// Bytes of an id, a name or a password at most.
const MAX_TEXT: usize = 256;
/// Bytes of a user's extra data at most, and of a session's description.
const MAX_EXTRA: usize = 16 * 1024;
/// Ack of an event's name that no event may have.
const RESERVED: &str = "This event name is reserved, choose another one";

/// What clients hear from the server alone.
const OURS: [&str; 15] = [
    "user-connected",
    "user-disconnected",
    "extra-data-updated",
    "userid-already-taken",
    "set-isInitiator-true",
    "user-not-found",
    "closed-entire-session",
    "start-broadcasting",
    "join-broadcaster",
    "rejoin-broadcast",
    "broadcast-stopped",
    "number-of-broadcast-viewers-updated",
    "scalable-broadcast-message",
    "logs",
    "admin",
];

/// Whether no client may send another an event of that name.
fn is_reserved(event: &str) -> bool {
    OURS.contains(&event) || reserved_names::is_socket_event(event)
}

/// What the server does something about itself.
const READ_HERE: [&str; 18] = [
    "open-room",
    "join-room",
    "check-presence",
    "is-valid-password",
    "set-password",
    "get-public-rooms",
    "changed-uuid",
    "disconnect-with",
    "extra-data-updated",
    "get-remote-user-extra-data",
    "close-entire-session",
    "set-custom-socket-event-listener",
    "join-broadcast",
    "can-relay-broadcast",
    "can-not-relay-broadcast",
    "check-broadcast-presence",
    "get-number-of-users-in-specific-broadcast",
    "admin",
];

/// What a client asks for.
pub enum Request {
    Open(Entry<Json>),
    Join(Entry<Json>),
    /// `echo` comes back in the ack as it is.
    CheckPresence {
        room: String,
        echo: Json,
    },
    CheckPassword {
        room: String,
        password: Secret<String>,
        echo: Json,
    },
    SetPassword(Option<Secret<String>>),
    PublicRooms(String),
    ChangeId(UserId),
    DisconnectWith(String),
    UpdateExtra(Json),
    ExtraOf(String),
    CloseSession,
    Listen(Arc<str>),
    Message(Message<Json>),
    /// Whether a user of that id is there, as version 3.3 and older asked.
    DetectPresence(String),
    Custom {
        event: String,
        message: Json,
    },
    JoinBroadcast {
        user: Option<UserId>,
        broadcast: String,
        types: Json,
    },
    Relaying(bool),
    BroadcastMessage(Json),
    CheckBroadcast(String),
    Viewers(String),
    Admin(AdminRequest),
}

pub enum AdminRequest {
    Overview,
    UserInfo(String),
    ClearLogs,
    DeleteUser(String),
    DeleteRoom(String),
}

/// Reads an event. `json` is the whole array, the event's name first; `message_event` is what the client calls the relay event.
///
/// # Errors
/// The ack of what can't be read.
pub fn read(event: &str, json: &str, attachments: VecDeque<Bytes>, message_event: &str) -> Result<Request, Arguments> {
    let limit = if carries_descriptions(event, message_event) { DESCRIPTION_KIB } else { EVENT_KIB };
    message_size::check(json, attachments.iter().map(Bytes::len).sum(), limit).map_err(|large| too_large(event, large))?;
    let all: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| malformed(event))?;
    let argument = |place: usize| all.get(place + 1).map(|json| json.get());
    let read = match event {
        "open-room" => entry(argument(0)).map(Request::Open),
        "join-room" => entry(argument(0)).map(Request::Join),
        "check-presence" => Some(Request::CheckPresence { room: text(argument(0)).unwrap_or_default(), echo: echo(argument(0)) }),
        "is-valid-password" => return password_check(argument(0), argument(1)),
        "set-password" => match argument(0) {
            None | Some("null" | "\"\"") => Some(Request::SetPassword(None)),
            password => text(password).map(|password| Request::SetPassword(Some(Secret::new(password)))),
        },
        "get-public-rooms" => text(argument(0)).filter(|identifier| !identifier.trim().is_empty()).map(Request::PublicRooms),
        "changed-uuid" => text(argument(0)).filter(|id| !id.is_empty()).map(|id| Request::ChangeId(id.into())),
        "disconnect-with" => text(argument(0)).map(Request::DisconnectWith),
        "extra-data-updated" => argument(0).and_then(extra_text).map(Request::UpdateExtra),
        "get-remote-user-extra-data" => text(argument(0)).map(Request::ExtraOf),
        "close-entire-session" => Some(Request::CloseSession),
        "set-custom-socket-event-listener" => {
            let name = text(argument(0)).filter(|name| !name.is_empty());
            if name.as_deref().is_some_and(is_reserved) {
                return Err(arguments!(false, RESERVED));
            }
            name.map(|name| Request::Listen(name.into()))
        }
        "join-broadcast" => join_broadcast(argument(0)),
        "can-relay-broadcast" => Some(Request::Relaying(true)),
        "can-not-relay-broadcast" => Some(Request::Relaying(false)),
        "scalable-broadcast-message" => payload(argument(0), attachments).map(Request::BroadcastMessage),
        "check-broadcast-presence" => text(argument(0)).map(Request::CheckBroadcast),
        "get-number-of-users-in-specific-broadcast" => text(argument(0)).map(Request::Viewers),
        "admin" => admin(argument(0)).map(Request::Admin),
        name if name == message_event => message(argument(0), attachments),
        _ => payload(argument(0), attachments).map(|message| Request::Custom { event: event.to_owned(), message }),
    };
    read.ok_or_else(|| malformed(event))
}

/// Offers and answers cross in the relay event, and in whatever event of their own clients choose for them.
fn carries_descriptions(event: &str, message_event: &str) -> bool {
    event == message_event || !READ_HERE.contains(&event)
}

/// The ack of an event that is too large.
fn too_large(event: &str, large: TooLarge) -> Arguments {
    match event {
        "is-valid-password" => arguments!(false, Value::Null, large.to_string()),
        "set-password" => arguments!(Value::Null, Value::Null, large.to_string()),
        event if READ_HERE.contains(&event) && event != "open-room" && event != "join-room" => malformed(event),
        _ => arguments!(false, large.to_string()),
    }
}

/// A string, or a number as its text: clients name rooms by both.
fn text(json: Option<&str>) -> Option<String> {
    let json = json?;
    let text = match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok()?,
        b'-' | b'0'..=b'9' => json.to_owned(),
        _ => return None,
    };
    (text.len() <= MAX_TEXT).then_some(text)
}

/// What an ack repeats of its event, where it is short.
fn echo(json: Option<&str>) -> Json {
    let raw = json.filter(|json| json.len() <= MAX_TEXT).and_then(|json| RawValue::from_string(json.to_owned()).ok());
    raw.map_or_else(|| Json::of(&Value::Null), Json::raw)
}

fn payload(json: Option<&str>, attachments: VecDeque<Bytes>) -> Option<Json> {
    let raw = RawValue::from_string(json.unwrap_or("null").to_owned()).ok()?;
    Payload::new(raw, attachments).map(Json::from)
}

/// Extra data and other descriptions, which go along with what others send: without places for binary attachments, at which a
/// client that has none for them ends its connection, and without what changes all objects of a page that merges it into its own.
fn extra(json: Box<RawValue>) -> Option<Json> {
    let fits = json.get().len() <= MAX_EXTRA;
    let tree: Value = serde_json::from_str(json.get()).ok().filter(|_| fits)?;
    (!is_harmful(&tree)).then(|| Json::raw(json))
}

fn extra_text(json: &str) -> Option<Json> {
    extra(RawValue::from_string(json.to_owned()).ok()?)
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

/// The members of an object, each as the JSON text it came as. Of members that are there twice the last counts, as in JavaScript.
fn members(json: Option<&str>) -> Option<BTreeMap<String, Box<RawValue>>> {
    serde_json::from_str(json?).ok()
}

fn truthy(json: Option<&RawValue>) -> bool {
    json.is_some_and(|json| !matches!(json.get(), "false" | "null" | "0" | "\"\""))
}

/// `{sessionid, session, …, extra, identifier, password}`; in scalable broadcasts `extra.broadcastId` is meant instead of
/// `sessionid`.
fn entry(json: Option<&str>) -> Option<Entry<Json>> {
    let mut all = members(json)?;
    let password = all.remove("password");
    let member = |name: &str| all.get(name).map(|json| json.get());
    let session = members(member("session")).unwrap_or_default();
    let one_way = ["oneway", "broadcast"].iter().any(|name| session.get(*name).is_some_and(|flag| flag.get() == "true"));
    let filled = |name: &str| text(member(name)).filter(|text| !text.is_empty());
    let broadcast = members(member("extra")).and_then(|extra| text(extra.get("broadcastId").map(|id| id.get())));
    let description = |name: &str| member(name).map_or_else(|| Some(Json::empty()), extra_text);
    Some(Entry {
        room: filled("sessionid")?.into(),
        broadcast: broadcast.filter(|id| !id.is_empty()).map(Arc::from),
        session: description("session")?,
        one_way,
        extra: description("extra")?,
        identifier: filled("identifier"),
        password: text(password.as_ref().map(|json| json.get())).filter(|text| !text.is_empty()).map(Secret::new),
        // Too much of it is no reason to keep anybody out.
        about: to_raw_value(&all).ok().and_then(extra).unwrap_or_else(Json::empty),
    })
}

fn password_check(password: Option<&str>, room: Option<&str>) -> Result<Request, Arguments> {
    let given = |json| text(json).filter(|text| !text.trim_matches(' ').is_empty());
    let refused = |why: &str| Arguments(vec![Json::of(&false).into(), echo(room).into(), Json::of(&why).into()]);
    let password = given(password).ok_or_else(|| refused("You did not enter the password."))?;
    let asked = given(room).ok_or_else(|| refused("You did not enter the room-id."))?;
    Ok(Request::CheckPassword { room: asked, password: Secret::new(password), echo: echo(room) })
}

/// `{remoteUserId, message, sender}`; who sends it is known.
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
    Some(Request::Message(Message { to, message, participation, user_left }))
}

/// Whether a member of a message is something that the client looks up, under a name that is no peer's and no stream's.
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
        types: types.map_or_else(|| Some(Json::of(&json!({"audio": true, "video": true}))), extra_text)?,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(event: &str, arguments: &Value) -> Result<Request, Arguments> {
        let mut all = vec![json!(event)];
        all.extend(arguments.as_array().expect("a list").iter().cloned());
        read(event, &Value::Array(all).to_string(), VecDeque::new(), "message")
    }

    #[test]
    fn a_room_is_read_with_what_matters_of_its_session() {
        let argument = json!([{"sessionid": 7, "session": {"screen": true, "oneway": true}, "password": "pw", "identifier": ""}]);
        let Ok(Request::Open(entry)) = request("open-room", &argument) else { panic!("a room") };
        assert_eq!((&*entry.room, entry.one_way, entry.identifier), ("7", true, None));
        assert_eq!(entry.password.map(|password| password.expose().clone()).as_deref(), Some("pw"));
        let about = serde_json::to_string(&entry.about).unwrap();
        assert!(!about.contains("pw") && about.contains("oneway"), "{about}");
        let session = |session: Value| match request("join-room", &json!([{"sessionid": "r", "session": session}])) {
            Ok(Request::Join(entry)) => entry.one_way,
            _ => panic!("a room"),
        };
        assert!(session(json!({"broadcast": true})));
        assert!(!session(json!({"oneway": false})) && !session(json!({"oneway": 1})) && !session(json!(null)));
    }

    #[test]
    fn messages_show_what_they_are_for() {
        let message =
            |message: Value| match request("message", &json!([{"remoteUserId": "b", "message": message, "sender": "forged"}])) {
                Ok(Request::Message(message)) => (message.participation, message.user_left),
                _ => panic!("a message"),
            };
        assert_eq!(message(json!({"newParticipationRequest": true})), (true, false));
        assert_eq!(message(json!({"newParticipationRequest": 0, "userLeft": "yes"})), (false, true));
        assert_eq!(message(json!("dropPeerConnection")), (false, false));
        let presence =
            request("message", &json!([{"remoteUserId": "system", "message": {"detectPresence": true, "userid": "x"}}]));
        assert!(matches!(presence, Ok(Request::DetectPresence(user)) if user == "x"));
    }

    #[test]
    fn events_keep_their_own_meaning_whatever_a_client_calls_its_messages() {
        let read = read("open-room", r#"["open-room",{"sessionid":"r"}]"#, VecDeque::new(), "open-room");
        assert!(matches!(read, Ok(Request::Open(_))));
    }

    #[test]
    fn places_for_bytes_that_are_not_there_are_no_extra_data() {
        for bad in [json!({"_placeholder": true, "num": 0}), json!({"deep": [{"_placeholder": true, "num": 9}]})] {
            assert!(request("extra-data-updated", &json!([bad])).is_err());
            assert!(request("open-room", &json!([{"sessionid": "r", "extra": bad}])).is_err());
        }
        assert!(request("extra-data-updated", &json!([null])).is_ok());
    }

    #[test]
    fn no_client_has_others_hear_an_event_of_a_reserved_name() {
        for reserved in
            ["connect_error", "disconnecting", "reconnect", "newListener", "__proto__", "constructor", "user-connected"]
        {
            let Err(refused) = request("set-custom-socket-event-listener", &json!([reserved])) else { panic!("{reserved}") };
            assert_eq!(serde_json::to_value(refused).unwrap(), json!([false, RESERVED]), "{reserved}");
        }
        for free in ["constructor-news", "message", "open", "connected"] {
            let read = request("set-custom-socket-event-listener", &json!([free]));
            assert!(matches!(read, Ok(Request::Listen(name)) if *name == *free), "{free}");
        }
    }

    #[test]
    fn nothing_that_a_client_looks_up_is_what_every_object_has() {
        for bad in
            [json!({"__proto__": {"x": 1}}), json!([{"deep": {"__proto__": 1}}]), json!({"constructor": {"prototype": {}}})]
        {
            // `json!` writes the key as any other.
            assert!(request("extra-data-updated", &json!([bad])).is_err(), "{bad}");
            assert!(request("open-room", &json!([{"sessionid": "r", "extra": bad}])).is_err(), "{bad}");
            assert!(request("open-room", &json!([{"sessionid": "r", "session": bad}])).is_err(), "{bad}");
        }
        assert!(request("extra-data-updated", &json!([{"constructor": "Ada", "proto": {"prototype": 1}}])).is_ok());
        let message = |message: Value| request("message", &json!([{"remoteUserId": "b", "message": message}]));
        for bad in [
            json!({"changedUUID": true, "oldUUID": "__proto__", "newUUID": "x"}),
            json!({"changedUUID": true, "oldUUID": "x", "newUUID": "forEach"}),
            json!({"newParticipant": "constructor"}),
            json!({"allParticipants": ["a", "__proto__"]}),
            json!({"streamSyncNeeded": true, "streamid": "__proto__"}),
        ] {
            assert!(message(bad.clone()).is_err(), "{bad}");
        }
        for good in [
            json!({"newParticipant": "a"}),
            json!({"allParticipants": ["a", 7]}),
            json!({"text": "__proto__"}),
            json!("__proto__"),
        ] {
            assert!(message(good.clone()).is_ok(), "{good}");
        }
        assert!(request("join-broadcast", &json!([{"broadcastId": "__proto__"}])).is_err());
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_refused() {
        assert!(request("open-room", &json!([{"sessionid": "x".repeat(MAX_TEXT + 1)}])).is_err());
        assert!(request("extra-data-updated", &json!(["x".repeat(MAX_EXTRA)])).is_err());
        assert!(
            request("message", &json!([{"remoteUserId": "b", "message": "x".repeat((DESCRIPTION_KIB + 1) * 1024)}])).is_err()
        );
        let deep = "[".repeat(30_000) + &"]".repeat(30_000);
        for event in ["open-room", "message", "extra-data-updated", "join-broadcast", "anything"] {
            let _ = read(event, &format!("[\"{event}\",{deep}]"), VecDeque::new(), "message");
            let _ = read(event, &format!("[\"{event}\",{{\"sessionid\":\"r\",\"extra\":{deep}}}]"), VecDeque::new(), "message");
        }
    }
}
