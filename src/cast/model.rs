//! The inputs, outputs and refusals of the cast rooms. PURE.
//!
//! [`room`](super::room) decides with these, [`wire`](super::wire) reads and writes them, [`gateway`](super::gateway) carries them
//! between the two.
//!
//! Which error type when: the rooms refuse with [`Refusal`]; the wire turns it into a [`Failure`](super::wire::Failure), which has a code
//! for programs and also says what could not be read; [`CapacityReached`] is no refusal, since the TV waits and gets its code later.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::code::{Code, CodeAlphabet, NewCodePolicy};
use super::resume_token::Role;
use crate::socketio::gateway::client_id::ClientId;

/// Which event names and wrappings a client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `TV_INIT`, `JOIN_ROOM`, …: bare payloads.
    A,
    /// `TV_REGISTER`, `CONNECT_TO_TV`, …: wrapped payloads.
    B,
}

impl Dialect {
    /// Whether the dialect's front ends accept ICE servers that they have not asked for. The published caster of dialect B begins a new
    /// cast each time it gets some.
    pub const fn accepts_unasked_credentials(self) -> bool {
        matches!(self, Self::A)
    }
}

/// How the rooms are run.
#[derive(Debug, Clone, Copy)]
pub struct RoomsConfig {
    pub alphabet: CodeAlphabet,
    /// How long a dropped TV or caster keeps its seat.
    pub grace: Duration,
    /// Whether a second caster replaces the present one.
    pub takeover: bool,
    pub max_rooms: usize,
    /// Wrong codes that one address may try in a minute.
    pub max_wrong_codes_per_minute: u32,
    /// How long after credentials were issued fresh ones are due.
    pub credentials_refresh_interval: Duration,
    /// When TVs whose front ends understand it get a new code.
    pub new_code: NewCodePolicy,
}

/// What a TV says of itself. Its casters are told, and nothing is decided by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TvDetails {
    pub name: Option<String>,
    /// The JSON object in which the TV describes its screen, as text.
    pub screen: Option<Box<str>>,
}

/// A TV asks for a code.
#[derive(Debug, Clone, Copy)]
pub struct OpenRequest<'a> {
    pub client: ClientId,
    pub dialect: Dialect,
    /// TVs and wrong guesses are counted by this address. A TV guesses too: a live code is not given to a TV that only names it.
    pub from: IpAddr,
    /// The code that the TV had before. The TV keeps it if it can prove that, or (dialect B) if the code is free.
    pub code: Option<&'a str>,
    /// One of our resume tokens, or a device token that somebody else issued.
    pub token: Option<&'a str>,
    /// The page that reconnects still shows the picture.
    pub shows_picture: bool,
    /// A cast was running when the page lost its connection, whether or not its picture still shows.
    pub casting: bool,
    /// The front end understands that its code changes.
    pub understands_new_codes: bool,
    /// `None`: the TV says nothing of itself.
    pub details: Option<&'a Arc<TvDetails>>,
    /// The client has asked before. A token saves a TV from waiting for its turn only once a connection, or leaving and coming back would
    /// be free.
    pub asked_before: bool,
}

/// A caster asks to cast.
#[derive(Debug, Clone, Copy)]
pub struct JoinRequest<'a> {
    pub client: ClientId,
    pub dialect: Dialect,
    /// Wrong guesses are counted by this address.
    pub from: IpAddr,
    pub code: &'a str,
    pub token: Option<&'a str>,
    pub username: Option<&'a str>,
}

/// Somebody asks what a join would lead to.
#[derive(Debug, Clone, Copy)]
pub struct CheckRequest<'a> {
    pub client: ClientId,
    /// Wrong guesses are counted by this address.
    pub from: IpAddr,
    pub code: &'a str,
    pub token: Option<&'a str>,
}

/// What a join would lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeCheck {
    pub code: Code,
    pub details: Option<Arc<TvDetails>>,
    pub tv_is_away: bool,
    /// Who has the caster's seat.
    pub caster: Option<PresentCaster>,
    /// The join would replace another caster.
    pub takes_over: bool,
}

/// Who casts to the TV whose code is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentCaster {
    pub username: Option<String>,
    /// It is who asks.
    pub is_own: bool,
}

/// An offer, an answer or a candidate for the other side of a room; the payload is opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal<P> {
    Offer(P),
    Answer(P),
    Candidate(P),
}

impl<P> Signal<P> {
    pub const fn payload(&self) -> &P {
        match self {
            Self::Offer(payload) | Self::Answer(payload) | Self::Candidate(payload) => payload,
        }
    }

    pub(super) const fn is_description(&self) -> bool {
        matches!(self, Self::Offer(_) | Self::Answer(_))
    }
}

/// A client was given a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seated {
    pub code: Code,
    pub resume_token: String,
    /// The client had this seat before.
    pub resumed: bool,
}

/// What an [`OpenRequest`] led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenOutcome {
    Seated(Seated),
    /// The TV gets its code later, by [`Output::Seated`], unless it leaves.
    Waiting,
}

