//! Projection codes and resume tokens. PURE: randomness comes in as an argument.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::{CryptoRng, RngExt as _};
use sha2::Sha256;
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

/// When a TV gets a new code, if its front end announces that it understands that; the others keep theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewCode {
    Never,
    /// Once nobody has cast with it for 12 hours.
    AfterIdle,
    /// After each cast.
    AfterCast,
}

const LETTERS: &[u8] = b"ABCDEFGHJKMNPQRSTWXYZ012345678";
const DIGITS: &[u8] = b"0123456789";

/// A projection code as it is shown: upper case, no separators. It names a room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code([u8; CODE_LENGTH]);

impl Code {
    pub(super) fn random(alphabet: CodeAlphabet, rng: &mut impl CryptoRng) -> Self {
        let characters = characters(alphabet).as_bytes();
        Self(std::array::from_fn(|_| characters[rng.random_range(0..characters.len())]))
    }

    /// Reads what a person typed: case, width (`Ｅ` is E), spaces and dashes do not matter, and the look-alikes that no code
    /// contains are taken for what they look like (O is 0, I and L are 1). `None`: not a code of this alphabet.
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

/// What people and their input methods put between the characters of a code, also without seeing it: all but letters and digits, and
/// the long vowel sign, which is on the dash's key in Japanese input.
fn is_separator(character: char) -> bool {
    !character.is_alphanumeric() || character == '\u{30FC}'
}

/// Prints the room's name with its middle hidden: a code in a log would let its readers cast.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}····{}", self.0[0] as char, self.0[CODE_LENGTH - 1] as char)
    }
}

/// The characters codes are made of, as the pages are told.
pub fn characters(alphabet: CodeAlphabet) -> &'static str {
    let characters = match alphabet {
        CodeAlphabet::Letters => LETTERS,
        CodeAlphabet::Digits => DIGITS,
    };
    std::str::from_utf8(characters).expect("alphabets are ASCII")
}

/// Whose place a resume token gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Tv,
    Caster,
}

const NONCE_LENGTH: usize = 12;
/// Of the two times in a token, each a `u64`.
const TIMES_LENGTH: usize = 2 * size_of::<u64>();
const MAC_LENGTH: usize = 16;
/// Of a token of this version, before base64.
const PROOF_LENGTH: usize = NONCE_LENGTH + TIMES_LENGTH + MAC_LENGTH;
/// Of tokens of earlier versions, which have no times in them.
const UNDATED_PROOF_LENGTH: usize = NONCE_LENGTH + MAC_LENGTH;

/// When a client got what its resume token is about, in Unix seconds by this server's clock of that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When the client first got a token. A TV whose code changes keeps this time.
    pub since: u64,
    /// When this token was made, and with it the code.
    pub made: u64,
}

impl Times {
    /// Those of a token of a version whose tokens had no times.
    pub const LONG_AGO: Self = Self { since: 0, made: 0 };

    pub const fn new(now: u64) -> Self {
        Self { since: now, made: now }
    }

    fn to_bytes(self) -> [u8; TIMES_LENGTH] {
        (u128::from(self.since) << u64::BITS | u128::from(self.made)).to_be_bytes()
    }

    fn from_bytes(bytes: [u8; TIMES_LENGTH]) -> Self {
        let [since, made] = [&bytes[..8], &bytes[8..]].map(|half| half.iter().fold(0, |time, &byte| time << 8 | u64::from(byte)));
        Self { since, made }
    }
}

/// What a genuine resume token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    pub code: Code,
    pub times: Times,
}

/// Issues and checks resume tokens: `CODE.base64url(nonce ‖ since ‖ made ‖ HMAC-SHA256(key, role ‖ code ‖ nonce ‖ since ‖ made)[..16])`,
/// the times as 8 bytes each, the highest first.
///
/// A token proves by itself that this server gave that code to its bearer, and when, also after a restart. Tokens of earlier versions
/// have no times, and are still good.
pub struct TokenKey([u8; 32]);

impl TokenKey {
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    pub(super) fn issue(&self, role: Role, code: Code, times: Times, rng: &mut impl CryptoRng) -> String {
        let mut proof = [0; PROOF_LENGTH];
        let (signed, mac) = proof.split_at_mut(NONCE_LENGTH + TIMES_LENGTH);
        signed[..NONCE_LENGTH].copy_from_slice(&rng.random::<[u8; NONCE_LENGTH]>());
        signed[NONCE_LENGTH..].copy_from_slice(&times.to_bytes());
        mac.copy_from_slice(&self.mac(role, code, signed).finalize().into_bytes()[..MAC_LENGTH]);
        format!("{code}.{}", URL_SAFE_NO_PAD.encode(proof))
    }

