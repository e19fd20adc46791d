//! Which events, acks and answers to requests for a namespace have been written to a WebSocket, by the written bytes. PURE.
//!
//! engineioxide writes each message in one frame, unmasked.

use crate::websocket::frame::{BINARY, FrameHeader, TEXT};
use crate::websocket::message_start::MAX_START_BYTES;

/// How many packets have been written completely.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::socketio) struct SentCounts {
    /// Events and acks, including their attachments.
    pub(in crate::socketio) events: usize,
    /// Answers to requests for a namespace.
    pub(in crate::socketio) answers: usize,
}

/// The bytes that were written to one WebSocket, as far as they are needed to recognize packets.
#[derive(Debug, Default)]
pub(in crate::socketio) struct SentPackets {
    /// The header of the current frame, until it is complete.
    header: Vec<u8>,
    /// Bytes of the current frame's payload that have not been written yet.
    left: u64,
    opcode: u8,
    /// The first bytes of the current text message.
    start: Vec<u8>,
    /// Attachments of the last event that have not been written yet.
    attachments: usize,
}

impl SentPackets {
    /// Takes bytes that were written; returns the packets that they complete.
    pub(in crate::socketio) fn handle(&mut self, mut written: &[u8]) -> SentCounts {
        let mut complete = SentCounts::default();
        while let Some((first, rest)) = written.split_first() {
            if self.left > 0 {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(written.len());
                let (payload, after) = written.split_at(len);
                if self.opcode == TEXT {
                    let missing = MAX_START_BYTES - self.start.len();
                    self.start.extend(payload.iter().take(missing));
                }
                self.left -= len as u64;
                written = after;
            } else {
                self.header.push(*first);
                written = rest;
                let Some(header) = FrameHeader::parse(&self.header) else { continue };
                (self.opcode, self.left) = (header.opcode(), header.len);
                self.header.clear();
            }
            if self.left == 0 && self.header.is_empty() {
                self.end_frame(&mut complete);
            }
        }
        complete
    }

    /// The current frame is complete, and perhaps a packet with it.
    fn end_frame(&mut self, complete: &mut SentCounts) {
        match self.opcode {
            TEXT => {
                let attachments = attachments(&self.start);
                complete.answers += usize::from(is_answer(&self.start));
                complete.events += usize::from(attachments == Some(0));
                self.start.clear();
                self.attachments = attachments.unwrap_or(0);
            }
            BINARY if self.attachments > 0 => {
                self.attachments -= 1;
                complete.events += usize::from(self.attachments == 0);
            }
            _ => {}
        }
    }
}

/// Whether a packet of Engine.IO accepts or refuses a namespace.
pub(in crate::socketio) fn is_answer(packet: &[u8]) -> bool {
    matches!(packet, [b'4', b'0' | b'4', ..])
}

/// How many attachments follow a packet of Engine.IO that begins so; `None`: it is no event and no ack of Socket.IO.
pub(in crate::socketio) fn attachments(packet: &[u8]) -> Option<usize> {
    match packet.strip_prefix(b"4")? {
        [b'2' | b'3', ..] => Some(0),
        [b'5' | b'6', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
            Some(digits.fold(0_usize, |number, digit| number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let len = match payload.len() {
            len @ ..126 => vec![len as u8],
            len => [&[126][..], &(len as u16).to_be_bytes()].concat(),
        };
        [&[0x80 | opcode][..], &len, payload].concat()
    }

    #[test]
    fn events_and_acks_leave_with_their_last_byte_however_they_are_cut() {
        let long = [b"42[\"".as_slice(), &[b'x'; 1000], b"\"]"].concat();
        let stream = [
            frame(TEXT, b"0{\"sid\":\"x\"}"),
            frame(TEXT, b"40/rtc,{\"sid\":\"x\"}"),
            frame(TEXT, b"42[\"a\"]"),
            frame(TEXT, b"2"),
            frame(TEXT, &long),
            frame(9, b"x"),
            frame(TEXT, b"43/rtc,7[]"),
            frame(TEXT, b"452-[\"a\",{\"_placeholder\":true}]"),
            frame(BINARY, b"42"),
            frame(9, b""),
            frame(BINARY, &long),
            frame(TEXT, b"460-[]"),
            frame(BINARY, b"nobody's"),
            frame(TEXT, b""),
            frame(TEXT, b"44{}"),
            frame(TEXT, b"41"),
            frame(8, b"\x03\xE8"),
        ]
        .concat();
        for piece in [1, 2, 3, 7, 100, stream.len()] {
            let mut sent_packets = SentPackets::default();
            let left = stream.chunks(piece).map(|piece| sent_packets.handle(piece));
            let left = left.fold((0, 0), |(events, answers), left| (events + left.events, answers + left.answers));
            assert_eq!(left, (5, 2), "pieces of {piece}");
        }
        let mut sent_packets = SentPackets::default();
        let event = frame(TEXT, &long);
        let (most, last) = event.split_at(event.len() - 1);
        assert_eq!([sent_packets.handle(most), sent_packets.handle(last)].map(|left| left.events), [0, 1]);
    }
}
