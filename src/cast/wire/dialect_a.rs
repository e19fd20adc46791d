//! The events of dialect A, the projection-code flow of the Socket.IO tutorials: bare payloads.

use serde_json::{Value, json};

use super::arguments::{Arguments, optional_text};
use super::description;
use super::entering::{check, join, open};
use super::event::WireEvent;
use super::failure::Failure;
use super::request::{CANDIDATE_EVENT, EntryEvent, EventReader, OpenArguments, Request};
use super::tv_details;
use crate::cast::model::{LeaveReason, Signal};

/// The reader of an event that only dialect A has.
pub(super) fn reader(event: &str) -> Option<EventReader> {
    Some(match event {
        "TV_INIT" => EventReader::of_event(|arguments, _| tv_init(arguments)),
        "JOIN_ROOM" => EventReader::of_event(|arguments, _| join(EntryEvent::JoinRoom, arguments)),
        "CHECK_CODE" => EventReader::of_event(|arguments, _| check(arguments)),
        "CLIENT_OFFER_TO_SERVER" => EventReader::of_description(|arguments, attachments| {
            let offer = description::bare("offer", arguments, attachments)?;
            Ok(Request::Signal(Signal::Offer(offer)))
        }),
        "TV_ANSWER_TO_SERVER" => EventReader::of_description(|arguments, attachments| {
            let answer = description::bare("answer", arguments, attachments)?;
            Ok(Request::Signal(Signal::Answer(answer)))
        }),
        _ => return None,
    })
}

/// `TV_INIT`: nothing, a token, or `{resumeToken?, code?, name?, screen?, live?, casting?, understands?}`.
fn tv_init(arguments: &Arguments<'_>) -> Result<Request, Failure> {
    let expected = "no argument, a token of at most 512 characters, or {resumeToken, code}";
    let (code, token) = match arguments.value(0) {
        Value::Null => (None, None),
        Value::String(token) => (None, optional_text(Some(token), expected)?),
        Value::Object(resume) => {
            let text = |name: &str| optional_text(resume.get(name).and_then(Value::as_str).map(str::to_owned), expected);
            (text("code")?, text("resumeToken")?)
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => return Err(Failure::malformed(expected)),
    };
    let details = tv_details::read(arguments)?;
    Ok(Request::Open(OpenArguments { details, ..open(EntryEvent::TvInit, code, token, arguments)? }))
}

/// The event that delivers a signal.
pub(super) const fn signal_event<P>(signal: &Signal<P>) -> &'static str {
    match signal {
        Signal::Offer(_) => "CLIENT_OFFER_TO_TV",
        Signal::Answer(_) => "TV_ANSWER_TO_CLIENT",
        Signal::Candidate(_) => CANDIDATE_EVENT,
    }
}

pub(super) fn caster_joined(username: Option<&str>, resumed: bool) -> WireEvent {
    WireEvent::new("CASTER_JOINED", json!({"username": username, "resumed": resumed}))
}

pub(super) fn caster_left(username: Option<&str>, reason: LeaveReason) -> WireEvent {
    WireEvent::new("CASTER_LEFT", json!({"username": username, "reason": leave_reason(reason)}))
}

pub(super) fn tv_left(reason: LeaveReason) -> WireEvent {
    WireEvent::new("TV_LEFT", json!({"reason": leave_reason(reason)}))
}

const fn leave_reason(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Left => "left",
        LeaveReason::Lost => "lost",
        LeaveReason::TakenOver => "taken_over",
        LeaveReason::EndedByTv => "ended",
        LeaveReason::EndedByOperator => "ended_by_operator",
        LeaveReason::Evicted => "evicted",
    }
}
