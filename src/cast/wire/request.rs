//! What clients ask for, as read from their events.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::arguments::Arguments;
use super::description::Content;
use super::failure::Failure;
use crate::admission::Proof;
use crate::cast::model::{Dialect, Signal, TvDetails};
use crate::diagnosis::report::MAX_REPORT_BYTES;
use crate::limits::message_size::{DESCRIPTION_KIB, EVENT_KIB};
use crate::outcomes::party::PageReport;

/// The event that tells a TV of its new code. A front end that announces it in `understands` gets new codes.
pub(super) const CODE_CHANGED: &str = "TV_CODE_CHANGED";
/// What a caster tells its TV of the cast, in both dialects and in both directions.
pub(super) const CAST_STATE_EVENT: &str = "CAST_STATE";
/// A candidate, in both dialects and in both directions.
pub(super) const CANDIDATE_EVENT: &str = "RTC_Candidate_Exchange";

type ReadArguments = fn(&Arguments<'_>, VecDeque<Bytes>) -> Result<Request, Failure>;

/// How the arguments of one event are read.
pub(super) struct EventReader {
    /// KiB that the event may have, with its attachments.
    pub(super) max_kib: usize,
    pub(super) read: ReadArguments,
}

impl EventReader {
    pub(super) const fn of_event(read: ReadArguments) -> Self {
        Self { max_kib: EVENT_KIB, read }
    }

    /// The reader of a report.
    pub(super) const fn of_report(read: ReadArguments) -> Self {
        Self { max_kib: MAX_REPORT_BYTES / 1024, read }
    }

    /// The reader of an event that carries an offer or an answer.
    pub(super) const fn of_description(read: ReadArguments) -> Self {
        Self { max_kib: DESCRIPTION_KIB, read }
    }
}

#[derive(Debug)]
pub enum Request {
    /// A TV asks for a code.
    Open(OpenArguments),
    /// A caster asks to cast.
    Join(JoinArguments),
    /// Somebody asks what a join would lead to.
    Check(CheckArguments),
    Signal(Signal<Content>),
    /// Dialect B: the TV shows its device token.
    Verify,
    /// The client asks for fresh ICE servers.
    Config,
    Leave,
    /// The TV asks for another code.
    NewCode,
    /// The caster tells its TV the state of the cast.
    CastState(Content),
    /// The TV ends the cast.
    EndCast,
    /// A page says how its connection goes.
    Report(Box<PageReport>),
}

#[derive(Debug)]
pub struct OpenArguments {
    pub event: EntryEvent,
    pub code: Option<String>,
    pub token: Option<String>,
    pub shows_picture: bool,
    pub casting: bool,
    /// The front end understands `TV_CODE_CHANGED`.
    pub understands_new_codes: bool,
    pub details: Option<Arc<TvDetails>>,
    pub proof: Option<Proof>,
}

#[derive(Debug)]
pub struct CheckArguments {
    pub code: String,
    pub token: Option<String>,
    pub proof: Option<Proof>,
}

#[derive(Debug)]
pub struct JoinArguments {
    pub event: EntryEvent,
    pub code: String,
    pub token: Option<String>,
    pub username: Option<String>,
    pub proof: Option<Proof>,
}

/// The event by which a client asks for its seat; each one has an answer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryEvent {
    TvInit,
    TvRegister,
    TvGetInfo,
    JoinRoom,
    ConnectToTv,
}

impl EntryEvent {
    const ALL: [Self; 5] = [Self::TvInit, Self::TvRegister, Self::TvGetInfo, Self::JoinRoom, Self::ConnectToTv];

    /// The entry event of that name, also where its arguments could not be read.
    pub fn of_name(event: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entry| entry.name() == event)
    }

    pub const fn dialect(self) -> Dialect {
        match self {
            Self::TvInit | Self::JoinRoom => Dialect::A,
            Self::TvRegister | Self::TvGetInfo | Self::ConnectToTv => Dialect::B,
        }
    }

    /// The event's name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TvInit => "TV_INIT",
            Self::TvRegister => "TV_REGISTER",
            Self::TvGetInfo => "TV_GETINFO",
            Self::JoinRoom => "JOIN_ROOM",
            Self::ConnectToTv => "CONNECT_TO_TV",
        }
    }

    /// Whether the answer comes with ICE servers: in the answer itself, or as an unasked `CONFIG_FEEDBACK`.
    pub const fn brings_ice_servers(self) -> bool {
        matches!(self, Self::TvGetInfo) || self.dialect().accepts_unasked_credentials()
    }
}
