//! The wire of the cast flow: event names, argument shapes, both dialects.
//!
//! Dialect A is the projection-code flow of the Socket.IO tutorials (`TV_INIT`, `JOIN_ROOM`, bare payloads); dialect B is
//! that of the published front ends (`TV_GETINFO`, `CONNECT_TO_TV`, payloads wrapped as `{offer}` and `{answer}`). What we
//! add is additive: events that old front ends do not listen to, and acks that they do not ask for.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::code::CODE_LENGTH;
use super::room::{Departure, Dialect, Full, NewCodeReason, Notice, Refusal, Seated, Signal};
use crate::limits::message_size::{self, DESCRIPTION_KIB, EVENT_KIB, TooLarge};
use crate::limits::retry_after;
use crate::socketio::packet::Payload;

mod content;

pub use content::Content;

/// Characters of a user name or a token at most.
const MAX_TEXT: usize = 512;

/// Seconds that a TV is told to wait where too many wait already.
const TOO_MANY_TVS_WAIT: u64 = 10;

/// What a client asks for.
#[derive(Debug)]
pub enum Request {
    /// A TV wants a code.
    Open(OpenRequest),
    /// A caster wants to cast.
    Join(JoinRequest),
    Signal(Signal<Content>),
    /// Dialect B: the TV shows its device token.
    Verify,
    /// Fresh ICE servers.
    Config,
    Leave,
    /// The TV wants another code.
    NewCode,
}

#[derive(Debug)]
pub struct OpenRequest {
    pub entry: Entry,
    pub code: Option<String>,
    pub token: Option<String>,
    pub live: bool,
    pub casting: bool,
    /// The front end understands `TV_CODE_CHANGED`.
    pub announces: bool,
}

#[derive(Debug)]
pub struct JoinRequest {
    pub entry: Entry,
    pub code: String,
    pub token: Option<String>,
    pub username: Option<String>,
}

/// The event that a client came in by; its answer has a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    TvInit,
    TvRegister,
    TvGetInfo,
    JoinRoom,
    ConnectToTv,
}

impl Entry {
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::TvInit | Self::JoinRoom => Dialect::A,
            Self::TvRegister | Self::TvGetInfo | Self::ConnectToTv => Dialect::B,
        }
    }

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TvInit => "TV_INIT",
            Self::TvRegister => "TV_REGISTER",
            Self::TvGetInfo => "TV_GETINFO",
            Self::JoinRoom => "JOIN_ROOM",
            Self::ConnectToTv => "CONNECT_TO_TV",
        }
    }

    /// Whether the answer comes with ICE servers: in itself, or as a `CONFIG_FEEDBACK` that nobody has asked for.
    pub const fn brings_ice_servers(self) -> bool {
        matches!(self, Self::TvGetInfo) || self.dialect().takes_credentials_unasked()
    }
}