    /// What `token` says, if it was issued in that role; `None`: it is not one of ours.
    pub(super) fn verify(&self, role: Role, token: &str, alphabet: CodeAlphabet) -> Option<Issued> {
        let (text, proof) = token.split_once('.')?;
        // Nobody types a token. Its other forms would be other tokens, as long as one likes.
        let code = Code::parse(text, alphabet).filter(|code| code.as_str() == text)?;
        let mut bytes = [0; PROOF_LENGTH];
        let length = URL_SAFE_NO_PAD.decode_slice(proof, &mut bytes).ok()?;
        if length != PROOF_LENGTH && length != UNDATED_PROOF_LENGTH {
            return None;
        }
        let (signed, mac) = bytes[..length].split_at(length - MAC_LENGTH);
        self.mac(role, code, signed).verify_truncated_left(mac).ok()?;
        let times = signed[NONCE_LENGTH..].try_into().map_or(Times::LONG_AGO, Times::from_bytes);
        Some(Issued { code, times })
    }

    fn mac(&self, role: Role, code: Code, signed: &[u8]) -> Hmac<Sha256> {
        let role: &[u8] = match role {
            Role::Tv => b"tv",
            Role::Caster => b"caster",
        };
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.chain_update(role).chain_update([0]).chain_update(code.0).chain_update(signed)
    }
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
    fn what_input_methods_make_of_a_code_is_the_code() {
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
    fn what_is_no_code_is_refused() {
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
    fn a_token_is_bound_to_its_key_role_code_and_times() {
        let mut rng = StdRng::seed_from_u64(1);
        let (ours, theirs) = (TokenKey::new([1; 32]), TokenKey::new([2; 32]));
        let alphabet = CodeAlphabet::Letters;
        let code = Code::random(alphabet, &mut rng);
        let times = Times { since: 1_800_000_000, made: 1_800_086_400 };
        let token = ours.issue(Role::Tv, code, times, &mut rng);
        assert_eq!(ours.verify(Role::Tv, &token, alphabet), Some(Issued { code, times }));
        assert_eq!(ours.verify(Role::Caster, &token, alphabet), None);
        assert_eq!(theirs.verify(Role::Tv, &token, alphabet), None);
        let other = Code::random(alphabet, &mut rng);
        let proof = token.split_once('.').expect("has a dot").1;
        let forged = format!("{other}.{proof}");
        assert_eq!(ours.verify(Role::Tv, &forged, alphabet), None);
        let bytes = URL_SAFE_NO_PAD.decode(proof).expect("it is base64");
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 1;
            let forged = format!("{code}.{}", URL_SAFE_NO_PAD.encode(forged));
            assert_eq!(ours.verify(Role::Tv, &forged, alphabet), None, "byte {place}");
        }
        let undated = [&bytes[..NONCE_LENGTH], &bytes[NONCE_LENGTH + TIMES_LENGTH..]].concat();
        let undated = format!("{code}.{}", URL_SAFE_NO_PAD.encode(undated));
        assert_eq!(ours.verify(Role::Tv, &undated, alphabet), None, "the times can't be cut out");
        for broken in
            ["", ".", "K7Q2MX.", "K7Q2MX.AAAA", &token[..token.len() - 1], &format!("{token}A"), &format!("{token}AAAA")]
        {
            assert_eq!(ours.verify(Role::Tv, broken, alphabet), None, "{broken}");
        }
        for otherwise in [code.as_str().to_lowercase(), format!("{}{code}", "-".repeat(400)), format!("{code} ")] {
            assert_eq!(ours.verify(Role::Tv, &format!("{otherwise}.{proof}"), alphabet), None, "{otherwise}: it has one form");
        }
    }

    #[test]
    fn a_token_without_times_is_still_good_and_was_made_long_ago() {
        // Issued by the version that had no times in its tokens.
        let key = TokenKey::new([1; 32]);
        let code = Code::parse("K7Q2MX", CodeAlphabet::Letters).expect("a code");
        for (role, token) in [
            (Role::Tv, "K7Q2MX.AAECAwQFBgcICQoLPxBw_prUVIYyk-pFhtOp5w"),
            (Role::Caster, "K7Q2MX.AAECAwQFBgcICQoLIsomMAWDPaJNsTfuzPiEkQ"),
        ] {
            assert_eq!(key.verify(role, token, CodeAlphabet::Letters), Some(Issued { code, times: Times::LONG_AGO }), "{token}");
        }
    }

    #[test]
    fn debug_hides_the_middle_of_a_code() {
        let code = Code::parse("K7Q2MX", CodeAlphabet::Letters).expect("a code");
        assert_eq!(format!("{code:?}"), "K····X");
    }
}
