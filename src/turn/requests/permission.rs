//! CreatePermission and ChannelBind (RFC 8656 §10.2, §12.2).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::request::{BAD_REQUEST, Outcome, PEER_ADDRESS_FAMILY_MISMATCH, Refusal, Request};
use crate::limits::ip_prefix::canonical;
use crate::turn::allocation::Allocation;
use crate::turn::codec::attribute::{self, AddressFamily};
use crate::turn::codec::framing::ChannelNumber;
use crate::turn::engine::Engine;
use crate::turn::five_tuple::PeerTransport;
use crate::turn::ids::AllocationId;
use crate::turn::refusal::RefusalReason;

/// RFC 8656 §9.
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// RFC 8656 §12.
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

impl Engine {
    /// RFC 8656 §10.2. Installs permissions for all peers of the request, or for none.
    pub(super) fn create_permission(&mut self, request: &Request<'_>) -> Outcome {
        let (id, allocation) = self.allocation_of(request)?;
        let (mut peers, mut new) = (0, 0);
        for peer in peers_of(request) {
            // §10.2: 400 for a malformed address, then 443 and 403.
            let peer = peer?;
            check_family(allocation, AddressFamily::of(peer.ip()))?;
            if !self.admits_permission(peer, allocation) {
                return Err(Refusal::Error(RefusalReason::DeniedPeer(peer)));
            }
            peers += 1;
            new += usize::from(!allocation.peers.permits(peer.ip(), request.now));
        }
        // §10.2: at least one XOR-PEER-ADDRESS is required.
        if peers == 0 {
            return Err(BAD_REQUEST);
        }
        self.charge_new_permissions(id, new, request)?;
        let allocation = self.allocations.allocation_mut(id).ok_or(BAD_REQUEST)?;
        for peer in peers_of(request).flatten() {
            allocation.peers.permit(peer.ip(), request.now + PERMISSION_LIFETIME);
        }
        allocation.publish();
        self.allocations.reschedule(id, false);
        Ok(self.success(request))
    }

    /// RFC 8656 §12.2.
    pub(super) fn channel_bind(&mut self, request: &Request<'_>) -> Outcome {
        let (id, allocation) = self.allocation_of(request)?;
        // RFC 6062 §5.4: the data of a TCP allocation has connections of its own, so there is nothing to bind a channel to.
        if allocation.transport == PeerTransport::Tcp {
            return Err(BAD_REQUEST);
        }
        // §12.2: both attributes are required, and the channel number must be in the range.
        let channel = match request.message.find(attribute::CHANNEL_NUMBER) {
            Some([high, low, _, _]) => ChannelNumber::new(u16::from_be_bytes([*high, *low])).ok_or(BAD_REQUEST)?,
            Some(_) | None => return Err(BAD_REQUEST),
        };
        let peer = peers_of(request).next().unwrap_or(Err(BAD_REQUEST))?;
        // §12.2: 443, then 403.
        check_family(allocation, AddressFamily::of(peer.ip()))?;
        if !allocation.may_name(peer.ip()) || !self.admits(peer, allocation.scope, PeerTransport::Udp) {
            return Err(Refusal::Error(RefusalReason::DeniedPeer(peer)));
        }
        // §12.2: neither the channel nor the peer may be bound to another one.
        let bound = allocation.peers.may_bind(channel, peer, request.now).map_err(|_| BAD_REQUEST)?;
        if !bound && allocation.peers.channels() >= self.settings.limits.channels {
            return Err(Refusal::Error(RefusalReason::TooManyChannels));
        }
        let new = usize::from(!allocation.peers.permits(peer.ip(), request.now));
        self.charge_new_permissions(id, new, request)?;
        if let Some(owner) = self.owner_of(peer) {
            self.add_contact(id, peer, owner);
        }
        let allocation = self.allocations.allocation_mut(id).ok_or(BAD_REQUEST)?;
        // §12.2: a channel installs or refreshes the permission too. It lives as long as the channel: see the decisions in `turn`.
        let expires = request.now + CHANNEL_LIFETIME;
        allocation.peers.permit(peer.ip(), expires);
        allocation.peers.bind(channel, peer, expires);
        allocation.publish();
        self.allocations.reschedule(id, false);
        Ok(self.success(request))
    }

    fn charge_new_permissions(&mut self, id: AllocationId, new: usize, request: &Request<'_>) -> Result<(), Refusal> {
        let allocation = self.allocations.allocation(id).ok_or(BAD_REQUEST)?;
        if new > 0 && allocation.peers.permissions() + new > self.settings.limits.permissions {
            return Err(Refusal::Error(RefusalReason::TooManyPermissions));
        }
        self.charge_new_peers(id, new, request)
    }

    /// Limits the rate of new peers, so that nobody can scan a network through this server.
    pub(super) fn charge_new_peers(&mut self, id: AllocationId, new: usize, request: &Request<'_>) -> Result<(), Refusal> {
        match self.may_name_new_peers(id, new as u64, request.now) {
            true => Ok(()),
            false => Err(Refusal::Error(RefusalReason::TooManyNewPeers)),
        }
    }

    /// Whether the client may name so many new peers now; counts them.
    pub(in crate::turn) fn may_name_new_peers(&mut self, id: AllocationId, new: u64, now: Instant) -> bool {
        let now = self.shared.nanos(now);
        let Some(allocation) = self.allocations.allocation_mut(id) else { return false };
        self.new_peers.is_none_or(|limit| limit.take(&mut allocation.new_peers, new, now))
    }
}

/// Every XOR-PEER-ADDRESS, in its canonical form.
pub(super) fn peers_of(request: &Request<'_>) -> impl Iterator<Item = Result<SocketAddr, Refusal>> {
    let transaction = request.message.transaction();
    let values = request.message.attributes().filter(|(kind, _)| *kind == attribute::XOR_PEER_ADDRESS);
    values.map(move |(_, value)| attribute::xor_address(value, &transaction).map(canonical).ok_or(BAD_REQUEST))
}

/// Refuses a peer of a family in which the allocation has no relayed transport address: 443 (RFC 8656 §10.2, §12.2).
pub(super) fn check_family(allocation: &Allocation, family: AddressFamily) -> Result<(), Refusal> {
    if allocation.relayed(family).is_some() { Ok(()) } else { Err(PEER_ADDRESS_FAMILY_MISMATCH) }
}
