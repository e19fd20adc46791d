//! The cast flow: codes, grace periods and take-over.

use std::time::Duration;

use super::reader::{MAX_COUNT, Reader};
use crate::cast::code::{CodeAlphabet, NewCodePolicy};

/// The upper end of CASTWAY_MAX_ROOMS.
const MAX_CAST_ROOMS: usize = 100_000;
/// The upper end of CASTWAY_MAX_BITRATE, in kbit/s.
const MAX_BITRATE_KBIT: u32 = 1_000_000;

/// Who may cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CastAccess {
    Anyone,
    /// Users of this server, who sign in.
    Users,
}

#[derive(Debug, Clone, Copy)]
pub struct CastConfig {
    pub access: CastAccess,
    pub alphabet: CodeAlphabet,
    /// How long a TV or caster whose connection dropped keeps its seat.
    pub grace: Duration,
    /// Whether a second caster replaces the first.
    pub takeover: bool,
    pub max_rooms: usize,
    /// When a TV whose page supports it gets a new code.
    pub new_code: NewCodePolicy,
    /// Wrong codes that one address may try in a minute.
    pub max_wrong_codes_per_minute: u32,
    /// kbit/s of a cast's picture; `None`: no ceiling.
    pub max_bitrate: Option<u32>,
}

impl CastConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let alphabets = [("letters", CodeAlphabet::Letters), ("digits", CodeAlphabet::Digits)];
        let new_codes =
            [("never", NewCodePolicy::Never), ("after-idle", NewCodePolicy::AfterIdle), ("after-cast", NewCodePolicy::AfterCast)];
        let access = [("anyone", CastAccess::Anyone), ("users", CastAccess::Users)];
        Self {
            access: reader.choice("CASTWAY_CAST_ACCESS", &access),
            alphabet: reader.choice("CASTWAY_CODE_ALPHABET", &alphabets),
            grace: reader.seconds("CASTWAY_GRACE", 1..=3600),
            takeover: reader.flag("CASTWAY_TAKEOVER"),
            max_rooms: reader.number("CASTWAY_MAX_ROOMS", 1..=MAX_CAST_ROOMS, ""),
            new_code: reader.choice("CASTWAY_NEW_CODE", &new_codes),
            max_wrong_codes_per_minute: reader.number("CASTWAY_WRONG_CODES", 1..=MAX_COUNT, "per minute"),
            max_bitrate: reader.limit("CASTWAY_MAX_BITRATE", 0..=MAX_BITRATE_KBIT, "of kbit/s"),
        }
    }
}
