//! An authenticated request, and the reasons to refuse one.

use std::net::SocketAddr;
use std::time::Instant;

use crate::turn::allocation::{Allocation, Signer};
use crate::turn::codec::message::{StunMessage, UnknownAttributes};
use crate::turn::credentials::Scope;
use crate::turn::five_tuple::FiveTuple;
use crate::turn::refusal::RefusalReason;
use crate::turn::verdict::{DropReason, Verdict};

/// An authenticated request.
pub(super) struct Request<'a> {
    pub(super) from: FiveTuple,
    pub(super) message: &'a StunMessage<'a>,
    pub(super) now: Instant,
    pub(super) requester: Requester,
}

/// A client that has proved to know a key.
pub(super) struct Requester {
    pub(super) signer: Signer,
    /// The tag of the username.
    pub(super) username: u64,
    pub(super) key_source: KeySource,
}

/// Where the key of a request comes from.
pub(super) enum KeySource {
    /// The key is that of the allocation on the request's five-tuple.
    Allocation,
    /// The key was looked up for this user.
    Lookup { user: String, scope: Scope, expires: Option<Instant>, leased: bool, group: Option<u64> },
}

impl Requester {
    pub(super) fn is_owner_of(&self, allocation: &Allocation) -> bool {
        match &self.key_source {
            KeySource::Allocation => self.username == allocation.username,
            KeySource::Lookup { user, scope, .. } => {
                **user == *allocation.user.identity.name && *scope == allocation.user.identity.scope
            }
        }
    }
}

/// The result of a handler. A refusal becomes an error response, a drop, or a handover to another engine.
pub(super) type Outcome = Result<Verdict, Refusal>;

/// Why a request is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request gets no answer.
    Silent(DropReason),
    /// An error response with the code of the reason.
    Error(RefusalReason),
    /// 420 with UNKNOWN-ATTRIBUTES.
    UnknownAttributes(UnknownAttributes),
    /// 300 with ALTERNATE-SERVER.
    AlternateServer(SocketAddr),
    /// The request belongs to another engine.
    OtherShard(u8),
}

pub(super) const BAD_REQUEST: Refusal = Refusal::Error(RefusalReason::BadRequest);
pub(super) const UNAUTHENTICATED: Refusal = Refusal::Error(RefusalReason::NoCredentials);
pub(super) const MOBILITY_FORBIDDEN: Refusal = Refusal::Error(RefusalReason::MobilityOff);
pub(super) const ALLOCATION_MISMATCH: Refusal = Refusal::Error(RefusalReason::NoAllocation);
pub(super) const STALE_NONCE: Refusal = Refusal::Error(RefusalReason::StaleNonce);
pub(super) const ADDRESS_FAMILY_NOT_SUPPORTED: Refusal = Refusal::Error(RefusalReason::UnknownFamily);
pub(super) const WRONG_CREDENTIALS: Refusal = Refusal::Error(RefusalReason::OtherUser);
pub(super) const PEER_ADDRESS_FAMILY_MISMATCH: Refusal = Refusal::Error(RefusalReason::PeerFamily);
