//! Rooms of RTCMultiConnection: an owner opens a room, a guest joins it and asks to take part, and they exchange candidates.

use anyhow::bail;

use super::role::{Heard, Reaction, Role};
use super::socketio::{self, is_event};
use super::stamp;

const MESSAGE: &str = "RTCMultiConnection-Message";
/// What the acknowledgement of `open-room` and `join-room` begins with if the server agrees.
const AGREED: &[u8] = b"430[true";
const ASKS: &[u8] = b"\"newParticipationRequest\"";
const ACCEPTS: &[u8] = b"\"readyForOffer\"";

/// The query is the one that the browser library writes.
pub(crate) fn path(number: usize) -> String {
    format!(
        "{}&userid={}&sessionid={}&msgEvent={MESSAGE}&socketCustomEvent=RTCMultiConnection-Custom-Message\
         &autoCloseEntireSession=false&maxParticipantsAllowed=1000&extra=%7B%7D",
        socketio::PATH,
        user(number),
        room(number)
    )
}

fn user(number: usize) -> String {
    format!("user{number}")
}

/// Two clients that follow each other are in one room.
fn room(number: usize) -> String {
    format!("room{}", number / 2)
}

fn request(event: &str, room: &str) -> String {
    format!(
        r#"420["{event}",{{"sessionid":"{room}","session":{{"audio":true,"video":true}},"mediaConstraints":{{"audio":true,"video":true}},"sdpConstraints":{{}},"streams":[],"extra":{{}},"identifier":"","password":""}}]"#
    )
}

pub(crate) fn join(room: &str) -> String {
    request("join-room", room)
}

/// A candidate to the other client of the room.
pub(crate) fn message(number: usize, len: usize) -> Vec<u8> {
    let head = format!(
        r#"42["{MESSAGE}",{{"remoteUserId":"{}","message":{{"sdpMid":"0","sdpMLineIndex":0,"candidate":"candidate:1 1 udp 2122260223 192.0.2.1 50001 typ host "#,
        user(number ^ 1)
    );
    stamp::padded(&head, &format!(r#""}},"sender":"{}"}}]"#, user(number)), len)
}

fn small_message(number: usize, to: &str, content: &str) -> String {
    format!(r#"42["{MESSAGE}",{{"remoteUserId":"{to}","message":{content},"sender":"{}"}}]"#, user(number))
}

/// # Errors
/// The server has refused something.
pub(crate) fn react(role: Role, number: usize, payload: &[u8]) -> anyhow::Result<Reaction> {
    if is_event(payload, MESSAGE) {
        if let Some(sent) = stamp::read(payload) {
            return Ok(Heard::Message(sent).into());
        }
        if stamp::find(payload, ASKS).is_some() {
            return Ok(Reaction::answer(small_message(number, &user(number ^ 1), r#"{"readyForOffer":true}"#)));
        }
        if stamp::find(payload, ACCEPTS).is_some() {
            return Ok(Heard::Answered.into());
        }
        bail!("the server sent {}", String::from_utf8_lossy(payload));
    }
    if payload.starts_with(AGREED) {
        return Ok(if role == Role::Owner {
            Heard::Opened(room(number)).into()
        } else {
            Reaction::answer(small_message(number, &room(number), r#"{"newParticipationRequest":true}"#))
        });
    }
    if payload.starts_with(b"430") || is_event(payload, "userid-already-taken") {
        bail!("the server sent {}", String::from_utf8_lossy(payload));
    }
    let mut reaction = socketio::react(payload)?;
    if role == Role::Owner && reaction.heard == Heard::Connected {
        reaction.answer = Some(request("open-room", &room(number)).into_bytes());
    }
    Ok(reaction)
}
