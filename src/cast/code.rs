//! Projection codes: their alphabets, how a typed one is read, when a TV gets a new one. PURE: randomness comes in as an argument.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::fmt;

use rand::{CryptoRng, RngExt as _};
use unicode_normalization::UnicodeNormalization as _;

/// Characters in a code. 30 letters and digits to the sixth power are 729,000,000 codes.
pub const CODE_LENGTH: usize = 6;

/// What projection codes are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeAlphabet {
    /// Letters and digits without look-alikes.
    Letters,
    /// Digits only, for remote controls without letters.
    Digits,
}

/// When a TV gets a new code, if its front end announces that it understands that; other TVs keep theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewCodePolicy {
    Never,
    /// Once nobody has cast with it for 12 hours.
    AfterIdle,
    /// After each cast.
    AfterCast,
}

const LETTERS: &[u8] = b"ABCDEFGHJKMNPQRSTWXYZ012345678";
const DIGITS: &[u8] = b"0123456789";

/// A projection code as the TV shows it: upper case, no separators. It names a room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code([u8; CODE_LENGTH]);

impl Code {
    pub(super) fn random(alphabet: CodeAlphabet, rng: &mut impl CryptoRng) -> Self {
        let characters = characters(alphabet).as_bytes();
        Self(std::array::from_fn(|_| characters[rng.random_range(0..characters.len())]))
    }

    /// Reads what a person typed: case, width (`Ｅ` is E), spaces and dashes do not matter, and a look-alike that no code contains is read
    /// as the character that it looks like (O is 0, I and L are 1). `None`: not a code of this alphabet.
    pub fn parse(text: &str, alphabet: CodeAlphabet) -> Option<Self> {
        let characters = characters(alphabet).as_bytes();
        let mut typed = text.nfkc().filter(|character| !is_separator(*character));
        let mut code = [0; CODE_LENGTH];
        for place in &mut code {
            let character = match typed.next()?.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            *place = u8::try_from(character).ok().filter(|byte| characters.contains(byte))?;
        }
        typed.next().is_none().then_some(Self(code))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("codes are ASCII")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What people and their input methods put between the characters of a code, visibly or not: everything but letters and digits, and also
/// the long vowel sign, which is on the dash's key in Japanese input.
fn is_separator(character: char) -> bool {
    !character.is_alphanumeric() || character == '\u{30FC}'
}

/// Prints the code with its middle hidden: a complete code in a log would let the log's readers cast.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}•••{}", self.0[0] as char, self.0[1] as char, self.0[CODE_LENGTH - 1] as char)
    }
}

/// The characters that codes are made of; the pages are told them.
pub fn characters(alphabet: CodeAlphabet) -> &'static str {
    let characters = match alphabet {
        CodeAlphabet::Letters => LETTERS,
        CodeAlphabet::Digits => DIGITS,
    };
    std::str::from_utf8(characters).expect("alphabets are ASCII")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn matching_ignores_case_spaces_and_dashes() {
        let code = Code::parse("K7Q2MX", CodeAlphabet::Letters);
        assert!(code.is_some());
        for typed in ["k7q2mx", " k7q 2mx ", "K7Q-2MX", "K7Q–2mx", "K 7 Q 2 M X"] {
            assert_eq!(Code::parse(typed, CodeAlphabet::Letters), code, "{typed}");
        }
        assert_eq!(Code::parse("OIL0AA", CodeAlphabet::Letters), Code::parse("0110AA", CodeAlphabet::Letters));
    }

    #[test]
    fn input_method_variants_of_a_code_are_accepted() {
        let code = Code::parse("EP37DR", CodeAlphabet::Letters);
        assert!(code.is_some());
        let typed = [
            "ＥＰ３７ＤＲ",
            "ｅｐ３７ｄｒ",
            "ＥＰ３\u{3000}７ＤＲ",
            "ＥＰ３－７ＤＲ",
            "ep3ー7dr",
            "ep3−7dr",
            "Ⓔⓟ37dr",
            "\u{FEFF}EP3\u{200B}7DR\u{200E}",
            "\u{202A}EP37DR\u{202C}",
            "ep3·7dr",
            "ep3'7dr",
            "EP3。7DR、",
            "\u{FE0F}EP37DR",
            "EP3.7DR",
        ];
        for typed in typed {
            assert_eq!(Code::parse(typed, CodeAlphabet::Letters), code, "{typed}");
        }
        assert_eq!(Code::parse("１２３４５６", CodeAlphabet::Digits), Code::parse("123456", CodeAlphabet::Digits));
        assert_eq!(Code::parse("ОР37ДР", CodeAlphabet::Letters), None, "other scripts' letters only look like ours");
    }

    #[test]
    fn a_text_that_is_no_code_is_refused() {
        for typed in ["", "K7Q2M", "K7Q2MXA", "K7Q2M9", "K7Q2MÜ", "K7Q2M\0"] {
            assert_eq!(Code::parse(typed, CodeAlphabet::Letters), None, "{typed:?}");
        }
        assert_eq!(Code::parse("12345A", CodeAlphabet::Digits), None);
    }

    #[test]
    fn random_codes_use_the_whole_alphabet_and_parse() {
        let mut rng = StdRng::seed_from_u64(1);
        for alphabet in [CodeAlphabet::Letters, CodeAlphabet::Digits] {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..500 {
                let code = Code::random(alphabet, &mut rng);
                assert_eq!(Code::parse(code.as_str(), alphabet), Some(code));
                seen.extend(code.0);
            }
            assert_eq!(seen.len(), characters(alphabet).len());
        }
    }

    #[test]
    fn debug_hides_the_middle_of_a_code() {
        let code = Code::parse("K7Q2MX", CodeAlphabet::Letters).expect("a code");
        assert_eq!(format!("{code:?}"), "K7•••X");
    }
}
