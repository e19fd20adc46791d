//! Refresh (RFC 8656 §8.2), and moving with it (RFC 8016 §3.2).

use std::time::Instant;

use super::super::codec::attribute::{self, AddressFamily};
use super::super::engine::{Engine, granted};
use super::super::five_tuple::{AllocationId, RelayedAddressId};
use super::super::mobility::MobilityTicket;
use super::super::verdict::Output;
use super::authenticate::KeySource;
use super::{
    ALLOCATION_MISMATCH, BAD_REQUEST, MOBILITY_FORBIDDEN, Outcome, PEER_ADDRESS_FAMILY_MISMATCH, Refusal, Request,
    WRONG_CREDENTIALS,
};

impl Engine {
    pub(super) fn refresh(&mut self, request: &Request<'_>) -> Outcome {
        let ticket = request.message.find(attribute::MOBILITY_TICKET);
        if ticket.is_some() && !self.settings.mobility {
            return Err(MOBILITY_FORBIDDEN);
        }
        let wish = lifetime_of(request)?;
        let family = match request.message.find(attribute::REQUESTED_ADDRESS_FAMILY) {
            Some([family, _, _, _]) => Some(AddressFamily::from_number(*family).ok_or(PEER_ADDRESS_FAMILY_MISMATCH)?),
            Some(_) => return Err(BAD_REQUEST),
            None => None,
        };
        let (id, moved) = match (ticket, self.allocations.find(&request.from)) {
            (Some(ticket), None) => (self.moved(request, ticket)?, true),
            (Some(_), Some(_)) => (self.allocation_of(request)?.0, true),
            (None, _) => (self.allocation_of(request)?.0, false),
        };
        let allocation = self.allocations.allocation(id).ok_or(ALLOCATION_MISMATCH)?;
        if family.is_some_and(|family| allocation.relayed(family).is_none()) {
            return Err(PEER_ADDRESS_FAMILY_MISMATCH);
        }
        if wish == Some(0) {
            match family {
                Some(family) if allocation.relayed(family.other()).is_some() => {
                    self.close_relay(RelayedAddressId { allocation: id, family }, request.now)
                }
                Some(_) | None => self.end(id),
            }
            return Ok(self.success_with(request, |writer| {
                writer.number(attribute::LIFETIME, 0);
            }));
        }
        let lifetime = self.extend(id, request, wish);
        let ticket = self.ticket(id).filter(|_| moved);
        Ok(self.success_with(request, |writer| {
            writer.number(attribute::LIFETIME, lifetime);
            if let Some(ticket) = ticket {
                writer.attribute(attribute::MOBILITY_TICKET, &ticket);
            }
        }))
    }

    /// The ticket that the client holds, or should hold next.
    pub(super) fn ticket(&self, id: AllocationId) -> Option<[u8; super::super::mobility::LEN]> {
        let serial = self.allocations.allocation(id)?.moves?;
        Some(self.shared.tickets.issue(MobilityTicket { shard: self.shard.index, allocation: id, serial }))
    }

    /// Brings the ticket's allocation to the request's five-tuple.
    fn moved(&mut self, request: &Request<'_>, ticket: &[u8]) -> Result<AllocationId, Refusal> {
        let ticket = self.shared.tickets.read(ticket).ok_or(BAD_REQUEST)?;
        if ticket.shard != self.shard.index {
            return Err(Refusal::ShardSettings(ticket.shard));
        }
        let id = ticket.allocation;
        let allocation = self.allocations.allocation_mut(id).ok_or(ALLOCATION_MISMATCH)?;
        if !request.requester.is(allocation) {
            return Err(WRONG_CREDENTIALS);
        }
        if allocation.moves != Some(ticket.serial) || allocation.is_opening() {
            return Err(BAD_REQUEST);
        }
        allocation.moves = Some(ticket.serial.wrapping_add(1));
        let from = allocation.five_tuple;
        self.allocations.move_to(id, request.from);
        self.outputs.push_back(Output::ClientMoved { from, to: request.from });
        Ok(id)
    }

    /// Grants a new lifetime, and takes over credentials that replace the earlier ones.
    fn extend(&mut self, id: AllocationId, request: &Request<'_>, wish: Option<u32>) -> u32 {
        let settings = &self.settings;
        let strict = settings.strict_expiry;
        let mut expires = request.now + granted(settings, wish);
        let Some(allocation) = self.allocations.allocation_mut(id) else { return 0 };
        if let KeySource::UserKeys { expires, .. } = request.requester.proof {
            allocation.username = request.requester.username;
            allocation.signer.key = request.requester.signer.key;
            allocation.credentials_expire = expires;
        }
        if let Some(end) = allocation.credentials_expire.filter(|_| strict) {
            expires = expires.min(end);
        }
        allocation.expires = expires;
        self.allocations.reschedule(id, false);
        seconds_until(expires, request.now)
    }

    fn close_relay(&mut self, relay: RelayedAddressId, now: Instant) {
        let Some(relayed) = self.allocations.remove_relay(relay) else { return };
        if let Some(allocation) = self.allocations.allocation_mut(relay.allocation) {
            let (outputs, keep) = (&mut self.outputs, relay.family.other());
            allocation.peers.sweep(
                now,
                |ip| AddressFamily::of(ip) == keep,
                |channel, peer| outputs.push_back(Output::ChannelUnbound { relayed: relay, channel, peer }),
            );
        }
        self.close_connections(relay, now);
        self.outputs.push_back(Output::CloseRelayedAddress { relayed: relay });
        self.shared.ports.release(relay.family, relayed.port);
    }
}

/// LIFETIME, where it is there.
pub(super) fn lifetime_of(request: &Request<'_>) -> Result<Option<u32>, Refusal> {
    let lifetime = request.message.find(attribute::LIFETIME);
    lifetime.map(|value| attribute::number(value).ok_or(BAD_REQUEST)).transpose()
}

pub(super) fn seconds_until(end: Instant, now: Instant) -> u32 {
    u32::try_from(end.saturating_duration_since(now).as_secs()).unwrap_or(u32::MAX)
}
