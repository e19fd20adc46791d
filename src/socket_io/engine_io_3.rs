//! PURE. What clients of socket.io 1 and 2 say and expect to hear in another form than socketioxide, packet by packet.
//!
//! Owner of both rules and of the payloads by which polling carries packets; over WebSocket [`super::frames`] applies the rules.

use serde::Deserialize;

use super::frames::Rule;

/// Of a packet's length.
const MAX_DIGITS: usize = 8;

/// What such a client sends: a namespace's name may end with a query, which socketioxide takes for a part of the name. As in
/// the original it is cut off where a client connects (`40/rtc?token=1,`), and nowhere else.
pub static FROM_CLIENT: Rule = Rule { prefix: b"40/", masked: true, change: without_query };

/// What such a client is sent: why it is not connected to a namespace (`44/rtc,…`) is a string to it, not an object.
pub static TO_CLIENT: Rule = Rule { prefix: b"44", masked: false, change: with_plain_error };

/// A namespace ends at the first comma (socket.io-parser 3), and its name before the query, as in a URL.
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
    struct Refusal {
        message: String,
    }
    let data = match packet.get(2) {
        Some(b'/') => packet.iter().position(|byte| *byte == b',')? + 1,
        _ => 2,
    };
    let Refusal { message } = serde_json::from_slice(&packet[data..]).ok()?;
    let message = serde_json::to_vec(&message).ok()?;
    Some([&packet[..data], &message].concat())
}

/// Applies a rule to the packets of a payload (Engine.IO 3, "Payload"): `LENGTH:PACKET…`, the length in UTF-16 units, or where
/// it is `binary`, a byte that says 0 for a string or 1 for bytes, the length's digits as bytes, 0xFF and so many bytes.
/// `None`: it stays as it is, broken ones included.
pub fn apply(rule: &Rule, payload: &[u8], binary: bool) -> Option<Vec<u8>> {
    if !payload.windows(rule.prefix.len()).any(|part| part == rule.prefix) {
        return None;
    }
    let (mut rest, mut changed, mut result) = (payload, false, Vec::with_capacity(payload.len()));
    while !rest.is_empty() {
        let (packet, after) = if binary { next_of_binary(rest)? } else { next_of_text(rest)? };
        let is_text = !binary || rest[0] == 0;
        let changed_packet = if is_text && packet.starts_with(rule.prefix) { (rule.change)(packet) } else { None };
        match changed_packet {
            Some(other) => {
                changed = true;
                let len = if binary { other.len() } else { other.iter().map(|byte| utf_16_units(*byte)).sum() };
                let digits = len.to_string();
                if binary {
                    result.push(0);
                    result.extend(digits.bytes().map(|digit| digit - b'0'));
                    result.push(0xFF);
                } else {
                    result.extend(digits.bytes());
                    result.push(b':');
                }
                result.extend(other);
            }
            None => result.extend_from_slice(&rest[..rest.len() - after.len()]),
        }
        rest = after;
    }
    changed.then_some(result)
}

fn next_of_text(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    // As many digits as a length may have: a payload full of them would be looked through again and again.
    let colon = payload.iter().take(MAX_DIGITS + 1).position(|byte| *byte == b':')?;
    let mut missing: usize = std::str::from_utf8(&payload[..colon]).ok()?.parse().ok()?;
    let rest = &payload[colon + 1..];
    let mut end = rest.len();
    for (at, byte) in rest.iter().enumerate() {
        let units = utf_16_units(*byte);
        if units > 0 && missing == 0 {
            end = at;
            break;
        }
        missing = missing.checked_sub(units)?;
    }
    (missing == 0).then(|| rest.split_at(end))
}

/// What a byte of UTF-8 begins.
const fn utf_16_units(byte: u8) -> usize {
    match byte {
        0x80..=0xBF => 0,
        0xF0.. => 2,
        0..=0x7F | 0xC0..=0xEF => 1,
    }
}

fn next_of_binary(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = payload.iter().take(MAX_DIGITS + 2).position(|byte| *byte == 0xFF)?;
    let digits = payload.get(1..end).filter(|digits| !digits.is_empty())?;
    let len = digits.iter().try_fold(0, |len: usize, digit| (*digit < 10).then(|| len * 10 + usize::from(*digit)))?;
    let rest = &payload[end + 1..];
    (len <= rest.len()).then(|| rest.split_at(len))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

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

    #[test]
    fn packets_of_a_text_payload_get_their_length() {
        let apply =
            |payload: &str| apply(&FROM_CLIENT, payload.as_bytes(), false).map(|payload| String::from_utf8(payload).unwrap());
        assert_eq!(apply("15:40/rtc?token=1,").as_deref(), Some("7:40/rtc,"));
        assert_eq!(apply("17:40/rtc?token=a:b,12:42/rtc,[\"é\"]").as_deref(), Some("7:40/rtc,12:42/rtc,[\"é\"]"));
        // Two units of UTF-16 each, four bytes.
        assert_eq!(apply("8:42[\"😀\"]14:40/😀?token=😀").as_deref(), Some("8:42[\"😀\"]6:40/😀,"));
        for payload in
            ["", "2:40", "12:42[\"a?:40/\"]", "nonsense:40/x?", "99999999999999999999999:40/rtc?x,", "9:40/x?", "1:40/x?y"]
        {
            assert_eq!(apply(payload), None, "{payload}");
        }
        assert_eq!(apply("7:40/rtc,"), None);
        // Shorter than any prefix, beside one that is changed.
        for (rule, payload, expected) in [
            (&FROM_CLIENT, "1:214:40/rtc?token=1", "1:27:40/rtc,"),
            (&TO_CLIENT, "1:321:44/x,{\"message\":\"no\"}", "1:39:44/x,\"no\""),
        ] {
            assert_eq!(super::apply(rule, payload.as_bytes(), false).as_deref(), Some(expected.as_bytes()));
        }
        // Only where a client connects.
        for payload in ["11:41/rtc?a=1,", "12:42/rtc?a=1,[", "16:42[\"40/rtc?a=1\"]"] {
            assert_eq!(apply(payload), None, "{payload}");
        }
    }

    #[test]
    fn packets_of_a_binary_payload_get_their_length() {
        let framed = |kind: u8, packet: &[u8]| {
            let digits = packet.len().to_string().bytes().map(|digit| digit - b'0').collect::<Vec<_>>();
            [&[kind][..], &digits, &[0xFF], packet].concat()
        };
        let (long, short) = (framed(0, "40/rtc?tokén=1,".as_bytes()), framed(0, b"40/rtc,"));
        let bytes = framed(1, b"\x0440/rtc?token=1,\xFF\x00");
        let given = [&bytes[..], &long, &bytes, &short].concat();
        let expected = [&bytes[..], &short, &bytes, &short].concat();
        assert_eq!(apply(&FROM_CLIENT, &given, true), Some(expected));
        for broken in [&given[..given.len() - 1], b"40/", b"\x00\xFF40/?", &[&[0; 12][..], &long].concat()] {
            assert_eq!(apply(&FROM_CLIENT, broken, true), None, "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_one_payload_or_none(text in "([0-9]{1,2}:)?(4[04]/?[a-z?,{}]{0,9}[0-9:]{0,3}){0,4}", bytes in vec(0..=255_u8, 0..40)) {
            for rule in [&FROM_CLIENT, &TO_CLIENT] {
                for payload in [text.as_bytes(), &bytes] {
                    prop_assert_eq!(apply(rule, payload, false).and_then(|changed| apply(&FROM_CLIENT, &changed, false)), None);
                    apply(rule, payload, true);
                }
            }
        }
    }
}
