//! Shows characters that steer a terminal, or that show nothing, as `\u{202e}`: some texts come from others than the user who reads
//! them. Everything that commands print passes through here.

use std::fmt::Write as _;

/// Marks that stand on one letter. No script needs more, and a pile of them covers the lines above and below.
const MAX_MARKS: usize = 4;

/// The text with every such character but the end of a line escaped.
pub(super) fn printable(text: &str) -> String {
    let mut marks = 0;
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        marks = if is_mark(character) { marks + 1 } else { 0 };
        if character != '\n' && (is_hidden(character) || marks > MAX_MARKS) {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The same for a text that is part of a line, which it must not end.
pub(super) fn printable_part(text: &str) -> String {
    printable(text).replace('\n', "\\u{a}")
}

/// JSON with these characters escaped as JSON does it. Outside of its strings, JSON has none but the ends of its lines.
pub(super) fn printable_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && is_hidden(character) {
            character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| _ = write!(shown, "\\u{unit:04x}"));
        } else {
            shown.push(character);
        }
    }
    shown
}

fn is_mark(character: char) -> bool {
    unicode_normalization::char::is_combining_mark(character)
}

/// Control characters; separators of lines; what changes the direction of text; and what takes no room, or looks like a space and is none:
/// the default ignorable characters of Unicode, blank letters, and annotations.
const fn is_hidden(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_or_shows_nothing_is_shown_as_its_number() {
        assert_eq!(printable("a\x1b[2Jb\rc\u{9b}d\u{202e}e\nf"), "a\\u{1b}[2Jb\\u{d}c\\u{9b}d\\u{202e}e\nf");
        assert_eq!(printable_part("a\nb"), "a\\u{a}b");
        for hidden in ['\0', '\t', '\u{7f}', '\u{ad}', '\u{200b}', '\u{200d}', '\u{2066}', '\u{3164}', '\u{feff}', '\u{e0041}'] {
            assert_eq!(printable(&hidden.to_string()), format!("\\u{{{:x}}}", u32::from(hidden)));
        }
        for plain in ["Anna’s TV", "客厅的电视", "Größe", "ภาษาไทย", "तीन", "📱", "عربي", "a\\b"]
        {
            assert_eq!(printable(plain), plain);
        }
    }

    #[test]
    fn marks_do_not_pile_up() {
        let pile = format!("a{}b", "\u{301}".repeat(6));
        assert_eq!(printable(&pile), format!("a{}\\u{{301}}\\u{{301}}b", "\u{301}".repeat(4)));
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let text = "a\x1b\u{9b}\u{202e}\u{e0041}\u{200b}\nb";
        let shown = printable_json(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(shown.chars().all(|character| character == '\n' || !is_hidden(character)), "{shown}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&shown).unwrap(), [text]);
    }
}
