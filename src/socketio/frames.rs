//! PURE. The frames of one direction of a WebSocket (RFC 6455 §5) on their way: they are counted, text messages that a
//! [`Rule`] is about are replaced, and large frames are cut into fragments where that is asked for.
//!
//! Inputs: the bytes of the stream, in whatever pieces they come. Outputs: the bytes to pass on.
//!
//! Invariants:
//! - One stream of bytes gives one output, however it is cut into pieces.
//! - What no rule is about passes byte by byte, mistakes included: whoever reads the frames judges them. A frame that is cut keeps
//!   its payload and its mistakes: opcode, reserved bits and a missing mask are in its first fragment.
//! - At most [`MAX_COLLECTED`] bytes of a message wait until it is complete; a longer one passes as it is.

use super::frame::{CONTINUATION, CONTROL, FIN, Head, Sink, TEXT};
use crate::limits::message_size::MAX_WIRE_BYTES;

/// Bytes of the fragments that larger frames are cut into. tungstenite's buffer keeps the size of the largest frame as long as the
/// connection lives, and collects fragments in memory that goes with their message.
pub const MAX_FRAGMENT: u64 = 4 * 1024;
/// Bytes of the largest frame that is cut. What reads the frames refuses a larger one by its head.
const MAX_CUT: u64 = MAX_WIRE_BYTES as u64;
/// Bytes of a message that a rule is about. The queries that clients add to a namespace's name fit many times.
pub const MAX_COLLECTED: u64 = 16 * 1024;

/// Bytes at the beginning of a packet of Socket.IO in which the number of its attachments stands (`4599-[`), if it has some.
pub(super) const MAX_START: usize = 8;
/// How a packet begins that asks for a namespace.
pub(super) const CONNECT: &[u8] = b"40";

/// Which text messages are replaced, and by what.
#[derive(Debug)]
pub struct Rule {
    /// How they begin.
    pub prefix: &'static [u8],
    /// Whether the frames of this direction are masked. Others pass as they are.
    pub masked: bool,
    /// The other text; `None`: it stays.
    pub change: fn(&[u8]) -> Option<Vec<u8>>,
}

impl Rule {
    fn suits(&self, head: Head) -> bool {
        !head.is_reserved() && head.key.is_some() == self.masked
    }
}

/// What has come in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of everything, frames' heads included.
    pub bytes: u64,
    /// Texts and binaries that are complete.
    pub messages: u64,
    /// Payload of the message that is not complete yet, or whose attachments have not all come.
    pub incomplete: u64,
}

/// Complete packets that ask for a namespace, which socketioxide answers by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connects {
    pub packets: u32,
    /// Of all of them.
    pub bytes: u32,
}

/// The frames of one direction.
#[derive(Debug)]
pub struct Filter {
    rule: Option<&'static Rule>,
    /// Whether large frames are cut.
    cuts: bool,
    counts: Counts,
    /// Payload of the present frame that has not come yet.
    left: u64,
    frame: Present,
    /// A message has begun, in fragments, and not ended.
    is_open: bool,
    /// Of the present or the last text message; empty for a binary one.
    start: Start,
    /// Messages that belong to the last packet of Socket.IO and have not come.
    attachments: u32,
    connects: Connects,
    rare: Option<Box<Rare>>,
}

/// The beginning of a text message.
#[derive(Debug, Clone, Copy, Default)]
struct Start {
    is_text: bool,
    len: u8,
    bytes: [u8; MAX_START],
}

/// The frame whose payload is coming.
#[derive(Debug, Clone, Copy, Default)]
struct Present {
    fin: bool,
    control: bool,
    passage: Passage,
    key: [u8; 4],
    /// Where in the key its next byte is.
    key_at: u8,
}

/// How the present frame passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Passage {
    #[default]
    AsItIs,
    /// Each but the first has [`MAX_FRAGMENT`] bytes.
    InFragments,
    /// Its message is being collected, not passed on.
    Collected,
}

/// What few frames need.
#[derive(Debug, Default)]
struct Rare {
    /// The beginning of a frame, too short to judge it.
    begun: Vec<u8>,
    /// The message that is being collected, unmasked.
    message: Option<Vec<u8>>,
}

impl Filter {
    /// Without a rule everything passes at once, and is only counted.
    #[must_use]
    pub const fn new(rule: Option<&'static Rule>) -> Self {
        Self::make(rule, false)
    }

