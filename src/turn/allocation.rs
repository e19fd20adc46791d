//! One allocation (RFC 8656 §6).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::codec::attribute::AddressFamily;
use super::codec::error_code::ErrorCode;
use super::codec::header::TransactionId;
use super::codec::integrity::{IntegrityAlgorithm, LongTermKey};
use super::credentials::Scope;
use super::delivery::{Delivery, Route};
use super::five_tuple::{FiveTuple, PeerTransport};
use super::ids::PeerConnectionId;
use super::peers::Peers;
use super::ports::PortRequirement;
use super::shared::ReservationToken;
use super::stranger_table::StrangerPlace;
use super::user_usage::UserUsage;

/// How answers to a client are protected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signer {
    pub(super) key: LongTermKey,
    pub(super) integrity: IntegrityAlgorithm,
    /// The client sent FINGERPRINT, so answers carry it too.
    pub(super) fingerprint: bool,
}

/// One relayed transport address.
#[derive(Debug, Clone, Copy)]
pub(super) struct RelayedAddress {
    /// The address that the client was told. It stays the same for the life of the allocation.
    pub(super) advertised: IpAddr,
    pub(super) port: u16,
    /// The shell has opened the socket of this address.
    pub(super) live: bool,
    /// How often the shell was asked for a socket, less one.
    pub(super) tries: u8,
    pub(super) requirement: PortRequirement,
    /// The port was claimed with a RESERVATION-TOKEN, so that no other port will do.
    pub(super) reserved: bool,
    /// The address has a socket. Without one it is internal: it exchanges data with other relayed addresses of this server alone.
    pub(super) socket: bool,
}

#[derive(Debug)]
pub(super) struct Allocation {
    /// Different for each allocation of all engines ([`super::SharedState`]).
    pub(super) number: u64,
    pub(super) since: Instant,
    pub(super) five_tuple: FiveTuple,
    pub(super) user: Arc<UserUsage>,
    /// Where the user is of [`Scope::Clients`].
    pub(super) stranger: Option<StrangerPlace>,
    /// The peers that the allocation reaches. A setting may make it differ from the scope of the user.
    pub(super) scope: Scope,
    /// The tag ([`super::SharedState`]) of the username that authenticated last.
    pub(super) username: u64,
    pub(super) signer: Signer,
    pub(super) credentials_expire: Option<Instant>,
    /// The credentials are those of a connected client ([`super::UserKeys::leased`]).
    pub(super) leased: bool,
    /// Where the user is not of [`Scope::Anyone`]: until then a request that is signed with the key of the allocation is accepted
    /// although its credentials have expired.
    pub(super) key_expires: Instant,
    pub(super) expires: Instant,
    /// The transaction of the Allocate, so that a retransmission gets the identical reply.
    pub(super) transaction: TransactionId,
    /// The LIFETIME of that reply.
    pub(super) lifetime: u32,
    pub(super) token: Option<ReservationToken>,
    pub(super) address_error: Option<(AddressFamily, ErrorCode)>,
    pub(super) transport: PeerTransport,
    pub(super) relayed: [Option<RelayedAddress>; 2],
    /// How often a mobile allocation has moved.
    pub(super) moves: Option<u32>,
    /// The bucket of [`super::rate_limit::RateLimit`] for new permissions.
    pub(super) new_peers: u64,
    /// What other engines see of the allocation.
    pub(super) delivery: Arc<Delivery>,
    pub(super) peers: Peers,
    pub(super) peer_connections: Vec<PeerConnectionId>,
}

impl Allocation {
    /// A relayed socket is still being opened, so that the Allocate is not answered yet.
    pub(super) fn is_opening(&self) -> bool {
        self.relayed.iter().flatten().any(|relayed| !relayed.live)
    }

    /// The relayed transport address as the client and its peers know it.
    pub(super) fn relayed_address(&self, family: AddressFamily) -> Option<SocketAddr> {
        self.relayed(family).filter(|relayed| relayed.live).map(|relayed| SocketAddr::new(relayed.advertised, relayed.port))
    }

    pub(super) fn relayed(&self, family: AddressFamily) -> Option<&RelayedAddress> {
        self.relayed[family.index()].as_ref()
    }

    /// Whether its scope lets the client name this address as a peer; what the policy says comes on top.
    pub(super) fn may_name(&self, peer: IpAddr) -> bool {
        self.scope != Scope::OwnAddress || peer.to_canonical() == self.five_tuple.client.ip().to_canonical()
    }

    /// When an allocation of a stranger, or of [`Scope::OwnAddress`], ends that is refreshed with nothing but its key; `None`: it has no
    /// end.
    pub(super) fn end_of_key(&self) -> Option<Instant> {
        let expire = self.credentials_expire.filter(|_| self.user.identity.scope != Scope::Anyone)?;
        Some(self.key_expires.max(expire))
    }

    /// Lets other engines know what they may deliver to the client. To be called after each change of the peers, the lifetime and
    /// the client's address.
    pub(super) fn publish(&self) {
        let senders = self.peers.senders();
        let is_new = senders.is_empty() && self.delivery.group.is_some();
        let group = if is_new { self.peers.permitted() } else { Vec::new() };
        let is_open = !senders.is_empty() || !group.is_empty();
        let route = Route { to: self.five_tuple, expires: self.expires, senders, group };
        self.delivery.publish(Some(route).filter(|_| is_open));
    }

    /// When the allocation, or the first of its permissions and channels, expires.
    pub(super) fn next_expiry(&self) -> Instant {
        self.peers.next_expiry().map_or(self.expires, |at| at.min(self.expires))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_allocation_is_small() {
        assert!(size_of::<Allocation>() <= 448, "{}", size_of::<Allocation>());
    }
}
