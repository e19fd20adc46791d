//! The payloads of the polling transport: which packets they hold, and what is changed in those of Engine.IO 3. PURE.
//!
//! A payload of Engine.IO 4 has `SEPARATOR` between its packets. A text payload of Engine.IO 3 is `LENGTH:PACKET…`, the length in UTF-16
//! code units. In a binary payload of Engine.IO 3 each packet is preceded by a byte (0 for a string, 1 for bytes), the digits of its
//! length as bytes, and 0xFF; the length is in bytes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::engine_io_3::{FROM_CLIENT, TO_CLIENT};
use crate::socketio::stream::sent_packets::{SentCounts, attachments, is_answer};
use crate::websocket::message_start::{CONNECT_PREFIX, ConnectPackets, MAX_START_BYTES, announced_attachments};
use crate::websocket::rewrite_rule::RewriteRule;

/// Digits of a packet's length.
const MAX_LENGTH_DIGITS: usize = 8;
/// The type of packets that carry messages, in text and in binary payloads.
const MESSAGE_TEXT: u8 = b'4';
const MESSAGE_BINARY: u8 = 4;

/// Between the packets of a payload of Engine.IO 4.
const SEPARATOR: u8 = 0x1E;

/// A packet that replaces another one.
enum Replacement {
    Text(Vec<u8>),
    Bytes(Vec<u8>),
}

/// Applies [`FROM_CLIENT`] to a payload of Engine.IO 3; `None`: it stays unchanged, as a malformed payload does.
pub fn from_client(payload: &[u8], binary: bool) -> Option<Vec<u8>> {
    if !payload.windows(FROM_CLIENT.prefix.len()).any(|part| part == FROM_CLIENT.prefix) {
        return None;
    }
    rewrite(payload, binary, |packet| by_rule(&FROM_CLIENT, packet))
}

/// Applies [`TO_CLIENT`] to a payload of Engine.IO 3, and works around faults of engineioxide 0.17 and of clients of version 1; `None`:
/// it stays unchanged.
///
/// - engineioxide omits the type of packets that carry bytes, and writes them as text even into binary payloads. A client takes such a
///   packet, and every event after it, for a malformed one.
/// - Clients of version 1 decode the text of a payload as UTF-8 twice, and end the connection where the second decoding fails. So JSON is
///   sent in ASCII with escapes, which means the same to all clients.
pub fn to_client(payload: &[u8], binary: bool) -> Option<Vec<u8>> {
    if !binary && payload.is_ascii() && !payload.windows(2).any(|pair| matches!(pair, b":b" | b"44")) {
        return None;
    }
    rewrite(payload, binary, |packet| {
        by_rule(&TO_CLIENT, packet)
            .or_else(|| typed_bytes(packet, binary))
            .or_else(|| if binary { None } else { as_ascii(packet) })
    })
}

/// The packets in a payload that goes to a client; `old`: of Engine.IO 3.
pub(super) fn sent(payload: &[u8], old: bool, binary: bool) -> SentCounts {
    let mut sent = SentCounts::default();
    for_each_text(payload, old, binary, |packet| {
        sent.events += usize::from(attachments(packet).is_some());
        sent.answers += usize::from(is_answer(packet));
    });
    sent
}

/// Whether a payload of Engine.IO 4 has no packets but pings, pongs and noops.
pub(super) fn has_only_pings(payload: &[u8]) -> bool {
    payload.split(|byte| *byte == SEPARATOR).all(|packet| matches!(packet, [b'2' | b'3' | b'6', ..]))
}

/// The packets in a client's payload that ask for a namespace; `old`: of Engine.IO 3.
pub(super) fn connects(payload: &[u8], old: bool, binary: bool) -> ConnectPackets {
    let mut connects = ConnectPackets::default();
    for_each_text(payload, old, binary, |packet| {
        if packet.starts_with(CONNECT_PREFIX) {
            connects.add(packet.len() as u64);
        }
    });
    connects
}

/// Calls `visit` for each text packet of a payload, up to the first malformed one.
fn for_each_text(payload: &[u8], old: bool, binary: bool, mut visit: impl FnMut(&[u8])) {
    if !old {
        return payload.split(|byte| *byte == SEPARATOR).for_each(visit);
    }
    let mut rest = payload;
    while let Some((packet, after)) = if binary { next_of_binary(rest) } else { next_of_text(rest) } {
        if !binary || rest.first() == Some(&0) {
            visit(packet);
        }
        rest = after;
    }
}

