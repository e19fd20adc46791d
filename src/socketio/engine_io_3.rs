//! The packets of socket.io 1 and 2 (Engine.IO 3) that differ from those of socketioxide. PURE.
//!
//! Owner of both rewrite rules; [`super::payload`] applies them to polling, [`crate::websocket::frame_filter`] to WebSockets.

use serde::Deserialize;

use crate::websocket::rewrite_rule::RewriteRule;

/// Packets from such a client: the name of a namespace may end with a query, which socketioxide takes for a part of the name. As in the
/// original server the query is removed where a client connects (`40/rtc?token=1,`), and nowhere else.
pub static FROM_CLIENT: RewriteRule = RewriteRule { prefix: b"40/", masked: true, change: without_query };

/// Packets to such a client: the reason why it is not connected to a namespace (`44/rtc,…`) is a string, not an object.
pub static TO_CLIENT: RewriteRule = RewriteRule { prefix: b"44", masked: false, change: with_plain_error };

/// A namespace ends at the first comma (as in socket.io-parser 3), and its name ends before the query, as in a URL.
fn without_query(packet: &[u8]) -> Option<Vec<u8>> {
    let (namespace, data) = match packet.iter().position(|byte| *byte == b',') {
        Some(comma) => (&packet[..comma], &packet[comma + 1..]),
        None => (packet, &[][..]),
    };
    let query = namespace.iter().position(|byte| matches!(byte, b'?' | b'#'))?;
    Some([&namespace[..query], b",", data].concat())
}

fn with_plain_error(packet: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ConnectError {
        message: String,
    }
    let data = match packet.get(2) {
        Some(b'/') => packet.iter().position(|byte| *byte == b',')? + 1,
        _ => 2,
    };
    let ConnectError { message } = serde_json::from_slice(&packet[data..]).ok()?;
    let message = serde_json::to_vec(&message).ok()?;
    Some([&packet[..data], &message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(packet: &str) -> Option<String> {
        without_query(packet.as_bytes()).map(|cut| String::from_utf8(cut).unwrap())
    }

    #[test]
    fn a_namespace_loses_its_query() {
        for (packet, expected) in [
            ("40/rtc?token=1,", "40/rtc,"),
            ("40/rtc?token=1", "40/rtc,"),
            ("40/rtc?a=1&b=?#,", "40/rtc,"),
            ("40/rtc?a=%2C%3F%20é,", "40/rtc,"),
            // The namespace ends at the first comma, and what follows is the packet's data.
            ("40/rtc?a=1,2,", "40/rtc,2,"),
            ("40/rtc?,{\"a\":\"?\"}", "40/rtc,{\"a\":\"?\"}"),
            ("40/rtc#top,", "40/rtc,"),
            ("40/?token=1,", "40/,"),
            ("40/?token=1", "40/,"),
        ] {
            assert_eq!(cut(packet).as_deref(), Some(expected), "{packet}");
        }
        for packet in ["40/rtc,", "40/rtc", "40/", "40/rtc,{\"a\":\"?\"}", "40/é,"] {
            assert_eq!(cut(packet), None, "{packet}");
        }
    }

    #[test]
    fn a_refusal_becomes_a_string() {
        let plain = |packet: &str| with_plain_error(packet.as_bytes()).map(|packet| String::from_utf8(packet).unwrap());
        let given = plain("44/nope,{\"message\":\"Invalid namespace\"}");
        assert_eq!(given.as_deref(), Some("44/nope,\"Invalid namespace\""));
        assert_eq!(plain("44{\"message\":\"a \\\"é\\\"\"}").as_deref(), Some("44\"a \\\"é\\\"\""));
        assert_eq!(plain("44/a{b}?c,{\"message\":\"x\"}").as_deref(), Some("44/a{b}?c,\"x\""));
        for packet in ["44/nope,\"Invalid namespace\"", "44/nope", "44", "44{\"message\":1}", "44{\"message\":\"x\",\"data\":1}"]
        {
            assert_eq!(plain(packet), None, "{packet}");
        }
    }
}
