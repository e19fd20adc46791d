//! PURE. Which events and acks have left a WebSocket, and which answers to whoever asks for a namespace, by the bytes that were
//! written to it.
//!
//! engineioxide writes a frame a message and masks nothing.

/// Of a text, what tells which packet it is: `4`, its type, and how many attachments follow.
const BEGINNING: usize = 8;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// So many have left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Events and acks, with their attachments.
    pub(super) events: usize,
    /// Answers to packets that ask for a namespace.
    pub(super) answers: usize,
}

/// What has been written of one WebSocket.
#[derive(Debug, Default)]
pub(super) struct Departures {
    head: Vec<u8>,
    /// Payload of the present frame that has not been written yet.
    left: u64,
    opcode: u8,
    beginning: Vec<u8>,
    /// Attachments of the last event that have not been written yet.
    attachments: usize,
}

impl Departures {
    /// Takes what was written; says what is complete by that.
    pub(super) fn handle(&mut self, mut written: &[u8]) -> Left {
        let mut complete = Left::default();
        while let Some((first, rest)) = written.split_first() {
            if self.left > 0 {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(written.len());
                let (payload, after) = written.split_at(len);
                if self.opcode == TEXT {
                    let missing = BEGINNING - self.beginning.len();
                    self.beginning.extend(payload.iter().take(missing));
                }
                self.left -= len as u64;
                written = after;
            } else {
                self.head.push(*first);
                written = rest;
                let Some((opcode, len)) = head(&self.head) else { continue };
                (self.opcode, self.left) = (opcode, len);
                self.head.clear();
            }
            if self.left == 0 && self.head.is_empty() {
                self.ends(&mut complete);
            }
        }
        complete
    }

    /// A frame is complete, and perhaps a packet with it.
    fn ends(&mut self, complete: &mut Left) {
        match self.opcode {
            TEXT => {
                let attachments = attachments(&self.beginning);
                complete.answers += usize::from(is_answer(&self.beginning));
                complete.events += usize::from(attachments == Some(0));
                self.beginning.clear();
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

/// The opcode and the length of the payload.
fn head(bytes: &[u8]) -> Option<(u8, u64)> {
    let opcode = bytes.first()? & 0x0F;
    let len = match bytes.get(1)? & 0x7F {
        126 => u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into(),
        127 => u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?),
        short => short.into(),
    };
    Some((opcode, len))
}

/// Whether a packet of Engine.IO says that its client has a namespace, or that there is none.
pub(super) fn is_answer(packet: &[u8]) -> bool {
    matches!(packet, [b'4', b'0' | b'4', ..])
}

/// How many attachments follow a packet of Engine.IO, by how it begins, if it is an event or an ack of Socket.IO.
pub(super) fn attachments(packet: &[u8]) -> Option<usize> {
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
            let mut departures = Departures::default();
            let left = stream.chunks(piece).map(|piece| departures.handle(piece));
            let left = left.fold((0, 0), |(events, answers), left| (events + left.events, answers + left.answers));
            assert_eq!(left, (5, 2), "pieces of {piece}");
        }
        let mut departures = Departures::default();
        let event = frame(TEXT, &long);
        let (most, last) = event.split_at(event.len() - 1);
        assert_eq!([departures.handle(most), departures.handle(last)].map(|left| left.events), [0, 1]);
    }
}
