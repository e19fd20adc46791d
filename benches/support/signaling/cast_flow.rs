//! The cast flow: a TV opens a room, a caster joins it by its code, and they exchange offer, answer and candidates.

use anyhow::{Context, bail};

use super::role::{Heard, Reaction, Role};
use super::socketio::{self, is_event};
use super::stamp;

const CANDIDATE: &str = "RTC_Candidate_Exchange";
const DESCRIPTION_BYTES: usize = 2000;

pub(crate) fn join(code: &str) -> String {
    format!(r#"42["JOIN_ROOM","{code}"]"#)
}

/// A candidate, which the server passes to the other side.
pub(crate) fn message(len: usize) -> Vec<u8> {
    let head =
        r#"42["RTC_Candidate_Exchange",{"iceCandidate":{"candidate":"candidate:1 1 udp 2122260223 192.0.2.1 50001 typ host "#;
    stamp::padded(head, r#"","sdpMid":"0","sdpMLineIndex":0}}]"#, len)
}

fn description(event: &str, kind: &str) -> String {
    let line = "a=rtpmap:96 VP8/90000\\r\\n";
    let sdp = line.repeat(DESCRIPTION_BYTES / line.len());
    format!(r#"42["{event}",{{"type":"{kind}","sdp":"v=0\r\n{sdp}"}}]"#)
}

/// # Errors
/// The server has refused something.
pub(crate) fn react(role: Role, payload: &[u8]) -> anyhow::Result<Reaction> {
    if is_event(payload, CANDIDATE) {
        return Ok(Heard::Message(stamp::read(payload).context("a message came without its stamp")?).into());
    }
    if is_event(payload, "TV_INIT_OK") {
        let code = std::str::from_utf8(payload)?.split('"').nth(3).context("TV_INIT_OK has no code")?;
        return Ok(Heard::Opened(code.to_owned()).into());
    }
    if is_event(payload, "JOIN_ROOM_OK") {
        return Ok(Reaction::answer(description("CLIENT_OFFER_TO_SERVER", "offer")));
    }
    if is_event(payload, "CLIENT_OFFER_TO_TV") {
        return Ok(Reaction::answer(description("TV_ANSWER_TO_SERVER", "answer")));
    }
    if is_event(payload, "TV_ANSWER_TO_CLIENT") {
        return Ok(Heard::Answered.into());
    }
    if is_event(payload, "CAST_ERROR") {
        bail!("the server sent {}", String::from_utf8_lossy(payload));
    }
    let mut reaction = socketio::react(payload)?;
    if role == Role::Tv && reaction.heard == Heard::Connected {
        reaction.answer = Some(br#"42["TV_INIT"]"#.to_vec());
    }
    Ok(reaction)
}