/// Which limit keeps a TV from getting a code now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapacityReached {
    #[error("this address has reached its limit of {most} TVs; the TV gets a code when another one leaves")]
    Address { most: usize },
    #[error("this site (an IPv6 /48) has reached its limit of {most} TVs; the TV gets a code when another one leaves")]
    Site { most: usize },
    #[error("this server has reached its limit of {most} TVs; the TV gets a code when another one leaves")]
    Server { most: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no TV shows this code; check the code on the TV")]
    UnknownCode,
    #[error("somebody else is casting to this TV")]
    RoomFull,
    #[error("too many TVs are waiting for a code; try again later")]
    TooManyTvs,
    #[error("too many requests; wait before you try again")]
    RateLimited {
        /// Until the next try is considered.
        wait: Duration,
    },
    #[error("too many wrong codes; wait before you try again")]
    TooManyAttempts {
        /// Until the next try is considered.
        wait: Duration,
    },
    #[error("not in a room; send TV_INIT or JOIN_ROOM first")]
    NotInRoom,
    #[error("no caster is connected to this TV")]
    NoCaster,
    #[error("this belongs to the other side of the room")]
    WrongRole,
    #[error("somebody is casting to this TV; ask for a new code when the cast has ended")]
    CastRunning,
    #[error("this cast was ended while its caster was away; join once more to begin a new one")]
    CastEnded,
    #[error("too many candidates wait for the other side")]
    TooManyWaiting,
    #[error("the other side is away, and the server can't queue more for it; send this again when the other side is back")]
    NoSpace,
}

/// Why a client lost its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveReason {
    Left,
    /// The client's connection dropped and the grace period is over.
    Lost,
    TakenOver,
    /// Of a caster: its TV has ended the cast.
    EndedByTv,
    /// Of a caster: an operator has ended the cast.
    EndedByOperator,
    /// The server has as many TVs as it may have, and another TV got the place.
    Evicted,
}

/// Who has ended a cast, besides its caster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ender {
    Tv,
    Operator,
}

/// Why a TV has a new code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewCodeReason {
    /// Nobody has cast with the old code for 12 hours.
    Idle,
    CastEnded,
    /// The TV, or an operator, asked for a new code.
    Asked,
}

/// What a client is told unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// To a TV that understands new codes: its code has changed.
    CodeChanged {
        code: Code,
        resume_token: String,
        reason: NewCodeReason,
    },
    /// To a TV that understands new codes: a token for the same code, whose time is the end of the cast just now.
    NewToken {
        code: Code,
        resume_token: String,
    },
    /// To a TV.
    CasterJoined {
        username: Option<String>,
        resumed: bool,
    },
    CasterAway,
    CasterLeft {
        username: Option<String>,
        reason: LeaveReason,
    },
    /// To a caster.
    TvAway,
    /// `reloaded`: the TV has lost the picture and needs a new offer.
    TvBack {
        reloaded: bool,
        details: Option<Arc<TvDetails>>,
    },
    TvLeft {
        reason: LeaveReason,
    },
    /// `by`: the name of the other caster.
    TakenOver {
        by: Option<String>,
    },
    /// To a caster: the cast was ended.
    CastEnded {
        by: Ender,
    },
    /// To a TV or a caster: another connection has proved that the seat is its own.
    Replaced,
    /// To a TV that asks for a code: why it has to wait for one.
    WaitingForPlace {
        reason: CapacityReached,
    },
    /// To a TV: another TV got its place, and this one waits for a new place.
    Evicted,
    /// To a TV or a caster of dialect A: fresh TURN credentials are due.
    Credentials,
}

/// What happens to the casts, for the log and for the reports of pages. A cast lasts from a caster's join to the end of its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CastEvent {
    Began {
        code: Code,
        caster: ClientId,
        /// `None`: the TV is away.
        tv: Option<ClientId>,
    },
    /// A client has come back to its seat by another connection.
    Returned {
        code: Code,
        role: Role,
        client: ClientId,
    },
    Ended {
        code: Code,
        reason: CastEnd,
    },
}

/// Why a cast has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CastEnd {
    Caster(LeaveReason),
    Tv(LeaveReason),
}

/// A TV with a code, and the cast to it, as an operator sees them.
#[derive(Debug, Clone, Copy)]
pub struct ListedTv<'a> {
    /// Names the TV as long as it has its seat.
    pub number: u64,
    pub code: Code,
    pub opened: Instant,
    /// `None`: the TV is away.
    pub client: Option<ClientId>,
    pub details: Option<&'a TvDetails>,
    pub understands_new_codes: bool,
    pub caster: Option<ListedCaster<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub struct ListedCaster<'a> {
    /// When the cast began.
    pub began: Instant,
    /// `None`: the caster is away.
    pub client: Option<ClientId>,
    pub username: Option<&'a str>,
}

/// Why something that an operator asks for is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OperatorRefusal {
    #[error("this TV is gone")]
    NoTv,
    #[error("nobody casts to this TV")]
    NoCast,
    #[error("somebody is casting to this TV; end the cast first")]
    CastRunning,
    #[error("this TV is away; try again when it is back")]
    TvAway,
    #[error("the front end of this TV does not understand that its code changes")]
    KeepsCode,
}

/// What the gateway has to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<P> {
    /// A TV that waited has its code, or no longer waits.
    Seated {
        to: ClientId,
        dialect: Dialect,
        result: Result<Seated, Refusal>,
    },
    Deliver {
        to: ClientId,
        dialect: Dialect,
        signal: Signal<P>,
    },
    /// What a caster says of its cast, for its TV; opaque.
    CastState {
        to: ClientId,
        state: P,
    },
    Notify {
        to: ClientId,
        dialect: Dialect,
        notice: Notice,
    },
}
