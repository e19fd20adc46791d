//! Passes each request to the handler of its method (RFC 8489 §6.3.1).

use std::time::Instant;

use super::request::{ALLOCATION_MISMATCH, Outcome, Refusal, Request, WRONG_CREDENTIALS};
use crate::limits::ip_prefix::canonical;
use crate::turn::allocation::Allocation;
use crate::turn::codec::attribute;
use crate::turn::codec::header::Method;
use crate::turn::codec::message::StunMessage;
use crate::turn::engine::Engine;
use crate::turn::five_tuple::{FiveTuple, Transport};
use crate::turn::ids::AllocationId;
use crate::turn::ports::PortOwner;
use crate::turn::refusal::RefusalReason;
use crate::turn::verdict::{DropReason, Verdict};

/// A shorter datagram is never answered, unless it is a Binding request: the answer would amplify it.
const MIN_ANSWERED_BYTES: usize = 28;

impl Engine {
    pub(in crate::turn) fn request(&mut self, from: FiveTuple, message: &StunMessage<'_>, now: Instant) -> Verdict {
        // The handlers must not find anything that has expired.
        self.handle_timeout(now);
        // An internal relayed address sends nothing here: the client is a program of this machine with the same port.
        let is_relayed = self.owner_of(canonical(from.client)).is_some_and(PortOwner::has_socket);
        if from.transport == Transport::Udp && is_relayed {
            return Verdict::Drop(DropReason::Loop);
        }
        match message.method() {
            Method::Binding => return self.binding(from, message, now),
            Method::Allocate | Method::Refresh | Method::CreatePermission | Method::ChannelBind => {}
            Method::Connect | Method::ConnectionBind if self.settings.tcp_relay => {}
            Method::Connect
            | Method::ConnectionBind
            | Method::ConnectionAttempt
            | Method::Send
            | Method::Data
            | Method::Unknown(_) => return Verdict::Drop(DropReason::UnsupportedMethod),
        }
        if message.bytes().len() < MIN_ANSWERED_BYTES && !from.transport.is_stream() {
            return Verdict::Drop(DropReason::Bare);
        }
        let requester = match self.authenticate(&from, message, now) {
            Ok(requester) => requester,
            Err(refusal) => return self.refuse_unauthenticated(from, message, refusal, now),
        };
        self.shared.note_authenticated(from.client.ip(), now);
        let signer = requester.signer;
        let request = Request { from, message, now, requester };
        // RFC 8489 §6.3.1: 420 for unknown comprehension-required attributes, after the authentication.
        let outcome = match message.unknown_attributes(|kind| self.knows(kind)) {
            unknown if !unknown.is_empty() => Err(Refusal::UnknownAttributes(unknown)),
            _ => self.perform(&request),
        };
        outcome.unwrap_or_else(|refusal| self.refuse(from, message, &signer, refusal))
    }

    fn perform(&mut self, request: &Request<'_>) -> Outcome {
        match request.message.method() {
            Method::Allocate => self.allocate(request),
            Method::Refresh => self.refresh(request),
            Method::CreatePermission => self.create_permission(request),
            Method::ChannelBind => self.channel_bind(request),
            Method::Connect => self.connect_request(request),
            Method::ConnectionBind => self.connection_bind(request),
            Method::Binding | Method::Send | Method::Data | Method::ConnectionAttempt | Method::Unknown(_) => {
                Err(Refusal::Silent(DropReason::UnsupportedMethod))
            }
        }
    }

    /// The allocation on the request's five-tuple, where it belongs to the requester (RFC 8656 §5: 437 and 441 otherwise).
    pub(super) fn allocation_of(&self, request: &Request<'_>) -> Result<(AllocationId, &Allocation), Refusal> {
        let id = self.allocations.find(&request.from).ok_or(ALLOCATION_MISMATCH)?;
        let allocation = self.allocations.allocation(id).ok_or(ALLOCATION_MISMATCH)?;
        if !request.requester.is_owner_of(allocation) {
            return Err(WRONG_CREDENTIALS);
        }
        if allocation.is_opening() {
            return Err(Refusal::Error(RefusalReason::Opening));
        }
        Ok((id, allocation))
    }

    /// Whether this engine, as it is configured, understands a comprehension-required attribute.
    pub(in crate::turn) fn knows(&self, kind: u16) -> bool {
        match kind {
            attribute::DONT_FRAGMENT => self.settings.dont_fragment,
            attribute::CHANGE_REQUEST => !self.settings.nat_discovery.is_empty(),
            attribute::CONNECTION_ID => self.settings.tcp_relay,
            attribute::MAPPED_ADDRESS
            | attribute::USERNAME
            | attribute::MESSAGE_INTEGRITY
            | attribute::ERROR_CODE
            | attribute::UNKNOWN_ATTRIBUTES
            | attribute::CHANNEL_NUMBER
            | attribute::LIFETIME
            | attribute::XOR_PEER_ADDRESS
            | attribute::DATA
            | attribute::REALM
            | attribute::NONCE
            | attribute::XOR_RELAYED_ADDRESS
            | attribute::REQUESTED_ADDRESS_FAMILY
            | attribute::EVEN_PORT
            | attribute::REQUESTED_TRANSPORT
            | attribute::MESSAGE_INTEGRITY_SHA256
            | attribute::PASSWORD_ALGORITHM
            | attribute::USERHASH
            | attribute::XOR_MAPPED_ADDRESS
            | attribute::RESERVATION_TOKEN => true,
            _ => false,
        }
    }
}