/// The attachments that are missing for a session's last event; they may come in several payloads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attachments {
    missing: u32,
    /// Of the event and of those of its attachments that have come.
    bytes: u64,
}

impl Attachments {
    /// Takes a payload of Engine.IO 3 or 4, up to the first malformed packet.
    pub fn handle(&mut self, payload: &[u8], engine_io_3: bool, binary: bool) {
        if !engine_io_3 {
            return payload.split(|byte| *byte == SEPARATOR).for_each(|packet| self.packet(packet, true));
        }
        let mut rest = payload;
        while let Some((packet, after)) = if binary { next_of_binary(rest) } else { next_of_text(rest) } {
            self.packet(packet, !binary || rest.first() == Some(&0));
            if after.is_empty() {
                break;
            }
            rest = after;
        }
    }

    /// Bytes that are held until the missing attachments come; `None`: none is missing.
    pub fn unfinished(&self) -> Option<u64> {
        (self.missing > 0).then_some(self.bytes)
    }

    fn packet(&mut self, packet: &[u8], is_text: bool) {
        let is_message = !is_text || packet.starts_with(b"4") || packet.starts_with(b"b");
        if !is_message {
            return;
        }
        self.bytes += packet.len() as u64;
        self.missing = announced_attachments(&packet[..packet.len().min(MAX_START_BYTES)], is_text)
            .unwrap_or_else(|| self.missing.saturating_sub(1));
        if self.missing == 0 {
            self.bytes = 0;
        }
    }
}

fn by_rule(rule: &RewriteRule, packet: &[u8]) -> Option<Replacement> {
    packet.starts_with(rule.prefix).then(|| (rule.change)(packet)).flatten().map(Replacement::Text)
}

/// Adds the type to a packet `bBASE64`: `b4BASE64` in text, or a byte and the decoded bytes.
fn typed_bytes(packet: &[u8], binary: bool) -> Option<Replacement> {
    // The length of base64 is a multiple of four, so that a type can be told from the first character of base64.
    let base64 = packet.strip_prefix(b"b").filter(|base64| base64.len() % 4 == 0)?;
    match binary {
        true => Some(Replacement::Bytes([&[MESSAGE_BINARY][..], &BASE64_STANDARD.decode(base64).ok()?].concat())),
        false => Some(Replacement::Text([&[b'b', MESSAGE_TEXT][..], base64].concat())),
    }
}

