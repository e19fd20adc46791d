//! Rooms of AppRTC: both clients join by POST and register at Collider's WebSocket, through which they send.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::role::{Heard, Reaction};
use super::{http, stamp, stream};

pub(crate) const PATH: &str = "/ws";
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Joins the room that two clients share which follow each other, and returns the text that registers client `number` there.
///
/// # Errors
/// The server refuses, or does not answer.
pub(crate) fn join(server: SocketAddr, from: Ipv4Addr, number: usize) -> anyhow::Result<String> {
    let room = format!("room{}", number / 2);
    let mut stream = stream::connect(server, from)?;
    stream.set_read_timeout(Some(JOIN_TIMEOUT))?;
    stream.write_all(&http::request("POST", &format!("/join/{room}"), server, Some("")))?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let body = loop {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the server has ended the connection");
        bytes.extend_from_slice(&buffer[..read]);
        if let Some((body, _)) = http::response(&bytes)? {
            break body;
        }
    };
    let joined: serde_json::Value = serde_json::from_slice(&body)?;
    ensure!(joined["result"] == "SUCCESS", "/join/{room} was answered with {joined}");
    let client = joined["params"]["client_id"].as_str().context("/join has no client_id")?;
    Ok(format!(r#"{{"cmd":"register","roomid":"{room}","clientid":"{client}"}}"#))
}

/// A candidate to the other client of the room.
pub(crate) fn message(len: usize) -> Vec<u8> {
    let head = r#"{"cmd":"send","msg":"{\"type\":\"candidate\",\"label\":0,\"id\":\"0\",\"candidate\":\"candidate:1 1 udp 2122260223 192.0.2.1 50001 typ host "#;
    stamp::padded(head, r#"\"}"}"#, len)
}

/// # Errors
/// The server has refused something.
pub(crate) fn react(payload: &[u8]) -> anyhow::Result<Reaction> {
    let sent = stamp::read(payload).with_context(|| format!("the server sent {}", String::from_utf8_lossy(payload)))?;
    Ok(Heard::Message(sent).into())
}
