//! Events as they are read from clients. `request` reads an event with the given arguments from a client whose message event is
//! `message`.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::event_names::RESERVED_NAME;
use super::json_text::{MAX_DESCRIPTION_BYTES, MAX_TEXT_BYTES};
use super::{Arguments, Request, read};
use crate::limits::message_size::DESCRIPTION_KIB;

fn request(event: &str, arguments: &Value) -> Result<Request, Arguments> {
    let mut all = vec![json!(event)];
    all.extend(arguments.as_array().expect("a list").iter().cloned());
    read(event, &Value::Array(all).to_string(), VecDeque::new(), "message")
}

#[test]
fn a_room_is_read_with_what_matters_of_its_session() {
    let argument = json!([{"sessionid": 7, "session": {"screen": true, "oneway": true}, "password": "pw", "identifier": ""}]);
    let Ok(Request::Open(room)) = request("open-room", &argument) else { panic!("a room") };
    assert_eq!((&*room.room, room.one_way, room.identifier), ("7", true, None));
    assert_eq!(room.password.map(|password| password.expose().clone()).as_deref(), Some("pw"));
    let request_json = serde_json::to_string(&room.request_json).unwrap();
    assert!(!request_json.contains("pw") && request_json.contains("oneway"), "{request_json}");
    let session = |session: Value| match request("join-room", &json!([{"sessionid": "r", "session": session}])) {
        Ok(Request::Join(room)) => room.one_way,
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
    let presence = request("message", &json!([{"remoteUserId": "system", "message": {"detectPresence": true, "userid": "x"}}]));
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
    for reserved in ["connect_error", "disconnecting", "reconnect", "newListener", "__proto__", "constructor", "user-connected"] {
        let Err(refused) = request("set-custom-socket-event-listener", &json!([reserved])) else { panic!("{reserved}") };
        assert_eq!(serde_json::to_value(refused).unwrap(), json!([false, RESERVED_NAME]), "{reserved}");
    }
    for free in ["constructor-news", "message", "open", "connected"] {
        let read = request("set-custom-socket-event-listener", &json!([free]));
        assert!(matches!(read, Ok(Request::AnnounceCustomEvent(name)) if *name == *free), "{free}");
    }
}

#[test]
fn nothing_that_a_client_looks_up_is_what_every_object_has() {
    for bad in [json!({"__proto__": {"x": 1}}), json!([{"deep": {"__proto__": 1}}]), json!({"constructor": {"prototype": {}}})] {
        // `json!` does not treat this key specially.
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
    for good in
        [json!({"newParticipant": "a"}), json!({"allParticipants": ["a", 7]}), json!({"text": "__proto__"}), json!("__proto__")]
    {
        assert!(message(good.clone()).is_ok(), "{good}");
    }
    assert!(request("join-broadcast", &json!([{"broadcastId": "__proto__"}])).is_err());
}

#[test]
fn what_is_too_long_or_too_deep_is_refused() {
    assert!(request("open-room", &json!([{"sessionid": "x".repeat(MAX_TEXT_BYTES + 1)}])).is_err());
    assert!(request("extra-data-updated", &json!(["x".repeat(MAX_DESCRIPTION_BYTES)])).is_err());
    assert!(request("message", &json!([{"remoteUserId": "b", "message": "x".repeat((DESCRIPTION_KIB + 1) * 1024)}])).is_err());
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    for event in ["open-room", "message", "extra-data-updated", "join-broadcast", "anything"] {
        let _ = read(event, &format!("[\"{event}\",{deep}]"), VecDeque::new(), "message");
        let _ = read(event, &format!("[\"{event}\",{{\"sessionid\":\"r\",\"extra\":{deep}}}]"), VecDeque::new(), "message");
    }
}
