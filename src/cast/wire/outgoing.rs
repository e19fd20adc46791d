//! The events that deliver a signal or answer an entry, and acknowledgements.

use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::description::Content;
use super::dialect_a;
use super::dialect_b;
use super::event::WireEvent;
use super::request::{CAST_STATE_EVENT, EntryEvent};
use super::shown_name::shown_name;
use super::tv_details;
use crate::cast::model::{CodeCheck, Dialect, Seated, Signal, TvDetails};
use crate::socketio::gateway::packet::{EventArguments, ForwardedJson};

/// A signal in the form that its receiver expects.
pub struct Delivery {
    pub event: &'static str,
    /// The name of the member that the payload is wrapped in; `None`: the payload is bare.
    pub wrapper: Option<&'static str>,
    pub payload: ForwardedJson,
}

/// `{offer}` or `{answer}` around a payload that stays raw.
pub struct Wrapped {
    pub key: &'static str,
    pub payload: ForwardedJson,
}

impl EventArguments for Wrapped {
    fn wire_bytes(&self) -> usize {
        self.key.len() + self.payload.wire_bytes()
    }
}

impl Serialize for Wrapped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.key, &self.payload)?;
        map.end()
    }
}

/// What a caster tells its TV of the cast.
pub fn cast_state(state: Content) -> Delivery {
    // The content is one for both dialects.
    let (payload, _) = state.for_dialect(Dialect::A);
    Delivery { event: CAST_STATE_EVENT, wrapper: None, payload }
}

/// The acknowledgement of an entry.
pub fn accepted(seated: &Seated) -> Value {
    json!({"ok": true, "code": seated.code.as_str(), "resumeToken": seated.resume_token, "resumed": seated.resumed})
}

/// The acknowledgement of a join. `tv`: what the TV says of itself.
pub fn joined(event: EntryEvent, seated: &Seated, tv: Option<&Arc<TvDetails>>) -> Value {
    let mut answer = accepted(seated);
    if event.dialect() == Dialect::A {
        answer["tv"] = tv_details::written(tv);
    }
    answer
}

/// The acknowledgement of `CHECK_CODE`. `sign_in`: the caster has to sign in before it casts.
pub fn checked(check: &CodeCheck, sign_in: bool) -> Value {
    let name = check.details.as_ref().and_then(|details| details.name.as_deref());
    let caster = check.caster.as_ref().map(|caster| {
        let username = caster.username.as_deref().and_then(shown_name);
        json!({"username": username, "own": caster.is_own})
    });
    let mut answer = json!({
        "ok": true,
        "code": check.code.as_str(),
        "tv": {"name": name, "away": check.tv_is_away},
        "caster": caster,
        "takeover": check.takes_over,
    });
    if sign_in {
        answer["signIn"] = true.into();
    }
    answer
}

pub fn delivery(dialect: Dialect, signal: Signal<Content>) -> Delivery {
    let event = match dialect {
        Dialect::A => dialect_a::signal_event(&signal),
        Dialect::B => dialect_b::signal_event(&signal),
    };
    let (wrapper, content) = match signal {
        Signal::Offer(content) => ("offer", content),
        Signal::Answer(content) => ("answer", content),
        Signal::Candidate(content) => ("iceCandidate", content),
    };
    let (payload, is_wrapped) = content.for_dialect(dialect);
    Delivery { event, wrapper: is_wrapped.then_some(wrapper), payload }
}

/// The event that answers a client that got its seat, besides the ack. `ice` is the config of `TV_INFO_FEEDBACK`, and null for entry events
/// that bring no ICE servers.
pub fn welcome(event: EntryEvent, seated: &Seated, ice: &Value) -> WireEvent {
    let code = seated.code.as_str();
    match event {
        EntryEvent::TvInit => WireEvent::new("TV_INIT_OK", json!(code)),
        EntryEvent::JoinRoom => WireEvent::new("JOIN_ROOM_OK", json!(code)),
        EntryEvent::TvRegister => WireEvent::new("TV_REGISTER_SUCCESS", json!({"projCode": code})),
        EntryEvent::TvGetInfo => {
            let room = json!({"mid": code, "name": "Castway", "maxpeople": 1, "pos": "", "desc": ""});
            let info = json!({
                "projCode": code, "meetingRoom": room, "activities": [], "iceConfig": ice, "background": [],
            });
            WireEvent::new("TV_INFO_FEEDBACK", info)
        }
        EntryEvent::ConnectToTv => WireEvent::new("CONNECT_TO_TV_SUCCESS", json!({"msg": "连接成功"})),
    }
}
