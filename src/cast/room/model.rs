//! What goes into the rooms and what comes out, and what a room and a seat are. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::places::Entry;
use crate::cast::code::{Code, CodeAlphabet, Issued, NewCode};
use crate::cast::mailbox::{Mailbox, Signal};
use crate::limits::token_bucket::TokenBucket;
use crate::socketio::client_id::ClientId;

/// Which event names and wrappings a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `TV_INIT`, `JOIN_ROOM`, …: bare payloads.
    A,
    /// `TV_REGISTER`, `CONNECT_TO_TV`, …: wrapped payloads.
    B,
}

impl Dialect {
    /// Whether its front ends take ICE servers that they have not asked for. The published caster of dialect B begins a new cast at each
    /// of them.
    pub const fn takes_credentials_unasked(self) -> bool {
        matches!(self, Self::A)
    }
}

/// How the rooms are run.
#[derive(Debug, Clone, Copy)]
pub struct RoomsConfig {
    pub alphabet: CodeAlphabet,
    /// How long a dropped TV or caster keeps its seat.
    pub grace: Duration,
    /// Whether a second caster replaces one that is there.
    pub takeover: bool,
    pub max_rooms: usize,
    /// Wrong codes that one address may try in a minute.
    pub guesses: u32,
    /// How long after credentials were issued fresh ones are due.
    pub refresh: Duration,
    /// When TVs that understand it get a new code.
    pub new_code: NewCode,
}

/// A TV that wants a code.
#[derive(Debug, Clone, Copy)]
pub struct Open<'a> {
    pub connection: ClientId,
    pub dialect: Dialect,
    /// For what is counted by address: TVs, and wrong guesses, since a code that is live is not given to whoever names it.
    pub from: IpAddr,
    /// The code it had before; kept where it can prove that, or (dialect B) where the code is free.
    pub code: Option<&'a str>,
    /// A resume token of ours, or a device token of somebody else's.
    pub token: Option<&'a str>,
    /// The page that reconnects still shows the picture.
    pub live: bool,
    /// A cast was on when the page lost its connection, whether or not its picture still shows.
    pub casting: bool,
    /// The front end understands that its code changes.
    pub announces: bool,
    /// It has asked on this connection before. A token saves a TV from waiting for its turn once a connection, or leaving and coming
    /// back would be free.
    pub again: bool,
}

/// A caster that wants to cast.
#[derive(Debug, Clone, Copy)]
pub struct Join<'a> {
    pub connection: ClientId,
    pub dialect: Dialect,
    /// For counting wrong guesses.
    pub from: IpAddr,
    pub code: &'a str,
    pub token: Option<&'a str>,
    pub username: Option<&'a str>,
}

/// A seat was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seated {
    pub code: Code,
    pub resume_token: String,
    /// It is the seat that the client had before.
    pub resumed: bool,
}

/// What comes of a TV that wants a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    Seated(Seated),
    /// It has its code later, by [`Output::Seated`], unless it leaves.
    Waits,
}

/// Why there is no place for a TV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("this address has as many TVs as it may have, {most}; the TV gets a code when one of the others goes")]
    Address { most: usize },
    #[error("this site (an IPv6 /48) has as many TVs as it may have, {most}; the TV gets a code when one of the others goes")]
    Site { most: usize },
    #[error("this server has as many TVs as it may have, {most}; the TV gets a code when one of the others goes")]
    Server { most: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no TV shows this code; check the code on the TV")]
    UnknownCode,
    #[error("somebody else is casting to this TV")]
    RoomFull,
    #[error("more TVs wait for a code than may, of this address (1000) or in all (10000); try again later")]
    TooManyTvs,
    #[error("this is asked for too often; wait before you try again")]
    TooOften {
        /// Until the next try is looked at.
        wait: Duration,
    },
    #[error("too many wrong codes; wait before you try again")]
    TooManyAttempts {
        /// Until the next try is looked at.
        wait: Duration,
    },
    #[error("not in a room; send TV_INIT or JOIN_ROOM first")]
    NotInRoom,
    #[error("no caster is there to hear this")]
    NoCaster,
    #[error("this belongs to the other side of the room")]
    WrongRole,
    #[error("somebody is casting to this TV; ask for a new code when the cast has ended")]
    CastRunning,
    #[error("too many candidates wait for the other side")]
    TooManyWaiting,
    #[error("the other side is away, and as much waits on this server as may; send this again when the other side is back")]
    NoSpace,
}

/// Why somebody is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    Left,
    /// Its connection dropped and the grace period is over.
    Lost,
    TakenOver,
    /// The server has as many TVs as it may have, and another one got the place.
    Evicted,
}