    /// One that cuts large frames into fragments of at most [`MAX_FRAGMENT`] bytes, too.
    #[must_use]
    pub const fn cutting(rule: Option<&'static Rule>) -> Self {
        Self::make(rule, true)
    }

    const fn make(rule: Option<&'static Rule>, cuts: bool) -> Self {
        let counts = Counts { bytes: 0, messages: 0, incomplete: 0 };
        let frame = Present { fin: false, control: false, passage: Passage::AsItIs, key: [0; 4], key_at: 0 };
        let start = Start { is_text: false, len: 0, bytes: [0; MAX_START] };
        let connects = Connects { packets: 0, bytes: 0 };
        Self { rule, cuts, counts, left: 0, frame, is_open: false, start, attachments: 0, connects, rare: None }
    }

    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes that whoever reads the frames holds until the rest has come; `None`: nothing is unfinished, neither a message nor its
    /// attachments nor a control frame nor a head.
    #[must_use]
    pub fn unfinished(&self) -> Option<u64> {
        let is_begun = self.rare.as_ref().is_some_and(|rare| !rare.begun.is_empty());
        (self.left > 0 || self.is_open || self.attachments > 0 || is_begun).then_some(self.counts.incomplete)
    }

    /// Since this was asked last.
    pub fn take_connects(&mut self) -> Connects {
        std::mem::take(&mut self.connects)
    }

    #[must_use]
    pub const fn has_rule(&self) -> bool {
        self.rule.is_some()
    }

    /// Takes what has come. So many of its first bytes pass as they are, which the result says; after them comes what was
    /// added to `output`, which must be empty before. The rest waits for what comes next.
    pub fn handle(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        self.counts.bytes += input.len() as u64;
        let mut sink = Sink { input, passed: 0, output, closed: self.rule.is_none() && !self.cuts };
        let mut at = 0;
        while at < input.len() {
            if self.left > 0 {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                self.payload(&input[at..at + len], Some(at), &mut sink);
                at += len;
            } else if let Some(begun) = self.take_begun() {
                at = self.go_on(begun, at, &mut sink);
            } else if let Some(head) = self.head(&input[at..]) {
                self.begin(head, &input[at + head.size..], &mut sink);
                match self.frame.passage {
                    Passage::AsItIs => sink.pass(at, head.size),
                    Passage::InFragments => self.add_first_head(head, &mut sink),
                    Passage::Collected => {}
                }
                at += head.size;
                self.end_if_complete(&mut sink);
            } else {
                self.rare().begun.extend_from_slice(&input[at..]);
                at = input.len();
            }
        }
        if self.rare.as_ref().is_some_and(|rare| rare.begun.is_empty() && rare.message.is_none()) {
            self.rare = None;
        }
        if sink.closed { input.len() } else { sink.passed }
    }

    /// Adds to the beginning of a frame until it can be judged.
    fn go_on(&mut self, mut begun: Vec<u8>, mut at: usize, sink: &mut Sink<'_>) -> usize {
        while at < sink.input.len() {
            begun.push(sink.input[at]);
            at += 1;
            let Some(head) = self.head(&begun) else { continue };
            let (first, payload) = begun.split_at(head.size);
            self.begin(head, payload, sink);
            match self.frame.passage {
                Passage::AsItIs => sink.add(first),
                Passage::InFragments => self.add_first_head(head, sink),
                Passage::Collected => {}
            }
            self.end_if_complete(sink);
            if !payload.is_empty() {
                self.payload(payload, None, sink);
            }
            return at;
        }
        self.rare().begun = begun;
        at
    }

    /// The head of the frame that `bytes` begin with, once there is enough of it, and of its payload, to judge it.
    fn head(&self, bytes: &[u8]) -> Option<Head> {
        let head = Head::parse(bytes)?;
        let so_far = match (head.opcode(), self.message()) {
            (TEXT, _) => 0,
            (CONTINUATION, Some(message)) => message.len(),
            _ => return Some(head),
        };
        // What is too large to be collected is judged by its head.
        let fits = head.len.saturating_add(so_far as u64) <= MAX_COLLECTED;
        let Some(rule) = self.rule.filter(|rule| fits && rule.suits(head)) else { return Some(head) };
        let missing = rule.prefix.len().saturating_sub(so_far);
        let looked_at = usize::try_from(head.len).unwrap_or(usize::MAX).min(missing);
        (bytes.len() >= head.size + looked_at).then_some(head)
    }

