//! TCP allocations (RFC 6062): connections to peers, from Connect or an accepted peer to ConnectionBind.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::allocation::Signer;
use super::bandwidth::Direction;
use super::codec::attribute::{self, AddressFamily};
use super::codec::error_code::ErrorCode;
use super::codec::header::{Class, Method, TransactionId};
use super::codec::writer::MessageWriter;
use super::credentials::Scope;
use super::engine::Engine;
use super::five_tuple::PeerTransport;
use super::ids::{AllocationId, PeerConnectionId, RelayedAddressId};
use super::peer_connection_table::{PeerConnection, PeerConnectionState};
use super::peer_location::PeerLocation;
use super::verdict::{Answer, Output};
use crate::limits::ip_prefix::canonical;

/// How long an attempt to connect may take, and then the wait for ConnectionBind (RFC 6062 §5.2, §5.3).
const PEER_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

impl Engine {
    /// The result of [`Output::ConnectPeer`]: answers the Connect (RFC 6062 §5.2).
    pub fn handle_peer_connected(&mut self, id: PeerConnectionId, connected: bool, now: Instant) {
        let Some(&PeerConnection { allocation, state: PeerConnectionState::Connecting { transaction, signer, .. }, .. }) =
            self.peer_connections.connection(id)
        else {
            return;
        };
        let Some(to) = self.allocations.allocation(allocation).map(|allocation| allocation.five_tuple) else { return };
        if !connected {
            self.drop_peer_connection(id);
        } else {
            self.peer_connections.set_state(id, PeerConnectionState::Waiting { deadline: now + PEER_CONNECTION_TIMEOUT });
        }
        let mut bytes = Vec::new();
        let method = Method::Connect;
        let answer = if connected {
            MessageWriter::new(&mut bytes, Class::Success, method, &transaction).number(attribute::CONNECTION_ID, id.0);
            Answer::Success { method }
        } else {
            let code = ErrorCode::ConnectionTimeoutOrFailure;
            MessageWriter::new(&mut bytes, Class::Error, method, &transaction).error(code);
            Answer::Error { method, code, failed_authentication: false }
        };
        self.sign(&mut bytes, &signer);
        self.outputs.push_back(Output::Transmit { to, bytes, answer });
    }

    /// A peer has connected to a relayed transport address (RFC 6062 §5.3); `None`: close the connection.
    pub fn handle_peer_accepted(
        &mut self,
        relayed: RelayedAddressId,
        peer: SocketAddr,
        now: Instant,
    ) -> Option<PeerConnectionId> {
        let peer = canonical(peer);
        let outside = self.locate_peer(peer, Scope::Anyone) == PeerLocation::Outside;
        let limit = self.settings.limits.peer_connections;
        let allocation = self.allocations.allocation_mut(relayed.allocation)?;
        let permitted = outside && allocation.peers.permits(peer.ip(), now) && allocation.peer_connections.len() < limit;
        if !permitted || allocation.transport != PeerTransport::Tcp || allocation.is_opening() || allocation.expires <= now {
            return None;
        }
        let state = PeerConnectionState::Waiting { deadline: now + PEER_CONNECTION_TIMEOUT };
        let connection = PeerConnection { allocation: relayed.allocation, peer, state };
        let id = self.peer_connections.insert(self.shard.index, &mut self.rng, connection);
        allocation.peer_connections.push(id);
        let to = allocation.five_tuple;
        let transaction = TransactionId::random(&mut self.rng);
        let mut bytes = Vec::new();
        let method = Method::ConnectionAttempt;
        MessageWriter::new(&mut bytes, Class::Indication, method, &transaction)
            .number(attribute::CONNECTION_ID, id.0)
            .xor_address(attribute::XOR_PEER_ADDRESS, peer);
        self.outputs.push_back(Output::Transmit { to, bytes, answer: Answer::Indication { method } });
        Some(id)
    }

