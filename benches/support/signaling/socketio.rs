//! What all clients of Socket.IO send and hear: the packets of Engine.IO 4, and the connection to the namespace.

use anyhow::bail;

use super::role::{Heard, Reaction};

pub(crate) const PATH: &str = "/socket.io/?EIO=4&transport=websocket";
/// Connects to the namespace `/`.
pub(crate) const CONNECT: &[u8] = b"40";

/// Whether a message is the event of this name.
pub(crate) fn is_event(payload: &[u8], name: &str) -> bool {
    let rest = payload.strip_prefix(b"42[\"").and_then(|rest| rest.strip_prefix(name.as_bytes()));
    rest.is_some_and(|rest| rest.starts_with(b"\""))
}

/// # Errors
/// The server has refused the namespace, or ends the connection.
pub(crate) fn react(payload: &[u8]) -> anyhow::Result<Reaction> {
    Ok(match payload {
        b"3probe" => Heard::Probed.into(),
        b"2" => Reaction::answer(b"3"),
        [b'0', ..] => Reaction::answer(CONNECT),
        [b'4', b'0', ..] => Heard::Connected.into(),
        [b'4', b'4', ..] | b"1" | b"41" => bail!("the server sent {}", String::from_utf8_lossy(payload)),
        _ => Heard::Other.into(),
    })
}