    /// Decides what becomes of a frame; `payload` begins with what [`Self::head`] has waited for.
    fn begin(&mut self, head: Head, payload: &[u8], sink: &mut Sink<'_>) {
        let control = head.opcode() >= CONTROL;
        let collected = !control && self.is_collected(head, payload);
        if !control && !collected {
            self.let_go(sink);
        }
        let passage = match collected {
            true => Passage::Collected,
            false if self.cuts && (MAX_FRAGMENT + 1..=MAX_CUT).contains(&head.len) => Passage::InFragments,
            false => Passage::AsItIs,
        };
        if collected && self.message().is_none() {
            self.rare().message = Some(Vec::new());
        }
        self.left = head.len;
        self.is_open |= !control;
        if !control && head.opcode() != CONTINUATION {
            self.start = Start { is_text: head.opcode() == TEXT, ..Start::default() };
        }
        self.frame = Present { fin: head.fin(), control, passage, key: head.key.unwrap_or_default(), key_at: 0 };
    }

    fn is_collected(&self, head: Head, payload: &[u8]) -> bool {
        let Some(rule) = self.rule.filter(|rule| rule.suits(head)) else { return false };
        let so_far = match (head.opcode(), self.message()) {
            (TEXT, None) => &[][..],
            (CONTINUATION, Some(message)) => message,
            // A message begins inside another one, or none goes on, or it is no text.
            _ => return false,
        };
        if head.len.saturating_add(so_far.len() as u64) > MAX_COLLECTED {
            return false;
        }
        let len = usize::try_from(head.len).unwrap_or(usize::MAX).min(payload.len());
        let key = head.key.unwrap_or_default();
        let more = payload[..len].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        let mut missing = rule.prefix.iter();
        let equal = so_far.iter().copied().chain(more).all(|found| missing.next().is_none_or(|expected| found == *expected));
        equal && (missing.len() == 0 || !head.fin())
    }

    /// Bytes of the present frame that are still missing in its present fragment.
    const fn left_in_fragment(&self) -> u64 {
        match (self.frame.passage, self.left) {
            (Passage::InFragments, 1..) => (self.left - 1) % MAX_FRAGMENT + 1,
            _ => self.left,
        }
    }

    fn add_first_head(&self, head: Head, sink: &mut Sink<'_>) {
        sink.add_head(head.first & !FIN, head.key, self.left_in_fragment());
    }

    fn payload(&mut self, mut part: &[u8], mut at: Option<usize>, sink: &mut Sink<'_>) {
        while !part.is_empty() {
            let len = usize::try_from(self.left_in_fragment()).unwrap_or(usize::MAX).clamp(1, part.len());
            let (piece, rest) = part.split_at(len);
            self.piece(piece, at, sink);
            part = rest;
            at = at.map(|at| at + len);
        }
    }

    /// A part of the payload that no fragment ends in.
    fn piece(&mut self, piece: &[u8], at: Option<usize>, sink: &mut Sink<'_>) {
        let Present { fin, control, passage, mut key, key_at } = self.frame;
        key.rotate_left(key_at.into());
        let mut unmasked = piece.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        self.frame.key_at = ((usize::from(key_at) + piece.len()) % 4) as u8;
        if !control && self.start.is_text {
            self.start.extend(unmasked.clone());
        }
        match (passage, at) {
            (Passage::Collected, _) => self.rare().message.get_or_insert_default().extend(&mut unmasked),
            (Passage::AsItIs | Passage::InFragments, Some(at)) => sink.pass(at, piece.len()),
            (Passage::AsItIs | Passage::InFragments, None) => sink.add(piece),
        }
        if !control {
            self.counts.incomplete += piece.len() as u64;
        }
        self.left = self.left.saturating_sub(piece.len() as u64);
        if passage == Passage::InFragments && self.left > 0 && self.left.is_multiple_of(MAX_FRAGMENT) {
            key.rotate_left(piece.len() % 4);
            let is_last = self.left == MAX_FRAGMENT;
            sink.add_head(if fin && is_last { FIN | CONTINUATION } else { CONTINUATION }, Some(key), MAX_FRAGMENT);
        }
        self.end_if_complete(sink);
    }

