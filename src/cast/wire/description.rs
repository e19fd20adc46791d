//! Offers, answers and candidates, as front ends of either dialect have them.
//!
//! What a dialect's own front ends send each other stays as it was sent. What another front end sends instead is understood where it can
//! have only one meaning: a description without its wrapping or with one too many, a candidate without its wrapping. JSON inside a string is
//! left alone, since the receiver reads it as it was written.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::arguments::{Arguments, members as sent_members};
use super::failure::Failure;
use super::small_object;
use crate::cast::model::Dialect;
use crate::socketio::gateway::packet::ForwardedJson;

/// An offer, an answer or a candidate.
#[derive(Debug)]
pub enum Content {
    /// A description, which dialect B wraps.
    Description(ForwardedJson),
    /// A wrapped description from dialect A, whose front ends get it as it was sent; dialect B wraps what is inside.
    Wrapped { sent: ForwardedJson, inside: ForwardedJson },
    /// The same for both dialects.
    AsSent(ForwardedJson),
}

impl Content {
    /// About how many bytes the content takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Description(payload) | Self::AsSent(payload) => payload.bytes(),
            Self::Wrapped { sent, inside } => sent.bytes() + inside.bytes(),
        }
    }

    /// What a receiver gets, and whether that has to be wrapped.
    pub(super) fn for_dialect(self, dialect: Dialect) -> (ForwardedJson, bool) {
        match (self, dialect) {
            (Self::Description(payload), Dialect::B) | (Self::Wrapped { inside: payload, .. }, Dialect::B) => (payload, true),
            (Self::Description(payload) | Self::Wrapped { sent: payload, .. }, Dialect::A) | (Self::AsSent(payload), _) => {
                (payload, false)
            }
        }
    }
}

/// A description of dialect A, which may have any form. `name`: `offer` or `answer`.
pub(super) fn bare(name: &str, arguments: &Arguments<'_>, attachments: VecDeque<Bytes>) -> Result<Content, Failure> {
    let sent = arguments.first().ok_or_else(|| Failure::malformed(&format!("the {name}")))?;
    let members = sent_members(sent).unwrap_or_default();
    let is_description = |json: &&RawValue| json.get().starts_with(['{', '"']);
    let Some(inside) = inside(name, &members).filter(is_description) else {
        return payload(sent, attachments).map(Content::Description);
    };
    Ok(Content::Wrapped { inside: payload(inside, attachments.clone())?, sent: payload(sent, attachments)? })
}

/// A description of dialect B, `{offer}` or `{answer}` by `name`, or one that is not wrapped like that.
pub(super) fn wrapped(name: &str, arguments: &Arguments<'_>, attachments: VecDeque<Bytes>) -> Result<Content, Failure> {
    let malformed = || Failure::malformed(&format!("{{{name}: {{type: \"{name}\", sdp}}}}"));
    let sent = arguments.first().ok_or_else(malformed)?;
    if is_json_in_a_string(sent) {
        return payload(sent, attachments).map(Content::AsSent);
    }
    if is_sdp(sent) {
        return Ok(Content::Description(ForwardedJson::Raw(described(name, sent))));
    }
    let members = sent_members(sent).ok_or_else(malformed)?;
    if members.contains_key(name) {
        let inside = inside(name, &members).ok_or_else(malformed)?;
        return payload(inside, attachments).map(Content::Description);
    }
    let kind = members.get("type").map(|kind| kind.get().trim_matches('"'));
    match members.get("sdp").copied().filter(|sdp| sdp.get().starts_with('"')) {
        Some(sdp) if kind.is_none() && attachments.is_empty() => {
            Ok(Content::Description(ForwardedJson::Raw(described(name, sdp))))
        }
        Some(_) if kind == Some(name) || (name == "answer" && kind == Some("pranswer")) => {
            payload(sent, attachments).map(Content::Description)
        }
        Some(_) => Err(malformed()),
        None => payload(inside(name, &members).ok_or_else(malformed)?, attachments).map(Content::Description),
    }
}

/// `{iceCandidate}`, which may be null: the last one. Or a bare candidate, `{candidate}`, null or nothing.
pub(super) fn candidate(arguments: &Arguments<'_>, attachments: VecDeque<Bytes>) -> Result<Content, Failure> {
    let malformed = || Failure::malformed("{iceCandidate: {candidate, sdpMid, sdpMLineIndex}}, with null for the last one");
    let Some(sent) = arguments.first() else { return payload(&wrap_candidate("null"), attachments).map(Content::AsSent) };
    if is_json_in_a_string(sent) {
        return payload(sent, attachments).map(Content::AsSent);
    }
    let members = sent_members(sent).ok_or_else(malformed)?;
    if members.contains_key("iceCandidate") {
        return payload(sent, attachments).map(Content::AsSent);
    }
    let candidate = members.get("candidate").copied().ok_or_else(malformed)?;
    let alone = match candidate.get().as_bytes().first() {
        Some(b'"') => sent,
        Some(b'{' | b'n') => candidate,
        Some(_) | None => return Err(malformed()),
    };
    payload(&wrap_candidate(alone.get()), attachments).map(Content::AsSent)
}

/// `CAST_STATE`: one object, in any form.
pub(super) fn cast_state(arguments: &Arguments<'_>, attachments: VecDeque<Bytes>) -> Result<Content, Failure> {
    let sent = arguments.first().filter(|json| json.get().starts_with('{'));
    let sent = sent.ok_or_else(|| Failure::malformed("the state of the cast, an object such as {paused, sound}"))?;
    small_object::check(sent.get().len() + attachments.iter().map(Bytes::len).sum::<usize>())?;
    payload(sent, attachments).map(Content::AsSent)
}

/// The description inside a wrapping, which has the description's own name or what other front ends call it.
fn inside<'a>(name: &str, members: &BTreeMap<String, &'a RawValue>) -> Option<&'a RawValue> {
    let is_object = |json: &&RawValue| json.get().starts_with('{');
    if members.get("sdp").is_some_and(|sdp| sdp.get().starts_with('"')) && !members.contains_key(name) {
        return None;
    }
    let own = members.get(name).copied().filter(|json| json.get() != "null");
    own.or_else(|| ["description", "sdp"].iter().find_map(|name| members.get(*name).copied().filter(is_object)))
}

/// Front ends that send `JSON.stringify(…)` also read it.
fn is_json_in_a_string(json: &RawValue) -> bool {
    json.get().starts_with("\"{")
}

/// A session description begins with its version (RFC 8866 §5.1).
fn is_sdp(json: &RawValue) -> bool {
    json.get().starts_with("\"v=")
}

/// A description in the form that browsers use.
fn described(name: &str, sdp: &RawValue) -> Box<RawValue> {
    RawValue::from_string(format!("{{\"type\":\"{name}\",\"sdp\":{sdp}}}")).expect("JSON in JSON is JSON")
}

fn wrap_candidate(candidate: &str) -> Box<RawValue> {
    RawValue::from_string(format!("{{\"iceCandidate\":{candidate}}}")).expect("JSON in JSON is JSON")
}

fn payload(json: &RawValue, attachments: VecDeque<Bytes>) -> Result<ForwardedJson, Failure> {
    let malformed = || Failure::malformed("JSON with a place for each binary attachment");
    ForwardedJson::new(json.to_owned(), attachments).ok_or_else(malformed)
}
