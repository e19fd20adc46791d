//! What the rooms keep about one room, its TV and its caster. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::capacity::CapacityEntry;
use super::signal_buffer::SignalBuffer;
use crate::cast::code::Code;
use crate::cast::model::{Dialect, Ender, NewCodeReason, TvDetails};
use crate::cast::resume_token::Issued;
use crate::limits::token_bucket::TokenBucket;
use crate::socketio::gateway::client_id::ClientId;

/// How often a TV may come back or ask again, and casters may join with a proof: so many times in a row, and once more each interval.
/// Both sides of the room are told each time.
const MAX_REJOINS_IN_A_ROW: u32 = 20;
const REJOIN_INTERVAL: Duration = Duration::from_secs(1);

/// A client's seat, which outlives the client's connection by the grace period.
pub(super) struct Seat {
    pub(super) client: Option<ClientId>,
    pub(super) dialect: Dialect,
    /// The time of the one entry in `timers` about this seat: fresh credentials while connected, the end of the grace period while not.
    pub(super) due: Instant,
}

/// An `OpenRequest` whose code is parsed and whose token is verified. No part of it but `details` can be made long by a client.
#[derive(Debug, Clone)]
pub(super) struct VerifiedOpen {
    pub(super) dialect: Dialect,
    pub(super) from: IpAddr,
    /// The code that the TV names.
    pub(super) code: Option<Code>,
    /// The resume token, if it is one of ours, and what it says.
    pub(super) resume: Option<(Issued, String)>,
    /// SHA-256 of the token.
    pub(super) device: Option<[u8; 32]>,
    pub(super) shows_picture: bool,
    pub(super) casting: bool,
    pub(super) understands_new_codes: bool,
    pub(super) details: Option<Arc<TvDetails>>,
    /// Why the code that the TV wants was changed, if it was.
    pub(super) retired: Option<NewCodeReason>,
    /// The resume token is old enough to protect the TV from eviction.
    pub(super) is_established: bool,
}

impl VerifiedOpen {
    /// The TV asks again while it waits: the newer request counts, and the older one where the newer names nothing.
    pub(super) fn update(&mut self, newer: Self) {
        *self = Self {
            code: newer.code.or(self.code),
            resume: newer.resume.or_else(|| self.resume.take()),
            device: newer.device.or(self.device),
            is_established: newer.is_established || self.is_established,
            casting: newer.casting || self.casting,
            understands_new_codes: newer.understands_new_codes || self.understands_new_codes,
            retired: newer.retired.or(self.retired),
            from: self.from,
            ..newer
        };
    }

    /// The code that the TV wants: the token's before the one that it names.
    pub(super) fn wanted_code(&self) -> Option<Code> {
        self.resume.as_ref().map(|(issued, _)| issued.code).or(self.code)
    }
}

pub(super) struct Room<P> {
    pub(super) tv: Seat,
    pub(super) tv_token: String,
    /// The token that the TV came with, where `tv_token` is newer and may not have reached the TV.
    pub(super) previous_tv_token: Option<String>,
    /// The wall clock was set after `tv_token` was made.
    pub(super) token_is_outdated: bool,
    /// From when on the token protects the TV from eviction.
    pub(super) established_at: Instant,
    pub(super) capacity_entry: CapacityEntry,
    pub(super) number: u64,
    /// When this room was opened.
    pub(super) opened: Instant,
    /// Limits how often the TV comes back or asks again.
    pub(super) tv_rejoins: TokenBucket,
    /// The same for casters that prove that they know the code; other casters are counted by their address.
    pub(super) caster_rejoins: TokenBucket,
    /// SHA-256 of the device token that the TV came with.
    pub(super) device: Option<[u8; 32]>,
    /// What the TV said of itself when it last asked for its code.
    pub(super) details: Option<Arc<TvDetails>>,
    /// The TV named this free code without any proof, so a TV with a proof takes the code back.
    pub(super) claimed_without_proof: bool,
    /// When the TV first got a code, in Unix seconds.
    pub(super) since: u64,
    /// The TV's front end understands that its code changes.
    pub(super) understands_new_codes: bool,
    /// When the code changes, unless something prevents the change at that time.
    pub(super) change_due: Option<Instant>,
    /// The time of the one entry in `code_changes` about this room: `change_due` while nothing prevents the change.
    pub(super) scheduled_change: Option<Instant>,
    /// When the TV may ask for a new code again.
    pub(super) next_request_at: Option<Instant>,
    pub(super) caster: Option<Caster>,
    /// The cast that was ended last, by the TV or an operator, until somebody casts again.
    pub(super) ended: Option<EndedCast>,
    /// The TV may still be answering the previous caster: its signals are not for the present one before the present one's offer.
    pub(super) answers_previous_caster: bool,
    /// The TV has been reloaded while the caster was away.
    pub(super) reloaded: bool,
    pub(super) to_tv: SignalBuffer<P>,
    pub(super) to_caster: SignalBuffer<P>,
}

impl<P> Room<P> {
    /// Whether `token` is one that this room's TV was given.
    pub(super) fn knows_token(&self, token: &str) -> bool {
        self.tv_token == token || self.previous_tv_token.as_deref() == Some(token)
    }
}

pub(super) struct Caster {
    pub(super) seat: Seat,
    pub(super) token: String,
    pub(super) username: Option<String>,
    /// When the cast began, however often its caster has come back.
    pub(super) began: Instant,
}

/// A cast that its TV or an operator has ended.
pub(super) struct EndedCast {
    pub(super) by: Ender,
    /// The caster's resume token.
    pub(super) token: String,
    /// The connection by which the caster was told. Another one comes from a caster that was away, or seemed to be there.
    pub(super) told: Option<ClientId>,
}

/// A full allowance of rejoins.
pub(super) const fn rejoin_bucket() -> TokenBucket {
    TokenBucket::new(MAX_REJOINS_IN_A_ROW, REJOIN_INTERVAL)
}
