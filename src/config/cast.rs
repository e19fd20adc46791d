//! The cast flow: codes, grace, take-over.

use std::time::Duration;

use super::{Reader, Settings};
use crate::cast::code::{CodeAlphabet, NewCodePolicy};

#[derive(Debug, Clone, Copy)]
pub struct CastConfig {
    pub alphabet: CodeAlphabet,
    /// How long a dropped TV or caster keeps its place.
    pub grace: Duration,
    /// Whether a second caster replaces the first.
    pub takeover: bool,
    pub max_rooms: usize,
    /// When TVs that understand it get a new code.
    pub new_code: NewCodePolicy,
    /// Wrong codes that one address may try in a minute.
    pub guesses: u32,
}

impl CastConfig {
    pub(super) fn read(settings: &Settings, reader: &mut Reader) -> Self {
        let max_rooms = reader.number("CASTWAY_MAX_ROOMS", &settings.max_rooms, 10_000, 1..=100_000);
        Self {
            alphabet: reader.parse(
                "CASTWAY_CODE_ALPHABET",
                &settings.code_alphabet,
                "letters or digits",
                CodeAlphabet::Letters,
                |value| match value {
                    "letters" => Some(CodeAlphabet::Letters),
                    "digits" => Some(CodeAlphabet::Digits),
                    _ => None,
                },
            ),
            new_code: reader.parse(
                "CASTWAY_NEW_CODE",
                &settings.new_code,
                "never, after-idle or after-cast",
                NewCodePolicy::AfterIdle,
                |value| match value {
                    "never" => Some(NewCodePolicy::Never),
                    "after-idle" => Some(NewCodePolicy::AfterIdle),
                    "after-cast" => Some(NewCodePolicy::AfterCast),
                    _ => None,
                },
            ),
            grace: reader.seconds("CASTWAY_GRACE", &settings.grace, 60, 1..=3600),
            takeover: reader.parsed("CASTWAY_TAKEOVER", &settings.takeover, "true or false", true),
            guesses: u32::try_from(reader.number("CASTWAY_WRONG_CODES", &settings.wrong_codes, 20, 1..=1_000_000))
                .expect("the range above fits"),
            max_rooms: usize::try_from(max_rooms).expect("the range above fits"),
        }
    }
}