/// Why a TV has a new code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewCodeReason {
    /// Nobody has cast with the old one for long.
    Idle,
    CastEnded,
    /// The TV asked for it.
    Asked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// To a TV that understands it: its code is another one from now on.
    CodeChanged {
        code: Code,
        resume_token: String,
        reason: NewCodeReason,
    },
    /// To the same: a token for the same code, which says that there was a cast just now.
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
        why: Departure,
    },
    /// To a caster.
    TvAway,
    /// `reloaded`: the TV has lost the picture and needs a new offer.
    TvBack {
        reloaded: bool,
    },
    TvLeft {
        why: Departure,
    },
    TakenOver,
    /// To either: another connection has proved that the seat is its own.
    Replaced,
    /// To a TV that wants a code: why there is none yet.
    Waits {
        why: Full,
    },
    /// To a TV: another one got its place; it waits for a new one.
    Evicted,
    /// To either side of dialect A: fresh TURN credentials are due.
    Credentials,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<P> {
    /// A TV that waited has its code, or does not wait any more.
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
    Notify {
        to: ClientId,
        dialect: Dialect,
        notice: Notice,
    },
}

/// Where a client sits; it outlives the connection by the grace period.
pub(super) struct Seat {
    pub(super) connection: Option<ClientId>,
    pub(super) dialect: Dialect,
    /// The one entry in `timers` about this seat: credentials while connected, grace while not.
    pub(super) due: Instant,
}

/// What a TV wants, read. It has no part that a client can make long.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) dialect: Dialect,
    pub(super) from: IpAddr,
    /// The code that it names.
    pub(super) code: Option<Code>,
    /// Its resume token, if that is one of ours, and what it says.
    pub(super) resume: Option<(Issued, String)>,
    /// SHA-256 of its token.
    pub(super) device: Option<[u8; 32]>,
    pub(super) live: bool,
    pub(super) casting: bool,
    pub(super) announces: bool,
    /// The code that it came for was changed, and why.
    pub(super) retired: Option<NewCodeReason>,
    /// Its resume token is so old that it protects from eviction.
    pub(super) is_old: bool,
}

impl Wish {
    /// It asks again while it waits: what it names now counts, and what it named before where it names nothing.
    pub(super) fn update(&mut self, wish: Self) {
        *self = Self {
            code: wish.code.or(self.code),
            resume: wish.resume.or_else(|| self.resume.take()),
            device: wish.device.or(self.device),
            is_old: wish.is_old || self.is_old,
            casting: wish.casting || self.casting,
            announces: wish.announces || self.announces,
            retired: wish.retired.or(self.retired),
            from: self.from,
            ..wish
        };
    }

    /// The code that it wants.
    pub(super) fn claim(&self) -> Option<Code> {
        self.resume.as_ref().map(|(issued, _)| issued.code).or(self.code)
    }
}

pub(super) struct Room<P> {
    pub(super) tv: Seat,
    pub(super) tv_token: String,
    /// The token that the TV came with, where `tv_token` was sent after that and may have been lost.
    pub(super) shown_token: Option<String>,
    /// From when on the token protects the TV from eviction.
    pub(super) old_from: Instant,
    pub(super) entry: Entry,
    /// How often the TV may come back or ask again.
    pub(super) tv_moves: TokenBucket,
    /// The same for casters that prove that they know the code; others are counted by their address.
    pub(super) caster_moves: TokenBucket,
    /// SHA-256 of the device token that the TV came with.
    pub(super) device: Option<[u8; 32]>,
    /// The TV named this free code without any proof, so whoever has a proof takes it back.
    pub(super) claimed: bool,
    /// When the TV first got a code, in Unix seconds.
    pub(super) since: u64,
    /// The TV's front end understands that its code changes.
    pub(super) announces: bool,
    /// When the code changes, unless something keeps it then.
    pub(super) change_due: Option<Instant>,
    /// The one entry in `changes` about this room: `change_due` while nothing keeps the code.
    pub(super) armed: Option<Instant>,
    /// When the TV may ask for a new code again.
    pub(super) may_ask: Option<Instant>,
    pub(super) caster: Option<Caster>,
    /// The TV may still be answering a caster that is gone: what it says is not for the present one before its offer.
    pub(super) answering_another: bool,
    /// The TV has been reloaded while the caster was away.
    pub(super) reloaded: bool,
    pub(super) to_tv: Mailbox<P>,
    pub(super) to_caster: Mailbox<P>,
}

impl<P> Room<P> {
    /// Whether `token` is one that this room's TV was given.
    pub(super) fn knows_token(&self, token: &str) -> bool {
        self.tv_token == token || self.shown_token.as_deref() == Some(token)
    }
}

pub(super) struct Caster {
    pub(super) seat: Seat,
    pub(super) token: String,
    pub(super) username: Option<String>,
}
