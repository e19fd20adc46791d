//! The frames of one direction of a WebSocket (RFC 6455 §5): counts them, replaces the text messages that a [`RewriteRule`] applies to,
//! and splits large frames into fragments where that is asked for. PURE.
//!
//! - **Owner** of the state of one direction: [`FrameFilter`].
//! - **Inputs**: the bytes of the stream, in pieces of any size ([`FrameFilter::handle`]).
//! - **Outputs**: the bytes to pass on, [`FrameFilter::counts`], [`FrameFilter::unfinished`], [`FrameFilter::take_connects`].
//!
//! Invariants:
//! - The same stream of bytes gives the same output, however it is divided into pieces.
//! - A message that no rule applies to passes byte by byte, protocol errors included: the reader of the frames rejects them. A fragmented
//!   frame keeps its payload and its errors: opcode, reserved bits and a missing mask are in its first fragment.
//! - At most [`MAX_COLLECTED_BYTES`] of a message wait until it is complete; a longer message passes unchanged.
//!
//! ```
//! use castway::websocket::frame_filter::FrameFilter;
//!
//! let mut filter = FrameFilter::new(None);
//! let (frame, mut output) = (b"\x81\x01x", Vec::new());
//! let unchanged = filter.handle(frame, &mut output);
//! // The first `unchanged` bytes of the input are passed on as they are, then the output.
//! assert_eq!((unchanged, output.len(), filter.counts().messages), (frame.len(), 0, 1));
//! ```

use super::frame::{CONTINUATION, CONTROL, FIN, FrameHeader, FrameOutput, TEXT};
use super::frame_counts::FrameCounts;
use super::message_start::{ConnectPackets, MessageStart};
use super::rewrite_rule::RewriteRule;
use crate::limits::message_size::MAX_WIRE_BYTES;

/// Bytes of the fragments that larger frames are split into. tungstenite's buffer keeps the size of the largest frame as long as the
/// connection lives; fragments are collected in memory that is freed with their message.
pub const MAX_FRAGMENT_BYTES: u64 = 4 * 1024;
/// Bytes of the largest frame that is split. The reader of the frames refuses a larger one by its header.
const MAX_FRAGMENTED_FRAME_BYTES: u64 = MAX_WIRE_BYTES as u64;
/// Bytes of a message that a rule applies to: many times the queries that clients add to the name of a namespace.
pub const MAX_COLLECTED_BYTES: u64 = 16 * 1024;

/// The state of one direction.
#[derive(Debug)]
pub struct FrameFilter {
    rule: Option<&'static RewriteRule>,
    /// Whether large frames are split.
    fragments: bool,
    counts: FrameCounts,
    /// Bytes of the current frame's payload that have not come yet.
    left: u64,
    frame: CurrentFrame,
    /// Whether a fragmented message has begun and not ended.
    is_open: bool,
    start: MessageStart,
    /// Attachments of the last packet of Socket.IO that have not come.
    attachments: u32,
    connects: ConnectPackets,
    buffered: Option<Box<Buffered>>,
}

/// The frame whose payload is coming.
#[derive(Debug, Clone, Copy, Default)]
struct CurrentFrame {
    fin: bool,
    control: bool,
    handling: Handling,
    key: [u8; 4],
    /// Index into `key` for the next byte of the payload.
    key_index: u8,
}

/// What happens to the current frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Handling {
    #[default]
    Unchanged,
    /// Split into fragments; all but the first have [`MAX_FRAGMENT_BYTES`].
    Fragmented,
    /// Collected with the rest of its message, and not passed on yet.
    Collected,
}

/// Held back bytes; few streams have any at any time.
#[derive(Debug, Default)]
struct Buffered {
    /// The beginning of a frame that is too short to decide about it.
    partial_header: Vec<u8>,
    /// The message that is being collected, unmasked.
    message: Option<Vec<u8>>,
}

impl FrameFilter {
    /// Without a rule all bytes pass immediately and are only counted.
    #[must_use]
    pub const fn new(rule: Option<&'static RewriteRule>) -> Self {
        Self::make(rule, false)
    }

    /// As [`Self::new`], and splits large frames into fragments of at most [`MAX_FRAGMENT_BYTES`].
    #[must_use]
    pub const fn fragmenting(rule: Option<&'static RewriteRule>) -> Self {
        Self::make(rule, true)
    }