/// Why a request can't be carried out; `code` is for programs, `message` for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub code: &'static str,
    pub message: String,
    /// Seconds until a next try makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Failure {
    pub const UNKNOWN_EVENT: &str = "unknown_event";

    pub fn unknown_event() -> Self {
        let message = "not an event of the cast flow".to_owned();
        Self { code: Self::UNKNOWN_EVENT, message, retry_after: None }
    }

    fn malformed(expected: &str) -> Self {
        Self { code: "malformed_payload", message: format!("malformed payload: expected {expected}"), retry_after: None }
    }

    fn too_large(what: TooLarge) -> Self {
        Self { code: "payload_too_large", message: what.to_string(), retry_after: None }
    }

    /// For a client that sends more bytes than it may, whatever they say.
    pub fn over_budget(wait: Duration) -> Self {
        let message = "this client sends too much at a time; wait before you try again".to_owned();
        Self { code: "rate_limited", message, retry_after: Some(retry_after::seconds(wait)) }
    }

    /// Whether the same request would fail later, too.
    pub fn is_final(&self) -> bool {
        !matches!(self.code, "rate_limited" | "too_many_attempts" | "server_full")
    }

    pub fn rate_limited(retry_after: u64) -> Self {
        let message = "too many requests from this address; wait before you try again".to_owned();
        Self { code: "rate_limited", message, retry_after: Some(retry_after) }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::UnknownCode => "unknown_code",
            Refusal::RoomFull => "room_full",
            Refusal::TooManyTvs => "server_full",
            Refusal::TooOften { .. } => "rate_limited",
            Refusal::TooManyAttempts { .. } => "too_many_attempts",
            Refusal::NotInRoom => "not_in_room",
            Refusal::NoCaster => "no_caster",
            Refusal::WrongRole => "wrong_role",
            Refusal::CastRunning => "cast_running",
            Refusal::TooManyWaiting => "too_many_candidates",
            Refusal::NoSpace => "server_full",
        };
        let retry_after = match refusal {
            Refusal::TooManyAttempts { wait } | Refusal::TooOften { wait } => Some(retry_after::seconds(wait)),
            Refusal::TooManyTvs => Some(TOO_MANY_TVS_WAIT),
            Refusal::UnknownCode
            | Refusal::RoomFull
            | Refusal::NotInRoom
            | Refusal::NoCaster
            | Refusal::WrongRole
            | Refusal::CastRunning
            | Refusal::TooManyWaiting
            | Refusal::NoSpace => None,
        };
        Self { code, message: refusal.to_string(), retry_after }
    }
}

/// Reads an event's arguments: `json` is the whole array, the event's name first, as Socket.IO has it on the wire.
///
/// `None`: not an event of this flow.
///
/// # Errors
/// A [`Failure`] that names what is expected.
pub fn read(event: &str, json: &str, attachments: VecDeque<Bytes>) -> Option<Result<Request, Failure>> {
    let read: fn(&Arguments<'_>, VecDeque<Bytes>) -> Result<Request, Failure> = match event {
        "TV_INIT" => |arguments, _| tv_init(arguments),
        "TV_REGISTER" => |arguments, _| Ok(open(Entry::TvRegister, None, None, arguments)),
        "TV_GETINFO" => |arguments, _| tv_get_info(arguments),
        "VERIFY_FEEDBACK" => |_, _| Ok(Request::Verify),
        "JOIN_ROOM" => |arguments, _| join(Entry::JoinRoom, arguments),
        "CONNECT_TO_TV" => |arguments, _| join(Entry::ConnectToTv, arguments),
        "CLIENT_OFFER_TO_SERVER" => |arguments, more| Ok(offer(content::bare("offer", arguments, more)?)),
        "RTC_Client_Offer_To_Server" => |arguments, more| Ok(offer(content::wrapped("offer", arguments, more)?)),
        "TV_ANSWER_TO_SERVER" => |arguments, more| Ok(answer(content::bare("answer", arguments, more)?)),
        "RTC_TV_Answer_To_Server" => |arguments, more| Ok(answer(content::wrapped("answer", arguments, more)?)),
        "RTC_Candidate_Exchange" => {
            |arguments, more| Ok(Request::Signal(Signal::Candidate(content::candidate(arguments, more)?)))
        }
        "CONFIG" => |_, _| Ok(Request::Config),
        "LEAVE_ROOM" => |_, _| Ok(Request::Leave),
        "NEW_CODE" => |_, _| Ok(Request::NewCode),
        _ => return None,
    };
    let limit = match event {
        "CLIENT_OFFER_TO_SERVER" | "RTC_Client_Offer_To_Server" | "TV_ANSWER_TO_SERVER" | "RTC_TV_Answer_To_Server" => {
            DESCRIPTION_KIB
        }
        _ => EVENT_KIB,
    };
    if let Err(large) = message_size::check(json, attachments.iter().map(Bytes::len).sum(), limit) {
        return Some(Err(Failure::too_large(large)));
    }
    Some(match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(all) => read(&Arguments(all.get(1..).unwrap_or_default()), attachments),
        Err(_) => Err(Failure::malformed("JSON")),
    })
}

