//! The names of rooms as people write them, in any script, and the rooms' ids on the wire. PURE.
//!
//! Clients of AppRTC accept ids of `[A-Za-z0-9_-]` only. A name of these characters is the id; of any other name the id is `u-` and the
//! base64url (RFC 4648 §5, without padding) of the name in UTF-8 and normalization form C. `web/src/lib/room-name.ts` has the same rules for
//! the pages, and `tests/interop/sub-path.test.mjs` compares the two.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use unicode_normalization::UnicodeNormalization as _;

use super::wire::{self, MAX_ID_BYTES};

/// What an id begins with that isn't the name itself.
const ENCODED: &str = "u-";
/// What a part of a path needs no escapes for.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// As `atob` in browsers, it ignores the bits of the last character that belong to no byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));
/// Letters that input methods write instead of ASCII.
const FULL_WIDTH: RangeInclusive<char> = '\u{ff01}'..='\u{ff5e}';
/// The distance of these letters from ASCII.
const FULL_WIDTH_OFFSET: u32 = 0xfee0;
/// Spaces, controls, signs of direction and characters without a shape: with them, two names could look the same.
const HIDDEN: [RangeInclusive<char>; 24] = [
    '\u{80}'..='\u{a0}',
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{1680}'..='\u{1680}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{2000}'..='\u{200b}',
    '\u{200e}'..='\u{200f}',
    '\u{2028}'..='\u{202f}',
    '\u{205f}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3000}'..='\u{3000}',
    '\u{3164}'..='\u{3164}',
    '\u{e000}'..='\u{f8ff}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{ffff}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d159}'..='\u{1d159}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
    '\u{f0000}'..='\u{10ffff}',
];

/// A room that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomName {
    id: String,
    name: String,
}

impl RoomName {
    /// Reads a name, or the id of a room. `None`: no room can have it, because it is empty, too long or reserved, or has characters that
    /// can't be seen or that mean something in URLs.
    pub fn read(text: &str) -> Option<Self> {
        let plain = with_hyphens(&text.nfkc().collect::<String>());
        if is_plain(&plain) {
            return Self::of_plain(plain);
        }
        let narrow: String = text.chars().map(narrow).nfc().collect();
        let name = with_hyphens(&narrow);
        let id = format!("{ENCODED}{}", BASE64.encode(&name));
        (is_shown(&name) && id.len() <= MAX_ID_BYTES).then_some(Self { id, name })
    }

    /// The room of an id. Two ids for one name would be two rooms that look the same, so the id of a plain name is that name.
    fn of_plain(id: String) -> Option<Self> {
        let decoded = id.strip_prefix(ENCODED).and_then(|encoded| {
            let name = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
            // It is shorter than the id, so this ends.
            Self::read(&name)
        });
        decoded.or_else(|| wire::is_id(&id).then(|| Self { name: id.clone(), id }))
    }

    /// The room's id on the wire.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The last part of the room's link.
    pub fn in_link(&self) -> String {
        utf8_percent_encode(&self.name, ESCAPED).to_string()
    }

    /// Whether the name is the id.
    pub fn is_plain(&self) -> bool {
        self.id == self.name
    }
}

fn narrow(letter: char) -> char {
    let ascii = FULL_WIDTH.contains(&letter).then(|| char::from_u32(u32::from(letter) - FULL_WIDTH_OFFSET)).flatten();
    ascii.unwrap_or(letter)
}

/// Without spaces at the ends, and with a hyphen for those inside.
fn with_hyphens(text: &str) -> String {
    // What JavaScript's regular expressions take for a space.
    let is_space = |c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}';
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_ID_BYTES && name.chars().all(is_plain_char)
}

const fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn is_shown(name: &str) -> bool {
    let joins = |c: char| matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}');
    let hides = |c: char| (c.is_ascii() && !is_plain_char(c)) || HIDDEN.iter().any(|range| range.contains(&c));
    name.chars().any(|c| !joins(c)) && !name.chars().any(hides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, String)> {
        RoomName::read(text).map(|name| (name.id().to_owned(), name.in_link()))
    }

    #[test]
    fn names_of_any_script_have_an_id_and_a_link() {
        for (text, id, link) in [
            ("team-1_x", "team-1_x", "team-1_x"),
            ("u-boat", "u-boat", "u-boat"),
            ("team  meeting ", "team-meeting", "team-meeting"),
            ("ＡＢＣ", "ABC", "ABC"),
            ("会议", "u-5Lya6K6u", "%E4%BC%9A%E8%AE%AE"),
            ("u-5Lya6K6u", "u-5Lya6K6u", "%E4%BC%9A%E8%AE%AE"),
            (" 会议\u{3000}", "u-5Lya6K6u", "%E4%BC%9A%E8%AE%AE"),
            ("会议Ａ １", "u-5Lya6K6uQS0x", "%E4%BC%9A%E8%AE%AEA-1"),
            ("cafe\u{301}", "u-Y2Fmw6k", "caf%C3%A9"),
            ("café", "u-Y2Fmw6k", "caf%C3%A9"),
        ] {
            assert_eq!(read(text), Some((id.to_owned(), link.to_owned())), "{text}");
            assert_eq!(read(id).map(|(id, _)| id).as_deref(), Some(id), "the id names the same room");
        }
    }

    #[test]
    fn one_name_has_one_id() {
        for (text, id) in [
            ("u-YWJj", "abc"),
            ("u-dS1ZV0pq", "abc"),
            ("u-dS01THlhNks2dQ", "u-5Lya6K6u"),
            // The sign of Kelvin is a K in normalization form C.
            ("\u{212a}", "K"),
            ("u-4oSq", "K"),
            ("u-Y2FmZcyB", "u-Y2Fmw6k"),
            // Bits that count for nothing.
            ("u-YR", "a"),
            // A control character, a length that base64 can't have, no UTF-8.
            ("u-YQBi", "u-YQBi"),
            ("u-YWJjY", "u-YWJjY"),
            ("u-gA", "u-gA"),
            ("u-", "u-"),
        ] {
            let name = RoomName::read(text).expect(text);
            assert_eq!((name.id(), RoomName::read(name.id()).as_ref()), (id, Some(&name)), "{text}");
        }
    }

    #[test]
    fn no_room_has_an_empty_a_long_a_reserved_or_a_hidden_name() {
        let longest = "会".repeat(63);
        assert_eq!(RoomName::read(&longest).map(|name| name.id().len()), Some(2 + 252));
        let (long, long_plain) = ("会".repeat(64), "x".repeat(MAX_ID_BYTES + 1));
        for text in
            ["constructor", "__proto__", "", " ", "a/b", "a.b", "..", "a\\b", "<会>", "会?", "a\u{0}b", &long, &long_plain]
        {
            assert_eq!(read(text), None, "{text:?}");
        }
        for hidden in [
            "会\u{200b}",
            "会\u{202e}",
            "\u{200d}",
            "会\u{e0041}",
            "\u{85}会",
            "会\u{ad}议",
            "\u{3164}",
            "会\u{feff}议\u{e000}",
            "会\u{e0fff}",
            "会\u{1d173}",
            "会\u{1bca0}",
            "会\u{1d159}",
            "会\u{f0000}",
            "会\u{10fffd}",
        ] {
            assert_eq!(read(hidden), None, "{hidden:?}");
        }
    }
}