    const fn make(rule: Option<&'static RewriteRule>, fragments: bool) -> Self {
        let counts = FrameCounts { bytes: 0, messages: 0, incomplete: 0 };
        let frame = CurrentFrame { fin: false, control: false, handling: Handling::Unchanged, key: [0; 4], key_index: 0 };
        let connects = ConnectPackets { packets: 0, bytes: 0 };
        Self {
            rule,
            fragments,
            counts,
            left: 0,
            frame,
            is_open: false,
            start: MessageStart::new(false),
            attachments: 0,
            connects,
            buffered: None,
        }
    }

    #[must_use]
    pub const fn counts(&self) -> FrameCounts {
        self.counts
    }

    /// Bytes that the reader of the frames holds until the rest comes. `None`: no message, attachment, control frame or frame header is
    /// unfinished.
    #[must_use]
    pub fn unfinished(&self) -> Option<u64> {
        let has_partial_header = self.buffered.as_ref().is_some_and(|buffered| !buffered.partial_header.is_empty());
        (self.left > 0 || self.is_open || self.attachments > 0 || has_partial_header).then_some(self.counts.incomplete)
    }

    /// The packets that asked for a namespace since the last call.
    pub fn take_connects(&mut self) -> ConnectPackets {
        std::mem::take(&mut self.connects)
    }

    #[must_use]
    pub const fn has_rule(&self) -> bool {
        self.rule.is_some()
    }

    /// Takes the next piece of the stream. The result says how many of its first bytes pass unchanged; the bytes that were added to
    /// `output`, which must be empty before, follow them. The rest waits for the next piece.
    pub fn handle(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        self.counts.bytes += input.len() as u64;
        let mut out = FrameOutput { input, passed: 0, output, only_counts: self.rule.is_none() && !self.fragments };
        let mut at = 0;
        while at < input.len() {
            if self.left > 0 {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                self.payload(&input[at..at + len], Some(at), &mut out);
                at += len;
            } else if let Some(partial_header) = self.take_partial_header() {
                at = self.complete_header(partial_header, at, &mut out);
            } else if let Some(header) = self.header(&input[at..]) {
                self.begin(header, &input[at + header.size..], &mut out);
                match self.frame.handling {
                    Handling::Unchanged => out.pass(at, header.size),
                    Handling::Fragmented => self.add_first_header(header, &mut out),
                    Handling::Collected => {}
                }
                at += header.size;
                self.end_if_complete(&mut out);
            } else {
                self.buffered().partial_header.extend_from_slice(&input[at..]);
                at = input.len();
            }
        }
        if self.buffered.as_ref().is_some_and(|buffered| buffered.partial_header.is_empty() && buffered.message.is_none()) {
            self.buffered = None;
        }
        if out.only_counts { input.len() } else { out.passed }
    }

    /// Adds to the beginning of a frame until it is long enough to decide about it.
    fn complete_header(&mut self, mut partial_header: Vec<u8>, mut at: usize, out: &mut FrameOutput<'_>) -> usize {
        while at < out.input.len() {
            partial_header.push(out.input[at]);
            at += 1;
            let Some(header) = self.header(&partial_header) else { continue };
            let (first, payload) = partial_header.split_at(header.size);
            self.begin(header, payload, out);
            match self.frame.handling {
                Handling::Unchanged => out.add(first),
                Handling::Fragmented => self.add_first_header(header, out),
                Handling::Collected => {}
            }
            self.end_if_complete(out);
            if !payload.is_empty() {
                self.payload(payload, None, out);
            }
            return at;
        }
        self.buffered().partial_header = partial_header;
        at
    }

    /// The header of the frame that `bytes` begin with, once enough of the header and of the payload has come to decide about the frame.
    fn header(&self, bytes: &[u8]) -> Option<FrameHeader> {
        let header = FrameHeader::parse(bytes)?;
        let so_far = match (header.opcode(), self.message()) {
            (TEXT, _) => 0,
            (CONTINUATION, Some(message)) => message.len(),
            _ => return Some(header),
        };
        // The header alone decides about a frame that is too large to be collected.
        let fits = header.len.saturating_add(so_far as u64) <= MAX_COLLECTED_BYTES;
        let Some(rule) = self.rule.filter(|rule| fits && rule.applies_to(header)) else { return Some(header) };
        let missing = rule.prefix.len().saturating_sub(so_far);
        let looked_at = usize::try_from(header.len).unwrap_or(usize::MAX).min(missing);
        (bytes.len() >= header.size + looked_at).then_some(header)
    }