/// An event's arguments, each as the JSON text it came as.
struct Arguments<'a>(&'a [&'a RawValue]);

impl<'a> Arguments<'a> {
    /// The first argument, if it is not null.
    fn first(&self) -> Option<&'a RawValue> {
        self.0.first().copied().filter(|first| first.get() != "null")
    }

    /// An argument as a value; null where it is missing.
    fn value(&self, place: usize) -> Value {
        self.0.get(place).and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
    }
}

/// A string that the client may leave out, or give as null.
fn optional_text(text: Option<String>, expected: &str) -> Result<Option<String>, Failure> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) if text.chars().count() > MAX_TEXT => Err(Failure::malformed(expected)),
        text => Ok(text),
    }
}

fn offer(content: Content) -> Request {
    Request::Signal(Signal::Offer(content))
}

fn answer(content: Content) -> Request {
    Request::Signal(Signal::Answer(content))
}

/// The event that a front end announces in `understands`, so that its TV gets new codes.
const CODE_CHANGED: &str = "TV_CODE_CHANGED";

/// Beside what an entry reads itself, each may have `{understands: ["TV_CODE_CHANGED"], live?, casting?}`, as its argument or within it.
fn open(entry: Entry, code: Option<String>, token: Option<String>, arguments: &Arguments<'_>) -> Request {
    let given = [arguments.value(0), arguments.value(1)];
    let says = |name| given.iter().any(|value| value.get(name) == Some(&Value::Bool(true)));
    let mut understood = given.iter().filter_map(|value| value.get("understands")?.as_array()).flatten();
    let announces = understood.any(|event| event == CODE_CHANGED);
    Request::Open(OpenRequest { entry, code, token, live: says("live"), casting: says("casting"), announces })
}