    fn end_if_complete(&mut self, sink: &mut Sink<'_>) {
        if self.left > 0 || self.frame.control || !self.frame.fin {
            return;
        }
        self.counts.messages += 1;
        self.is_open = false;
        if self.start.is_connect() {
            self.connects.packets += 1;
            let bytes = u32::try_from(self.counts.incomplete).unwrap_or(u32::MAX);
            self.connects.bytes = self.connects.bytes.saturating_add(bytes);
        }
        self.attachments = self.start.attachments().unwrap_or_else(|| self.attachments.saturating_sub(1));
        if self.attachments == 0 {
            self.counts.incomplete = 0;
        }
        let message = self.rare.as_mut().and_then(|rare| rare.message.take());
        if let (Some(rule), Some(message)) = (self.rule, message) {
            let changed = (rule.change)(&message).unwrap_or(message);
            self.add_message(true, rule, &changed, sink);
        }
    }

    /// Passes on what was collected of a message that turns out to be another one: as its first fragment, so that the rest of
    /// it can follow as it is.
    fn let_go(&mut self, sink: &mut Sink<'_>) {
        let message = self.rare.as_mut().and_then(|rare| rare.message.take());
        if let (Some(rule), Some(message)) = (self.rule, message) {
            self.add_message(false, rule, &message, sink);
        }
    }

    /// Passes on what was collected, in one frame or in fragments.
    fn add_message(&self, fin: bool, rule: &Rule, payload: &[u8], sink: &mut Sink<'_>) {
        let most = if self.cuts { MAX_FRAGMENT as usize } else { payload.len() };
        let key = rule.masked.then_some(self.frame.key);
        let (mut opcode, mut left) = (TEXT, payload);
        loop {
            let (fragment, rest) = left.split_at(most.min(left.len()));
            let fin = if fin && rest.is_empty() { FIN } else { 0 };
            sink.add_frame(fin | opcode, key, fragment);
            if rest.is_empty() {
                return;
            }
            (opcode, left) = (CONTINUATION, rest);
        }
    }

    fn message(&self) -> Option<&[u8]> {
        self.rare.as_ref()?.message.as_deref()
    }

    fn take_begun(&mut self) -> Option<Vec<u8>> {
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.begun)).filter(|begun| !begun.is_empty())
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl Start {
    fn extend(&mut self, more: impl Iterator<Item = u8>) {
        let free = self.bytes.iter_mut().skip(usize::from(self.len));
        for (place, byte) in free.zip(more) {
            *place = byte;
            self.len += 1;
        }
    }

    fn is_connect(&self) -> bool {
        self.is_text && self.bytes[..usize::from(self.len)].starts_with(CONNECT)
    }

    /// See [`announced`].
    fn attachments(&self) -> Option<u32> {
        announced(&self.bytes[..usize::from(self.len)], self.is_text)
    }
}