    /// Decides what happens to a frame; `payload` begins with the bytes that [`Self::header`] has waited for.
    fn begin(&mut self, header: FrameHeader, payload: &[u8], out: &mut FrameOutput<'_>) {
        let control = header.opcode() >= CONTROL;
        let collected = !control && self.is_collected(header, payload);
        if !control && !collected {
            self.release_collected(out);
        }
        let handling = match collected {
            true => Handling::Collected,
            false if self.fragments && (MAX_FRAGMENT_BYTES + 1..=MAX_FRAGMENTED_FRAME_BYTES).contains(&header.len) => {
                Handling::Fragmented
            }
            false => Handling::Unchanged,
        };
        if collected && self.message().is_none() {
            self.buffered().message = Some(Vec::new());
        }
        self.left = header.len;
        self.is_open |= !control;
        if !control && header.opcode() != CONTINUATION {
            self.start = MessageStart::new(header.opcode() == TEXT);
        }
        self.frame = CurrentFrame { fin: header.fin(), control, handling, key: header.key.unwrap_or_default(), key_index: 0 };
    }

    fn is_collected(&self, header: FrameHeader, payload: &[u8]) -> bool {
        let Some(rule) = self.rule.filter(|rule| rule.applies_to(header)) else { return false };
        let so_far = match (header.opcode(), self.message()) {
            (TEXT, None) => &[][..],
            (CONTINUATION, Some(message)) => message,
            // A message that begins inside another one, a continuation of no message, or no text.
            _ => return false,
        };
        if header.len.saturating_add(so_far.len() as u64) > MAX_COLLECTED_BYTES {
            return false;
        }
        let len = usize::try_from(header.len).unwrap_or(usize::MAX).min(payload.len());
        let key = header.key.unwrap_or_default();
        let more = payload[..len].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        let mut missing = rule.prefix.iter();
        let equal = so_far.iter().copied().chain(more).all(|found| missing.next().is_none_or(|expected| found == *expected));
        equal && (missing.len() == 0 || !header.fin())
    }

    /// Bytes that are missing in the current fragment of the current frame.
    const fn left_in_fragment(&self) -> u64 {
        match (self.frame.handling, self.left) {
            (Handling::Fragmented, 1..) => (self.left - 1) % MAX_FRAGMENT_BYTES + 1,
            _ => self.left,
        }
    }

    fn add_first_header(&self, header: FrameHeader, out: &mut FrameOutput<'_>) {
        out.add_header(header.first & !FIN, header.key, self.left_in_fragment());
    }

    fn payload(&mut self, mut part: &[u8], mut at: Option<usize>, out: &mut FrameOutput<'_>) {
        while !part.is_empty() {
            let len = usize::try_from(self.left_in_fragment()).unwrap_or(usize::MAX).clamp(1, part.len());
            let (piece, rest) = part.split_at(len);
            self.piece(piece, at, out);
            part = rest;
            at = at.map(|at| at + len);
        }
    }

    /// A part of the payload that lies within one fragment.
    fn piece(&mut self, piece: &[u8], at: Option<usize>, out: &mut FrameOutput<'_>) {
        let CurrentFrame { fin, control, handling, mut key, key_index } = self.frame;
        key.rotate_left(key_index.into());
        let mut unmasked = piece.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        self.frame.key_index = ((usize::from(key_index) + piece.len()) % 4) as u8;
        if !control && self.start.is_text {
            self.start.extend(unmasked.clone());
        }
        match (handling, at) {
            (Handling::Collected, _) => self.buffered().message.get_or_insert_default().extend(&mut unmasked),
            (Handling::Unchanged | Handling::Fragmented, Some(at)) => out.pass(at, piece.len()),
            (Handling::Unchanged | Handling::Fragmented, None) => out.add(piece),
        }
        if !control {
            self.counts.incomplete += piece.len() as u64;
        }
        self.left = self.left.saturating_sub(piece.len() as u64);
        if handling == Handling::Fragmented && self.left > 0 && self.left.is_multiple_of(MAX_FRAGMENT_BYTES) {
            key.rotate_left(piece.len() % 4);
            let is_last = self.left == MAX_FRAGMENT_BYTES;
            out.add_header(if fin && is_last { FIN | CONTINUATION } else { CONTINUATION }, Some(key), MAX_FRAGMENT_BYTES);
        }
        self.end_if_complete(out);
    }

