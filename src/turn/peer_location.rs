//! Decides which peers a client may name.

use std::net::{IpAddr, SocketAddr};

use super::allocation::Allocation;
use super::codec::attribute::AddressFamily;
use super::credentials::Scope;
use super::engine::Engine;
use super::five_tuple::PeerTransport;
use super::ports::PortOwner;

/// The owner of a peer's address at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerLocation {
    /// Another machine, or an address of this machine that the policy allows explicitly.
    Outside,
    /// A live relayed address of this server that carries UDP.
    OwnRelayedAddress(PortOwner),
    /// An address of this machine that is not a live relayed address, or an address that the scope excludes.
    Denied,
}

impl Engine {
    /// Where a packet goes that an allocation of `scope` sends to `peer`.
    pub(super) fn locate_peer(&self, peer: SocketAddr, scope: Scope) -> PeerLocation {
        match self.owner_of(peer) {
            // A client behind our own NAT comes from the address that relayed addresses have.
            Some(_) if scope == Scope::OwnAddress => PeerLocation::Denied,
            Some(owner) => PeerLocation::OwnRelayedAddress(owner),
            None if self.is_outside(peer, scope) => PeerLocation::Outside,
            None => PeerLocation::Denied,
        }
    }

    /// The owner of `address`, if it is a live relayed address of this server.
    pub(super) fn owner_of(&self, address: SocketAddr) -> Option<PortOwner> {
        let family = AddressFamily::of(address.ip());
        let relays_here = self.settings.relayed_ip(family).is_some_and(|relayed| relayed.is(address.ip()));
        let is_ours = relays_here || self.settings.former_addresses.contains(&address.ip());
        if is_ours { self.shared.ports.owner(family, address.port()) } else { None }
    }

    /// Whether an allocation of `scope` that has a permission for `peer` may exchange packets with it through a relayed socket.
    pub(super) fn is_outside(&self, peer: SocketAddr, scope: Scope) -> bool {
        let ip = peer.ip();
        let relays_here = self.settings.relayed_ip(AddressFamily::of(ip)).is_some_and(|relayed| relayed.is(ip));
        if relays_here || self.settings.own_addresses.contains(&ip) {
            return self.policy.allows_explicitly(ip, scope) && !self.settings.listener_ports.contains(&peer.port());
        }
        // The policy has not judged a permission for a former address, and the address may belong to somebody else now.
        let is_judged = scope != Scope::Clients && !self.settings.former_addresses.contains(&ip);
        is_judged || self.policy.permits(ip, scope)
    }

    /// Whether a request of an allocation of `scope` may name this peer. Our relayed addresses carry UDP: a TCP listener on one of
    /// their ports is another program's.
    pub(super) fn admits(&self, peer: SocketAddr, scope: Scope, transport: PeerTransport) -> bool {
        match self.locate_peer(peer, scope) {
            PeerLocation::OwnRelayedAddress(_) => transport == PeerTransport::Udp,
            PeerLocation::Denied => false,
            PeerLocation::Outside => {
                peer.port() != 0 && self.count_neighbour(peer.ip(), scope, self.policy.permits(peer.ip(), scope))
            }
        }
    }

    /// Whether an allocation may have a permission that a request asks for with this address. A permission covers all ports, and
    /// each packet is checked again. A port of this machine that is no live relayed address is refused nevertheless: the client
    /// would never learn why its packets are dropped. Not refused are port 0, which some clients send because the port does not
    /// matter, and a relayed address that the client has sent to before: some clients refresh a permission under the port that
    /// they named first.
    pub(super) fn admits_permission(&self, peer: SocketAddr, allocation: &Allocation) -> bool {
        let (ip, scope) = (peer.ip(), allocation.scope);
        let may_be_relayed = peer.port() == 0 || self.owner_of(peer).is_some() || allocation.peers.has_contacted(peer);
        let may_be_reached = may_be_relayed || self.is_outside(peer, scope);
        let permitted = may_be_reached && allocation.may_name(ip) && self.policy.permits_permission(ip, scope, &self.settings);
        self.count_neighbour(ip, scope, permitted)
    }

    fn count_neighbour(&self, ip: IpAddr, scope: Scope, permitted: bool) -> bool {
        if !permitted && scope == Scope::Anyone && self.policy.denies_as_neighbour(ip) {
            self.refused_neighbours.set(self.refused_neighbours.get() + 1);
        }
        permitted
    }
}