/// How many messages follow that belong to the one that begins with `start`; `None`: it is such a message itself, bytes or (from old
/// clients, and by polling) base64.
pub(super) fn announced(start: &[u8], is_text: bool) -> Option<u32> {
    if !is_text || start.starts_with(b"b") {
        return None;
    }
    // A message of Engine.IO with an event or an acknowledgement of Socket.IO that has attachments.
    let [b'4', b'5' | b'6', rest @ ..] = start else { return Some(0) };
    let digits = rest.split(|byte| *byte == b'-').next().filter(|digits| digits.len() < rest.len());
    let count = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    Some(count.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::mem::{Discriminant, discriminant};

    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
    use tokio_tungstenite::tungstenite::{Error, Message};

    use super::*;

    static RULE: Rule = Rule { prefix: b"40/", masked: true, change: |packet| packet.ends_with(b"?").then(|| b"40/!".to_vec()) };
    static UNMASKED: Rule = Rule { masked: false, ..RULE };
    const KEY: [u8; 4] = [0x11, 0x92, 0x33, 0xF4];
    const BINARY: u8 = 2;

    fn frame(fin: bool, opcode: u8, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let fin = if fin { FIN } else { 0 };
        Sink { input: &[], passed: 0, output: &mut bytes, closed: false }.add_frame(fin | opcode, key, payload);
        bytes
    }

    fn masked(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        frame(fin, opcode, Some(KEY), payload)
    }

    /// What comes out of a stream that comes in such pieces, and what was counted.
    fn through(rule: Option<&'static Rule>, pieces: &[&[u8]]) -> (Vec<u8>, Counts) {
        let (mut filter, mut all) = (Filter::new(rule), Vec::new());
        for piece in pieces {
            let mut output = Vec::new();
            let passed = filter.handle(piece, &mut output);
            all.extend_from_slice(&piece[..passed]);
            all.extend(output);
        }
        (all, filter.counts())
    }

    fn filtered(stream: &[u8]) -> Vec<u8> {
        let whole = through(Some(&RULE), &[stream]);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(through(Some(&RULE), &bytes), whole);
        whole.0
    }

    #[test]
    fn a_message_that_the_rule_is_about_is_replaced_however_it_is_cut_into_frames() {
        let changed = masked(true, TEXT, b"40/!");
        assert_eq!(filtered(&masked(true, TEXT, b"40/a?")), changed);
        for cuts in [&[1][..], &[2], &[3], &[4], &[0], &[0, 0, 1, 1, 2, 4, 5], &[5]] {
            let (mut stream, mut from) = (Vec::new(), 0);
            for cut in cuts {
                stream.extend(masked(false, if stream.is_empty() { TEXT } else { CONTINUATION }, &b"40/a?"[from..*cut]));
                from = *cut;
            }
            stream.extend(masked(true, CONTINUATION, &b"40/a?"[from..]));
            assert_eq!(filtered(&stream), changed, "{cuts:?}");
        }
    }

    #[test]
    fn what_is_unfinished_is_told_of_heads_fragments_control_frames_and_attachments() {
        let mut filter = Filter::new(None);
        let mut after = |bytes: &[u8]| {
            filter.handle(bytes, &mut Vec::new());
            filter.unfinished()
        };
        assert_eq!(after(&[]), None);
        let text = masked(true, TEXT, b"42[]");
        assert_eq!(after(&text[..1]), Some(0), "a head");
        assert_eq!(after(&text[1..8]), Some(2));
        assert_eq!(after(&text[8..]), None);
        assert_eq!(after(&masked(false, TEXT, b"")), Some(0), "an empty fragment");
        assert_eq!(after(&masked(false, CONTINUATION, b"452")), Some(3));
        let ping = masked(true, 9, b"abc");
        assert_eq!(after(&ping), Some(3));
        assert_eq!(after(&masked(true, CONTINUATION, b"-[]")), Some(6), "two attachments are missing");
        assert_eq!(after(&masked(true, BINARY, b"xyz")), Some(9));
        assert_eq!(after(&ping[..7]), Some(9), "a control frame");
        assert_eq!(after(&ping[7..]), Some(9));
        assert_eq!(after(&masked(true, BINARY, b"")), None);
        assert_eq!(after(&masked(true, TEXT, b"4612-[]")), Some(7));
        assert_eq!(after(&masked(true, TEXT, b"42[]")), None, "another packet");
        for nothing in ["450-[]", "45-[]", "451", "451[\"-\"]", "451x-[]", "45123456-[]", "351-[]", "4"] {
            assert_eq!(after(&masked(true, TEXT, nothing.as_bytes())), None, "{nothing}");
        }
        assert_eq!(after(&masked(true, TEXT, b"451-[]")), Some(6));
        assert_eq!(after(&masked(true, TEXT, b"b4AAAA")), None, "an attachment as text");
        assert_eq!(after(&ping[..3]), Some(0));
        assert_eq!(after(&ping[3..]), None);
    }

    #[test]
    fn control_frames_inside_a_message_pass_ahead_of_it() {
        let (ping, close) = (masked(true, 9, b"40/a?"), masked(true, CONTROL, b""));
        let stream = [masked(false, TEXT, b"40/"), ping.clone(), masked(true, CONTINUATION, b"?"), close.clone()].concat();
        assert_eq!(filtered(&stream), [ping, masked(true, TEXT, b"40/!"), close].concat());
    }

    #[test]
    fn everything_else_passes_byte_by_byte() {
        let long = [b"40/", &vec![b'x'; MAX_COLLECTED as usize][..], b"?"].concat();
        for stream in [
            masked(true, TEXT, b""),
            masked(true, TEXT, b"4"),
            masked(true, TEXT, b"42[\"40/a?\"]"),
            masked(true, BINARY, b"40/a?"),
            masked(true, 3, b"40/a?"),
            masked(true, CONTINUATION, b"40/a?"),
            masked(true, TEXT, &long),
            frame(true, TEXT, None, b"40/a?"),
            [masked(false, TEXT, b"41"), masked(true, CONTINUATION, b"40/a?")].concat(),
            [masked(false, BINARY, b"40/"), masked(true, CONTINUATION, b"a?")].concat(),
            // Reserved bits, as of a compressed message.
            masked(true, TEXT, b"40/a?").iter().enumerate().map(|(at, byte)| if at == 0 { byte | 0x40 } else { *byte }).collect(),
            masked(true, TEXT, b"40/a,"),
        ] {
            assert_eq!(filtered(&stream), stream);
        }
    }

    #[test]
    fn a_message_that_was_collected_in_vain_goes_on_as_the_fragment_it_is() {
        let begun = [masked(false, TEXT, b"4"), masked(false, CONTINUATION, b"0/")].concat();
        let kept = masked(false, TEXT, b"40/");
        for rest in [
            masked(true, CONTINUATION, &vec![b'x'; MAX_COLLECTED as usize]),
            masked(true, TEXT, b"40/a?"),
            masked(true, BINARY, b"x"),
            frame(true, CONTINUATION, None, b"a?"),
        ] {
            assert_eq!(filtered(&[&begun[..], &rest].concat()), [&kept[..], &rest].concat());
        }
        let other = masked(true, CONTINUATION, b"1");
        assert_eq!(
            filtered(&[&masked(false, TEXT, b"4")[..], &other].concat()),
            [&masked(false, TEXT, b"4")[..], &other].concat()
        );
    }

    #[test]
    fn the_other_direction_has_no_masks() {
        let stream = [frame(true, TEXT, None, b"40/a?"), masked(true, TEXT, b"40/a?")].concat();
        let expected = [frame(true, TEXT, None, b"40/!"), masked(true, TEXT, b"40/a?")].concat();
        assert_eq!(through(Some(&UNMASKED), &[&stream]).0, expected);
    }

    #[test]
    fn bytes_and_messages_are_counted() {
        let stream = [masked(false, TEXT, b"ab"), masked(true, 9, b"ping"), masked(true, CONTINUATION, b"c")].concat();
        let part = [&stream[..], &masked(true, BINARY, &[0; 300])[..208]].concat();
        for rule in [None, Some(&RULE)] {
            let (passed, counts) = through(rule, &[&part]);
            assert_eq!((passed, counts), (part.clone(), Counts { bytes: part.len() as u64, messages: 1, incomplete: 200 }));
        }
    }

    #[test]
    fn what_is_not_held_back_stays_where_it_is() {
        let stream = [masked(true, TEXT, b"42[\"a\"]"), masked(true, BINARY, &[7; 5000])].concat();
        let (mut filter, mut output) = (Filter::new(Some(&RULE)), Vec::new());
        for piece in stream.chunks(1024) {
            assert_eq!(filter.handle(piece, &mut output), piece.len());
        }
        assert_eq!(output.capacity(), 0);
        assert!(filter.rare.is_none());
        assert!(size_of::<Filter>() <= 80, "{}", size_of::<Filter>());
    }

    /// What comes out of a filter that cuts, in pieces of so many bytes.
    fn cut(rule: Option<&'static Rule>, stream: &[u8], piece: usize) -> Vec<u8> {
        let (mut filter, mut all) = (Filter::cutting(rule), Vec::new());
        for piece in stream.chunks(piece) {
            let mut output = Vec::new();
            let passed = filter.handle(piece, &mut output);
            all.extend_from_slice(&piece[..passed]);
            all.extend(output);
        }
        all
    }

    /// The first byte of each frame, and how large it is.
    fn heads(mut stream: &[u8]) -> Vec<(u8, u64)> {
        let mut heads = Vec::new();
        while let Some(head) = Head::parse(stream) {
            heads.push((head.first, head.len));
            stream = &stream[(head.size + head.len as usize).min(stream.len())..];
        }
        heads
    }

    #[test]
    fn a_large_frame_becomes_fragments_and_what_would_be_refused_by_its_head_stays() {
        const LIMIT: usize = MAX_FRAGMENT as usize;
        for (len, expected) in [
            (LIMIT, vec![(0x81, MAX_FRAGMENT)]),
            (LIMIT + 1, vec![(0x01, 1), (0x80, MAX_FRAGMENT)]),
            (2 * LIMIT, vec![(0x01, MAX_FRAGMENT), (0x80, MAX_FRAGMENT)]),
            (2 * LIMIT + 7, vec![(0x01, 7), (0x00, MAX_FRAGMENT), (0x80, MAX_FRAGMENT)]),
        ] {
            assert_eq!(heads(&cut(None, &masked(true, TEXT, &vec![b'x'; len]), 1000)), expected);
        }
        let not_last = [masked(false, BINARY, &vec![1; LIMIT + 2]), masked(true, CONTINUATION, b"end")].concat();
        assert_eq!(heads(&cut(None, &not_last, 1000)), [(0x02, 2), (0x00, MAX_FRAGMENT), (0x80, 3)]);
        // Mistakes stay mistakes: a control frame, reserved bits, no mask.
        let control = masked(true, 9, &vec![0; LIMIT + 2]);
        assert_eq!(heads(&cut(None, &control, 1000))[0], (0x09, 2), "a fragment of a ping, which is refused");
        let mut reserved = masked(true, TEXT, &vec![0; LIMIT + 2]);
        reserved[0] |= 0x40;
        assert_eq!(heads(&cut(None, &reserved, 1000))[0], (0x41, 2));
        let unmasked = cut(None, &frame(true, TEXT, None, &vec![0; LIMIT + 2]), 1000);
        assert_eq!(unmasked[..2], [0x01, 2]);
        let most = masked(true, TEXT, &vec![b'x'; MAX_CUT as usize]);
        assert!(heads(&cut(None, &most, 1000)).iter().all(|(_, len)| *len <= MAX_FRAGMENT));
        let refused = masked(true, TEXT, &vec![b'x'; MAX_CUT as usize + 1]);
        assert_eq!(cut(None, &refused, 1000), refused);
        assert_eq!(cut(Some(&RULE), &refused[..14], 1000), refused[..14], "its head does not wait for more");
    }

    #[test]
    fn a_large_message_that_the_rule_is_about_becomes_fragments_too() {
        let kept = masked(true, TEXT, &[b"40/".as_slice(), &vec![b'x'; 10_000]].concat());
        assert_eq!(heads(&cut(Some(&RULE), &kept, 1000)), [(0x01, MAX_FRAGMENT), (0x00, MAX_FRAGMENT), (0x80, 1811)]);
        assert_eq!(decoded(&cut(Some(&RULE), &kept, 1000)), decoded(&kept));
    }

    /// The messages that tungstenite makes of a stream until its end or a mistake.
    fn decoded(stream: &[u8]) -> (Vec<Message>, Option<Discriminant<Error>>) {
        struct Stream<'a>(&'a [u8]);
        impl Read for Stream<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer)
            }
        }
        impl Write for Stream<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let config = WebSocketConfig::default().max_message_size(Some(MAX_WIRE_BYTES)).max_frame_size(Some(MAX_WIRE_BYTES));
        let mut socket = WebSocket::from_raw_socket(Stream(stream), Role::Server, Some(config));
        let mut messages = Vec::new();
        loop {
            match socket.read() {
                Ok(message) => messages.push(message),
                Err(error) => return (messages, Some(discriminant(&error))),
            }
        }
    }

    /// A frame whose payload has about the size of some fragments.
    fn any_large_frame() -> impl Strategy<Value = Vec<u8>> {
        let len = prop_oneof![0..300_usize, 4090..4100_usize, 8185..8200_usize, 12_280..20_000_usize];
        let opcode = prop_oneof![6 => Just(TEXT), 6 => Just(CONTINUATION), 6 => Just(BINARY), 2 => Just(9), 1 => 3..16_u8];
        let payload = prop_oneof![9 => (0..3_usize).prop_map(|shift| ("€".repeat(7000).into_bytes(), shift)), 1 => Just((vec![b'x'; 20_000], 0))];
        (any::<bool>(), opcode, any::<[u8; 4]>(), len, payload).prop_map(|(fin, opcode, key, len, (payload, shift))| {
            let (fin, len) = if opcode >= CONTROL && len < 300 { (true, len % 126) } else { (fin, len) };
            frame(fin, opcode, Some(key), &payload[shift..][..len])
        })
    }

    /// Messages of text and binary, each in some frames, with control frames between those.
    fn any_messages() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![Just(0_usize), 1..300_usize, 4090..4100_usize, 8185..8200_usize, 12_000..17_000_usize];
        let parts = proptest::collection::vec((part, any::<[u8; 4]>(), any::<bool>()), 1..4);
        let message = (any::<bool>(), parts).prop_map(|(is_text, parts)| {
            let all: usize = parts.iter().map(|(len, ..)| len).sum();
            let text: Vec<u8> =
                "€é".repeat(all / 5 + 1).into_bytes().into_iter().take(all / 5 * 5).chain(vec![b'x'; all % 5]).collect();
            let (mut at, mut bytes) = (0, Vec::new());
            for (index, (len, key, has_ping)) in parts.iter().enumerate() {
                let opcode = if index > 0 {
                    CONTINUATION
                } else if is_text {
                    TEXT
                } else {
                    BINARY
                };
                bytes.extend(frame(index + 1 == parts.len(), opcode, Some(*key), &text[at..at + len]));
                bytes.extend(if *has_ping { masked(true, 9, b"are you there?") } else { Vec::new() });
                at += len;
            }
            bytes
        });
        proptest::collection::vec(message, 0..5).prop_map(|messages| messages.concat())
    }

    /// A frame: whole, fragments, broken; texts that the rule is about are frequent.
    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let text = prop_oneof![Just("40/a?".to_owned()), Just("40/a,".to_owned()), "4?0?/?a?\\??", "[a-z]{0,200}"];
        let opcode = prop_oneof![4 => Just(TEXT), 2 => Just(CONTINUATION), 1 => Just(BINARY), 1 => 3..16_u8];
        let key = prop_oneof![9 => any::<[u8; 4]>().prop_map(Some), 1 => Just(None)];
        (any::<bool>(), opcode, key, text).prop_map(|(fin, opcode, key, text)| frame(fin, opcode, key, text.as_bytes()))
    }

    #[test]
    fn packets_that_ask_for_a_namespace_are_counted_once_they_are_complete() {
        let stream = [
            masked(true, TEXT, b"40"),
            masked(true, TEXT, b"42[\"40/\"]"),
            masked(false, TEXT, b"4"),
            masked(true, CONTINUATION, b"0/rtc,"),
            masked(true, BINARY, b"40"),
            masked(true, TEXT, b"40/nope,"),
            masked(false, TEXT, b"40/unfinished,"),
        ]
        .concat();
        for (rule, piece) in [(None, 1), (None, 7), (Some(&RULE), 1), (Some(&RULE), stream.len())] {
            let mut filter = Filter::new(rule);
            for piece in stream.chunks(piece) {
                filter.handle(piece, &mut Vec::new());
            }
            assert_eq!(filter.take_connects(), Connects { packets: 3, bytes: 2 + 7 + 8 });
            assert_eq!(filter.take_connects(), Connects::default());
        }
    }

    proptest! {
        #[test]
        fn the_output_does_not_depend_on_how_the_stream_is_cut(
            frames in proptest::collection::vec(any_frame(), 0..12),
            noise in proptest::collection::vec(any::<u8>(), 0..40),
            cuts in proptest::collection::vec(1..50_usize, 1..60),
        ) {
            let stream = [frames.concat(), noise].concat();
            let (mut pieces, mut rest) = (Vec::new(), &stream[..]);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(through(Some(&RULE), &pieces), through(Some(&RULE), &[&stream]));
            prop_assert_eq!(through(None, &pieces).0, stream);
        }

        #[test]
        fn what_is_cut_decodes_to_the_same_messages(
            stream in any_messages(),
            broken in proptest::collection::vec(any_large_frame(), 0..3),
            piece in prop_oneof![1..20_usize, Just(1024), 1..10_000_usize],
        ) {
            let stream = [stream, broken.concat()].concat();
            let cut_once = cut(None, &stream, stream.len().max(1));
            prop_assert_eq!(&cut(None, &stream, piece), &cut_once);
            prop_assert!(heads(&cut_once).iter().all(|(_, len)| *len <= MAX_FRAGMENT));
            prop_assert!(decoded(&cut_once) == decoded(&stream));
        }

        #[test]
        fn a_stream_without_such_messages_is_not_touched(
            frames in proptest::collection::vec((any::<[u8; 4]>(), "(4[1-9])?[a-z0-9/?]{0,40}"), 0..12),
        ) {
            let texts = frames.iter().filter(|(_, text)| !text.starts_with("40/"));
            let stream = texts.flat_map(|(key, text)| frame(true, TEXT, Some(*key), text.as_bytes())).collect::<Vec<_>>();
            prop_assert_eq!(&through(Some(&RULE), &[&stream]).0, &stream);
        }
    }
}