/// An event or an ack with all characters of its JSON outside of ASCII escaped.
fn as_ascii(packet: &[u8]) -> Option<Replacement> {
    let json = packet.iter().position(|byte| matches!(byte, b'[' | b'{'))?;
    let (head, json) = packet.split_at(json);
    if head.first() != Some(&MESSAGE_TEXT) || json.is_ascii() {
        return None;
    }
    let mut text = String::from_utf8(head.to_vec()).ok()?;
    for character in std::str::from_utf8(json).ok()?.chars() {
        match character.is_ascii() {
            true => text.push(character),
            false => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    Some(Replacement::Text(text.into_bytes()))
}

fn rewrite(payload: &[u8], binary: bool, change: impl Fn(&[u8]) -> Option<Replacement>) -> Option<Vec<u8>> {
    let (mut rest, mut changed, mut result) = (payload, false, Vec::with_capacity(payload.len()));
    while !rest.is_empty() {
        let (packet, after) = if binary { next_of_binary(rest)? } else { next_of_text(rest)? };
        let is_text = !binary || rest[0] == 0;
        match is_text.then(|| change(packet)).flatten() {
            Some(other) => {
                changed = true;
                let (kind, other) = match other {
                    Replacement::Text(text) => (0, text),
                    Replacement::Bytes(bytes) => (1, bytes),
                };
                append(&mut result, binary.then_some(kind), &other);
            }
            None => result.extend_from_slice(&rest[..rest.len() - after.len()]),
        }
        rest = after;
    }
    changed.then_some(result)
}

/// Appends a packet to a payload; `kind` if the payload is binary.
fn append(payload: &mut Vec<u8>, kind: Option<u8>, packet: &[u8]) {
    match kind {
        Some(kind) => {
            payload.push(kind);
            payload.extend(packet.len().to_string().bytes().map(|digit| digit - b'0'));
            payload.push(0xFF);
        }
        None => {
            let units: usize = packet.iter().map(|byte| utf_16_units(*byte)).sum();
            payload.extend(units.to_string().bytes());
            payload.push(b':');
        }
    }
    payload.extend_from_slice(packet);
}

/// The first packet of a text payload, and the bytes after it; `None`: the payload does not begin with a complete packet.
pub(super) fn next_of_text(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    // Looks only at as many digits as a length may have; otherwise a payload full of digits would be searched again for each packet.
    let colon = payload.iter().take(MAX_LENGTH_DIGITS + 1).position(|byte| *byte == b':')?;
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

/// UTF-16 code units of the character that a byte of UTF-8 begins; 0 for a continuation byte.
const fn utf_16_units(byte: u8) -> usize {
    match byte {
        0x80..=0xBF => 0,
        0xF0.. => 2,
        0..=0x7F | 0xC0..=0xEF => 1,
    }
}

fn next_of_binary(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = payload.iter().take(MAX_LENGTH_DIGITS + 2).position(|byte| *byte == 0xFF)?;
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

    /// A packet of a binary payload.
    fn framed(kind: u8, packet: &[u8]) -> Vec<u8> {
        let digits = packet.len().to_string().bytes().map(|digit| digit - b'0').collect::<Vec<_>>();
        [&[kind][..], &digits, &[0xFF], packet].concat()
    }

    #[test]
    fn events_wait_for_their_attachments_in_payloads_of_all_kinds() {
        let event = "452-[\"a\"]";
        let after = |payloads: &[&[u8]], engine_io_3, binary| {
            let mut attachments = Attachments::default();
            payloads.iter().for_each(|payload| attachments.handle(payload, engine_io_3, binary));
            attachments.unfinished()
        };
        let four = |payloads: &[&str]| after(&payloads.iter().map(|text| text.as_bytes()).collect::<Vec<_>>(), false, false);
        assert_eq!(four(&[event]), Some(9));
        assert_eq!(four(&[event, "bAAAA"]), Some(14));
        assert_eq!(four(&[event, "bAAAA\x1ebAAAA"]), None);
        assert_eq!(four(&[&format!("{event}\x1ebAAAA\x1e3"), "3"]), Some(14), "a pong is no message");
        assert_eq!(four(&["42[]", "", "bAAAA"]), None);
        let text = |payloads: &[&str]| after(&payloads.iter().map(|text| text.as_bytes()).collect::<Vec<_>>(), true, false);
        assert_eq!(text(&["1:29:452-[\"a\"]"]), Some(9));
        assert_eq!(text(&["9:452-[\"a\"]6:b4AAAA", "6:b4AAAA"]), None);
        assert_eq!(text(&["9:452-[\"a\"]", "nonsense"]), Some(9));
        let binary = |kind: u8, packet: &[u8]| {
            let mut payload = Vec::new();
            append(&mut payload, Some(kind), packet);
            payload
        };
        let (event, bytes) = (binary(0, event.as_bytes()), binary(1, b"\x04abc"));
        assert_eq!(after(&[&[&event[..], &bytes].concat()], true, true), Some(13));
        assert_eq!(after(&[&event, &bytes, &bytes], true, true), None);
    }

    #[test]
    fn packets_of_a_text_payload_get_their_length() {
        let apply = |payload: &str| from_client(payload.as_bytes(), false).map(|payload| String::from_utf8(payload).unwrap());
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
        // Only where a client connects.
        for payload in ["11:41/rtc?a=1,", "12:42/rtc?a=1,[", "16:42[\"40/rtc?a=1\"]"] {
            assert_eq!(apply(payload), None, "{payload}");
        }
    }

    #[test]
    fn packets_of_a_binary_payload_get_their_length() {
        let (long, short) = (framed(0, "40/rtc?tokén=1,".as_bytes()), framed(0, b"40/rtc,"));
        let bytes = framed(1, b"\x0440/rtc?token=1,\xFF\x00");
        let given = [&bytes[..], &long, &bytes, &short].concat();
        let expected = [&bytes[..], &short, &bytes, &short].concat();
        assert_eq!(from_client(&given, true), Some(expected));
        for broken in [&given[..given.len() - 1], b"40/", b"\x00\xFF40/?", &[&[0; 12][..], &long].concat()] {
            assert_eq!(from_client(broken, true), None, "{broken:?}");
        }
    }

    #[test]
    fn clients_get_bytes_with_their_type() {
        // As engineioxide 0.17.9 writes them, and as engine.io 3.6.2 does.
        let text = "51:451-[\"offer\",{\"_placeholder\":true,\"num\":0}]5:bdj0w";
        let expected = "51:451-[\"offer\",{\"_placeholder\":true,\"num\":0}]6:b4dj0w";
        let polled = |payload: &str| to_client(payload.as_bytes(), false).map(|payload| String::from_utf8(payload).unwrap());
        let text = text.replacen("51", &(text.find(']').unwrap() - 2).to_string(), 1);
        let expected = expected.replacen("51", &(expected.find(']').unwrap() - 2).to_string(), 1);
        assert_eq!(polled(&text).as_deref(), Some(expected.as_str()));
        assert_eq!(polled(&expected), None);
        assert_eq!(polled("5:b4444").as_deref(), Some("6:b44444"), "a 4 is no type where three more follow");
        assert_eq!(polled("1:b").as_deref(), Some("2:b4"), "no bytes at all");
        let given = [framed(0, b"451-[]"), framed(0, b"bdj0w"), framed(0, b"bdj0")].concat();
        let expected = [framed(0, b"451-[]"), framed(1, b"\x04v=0"), framed(0, b"bdj0")].concat();
        assert_eq!(to_client(&given, true), Some(expected));
    }

    #[test]
    fn events_and_acks_are_counted_in_payloads_of_every_kind() {
        let packets: [&[u8]; 6] = [b"40{}", b"42[\"\xC3\xA9\"]", b"451-[]", b"bdj0w", b"43/rtc,1[]", b"2"];
        let both = |payload: &[u8], old, binary| {
            let SentCounts { events, answers } = sent(payload, old, binary);
            (events, answers, connects(payload, old, binary).packets)
        };
        assert_eq!(both(&packets.join(&SEPARATOR), false, false), (3, 1, 1));
        let mut text = Vec::new();
        packets.iter().for_each(|packet| append(&mut text, None, packet));
        assert_eq!(both(&text, true, false), (3, 1, 1));
        let binary =
            [framed(0, b"42[]"), framed(1, b"\x0442"), framed(0, b"461-[]"), framed(1, b"42"), framed(0, b"44/x,")].concat();
        assert_eq!(both(&binary, true, true), (2, 1, 0));
        for (payload, old, binary) in [(&b""[..], false, false), (b"", true, false), (b"x", true, true), (b"0:", true, false)] {
            assert_eq!(both(payload, old, binary), (0, 0, 0));
        }
    }

    #[test]
    fn text_of_events_is_ascii() {
        let polled = |payload: &str| to_client(payload.as_bytes(), false).map(|payload| String::from_utf8(payload).unwrap());
        assert_eq!(polled("9:42[\"é😀\"]1:6").as_deref(), Some("24:42[\"\\u00e9\\ud83d\\ude00\"]1:6"));
        assert_eq!(polled("13:42/rtc,7[\"连\"]").as_deref(), Some("18:42/rtc,7[\"\\u8fde\"]"));
        assert_eq!(polled("13:42/é,[{\"a\":1}]"), None, "a namespace is no JSON");
        for payload in ["", "1:6", "8:42[\"hi\"]", "2:3é", "9:42[\"é\"]", "6:42é\"é"] {
            assert_eq!(polled(payload), None, "{payload}");
        }
        assert_eq!(to_client(&framed(0, "42[\"é\"]".as_bytes()), true), None, "bytes are read once");
    }

    #[test]
    fn refusals_are_strings_in_payloads_too() {
        let given = "24:44/nope,{\"message\":\"no\"}1:6";
        assert_eq!(to_client(given.as_bytes(), false).as_deref(), Some(&b"12:44/nope,\"no\"1:6"[..]));
        let binary = [framed(0, b"44/nope,{\"message\":\"no\"}"), framed(1, b"\x04\xFF")].concat();
        assert_eq!(to_client(&binary, true), Some([framed(0, b"44/nope,\"no\""), framed(1, b"\x04\xFF")].concat()));
    }

    proptest! {
        #[test]
        fn what_was_changed_is_not_changed_again(
            text in "([0-9]{1,2}:)?(4[04]/?[a-zé?,{}]{0,9}[0-9:]{0,3}){0,4}",
            bytes in vec(any::<u8>(), 0..40),
        ) {
            for change in [from_client, to_client] {
                for payload in [text.as_bytes(), &bytes] {
                    prop_assert_eq!(change(payload, false).and_then(|changed| change(&changed, false)), None);
                    change(payload, true);
                }
            }
        }
    }
}
