//! The names of TVs and casters, as other people read them.

use unicode_normalization::UnicodeNormalization as _;

/// Characters of a name.
const MAX_CHARACTERS: usize = 40;

/// A name in the form in which it is shown: NFC, on one line, at most 40 characters. `None`: nothing is left.
pub(super) fn shown_name(name: &str) -> Option<String> {
    let visible: String = name.chars().filter(|character| !is_control(*character)).collect();
    let cut: String = visible.trim().nfc().take(MAX_CHARACTERS).collect();
    Some(cut.trim_end().to_owned()).filter(|name| !name.is_empty())
}

/// Also those characters that end a line, that turn around the text which follows the name, or that show nothing; as in the pages'
/// `clients/js/src/tv/name.ts`.
fn is_control(character: char) -> bool {
    let turns = matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}');
    let shows_nothing = matches!(character, '\u{200B}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}');
    character.is_control() || turns || shows_nothing || matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_short_line_in_nfc() {
        for (given, shown) in [
            ("Kitchen", Some("Kitchen")),
            ("  客厅\u{3000}", Some("客厅")),
            ("Living room", Some("Living room")),
            ("Ku\u{308}che", Some("Küche")),
            ("Ku\u{0}\u{308}che", Some("Küche")),
            ("\u{0} Kit\u{1b}[31mchen\r\n\u{7f}", Some("Kit[31mchen")),
            ("one\u{2028}line\u{2029}", Some("oneline")),
            ("\u{202E}nehctiK\u{2066}\u{200F}", Some("nehctiK")),
            ("👨\u{200D}👩\u{200D}👧 TV", Some("👨\u{200D}👩\u{200D}👧 TV")),
            ("", None),
            (" \t\u{3000}\u{FEFF}\u{200E}", None),
            ("\u{200B}\u{2060}\u{206F}\u{FFF9}", None),
        ] {
            assert_eq!(shown_name(given).as_deref(), shown, "{given:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_after_40_characters_of_its_nfc() {
        assert_eq!(shown_name(&"会".repeat(41)), Some("会".repeat(40)));
        assert_eq!(shown_name(&"e\u{301}".repeat(41)), Some("é".repeat(40)));
        assert_eq!(shown_name(&format!("{} {}", "a".repeat(39), "b".repeat(9))), Some("a".repeat(39)), "no space at the end");
        assert_eq!(shown_name(&format!("a{}", "\u{301}".repeat(60_000))).expect("a name").chars().count(), 40);
    }
}
