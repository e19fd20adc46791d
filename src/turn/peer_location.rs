//! Decides which peers a client may name, and under which address a client knows a peer that is itself a relayed address of this
//! server.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::codec::attribute::AddressFamily;
use super::engine::Engine;
use super::five_tuple::PeerTransport;
use super::ids::RelayedAddressId;

/// The owner of a peer's address at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerLocation {
    /// Another machine, or an address of this machine that the policy allows explicitly.
    Outside,
    /// A live relayed address of this server that carries UDP.
    OwnRelayedAddress(AddressFamily),
    /// An address of this machine that is not a live relayed address.
    OwnAddress,
}

impl Engine {
    pub(super) fn locate_peer(&self, peer: SocketAddr) -> PeerLocation {
        let family = AddressFamily::of(peer.ip());
        let relays_here = self.settings.relayed_ip(family).is_some_and(|relayed| relayed.is(peer.ip()));
        let former = self.settings.former_addresses.contains(&peer.ip());
        if (relays_here || former) && self.shared.ports.is_live(family, peer.port()) {
            return PeerLocation::OwnRelayedAddress(family);
        }
        let open = if relays_here || self.settings.own_addresses.contains(&peer.ip()) {
            self.policy.allows_explicitly(peer.ip()) && !self.settings.listener_ports.contains(&peer.port())
        } else {
            // The policy has not judged a permission for a former address, and the address may belong to somebody else now.
            !former || self.policy.permits(peer.ip())
        };
        if open { PeerLocation::Outside } else { PeerLocation::OwnAddress }
    }

    /// Whether a request may name this peer. Our relayed addresses carry UDP: a TCP listener on one of their ports is another
    /// program's.
    pub(super) fn admits(&self, peer: SocketAddr, transport: PeerTransport) -> bool {
        match self.locate_peer(peer) {
            PeerLocation::OwnRelayedAddress(_) => transport == PeerTransport::Udp,
            PeerLocation::OwnAddress => false,
            PeerLocation::Outside => peer.port() != 0 && self.count_neighbour(peer.ip(), self.policy.permits(peer.ip())),
        }
    }

    /// Whether a permission may be installed. A permission covers all ports of an address, so our own relayed addresses are
    /// permitted here and checked again for each packet.
    pub(super) fn admits_ip(&self, ip: IpAddr) -> bool {
        self.count_neighbour(ip, self.policy.permits_permission(ip, &self.settings))
    }

    fn count_neighbour(&self, ip: IpAddr, permitted: bool) -> bool {
        if !permitted && self.policy.denies_as_neighbour(ip) {
            self.refused_neighbours.set(self.refused_neighbours.get() + 1);
        }
        permitted
    }

    /// The address under which the client of `relayed` knows a peer. A peer that is a relayed address of ours is known by the
    /// address that was advertised when that one was allocated. Only the engine of that allocation knows which address it was;
    /// the client has a permission for it.
    pub(super) fn peer_as_advertised(&self, relayed: RelayedAddressId, peer: SocketAddr, now: Instant) -> SocketAddr {
        let family = AddressFamily::of(peer.ip());
        let (PeerLocation::OwnRelayedAddress(_), Some(address)) = (self.locate_peer(peer), self.settings.relayed_ip(family))
        else {
            return peer;
        };
        let allocation = self.allocations.allocation(relayed.allocation).filter(|_| !self.settings.former_addresses.is_empty());
        let known = allocation.and_then(|allocation| {
            let mut known = std::iter::once(&address.advertised).chain(&self.settings.former_addresses);
            known.find(|ip| AddressFamily::of(**ip) == family && allocation.peers.permits(**ip, now)).copied()
        });
        SocketAddr::new(known.unwrap_or(address.advertised), peer.port())
    }
}
