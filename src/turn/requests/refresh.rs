//! Refresh (RFC 8656 §8.2), and moving an allocation with it (RFC 8016 §3.2.2).

use std::time::Instant;

use super::lifetime::{granted_lifetime, requested_lifetime, seconds_until};
use super::request::{
    ALLOCATION_MISMATCH, BAD_REQUEST, KeySource, MOBILITY_FORBIDDEN, Outcome, PEER_ADDRESS_FAMILY_MISMATCH, Refusal, Request,
    WRONG_CREDENTIALS,
};
use crate::turn::codec::attribute::{self, AddressFamily};
use crate::turn::engine::Engine;
use crate::turn::ids::{AllocationId, RelayedAddressId};
use crate::turn::mobility::{MobilityTicket, TICKET_LEN};
use crate::turn::refusal::RefusalReason;
use crate::turn::verdict::{Output, Verdict};

impl Engine {
    pub(super) fn refresh(&mut self, request: &Request<'_>) -> Outcome {
        // RFC 8016 §3.4: 405 where mobility is off.
        let ticket = request.message.find(attribute::MOBILITY_TICKET);
        if ticket.is_some() && !self.settings.mobility {
            return Err(MOBILITY_FORBIDDEN);
        }
        let requested = requested_lifetime(request)?;
        let family = match request.message.find(attribute::REQUESTED_ADDRESS_FAMILY) {
            Some([family, _, _, _]) => Some(AddressFamily::from_number(*family).ok_or(PEER_ADDRESS_FAMILY_MISMATCH)?),
            Some(_) => return Err(BAD_REQUEST),
            None => None,
        };
        let found = match (ticket, self.allocations.find(&request.from)) {
            (Some(ticket), None) => self.move_allocation(request, ticket),
            (Some(_), Some(_)) | (None, _) => self.allocation_of(request).map(|(id, _)| id),
        };
        // RFC 8656 §8.3: the client of a lifetime of zero regards 437 as success.
        let nothing_to_end = |refusal| requested == Some(0) && refusal == ALLOCATION_MISMATCH;
        let id = found.map_err(|refusal| match nothing_to_end(refusal) {
            true => Refusal::Error(RefusalReason::NothingToEnd),
            false => refusal,
        })?;
        let allocation = self.allocations.allocation(id).ok_or(ALLOCATION_MISMATCH)?;
        // RFC 8656 §8.2: 443 where the allocation has no address of the requested family.
        if family.is_some_and(|family| allocation.relayed(family).is_none()) {
            return Err(PEER_ADDRESS_FAMILY_MISMATCH);
        }
        if requested == Some(0) {
            return Ok(self.refresh_to_zero(id, family, request));
        }
        let lifetime = self.extend(id, request, requested);
        let ticket = self.ticket(id).filter(|_| ticket.is_some());
        Ok(self.success_with(request, |writer| {
            writer.number(attribute::LIFETIME, lifetime);
            if let Some(ticket) = ticket {
                writer.attribute(attribute::MOBILITY_TICKET, &ticket);
            }
        }))
    }

    /// RFC 8656 §8.2: a lifetime of zero ends the allocation, or, with REQUESTED-ADDRESS-FAMILY, one of its two families (§8.1).
    fn refresh_to_zero(&mut self, id: AllocationId, family: Option<AddressFamily>, request: &Request<'_>) -> Verdict {
        let has_other = |family: AddressFamily| {
            self.allocations.allocation(id).is_some_and(|allocation| allocation.relayed(family.other()).is_some())
        };
        match family {
            Some(family) if has_other(family) => {
                self.close_relayed_address(RelayedAddressId { allocation: id, family }, request.now);
            }
            Some(_) | None => self.end(id),
        }
        self.success_with(request, |writer| {
            writer.number(attribute::LIFETIME, 0);
        })
    }

    /// The ticket that the client of a mobile allocation holds now, or gets next.
    pub(super) fn ticket(&self, id: AllocationId) -> Option<[u8; TICKET_LEN]> {
        let serial = self.allocations.allocation(id)?.moves?;
        Some(self.shared.tickets.issue(MobilityTicket { shard: self.shard.index, allocation: id, serial }))
    }

    /// RFC 8016 §3.2.2: moves the ticket's allocation to the request's five-tuple.
    fn move_allocation(&mut self, request: &Request<'_>, ticket: &[u8]) -> Result<AllocationId, Refusal> {
        let ticket = self.shared.tickets.read(ticket).ok_or(BAD_REQUEST)?;
        if ticket.shard != self.shard.index {
            return Err(Refusal::OtherShard(ticket.shard));
        }
        let id = ticket.allocation;
        let allocation = self.allocations.allocation_mut(id).ok_or(ALLOCATION_MISMATCH)?;
        if !request.requester.is_owner_of(allocation) {
            return Err(WRONG_CREDENTIALS);
        }
        if allocation.moves != Some(ticket.serial) || allocation.is_opening() {
            return Err(BAD_REQUEST);
        }
        allocation.moves = Some(ticket.serial.wrapping_add(1));
        let from = allocation.five_tuple;
        self.allocations.move_to(id, request.from);
        if let Some(allocation) = self.allocations.allocation(id) {
            allocation.publish();
        }
        self.outputs.push_back(Output::ClientMoved { from, to: request.from });
        Ok(id)
    }

    /// Grants a new lifetime (the "desired lifetime" of RFC 8656 §8.2) and returns it in seconds. Both families of an allocation
    /// expire together, whichever of them the request names. Credentials that were looked up replace the earlier ones.
    fn extend(&mut self, id: AllocationId, request: &Request<'_>, requested: Option<u32>) -> u32 {
        let settings = &self.settings;
        let strict = settings.strict_expiry;
        let mut expires = request.now + granted_lifetime(settings, requested);
        let Some(allocation) = self.allocations.allocation_mut(id) else { return 0 };
        if let KeySource::Lookup { expires, leased, .. } = request.requester.key_source {
            allocation.username = request.requester.username;
            allocation.signer.key = request.requester.signer.key;
            allocation.credentials_expire = expires;
            allocation.leased = leased;
        }
        if let Some(end) = allocation.credentials_expire.filter(|_| strict) {
            expires = expires.min(end);
        }
        if let Some(end) = allocation.end_of_key() {
            expires = expires.min(end);
        }
        allocation.expires = expires;
        allocation.publish();
        self.allocations.reschedule(id, false);
        seconds_until(expires, request.now)
    }

    /// Closes the relayed address of one family, with its channels and permissions (RFC 8656 §8.1); the allocation keeps the
    /// other family.
    fn close_relayed_address(&mut self, relayed: RelayedAddressId, now: Instant) {
        let Some(address) = self.allocations.remove_relayed_address(relayed) else { return };
        if let Some(allocation) = self.allocations.allocation_mut(relayed.allocation) {
            allocation.peers.sweep(now, |ip| AddressFamily::of(ip) != relayed.family);
            allocation.publish();
        }
        self.close_peer_connections(relayed, now);
        if address.socket {
            self.outputs.push_back(Output::CloseRelayedAddress { relayed });
        }
        self.shared.release_port(relayed.family, address.port);
    }
}