    fn end_if_complete(&mut self, out: &mut FrameOutput<'_>) {
        if self.left > 0 || self.frame.control || !self.frame.fin {
            return;
        }
        self.counts.messages += 1;
        self.is_open = false;
        if self.start.is_connect() {
            self.connects.add(self.counts.incomplete);
        }
        self.attachments = self.start.attachments().unwrap_or_else(|| self.attachments.saturating_sub(1));
        if self.attachments == 0 {
            self.counts.incomplete = 0;
        }
        let message = self.buffered.as_mut().and_then(|buffered| buffered.message.take());
        if let (Some(rule), Some(message)) = (self.rule, message) {
            let changed = (rule.change)(&message).unwrap_or(message);
            self.add_message(true, rule, &changed, out);
        }
    }

    /// Passes on the collected bytes of a message that the rule does not apply to after all. They become its first fragment, so that
    /// the rest can follow unchanged.
    fn release_collected(&mut self, out: &mut FrameOutput<'_>) {
        let message = self.buffered.as_mut().and_then(|buffered| buffered.message.take());
        if let (Some(rule), Some(message)) = (self.rule, message) {
            self.add_message(false, rule, &message, out);
        }
    }

    /// Passes on collected bytes, in one frame or in fragments.
    fn add_message(&self, fin: bool, rule: &RewriteRule, payload: &[u8], out: &mut FrameOutput<'_>) {
        let most = if self.fragments { MAX_FRAGMENT_BYTES as usize } else { payload.len() };
        let key = rule.masked.then_some(self.frame.key);
        let (mut opcode, mut left) = (TEXT, payload);
        loop {
            let (fragment, rest) = left.split_at(most.min(left.len()));
            let fin = if fin && rest.is_empty() { FIN } else { 0 };
            out.add_frame(fin | opcode, key, fragment);
            if rest.is_empty() {
                return;
            }
            (opcode, left) = (CONTINUATION, rest);
        }
    }

    fn message(&self) -> Option<&[u8]> {
        self.buffered.as_ref()?.message.as_deref()
    }

    fn take_partial_header(&mut self) -> Option<Vec<u8>> {
        self.buffered
            .as_mut()
            .map(|buffered| std::mem::take(&mut buffered.partial_header))
            .filter(|partial_header| !partial_header.is_empty())
    }

