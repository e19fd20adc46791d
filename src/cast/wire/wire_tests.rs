//! Events as they are read from clients and written to them, in both dialects. `arguments` reads an event with the given
//! arguments; `delivered` shows the event that the receivers of each dialect get.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Delivery, EntryEvent, Failure, Request, accepted, cast_state, checked, delivery, joined, notice_events, read};
use crate::admission::Proof;
use crate::cast::code::{Code, CodeAlphabet};
use crate::cast::model::{CodeCheck, Dialect, Ender, Notice, PresentCaster, Seated, TvDetails};
use crate::limits::message_size::{DESCRIPTION_KIB, EVENT_KIB};

fn arguments(event: &str, arguments: Value) -> Result<Request, Failure> {
    let mut all = vec![json!(event)];
    all.extend(arguments.as_array().expect("a list").iter().cloned());
    read(event, &Value::Array(all).to_string(), VecDeque::new()).expect("a known event")
}

/// The event that TVs or casters of dialects A and B receive for an event with one argument.
fn delivered(event: &str, argument: &Value) -> [(&'static str, Value); 2] {
    [Dialect::A, Dialect::B].map(|dialect| {
        let Ok(Request::Signal(signal)) = arguments(event, json!([argument])) else { panic!("{event} {argument} is understood") };
        let Delivery { event: name, wrapper, payload } = delivery(dialect, signal);
        let value = serde_json::to_value(payload).expect("it is JSON");
        (name, wrapper.map_or_else(|| value.clone(), |wrapper| json!({wrapper: value})))
    })
}

#[test]
fn a_front_end_announces_in_any_entry_that_it_understands_new_codes() {
    let announced = json!({"understands": ["LATER", "TV_CODE_CHANGED"], "live": true});
    let with = |more: Value| {
        let mut all = announced.clone();
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        all
    };
    let entries = [
        ("TV_INIT", json!([announced]), None),
        ("TV_INIT", json!(["K7Q2MX.token", announced]), Some("K7Q2MX.token")),
        ("TV_INIT", json!([with(json!({"resumeToken": "t", "code": "K7Q2MX"}))]), Some("t")),
        ("TV_REGISTER", json!([announced]), None),
        ("TV_GETINFO", json!([with(json!({"token": "t", "code": null}))]), Some("t")),
        ("TV_GETINFO", json!([{"token": "t", "code": "K7Q2MX"}, announced]), Some("t")),
    ];
    for (event, given, token) in entries {
        let Ok(Request::Open(open)) = arguments(event, given.clone()) else { panic!("{event} {given} is understood") };
        assert_eq!((open.understands_new_codes, open.shows_picture, open.casting), (true, true, false), "{event} {given}");
        assert_eq!(open.token.as_deref(), token, "{event} {given}");
    }
    let silent =
        [json!([]), json!([{}]), json!([{"understands": "TV_CODE_CHANGED"}]), json!([{"understands": [["TV_CODE_CHANGED"]]}])];
    for given in silent.into_iter().chain([json!([{"understands": {"TV_CODE_CHANGED": true}, "casting": 1}])]) {
        for event in ["TV_INIT", "TV_REGISTER", "TV_GETINFO"] {
            let Ok(Request::Open(open)) = arguments(event, given.clone()) else { panic!("{event} {given} is understood") };
            assert!(!open.understands_new_codes && !open.shows_picture && !open.casting, "{event} {given}");
        }
    }
}

#[test]
fn an_offer_is_bare_in_a_and_wrapped_in_b() {
    let sdp = json!({"type": "offer", "sdp": "v=0"});
    for (event, argument) in [("CLIENT_OFFER_TO_SERVER", sdp.clone()), ("RTC_Client_Offer_To_Server", json!({"offer": sdp}))] {
        assert_eq!(
            delivered(event, &argument),
            [("CLIENT_OFFER_TO_TV", sdp.clone()), ("RTC_Client_Offer_To_TV", json!({"offer": sdp}))]
        );
    }
}

#[test]
fn bad_arguments_are_named() {
    for (event, bad) in [
        ("CLIENT_OFFER_TO_SERVER", json!([])),
        ("CLIENT_OFFER_TO_SERVER", json!([null])),
        ("RTC_Client_Offer_To_Server", json!([[1, 2]])),
        ("RTC_Client_Offer_To_Server", json!([{"answer": 1}])),
        ("RTC_Client_Offer_To_Server", json!([{"offer": null}])),
        ("RTC_Client_Offer_To_Server", json!([{"offer": null, "sdp": "v=0"}])),
        ("RTC_Client_Offer_To_Server", json!([{"type": "answer", "sdp": "v=0"}])),
        ("RTC_TV_Answer_To_Server", json!([{"type": "offer", "sdp": "v=0"}])),
        ("RTC_TV_Answer_To_Server", json!([{"offer": {"type": "offer", "sdp": "v=0"}}])),
        ("RTC_Client_Offer_To_Server", json!(["an offer"])),
        ("RTC_Client_Offer_To_Server", json!([{"sdp": 5}])),
        ("RTC_Candidate_Exchange", json!(["candidate"])),
        ("RTC_Candidate_Exchange", json!([{}])),
        ("RTC_Candidate_Exchange", json!([{"candidate": 5}])),
        ("RTC_Candidate_Exchange", json!([{"sdpMid": "0"}])),
        ("RTC_Candidate_Exchange", json!([["candidate"]])),
        ("JOIN_ROOM", json!([])),
        ("JOIN_ROOM", json!([""])),
        ("JOIN_ROOM", json!([true])),
        ("JOIN_ROOM", json!([["K7Q2MX"]])),
        ("JOIN_ROOM", json!(["x".repeat(513)])),
        ("JOIN_ROOM", json!([{"roomId": ["K7Q2MX"]}])),
        ("CONNECT_TO_TV", json!([])),
        ("CONNECT_TO_TV", json!([""])),
        ("CONNECT_TO_TV", json!([{"username": "x"}])),
        ("TV_INIT", json!([5])),
        ("TV_INIT", json!(["x".repeat(513)])),
        ("TV_GETINFO", json!([["token", "code"]])),
        ("TV_GETINFO", json!(["token"])),
        ("TV_GETINFO", json!([{"token": 5}])),
    ] {
        let failure = arguments(event, bad.clone()).expect_err(&format!("{event} {bad}"));
        assert_eq!(failure.code, "malformed_payload", "{event} {bad}");
    }
}

#[test]
fn every_form_that_front_ends_send_is_read() {
    for (event, good) in [
        ("TV_INIT", json!([])),
        ("TV_INIT", json!([null])),
        ("TV_INIT", json!(["token"])),
        ("TV_INIT", json!([{"resumeToken": "x", "code": "y"}])),
        ("TV_REGISTER", json!([])),
        ("TV_GETINFO", json!([{"token": null, "code": null}])),
        ("TV_GETINFO", json!([{"token": "", "code": ""}])),
        ("TV_GETINFO", json!([])),
        ("TV_GETINFO", json!([null])),
        ("CONNECT_TO_TV", json!(["K7Q2MX"])),
        ("CONNECT_TO_TV", json!([{"projCode": null, "roomId": "K7Q2MX"}])),
        ("JOIN_ROOM", json!([{"roomId": "K7Q2MX"}])),
        ("JOIN_ROOM", json!([{"room": 123456, "username": "me"}])),
        ("JOIN_ROOM", json!([{"projCode": "K7Q2MX"}])),
        ("VERIFY_FEEDBACK", json!([null])),
        ("JOIN_ROOM", json!(["K7Q2MX", {"username": "me"}])),
        ("JOIN_ROOM", json!(["K7Q2MX", {"username": 42, "code": 200, "token": "their own"}])),
        ("CONNECT_TO_TV", json!([{"projCode": 123456}])),
        ("JOIN_ROOM", json!([123456])),
        ("CONNECT_TO_TV", json!([{"projCode": "K7Q2MX"}])),
        ("RTC_Candidate_Exchange", json!([{"iceCandidate": null}])),
        ("CONFIG", json!([{"username": "me"}])),
    ] {
        assert!(arguments(event, good.clone()).is_ok(), "{event} {good}");
    }
    assert!(read("chat message", "[\"chat message\"]", VecDeque::new()).is_none());
}

#[test]
fn payloads_of_one_meaning_are_delivered_in_the_receivers_form() {
    let candidate = json!({"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0});
    let last = json!({"candidate": ""});
    for (sent, wrapped) in [
        (json!({"iceCandidate": candidate, "from": "me"}), json!({"iceCandidate": candidate, "from": "me"})),
        (candidate.clone(), json!({"iceCandidate": candidate})),
        (json!({"candidate": candidate}), json!({"iceCandidate": candidate})),
        (json!({"type": "candidate", "candidate": candidate}), json!({"iceCandidate": candidate})),
        (json!({"candidate": null}), json!({"iceCandidate": null})),
        (json!(null), json!({"iceCandidate": null})),
        (last.clone(), json!({"iceCandidate": last})),
        (json!(candidate.to_string()), json!(candidate.to_string())),
    ] {
        let name = "RTC_Candidate_Exchange";
        assert_eq!(delivered(name, &sent), [(name, wrapped.clone()), (name, wrapped)], "{sent}");
    }
    let events = [
        ("offer", "CLIENT_OFFER_TO_SERVER", "RTC_Client_Offer_To_Server", ["CLIENT_OFFER_TO_TV", "RTC_Client_Offer_To_TV"]),
        ("answer", "TV_ANSWER_TO_SERVER", "RTC_TV_Answer_To_Server", ["TV_ANSWER_TO_CLIENT", "RTC_TV_Answer_To_Client"]),
    ];
    for (kind, a, b, [to_a, to_b]) in events {
        let sdp = json!({"type": kind, "sdp": "v=0\r\n"});
        let expected = [(to_a, sdp.clone()), (to_b, json!({kind: sdp}))];
        for sent in [
            json!({kind: sdp}),
            json!({kind: sdp, "username": "me"}),
            sdp.clone(),
            json!("v=0\r\n"),
            json!({"sdp": "v=0\r\n"}),
            json!({"sdp": sdp}),
            json!({"description": sdp}),
        ] {
            assert_eq!(delivered(b, &sent), expected, "{b} {sent}");
        }
        let text = json!(json!({kind: sdp}).to_string());
        assert_eq!(delivered(b, &text), [(to_a, text.clone()), (to_b, text.clone())], "JSON in a string stays what it is");
        for sent in [json!({kind: sdp}), json!({"sdp": sdp}), json!({"description": sdp, "x": 1})] {
            assert_eq!(delivered(a, &sent), [(to_a, sent.clone()), (to_b, json!({kind: sdp}))], "{a} {sent}");
        }
        for sent in [sdp.clone(), json!("v=0"), text, json!({"sdp": "v=0", "description": sdp}), json!({"x": [1]}), json!(5)] {
            assert_eq!(delivered(a, &sent), [(to_a, sent.clone()), (to_b, json!({kind: sent}))], "{a} {sent}");
        }
    }
    let nothing = arguments("RTC_Candidate_Exchange", json!([])).expect("the last candidate");
    let Request::Signal(signal) = nothing else { panic!("a candidate") };
    assert_eq!(serde_json::to_value(delivery(Dialect::A, signal).payload).unwrap(), json!({"iceCandidate": null}));
}

#[test]
fn a_payload_over_the_limit_is_refused_with_its_own_code() {
    let text = |kib: usize| "x".repeat(kib * 1024);
    for (event, kib) in [
        ("CLIENT_OFFER_TO_SERVER", DESCRIPTION_KIB),
        ("TV_ANSWER_TO_SERVER", DESCRIPTION_KIB),
        ("RTC_Client_Offer_To_Server", DESCRIPTION_KIB),
        ("RTC_TV_Answer_To_Server", DESCRIPTION_KIB),
        ("RTC_Candidate_Exchange", EVENT_KIB),
        ("CONFIG", EVENT_KIB),
    ] {
        let argument = |kib: usize| json!([{"offer": text(kib), "answer": {"sdp": "v=0"}, "iceCandidate": null}]);
        assert!(arguments(event, argument(kib)).is_ok(), "{event}");
        let failure = arguments(event, argument(kib + 1)).expect_err("too large");
        assert_eq!(failure.code, "payload_too_large", "{event}");
        let message = format!("payload too large: at most {kib} KiB, and this has {} KiB", kib + 1);
        assert_eq!(failure.message, message, "{event}");
    }
    let attachments = VecDeque::from([Bytes::from(vec![0; (DESCRIPTION_KIB + 1) * 1024])]);
    let json = r#"["CLIENT_OFFER_TO_SERVER",{"_placeholder":true,"num":0}]"#;
    let read = read("CLIENT_OFFER_TO_SERVER", json, attachments).expect("a known event");
    assert_eq!(read.expect_err("too large").code, "payload_too_large");
}

#[test]
fn each_attachment_has_one_place() {
    let two = || VecDeque::from([Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
    let place = |number: u64| json!({"_placeholder": true, "num": number});
    let offer = |places: Value| {
        let json = json!(["CLIENT_OFFER_TO_SERVER", places]).to_string();
        read("CLIENT_OFFER_TO_SERVER", &json, two()).expect("a known event")
    };
    assert!(offer(json!({"a": place(1), "b": [place(0)]})).is_ok());
    for bad in [json!([place(0), place(0)]), json!([place(0), place(2)]), json!([{"_placeholder": true}])] {
        assert_eq!(offer(bad.clone()).expect_err("one too many").code, "malformed_payload", "{bad}");
    }
    let deep = format!("[\"CLIENT_OFFER_TO_SERVER\",{}{}]", "[".repeat(500), "]".repeat(500));
    let read = read("CLIENT_OFFER_TO_SERVER", &deep, two()).expect("a known event");
    assert_eq!(read.expect_err("what can't be sent on is refused here").code, "malformed_payload");
}

#[test]
fn nesting_without_end_is_no_stack_overflow() {
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    let json = format!("[\"CLIENT_OFFER_TO_SERVER\",{deep}]");
    let _ = read("CLIENT_OFFER_TO_SERVER", &json, VecDeque::new());
    let json = format!("[\"RTC_Client_Offer_To_Server\",{{\"offer\":{deep}}}]");
    let _ = read("RTC_Client_Offer_To_Server", &json, VecDeque::new());
}

fn details(given: Value) -> Result<Option<TvDetails>, Failure> {
    let request = arguments("TV_INIT", given.clone())?;
    let Request::Open(open) = request else { panic!("{given}: {request:?}") };
    Ok(open.details.map(|details| (*details).clone()))
}

#[test]
fn a_tv_says_its_name_and_its_screen_in_any_form_of_tv_init() {
    let screen = json!({"width": 3840, "height": 2160, "codecs": [{"codec": "AV1", "smooth": true, "powerEfficient": false}]});
    let said = TvDetails { name: Some("Kitchen".to_owned()), screen: Some(screen.to_string().into()) };
    for given in [
        json!([{"name": " Kitchen\n", "screen": screen}]),
        json!([{"resumeToken": "t", "name": "Kitchen", "screen": screen}]),
        json!(["K7Q2MX.token", {"name": "Kitchen", "screen": screen}]),
        json!([null, {"name": "Kitchen", "screen": screen}]),
        json!([{"name": "Kitchen"}, {"name": "Hall", "screen": screen}]),
    ] {
        assert_eq!(details(given.clone()), Ok(Some(said.clone())), "{given}");
    }
    for nothing in [json!([]), json!([{}]), json!([{"name": 5, "screen": "4K"}]), json!([{"name": "\u{7}", "screen": [1]}])] {
        assert_eq!(details(nothing.clone()), Ok(None), "{nothing}");
    }
    for event in ["TV_REGISTER", "TV_GETINFO"] {
        let Ok(Request::Open(open)) = arguments(event, json!([{"name": "Kitchen"}])) else { panic!("{event} is understood") };
        assert_eq!(open.details, None, "the members of dialect B have meanings of their own");
    }
}

#[test]
fn a_screen_and_a_cast_state_have_at_most_2_kib() {
    let object = |bytes: usize| json!({"x": "x".repeat(bytes - r#"{"x":""}"#.len())});
    let said = details(json!([{"screen": object(2048)}])).expect("not too large").expect("a screen");
    assert_eq!(said.screen.map(|screen| screen.len()), Some(2048));
    assert!(arguments("CAST_STATE", json!([object(2048)])).is_ok());
    for (event, large) in [("TV_INIT", json!([{"screen": object(2049)}])), ("CAST_STATE", json!([object(2049)]))] {
        let failure = arguments(event, large).expect_err(event);
        assert_eq!(failure.code, "payload_too_large", "{event}");
        assert_eq!(failure.message, "payload too large: at most 2 KiB, and this has 3 KiB", "{event}");
    }
    let attachment = |bytes| VecDeque::from([Bytes::from(vec![0; bytes])]);
    let json = r#"["CAST_STATE",{"a":{"_placeholder":true,"num":0}}]"#;
    assert!(read("CAST_STATE", json, attachment(1000)).expect("a known event").is_ok());
    assert_eq!(read("CAST_STATE", json, attachment(2048)).expect("a known event").expect_err("large").code, "payload_too_large");
    for bad in [json!([]), json!([null]), json!(["paused"]), json!([[true]]), json!([1])] {
        assert_eq!(arguments("CAST_STATE", bad.clone()).expect_err("no object").code, "malformed_payload", "{bad}");
    }
}

#[test]
fn a_check_has_the_arguments_of_a_join() {
    for given in [
        json!(["k7q2mx", {"resumeToken": "t", "username": "Ada"}]),
        json!([{"code": "k7q2mx", "resumeToken": "t"}]),
        json!([{"roomId": "k7q2mx", "resumeToken": "t"}]),
    ] {
        let Ok(Request::Check(check)) = arguments("CHECK_CODE", given.clone()) else { panic!("{given} is understood") };
        assert_eq!((check.code.as_str(), check.token.as_deref()), ("k7q2mx", Some("t")), "{given}");
    }
    for bad in
        [json!([]), json!([""]), json!([true]), json!(["x".repeat(513)]), json!(["K7Q2MX", {"resumeToken": "x".repeat(513)}])]
    {
        assert_eq!(arguments("CHECK_CODE", bad.clone()).expect_err("no code").code, "malformed_payload", "{bad}");
    }
}

#[test]
fn what_a_caster_is_told_of_its_tv_has_its_screen_as_the_tv_sent_it() {
    let code = Code::parse("K7Q2MX", CodeAlphabet::Letters).expect("a code");
    let seated = Seated { code, resume_token: "t".to_owned(), resumed: false };
    let screen = json!({"width": 3840, "z": [null, {"y": 1.5}], "a": "ü"});
    let said = Arc::new(TvDetails { name: Some("客厅".to_owned()), screen: Some(screen.to_string().into()) });
    let tv = json!({"name": "客厅", "screen": screen});
    let unknown = json!({"name": null, "screen": null});
    for (details, tv) in [(Some(&said), &tv), (None, &unknown)] {
        let ack = joined(EntryEvent::JoinRoom, &seated, details);
        assert_eq!(ack, json!({"ok": true, "code": "K7Q2MX", "resumeToken": "t", "resumed": false, "tv": tv}));
        assert_eq!(joined(EntryEvent::ConnectToTv, &seated, details), accepted(&seated), "dialect B's ack stays as it was");
        let back = Notice::TvBack { reloaded: true, details: details.cloned() };
        let [event] = &notice_events(Dialect::A, &back)[..] else { panic!("one event") };
        assert_eq!((event.name, &event.argument), ("TV_BACK", &Some(json!({"reloaded": true, "tv": tv}))));
    }
}

#[test]
fn names_of_casters_are_told_in_the_form_in_which_they_are_shown() {
    let code = Code::parse("K7Q2MX", CodeAlphabet::Letters).expect("a code");
    let long = format!("\u{202E}{}", "A".repeat(50));
    let caster = Some(PresentCaster { username: Some(long.clone()), is_own: false });
    let check = CodeCheck { code, details: None, tv_is_away: true, caster, takes_over: true };
    let shown = "A".repeat(40);
    let tv = json!({"name": null, "away": true});
    let answer = json!({"ok": true, "code": "K7Q2MX", "tv": tv, "caster": {"username": shown, "own": false}, "takeover": true});
    assert_eq!(checked(&check, false), answer);
    let nobody = CodeCheck { caster: None, takes_over: false, ..check };
    assert_eq!(checked(&nobody, false)["caster"], Value::Null);
    let events =
        |dialect, notice| notice_events(dialect, &notice).into_iter().map(|event| (event.name, event.argument)).collect();
    let taken: Vec<_> = events(Dialect::A, Notice::TakenOver { by: Some(long) });
    assert_eq!(taken, [("CAST_TAKEN_OVER", Some(json!({"by": shown})))]);
    let taken: Vec<_> = events(Dialect::B, Notice::TakenOver { by: None });
    assert_eq!(taken, [("CAST_TAKEN_OVER", Some(json!({"by": null}))), ("TV_OFFLINE", None)]);
    for (by, name) in [(Ender::Tv, "tv"), (Ender::Operator, "operator")] {
        let ended = [Dialect::A, Dialect::B].map(|dialect| -> Vec<_> { events(dialect, Notice::CastEnded { by }) });
        assert_eq!(ended, [vec![("CAST_ENDED", Some(json!({"by": name})))], vec![("TV_OFFLINE", None)]]);
    }
}

#[test]
fn a_cast_state_is_forwarded_as_it_was_sent() {
    let sent = r#"["CAST_STATE",{ "paused":true,  "sound":1e2, "x":{"y":[]} }]"#;
    let Ok(Request::CastState(state)) = read("CAST_STATE", sent, VecDeque::new()).expect("a known event") else {
        panic!("it is understood")
    };
    let Delivery { event, wrapper, payload } = cast_state(state);
    assert_eq!((event, wrapper), ("CAST_STATE", None));
    assert_eq!(serde_json::to_string(&payload).unwrap(), r#"{ "paused":true,  "sound":1e2, "x":{"y":[]} }"#);
}

#[test]
fn the_user_is_shown_in_any_object_of_an_entry() {
    let shown = |proof: Option<Proof>| proof.map(|proof| format!("{proof:?}"));
    let expected = shown(Proof::read(&json!({"token": "t"})).unwrap());
    let auth = json!({"token": "t", "other": [1]});
    for (event, given) in [
        ("TV_INIT", json!([{"auth": auth}])),
        ("TV_INIT", json!(["K7Q2MX.token", {"auth": auth}])),
        ("TV_REGISTER", json!([{"auth": auth}])),
        ("TV_GETINFO", json!([{"token": "device", "code": ""}, {"auth": auth}])),
        ("JOIN_ROOM", json!(["K7Q2MX", {"auth": auth}])),
        ("JOIN_ROOM", json!([{"code": "K7Q2MX", "auth": auth}])),
        ("JOIN_ROOM", json!(["K7Q2MX", {"username": "Ada"}, {"auth": auth}])),
        ("CONNECT_TO_TV", json!([{"username": "Ada", "projCode": "K7Q2MX", "auth": auth}])),
        ("CHECK_CODE", json!(["K7Q2MX", {"auth": auth}])),
    ] {
        let proof = match arguments(event, given.clone()) {
            Ok(Request::Open(open)) => open.proof,
            Ok(Request::Join(join)) => join.proof,
            Ok(Request::Check(check)) => check.proof,
            other => panic!("{event} {given}: {other:?}"),
        };
        assert_eq!(shown(proof), expected, "{event} {given}");
    }
    for nothing in [json!(null), json!("t"), json!(["t"]), json!({}), json!({"user": "Ada"})] {
        let Ok(Request::Join(join)) = arguments("JOIN_ROOM", json!(["K7Q2MX", {"auth": nothing}])) else { panic!("{nothing}") };
        assert_eq!(join.proof, None, "{nothing}");
    }
    let long = json!(["K7Q2MX", {"auth": {"token": "x".repeat(4097)}}]);
    assert_eq!(arguments("JOIN_ROOM", long).unwrap_err().code, "malformed_payload");
}
