//! The events that deliver a signal or answer an entry.

use serde_json::{Value, json};

use super::description::Content;
use super::dialect_a;
use super::dialect_b;
use super::event::WireEvent;
use super::request::EntryEvent;
use crate::cast::model::{Dialect, Seated, Signal};
use crate::socketio::gateway::packet::ForwardedJson;

/// A signal in the form that its receiver expects.
pub struct Delivery {
    pub event: &'static str,
    /// The name of the member that the payload is wrapped in; `None`: the payload is bare.
    pub wrapper: Option<&'static str>,
    pub payload: ForwardedJson,
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