    /// Counts and charges bytes that a bound connection has carried; `Some`: read no more in that direction until then.
    pub fn handle_peer_connection_bytes(
        &mut self,
        id: PeerConnectionId,
        direction: Direction,
        bytes: usize,
        now: Instant,
    ) -> Option<Instant> {
        let allocation = self.peer_connections.connection(id)?.allocation;
        let allocation = self.allocations.allocation(allocation)?;
        match direction {
            Direction::ToPeer => allocation.delivery.traffic.add_sent(bytes),
            Direction::ToClient => allocation.delivery.traffic.add_received(bytes),
        }
        let wait = self.bandwidth.charge(direction, &allocation.delivery, &self.shared, bytes, now);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// Both sides have closed a connection, or one of them has failed.
    pub fn handle_peer_connection_closed(&mut self, id: PeerConnectionId) {
        self.forget_peer_connection(id);
    }

    /// Asks the shell to connect; it answers with `handle_peer_connected`.
    pub(super) fn connect(
        &mut self,
        allocation: AllocationId,
        peer: SocketAddr,
        transaction: TransactionId,
        signer: Signer,
        now: Instant,
    ) {
        let state = PeerConnectionState::Connecting { transaction, signer, deadline: now + PEER_CONNECTION_TIMEOUT };
        let connection = PeerConnection { allocation, peer, state };
        let id = self.peer_connections.insert(self.shard.index, &mut self.rng, connection);
        if let Some(allocation) = self.allocations.allocation_mut(allocation) {
            allocation.peer_connections.push(id);
        }
        let relayed = RelayedAddressId { allocation, family: AddressFamily::of(peer.ip()) };
        self.outputs.push_back(Output::ConnectPeer { relayed, connection: id, peer });
    }

    /// Whether the allocation has a connection with this peer, in any state.
    pub(super) fn is_connected(&self, allocation: AllocationId, peer: SocketAddr) -> bool {
        let ids = self.allocations.allocation(allocation).map_or(&[][..], |allocation| &allocation.peer_connections);
        ids.iter().any(|id| self.peer_connections.connection(*id).is_some_and(|connection| connection.peer == peer))
    }

    /// Closes a connection, and answers the Connect that waits for it.
    pub(super) fn end_peer_connection(&mut self, id: PeerConnectionId, now: Instant) {
        self.handle_peer_connected(id, false, now);
        self.drop_peer_connection(id);
    }

    /// Closes the connections of one relayed transport address.
    pub(super) fn close_peer_connections(&mut self, relayed: RelayedAddressId, now: Instant) {
        let ids =
            self.allocations.allocation(relayed.allocation).map_or(Vec::new(), |allocation| allocation.peer_connections.clone());
        for id in ids {
            if self
                .peer_connections
                .connection(id)
                .is_some_and(|connection| AddressFamily::of(connection.peer.ip()) == relayed.family)
            {
                self.end_peer_connection(id, now);
            }
        }
    }

    /// Closes the connections of an allocation with peers that the policy denies.
    pub(super) fn close_denied_peer_connections(&mut self, allocation: AllocationId, now: Instant) {
        let Some(allocation) = self.allocations.allocation(allocation) else { return };
        let is_denied = |id: &PeerConnectionId| {
            let peer = self.peer_connections.connection(*id).map(|connection| connection.peer);
            peer.is_some_and(|peer| !self.admits(peer, Scope::Anyone, PeerTransport::Tcp))
        };
        let denied: Vec<PeerConnectionId> = allocation.peer_connections.iter().copied().filter(is_denied).collect();
        for id in denied {
            self.end_peer_connection(id, now);
        }
    }

    fn drop_peer_connection(&mut self, id: PeerConnectionId) {
        if self.forget_peer_connection(id) {
            self.outputs.push_back(Output::ClosePeerConnection { connection: id });
        }
    }

    fn forget_peer_connection(&mut self, id: PeerConnectionId) -> bool {
        let Some(connection) = self.peer_connections.remove(id) else { return false };
        if let Some(allocation) = self.allocations.allocation_mut(connection.allocation) {
            allocation.peer_connections.retain(|other| *other != id);
        }
        true
    }
}