    fn buffered(&mut self) -> &mut Buffered {
        self.buffered.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::mem::{Discriminant, discriminant};

    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
    use tokio_tungstenite::tungstenite::{Error, Message};

    use super::*;
    use crate::websocket::frame::BINARY;

    static RULE: RewriteRule =
        RewriteRule { prefix: b"40/", masked: true, change: |packet| packet.ends_with(b"?").then(|| b"40/!".to_vec()) };
    static UNMASKED: RewriteRule = RewriteRule { masked: false, ..RULE };
    const KEY: [u8; 4] = [0x11, 0x92, 0x33, 0xF4];

    fn frame(fin: bool, opcode: u8, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let fin = if fin { FIN } else { 0 };
        FrameOutput { input: &[], passed: 0, output: &mut bytes, only_counts: false }.add_frame(fin | opcode, key, payload);
        bytes
    }

    fn masked(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        frame(fin, opcode, Some(KEY), payload)
    }

    /// What comes out of a stream that comes in such pieces, and what was counted.
    fn through(rule: Option<&'static RewriteRule>, pieces: &[&[u8]]) -> (Vec<u8>, FrameCounts) {
        let (mut filter, mut all) = (FrameFilter::new(rule), Vec::new());
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
        let mut filter = FrameFilter::new(None);
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
        let long = [b"40/", &vec![b'x'; MAX_COLLECTED_BYTES as usize][..], b"?"].concat();
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
        let partial_head = [masked(false, TEXT, b"4"), masked(false, CONTINUATION, b"0/")].concat();
        let kept = masked(false, TEXT, b"40/");
        for rest in [
            masked(true, CONTINUATION, &vec![b'x'; MAX_COLLECTED_BYTES as usize]),
            masked(true, TEXT, b"40/a?"),
            masked(true, BINARY, b"x"),
            frame(true, CONTINUATION, None, b"a?"),
        ] {
            assert_eq!(filtered(&[&partial_head[..], &rest].concat()), [&kept[..], &rest].concat());
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
            assert_eq!((passed, counts), (part.clone(), FrameCounts { bytes: part.len() as u64, messages: 1, incomplete: 200 }));
        }
    }

    #[test]
    fn what_is_not_held_back_stays_where_it_is() {
        let stream = [masked(true, TEXT, b"42[\"a\"]"), masked(true, BINARY, &[7; 5000])].concat();
        let (mut filter, mut output) = (FrameFilter::new(Some(&RULE)), Vec::new());
        for piece in stream.chunks(1024) {
            assert_eq!(filter.handle(piece, &mut output), piece.len());
        }
        assert_eq!(output.capacity(), 0);
        assert!(filter.buffered.is_none());
        assert!(size_of::<FrameFilter>() <= 80, "{}", size_of::<FrameFilter>());
    }

    /// What comes out of a filter that cuts, in pieces of so many bytes.
    fn cut(rule: Option<&'static RewriteRule>, stream: &[u8], piece: usize) -> Vec<u8> {
        let (mut filter, mut all) = (FrameFilter::fragmenting(rule), Vec::new());
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
        while let Some(head) = FrameHeader::parse(stream) {
            heads.push((head.first, head.len));
            stream = &stream[(head.size + head.len as usize).min(stream.len())..];
        }
        heads
    }

    #[test]
    fn a_large_frame_becomes_fragments_and_what_would_be_refused_by_its_head_stays() {
        const LIMIT: usize = MAX_FRAGMENT_BYTES as usize;
        for (len, expected) in [
            (LIMIT, vec![(0x81, MAX_FRAGMENT_BYTES)]),
            (LIMIT + 1, vec![(0x01, 1), (0x80, MAX_FRAGMENT_BYTES)]),
            (2 * LIMIT, vec![(0x01, MAX_FRAGMENT_BYTES), (0x80, MAX_FRAGMENT_BYTES)]),
            (2 * LIMIT + 7, vec![(0x01, 7), (0x00, MAX_FRAGMENT_BYTES), (0x80, MAX_FRAGMENT_BYTES)]),
        ] {
            assert_eq!(heads(&cut(None, &masked(true, TEXT, &vec![b'x'; len]), 1000)), expected);
        }
        let not_last = [masked(false, BINARY, &vec![1; LIMIT + 2]), masked(true, CONTINUATION, b"end")].concat();
        assert_eq!(heads(&cut(None, &not_last, 1000)), [(0x02, 2), (0x00, MAX_FRAGMENT_BYTES), (0x80, 3)]);
        // Mistakes stay mistakes: a control frame, reserved bits, no mask.
        let control = masked(true, 9, &vec![0; LIMIT + 2]);
        assert_eq!(heads(&cut(None, &control, 1000))[0], (0x09, 2), "a fragment of a ping, which is refused");
        let mut reserved = masked(true, TEXT, &vec![0; LIMIT + 2]);
        reserved[0] |= 0x40;
        assert_eq!(heads(&cut(None, &reserved, 1000))[0], (0x41, 2));
        let unmasked = cut(None, &frame(true, TEXT, None, &vec![0; LIMIT + 2]), 1000);
        assert_eq!(unmasked[..2], [0x01, 2]);
        let most = masked(true, TEXT, &vec![b'x'; MAX_FRAGMENTED_FRAME_BYTES as usize]);
        assert!(heads(&cut(None, &most, 1000)).iter().all(|(_, len)| *len <= MAX_FRAGMENT_BYTES));
        let refused = masked(true, TEXT, &vec![b'x'; MAX_FRAGMENTED_FRAME_BYTES as usize + 1]);
        assert_eq!(cut(None, &refused, 1000), refused);
        assert_eq!(cut(Some(&RULE), &refused[..14], 1000), refused[..14], "its head does not wait for more");
    }

    #[test]
    fn a_large_message_that_the_rule_is_about_becomes_fragments_too() {
        let kept = masked(true, TEXT, &[b"40/".as_slice(), &vec![b'x'; 10_000]].concat());
        assert_eq!(heads(&cut(Some(&RULE), &kept, 1000)), [(0x01, MAX_FRAGMENT_BYTES), (0x00, MAX_FRAGMENT_BYTES), (0x80, 1811)]);
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
            let mut filter = FrameFilter::new(rule);
            for piece in stream.chunks(piece) {
                filter.handle(piece, &mut Vec::new());
            }
            assert_eq!(filter.take_connects(), ConnectPackets { packets: 3, bytes: 2 + 7 + 8 });
            assert_eq!(filter.take_connects(), ConnectPackets::default());
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
            prop_assert!(heads(&cut_once).iter().all(|(_, len)| *len <= MAX_FRAGMENT_BYTES));
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