/// `TV_INIT`: nothing, a token, or `{resumeToken?, code?, live?, casting?, understands?}`.
fn tv_init(arguments: &Arguments<'_>) -> Result<Request, Failure> {
    let expected = "no argument, a token of at most 512 characters, or {resumeToken, code}";
    match arguments.value(0) {
        Value::Null => Ok(open(Entry::TvInit, None, None, arguments)),
        Value::String(token) => Ok(open(Entry::TvInit, None, optional_text(Some(token), expected)?, arguments)),
        Value::Object(resume) => {
            let text = |name: &str| optional_text(resume.get(name).and_then(Value::as_str).map(str::to_owned), expected);
            Ok(open(Entry::TvInit, text("code")?, text("resumeToken")?, arguments))
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(Failure::malformed(expected)),
    }
}

/// `TV_GETINFO`: `{token, code}`, each a string or null, or nothing.
fn tv_get_info(arguments: &Arguments<'_>) -> Result<Request, Failure> {
    #[derive(Default, Deserialize)]
    struct Info {
        token: Option<String>,
        code: Option<String>,
    }
    let expected = "{token, code}, two strings, or nothing";
    let malformed = || Failure::malformed(expected);
    let info = match arguments.first() {
        None => Info::default(),
        // serde would take an array for a struct.
        Some(json) if json.get().starts_with('{') => serde_json::from_str(json.get()).map_err(|_| malformed())?,
        Some(_) => return Err(malformed()),
    };
    Ok(open(Entry::TvGetInfo, optional_text(info.code, expected)?, optional_text(info.token, expected)?, arguments))
}

/// `JOIN_ROOM`: the code, then perhaps `{resumeToken?, username?}`; or `{code, resumeToken?, username?}`. `CONNECT_TO_TV`:
/// `{username, projCode}`. The one as the other, too, and the code by the names that other front ends have for it. They may add an
/// authentication of their own, of which nothing is taken but strings by these names.
fn join(entry: Entry, arguments: &Arguments<'_>) -> Result<Request, Failure> {
    const NAMES: [&str; 4] = ["projCode", "code", "roomId", "room"];
    let expected = match entry.dialect() {
        Dialect::A => "the code, a string, or {code}",
        Dialect::B => "{username, projCode}",
    };
    let (first, second) = (arguments.value(0), arguments.value(1));
    let (code, extras) = match first.as_object() {
        Some(members) => (NAMES.iter().find_map(|name| code_of(members.get(*name)?)), &first),
        None => (code_of(&first), &second),
    };
    let code = optional_text(code, expected)?.ok_or_else(|| Failure::malformed(expected))?;
    let text = |name: &str| optional_text(extras[name].as_str().map(str::to_owned), "strings of at most 512 characters");
    let (token, username) = (text("resumeToken")?, text("username")?);
    Ok(Request::Join(JoinRequest { entry, code, token, username }))
}

/// A code of digits comes as a number from a front end that parsed its input; leading zeros are lost then.
fn code_of(value: &Value) -> Option<String> {
    match value {
        Value::String(code) => Some(code.clone()),
        Value::Number(code) => code.as_u64().map(|code| format!("{code:0width$}", width = CODE_LENGTH)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A delivered signal: its event name and whether the payload is wrapped, and as what.
pub fn delivery(dialect: Dialect, signal: Signal<Content>) -> (&'static str, Option<&'static str>, Payload) {
    let (name, wrapper, content) = match (dialect, signal) {
        (Dialect::A, Signal::Offer(content)) => ("CLIENT_OFFER_TO_TV", "offer", content),
        (Dialect::B, Signal::Offer(content)) => ("RTC_Client_Offer_To_TV", "offer", content),
        (Dialect::A, Signal::Answer(content)) => ("TV_ANSWER_TO_CLIENT", "answer", content),
        (Dialect::B, Signal::Answer(content)) => ("RTC_TV_Answer_To_Client", "answer", content),
        (Dialect::A | Dialect::B, Signal::Candidate(content)) => ("RTC_Candidate_Exchange", "iceCandidate", content),
    };
    let (payload, is_wrapped) = content.for_dialect(dialect);
    (name, is_wrapped.then_some(wrapper), payload)
}

/// The name that dialect B's front ends show for a caster who gave none.
const ANONYMOUS: &str = "匿名";

/// The events that tell a client of a notice, with their one argument (none: `null` is left out).
///
/// `Credentials` has no event here: the gateway signs them and sends `CONFIG_FEEDBACK`.
pub fn announcements(dialect: Dialect, notice: &Notice) -> Vec<(&'static str, Option<Value>)> {
    let why = |why: Departure| match why {
        Departure::Left => "left",
        Departure::Lost => "lost",
        Departure::TakenOver => "taken_over",
        Departure::Evicted => "evicted",
    };
    let name = |username: &Option<String>| username.clone().unwrap_or_else(|| ANONYMOUS.to_owned());
    match (dialect, notice) {
        (Dialect::A, Notice::CasterJoined { username, resumed }) => {
            vec![("CASTER_JOINED", Some(json!({"username": username, "resumed": resumed})))]
        }
        (Dialect::B, Notice::CasterJoined { username, .. }) => {
            vec![("NEW_CLIENT_JOIN", Some(json!({"username": name(username)})))]
        }
        (Dialect::A, Notice::CasterLeft { username, why: reason }) => {
            vec![("CASTER_LEFT", Some(json!({"username": username, "reason": why(*reason)})))]
        }
        (Dialect::B, Notice::CasterLeft { username, .. }) => vec![("USER_OFFLINE", Some(json!({"user": name(username)})))],
        (Dialect::A, Notice::TvLeft { why: reason }) => vec![("TV_LEFT", Some(json!({"reason": why(*reason)})))],
        (Dialect::B, Notice::TvLeft { .. }) => vec![("TV_OFFLINE", None)],
        // For its front end the cast is over: TV_OFFLINE is what makes a dialect B caster stop.
        (Dialect::B, Notice::TakenOver) => vec![("CAST_TAKEN_OVER", Some(json!({}))), ("TV_OFFLINE", None)],
        (Dialect::A, Notice::TakenOver) => vec![("CAST_TAKEN_OVER", Some(json!({})))],
        (Dialect::A | Dialect::B, Notice::CasterAway) => vec![("CASTER_AWAY", Some(json!({})))],
        (Dialect::A | Dialect::B, Notice::TvAway) => vec![("TV_AWAY", Some(json!({})))],
        (Dialect::A | Dialect::B, Notice::TvBack { reloaded }) => vec![("TV_BACK", Some(json!({"reloaded": reloaded})))],
        (Dialect::A | Dialect::B, Notice::Replaced) => vec![("CAST_REPLACED", Some(json!({})))],
        (Dialect::A | Dialect::B, Notice::CodeChanged { code, resume_token, reason }) => {
            let reason = match reason {
                NewCodeReason::Idle => "idle",
                NewCodeReason::CastEnded => "cast_ended",
                NewCodeReason::Asked => "asked",
            };
            vec![(CODE_CHANGED, Some(json!({"code": code.as_str(), "resumeToken": resume_token, "reason": reason})))]
        }
        (Dialect::A | Dialect::B, Notice::NewToken { code, resume_token }) => {
            vec![("RESUME_TOKEN", Some(json!({"role": "tv", "code": code.as_str(), "resumeToken": resume_token})))]
        }
        (Dialect::A | Dialect::B, Notice::Waits { why }) => {
            vec![("TV_WAITING", Some(waiting(full_code(*why), &why.to_string())))]
        }
        (Dialect::A | Dialect::B, Notice::Evicted) => {
            let event = if dialect == Dialect::A { Entry::TvInit } else { Entry::TvGetInfo };
            let error = json!({"code": "evicted", "message": EVICTED});
            vec![
                ("CAST_ERROR", Some(json!({"event": event.name(), "error": error}))),
                ("TV_WAITING", Some(waiting("evicted", EVICTED))),
            ]
        }
        (Dialect::A | Dialect::B, Notice::Credentials) => Vec::new(),
    }
}

const EVICTED: &str = "this server has as many TVs as it may have, and another one got the place of this one, which gets a new code when there is a place";

/// What a TV hears that has no code yet, and has one later.
fn waiting(code: &str, message: &str) -> Value {
    json!({"code": code, "message": message})
}

const fn full_code(why: Full) -> &'static str {
    match why {
        Full::Address { .. } => "address_full",
        Full::Site { .. } => "site_full",
        Full::Server { .. } => "server_full",
    }
}

/// The event that answers a client that got its seat, besides the ack. `ice` is the config of `TV_INFO_FEEDBACK`, and null for entries
/// that bring no ICE servers.
pub fn welcome(entry: Entry, seated: &Seated, ice: &Value) -> (&'static str, Value) {
    let code = seated.code.as_str();
    match entry {
        Entry::TvInit => ("TV_INIT_OK", json!(code)),
        Entry::JoinRoom => ("JOIN_ROOM_OK", json!(code)),
        Entry::TvRegister => ("TV_REGISTER_SUCCESS", json!({"projCode": code})),
        Entry::TvGetInfo => {
            let room = json!({"mid": code, "name": "Castway", "maxpeople": 1, "pos": "", "desc": ""});
            let info = json!({
                "projCode": code, "meetingRoom": room, "activities": [], "iceConfig": ice, "background": [],
            });
            ("TV_INFO_FEEDBACK", info)
        }
        Entry::ConnectToTv => ("CONNECT_TO_TV_SUCCESS", json!({"msg": "连接成功"})),
    }
}

/// The events by which dialect B names a failed entry; everything else is `CAST_ERROR`.
pub fn refusal(entry: Entry, failure: &Failure) -> Option<(&'static str, Value)> {
    let msg = match failure.code {
        "unknown_code" => "投屏码错误：不存在对应的投影主机",
        "room_full" => "投影主机正在被使用",
        "server_full" => "服务器已满，请稍后重试",
        "too_many_attempts" | "rate_limited" => "尝试次数过多，请稍后重试",
        _ => failure.message.as_str(),
    };
    let (name, mut argument) = match entry {
        Entry::ConnectToTv => ("CONNECT_TO_TV_FAILED", json!({"msg": msg, "code": failure.code})),
        Entry::TvGetInfo | Entry::TvRegister => ("TV_COMMAND", json!({"cmd": "error", "msg": msg, "code": failure.code})),
        Entry::TvInit | Entry::JoinRoom => return None,
    };
    if let Some(seconds) = failure.retry_after {
        argument["retryAfter"] = seconds.into();
    }
    Some((name, argument))
}

/// The entry that an event name stands for; needed where its arguments could not be read.
pub fn entry(event: &str) -> Option<Entry> {
    [Entry::TvInit, Entry::TvRegister, Entry::TvGetInfo, Entry::JoinRoom, Entry::ConnectToTv]
        .into_iter()
        .find(|entry| entry.name() == event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(event: &str, arguments: Value) -> Result<Request, Failure> {
        let mut all = vec![json!(event)];
        all.extend(arguments.as_array().expect("a list").iter().cloned());
        read(event, &Value::Array(all).to_string(), VecDeque::new()).expect("a known event")
    }

    /// What TVs or casters of dialect A and B hear of an event with one argument.
    fn delivered(event: &str, argument: &Value) -> [(&'static str, Value); 2] {
        [Dialect::A, Dialect::B].map(|dialect| {
            let Ok(Request::Signal(signal)) = arguments(event, json!([argument])) else {
                panic!("{event} {argument} is understood")
            };
            let (name, wrapper, payload) = delivery(dialect, signal);
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
            assert_eq!((open.announces, open.live, open.casting), (true, true, false), "{event} {given}");
            assert_eq!(open.token.as_deref(), token, "{event} {given}");
        }
        let silent = [
            json!([]),
            json!([{}]),
            json!([{"understands": "TV_CODE_CHANGED"}]),
            json!([{"understands": [["TV_CODE_CHANGED"]]}]),
        ];
        for given in silent.into_iter().chain([json!([{"understands": {"TV_CODE_CHANGED": true}, "casting": 1}])]) {
            for event in ["TV_INIT", "TV_REGISTER", "TV_GETINFO"] {
                let Ok(Request::Open(open)) = arguments(event, given.clone()) else { panic!("{event} {given} is understood") };
                assert!(!open.announces && !open.live && !open.casting, "{event} {given}");
            }
        }
    }

    #[test]
    fn an_offer_is_bare_in_a_and_wrapped_in_b() {
        let sdp = json!({"type": "offer", "sdp": "v=0"});
        for (event, argument) in [("CLIENT_OFFER_TO_SERVER", sdp.clone()), ("RTC_Client_Offer_To_Server", json!({"offer": sdp}))]
        {
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
    fn what_front_ends_send_is_understood() {
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
    fn what_has_one_meaning_is_delivered_in_the_receivers_own_form() {
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
            for sent in [sdp.clone(), json!("v=0"), text, json!({"sdp": "v=0", "description": sdp}), json!({"x": [1]}), json!(5)]
            {
                assert_eq!(delivered(a, &sent), [(to_a, sent.clone()), (to_b, json!({kind: sent}))], "{a} {sent}");
            }
        }
        let nothing = arguments("RTC_Candidate_Exchange", json!([])).expect("the last candidate");
        let Request::Signal(signal) = nothing else { panic!("a candidate") };
        assert_eq!(serde_json::to_value(delivery(Dialect::A, signal).2).unwrap(), json!({"iceCandidate": null}));
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
}
