//! Reads the events of both dialects.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::arguments::Arguments;
use super::description;
use super::dialect_a;
use super::dialect_b;
use super::failure::Failure;
use super::report;
use super::request::{CANDIDATE_EVENT, CAST_STATE_EVENT, EventReader, Request};
use crate::cast::model::Signal;
use crate::limits::message_size;

/// Reads an event's arguments: `json` is the whole array, the event's name first, as Socket.IO has it on the wire.
///
/// `None`: not an event of this flow.
///
/// # Errors
/// A [`Failure`] that names what is expected.
pub fn read(event: &str, json: &str, attachments: VecDeque<Bytes>) -> Option<Result<Request, Failure>> {
    let reader = dialect_a::reader(event).or_else(|| dialect_b::reader(event)).or_else(|| common_reader(event))?;
    if let Err(large) = message_size::check(json, attachments.iter().map(Bytes::len).sum(), reader.max_kib) {
        return Some(Err(Failure::too_large(large)));
    }
    Some(match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(all) => (reader.read)(&Arguments(all.get(1..).unwrap_or_default()), attachments),
        Err(_) => Err(Failure::malformed("JSON")),
    })
}

/// The reader of an event that both dialects have.
fn common_reader(event: &str) -> Option<EventReader> {
    Some(match event {
        CANDIDATE_EVENT => EventReader::of_event(|arguments, attachments| {
            let candidate = description::candidate(arguments, attachments)?;
            Ok(Request::Signal(Signal::Candidate(candidate)))
        }),
        "LEAVE_ROOM" => EventReader::of_event(|_, _| Ok(Request::Leave)),
        "CAST_REPORT" => EventReader::of_report(|arguments, _| report::read(arguments)),
        CAST_STATE_EVENT => EventReader::of_event(|arguments, attachments| {
            Ok(Request::CastState(description::cast_state(arguments, attachments)?))
        }),
        "END_CAST" => EventReader::of_event(|_, _| Ok(Request::EndCast)),
        "NEW_CODE" => EventReader::of_event(|_, _| Ok(Request::NewCode)),
        _ => return None,
    })
}
