//! The TCP connections of TCP allocations (RFC 6062): from Connect or an arriving peer to ConnectionBind.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;

use super::allocation::{PeerTransport, Signer};
use super::codec::attribute::{self, AddressFamily};
use super::codec::error_code::ErrorCode;
use super::codec::message::{Class, Method, TransactionId};
use super::codec::writer::MessageWriter;
use super::data::{Direction, transaction};
use super::engine::{Engine, PeerLocation};
use super::five_tuple::{AllocationId, PeerConnectionId, RelayedAddressId};
use super::policy::canonical;
use super::verdict::{Answer, Output};

/// RFC 6062 §5.2 and §5.3: connecting, and then waiting for ConnectionBind, may each take 30 s.
pub(super) const PEER_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
pub(super) struct PeerConnection {
    pub(super) allocation: AllocationId,
    pub(super) peer: SocketAddr,
    pub(super) state: PeerConnectionState,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum PeerConnectionState {
    /// The shell connects; then the Connect is answered.
    Connecting { transaction: TransactionId, signer: Signer, deadline: Instant },
    /// For ConnectionBind.
    Waiting { deadline: Instant },
    /// Spliced with this client connection.
    Bound,
}

impl PeerConnectionState {
    const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Connecting { deadline, .. } | Self::Waiting { deadline } => Some(*deadline),
            Self::Bound => None,
        }
    }
}

/// Connections by id and by deadline.
#[derive(Debug, Default)]
pub(super) struct PeerConnectionTable {
    by_id: HashMap<PeerConnectionId, PeerConnection>,
    timers: BTreeSet<(Instant, PeerConnectionId)>,
}

impl PeerConnectionTable {
    /// A new id: the shard, and 24 bits that nobody guesses.
    fn insert(&mut self, shard: u8, rng: &mut impl Rng, connection: PeerConnection) -> PeerConnectionId {
        let id = loop {
            let id = PeerConnectionId(u32::from(shard) << 24 | rng.next_u32() >> 8);
            if !self.by_id.contains_key(&id) {
                break id;
            }
        };
        self.timers.extend(connection.state.deadline().map(|at| (at, id)));
        self.by_id.insert(id, connection);
        id
    }

    pub(super) fn remove(&mut self, id: PeerConnectionId) -> Option<PeerConnection> {
        let connection = self.by_id.remove(&id)?;
        if let Some(at) = connection.state.deadline() {
            self.timers.remove(&(at, id));
        }
        Some(connection)
    }

    pub(super) fn connection(&self, id: PeerConnectionId) -> Option<&PeerConnection> {
        self.by_id.get(&id)
    }

    pub(super) fn set_state(&mut self, id: PeerConnectionId, state: PeerConnectionState) {
        let Some(connection) = self.by_id.get_mut(&id) else { return };
        if let Some(at) = connection.state.deadline() {
            self.timers.remove(&(at, id));
        }
        self.timers.extend(state.deadline().map(|at| (at, id)));
        connection.state = state;
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The connection stays due until it is removed or its state is set.
    pub(super) fn due(&self, now: Instant) -> Option<PeerConnectionId> {
        self.timers.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    fn iter(&self) -> impl Iterator<Item = (PeerConnectionId, &PeerConnection)> {
        self.by_id.iter().map(|(id, connection)| (*id, connection))
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn audit(&self) -> Result<(), &'static str> {
        let deadlines = self.iter().filter_map(|(id, connection)| connection.state.deadline().map(|at| (at, id)));
        let expected: BTreeSet<_> = deadlines.collect();
        if expected == self.timers { Ok(()) } else { Err("connections and their deadlines disagree") }
    }
}

impl Engine {
    /// How the shell's [`Output::ConnectPeer`] went.
    pub fn handle_peer_connected(&mut self, id: PeerConnectionId, connected: bool, now: Instant) {
        let Some(&PeerConnection { allocation, state: PeerConnectionState::Connecting { transaction, signer, .. }, .. }) =
            self.connections.connection(id)
        else {
            return;
        };
        let Some(to) = self.allocations.allocation(allocation).map(|allocation| allocation.five_tuple) else { return };
        if !connected {
            self.drop_connection(id);
        } else {
            self.connections.set_state(id, PeerConnectionState::Waiting { deadline: now + PEER_CONNECTION_TIMEOUT });
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

    /// A peer has connected to a relayed transport address; `None`: close it (RFC 6062 §5.3).
    pub fn handle_peer_accepted(&mut self, relay: RelayedAddressId, peer: SocketAddr, now: Instant) -> Option<PeerConnectionId> {
        let peer = canonical(peer);
        let outside = self.reach(peer) == PeerLocation::Outside;
        let limit = self.settings.limits.connections;
        let allocation = self.allocations.allocation_mut(relay.allocation)?;
        let permitted = outside && allocation.peers.permits(peer.ip(), now) && allocation.connections.len() < limit;
        if !permitted || allocation.transport != PeerTransport::Tcp || allocation.is_opening() || allocation.expires <= now {
            return None;
        }
        let state = PeerConnectionState::Waiting { deadline: now + PEER_CONNECTION_TIMEOUT };
        let connection = PeerConnection { allocation: relay.allocation, peer, state };
        let id = self.connections.insert(self.shard.index, &mut self.rng, connection);
        allocation.connections.push(id);
        let to = allocation.five_tuple;
        let transaction = transaction(&mut self.rng);
        let mut bytes = Vec::new();
        let method = Method::ConnectionAttempt;
        MessageWriter::new(&mut bytes, Class::Indication, method, &transaction)
            .number(attribute::CONNECTION_ID, id.0)
            .xor_address(attribute::XOR_PEER_ADDRESS, peer);
        self.outputs.push_back(Output::Transmit { to, bytes, answer: Answer::Indication { method } });
        Some(id)
    }

    /// Books bytes that a bound connection has carried, if any; `Some`: nothing more should be read that way until then.
    pub fn handle_peer_connection_bytes(
        &mut self,
        id: PeerConnectionId,
        direction: Direction,
        bytes: usize,
        now: Instant,
    ) -> Option<Instant> {
        let allocation = self.connections.connection(id)?.allocation;
        let allocation = self.allocations.allocation_mut(allocation)?;
        let wait = self.rates.charge(direction, allocation, &self.shared, bytes, now);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// Both sides of a connection have closed it, or one of them has failed.
    pub fn handle_peer_connection_closed(&mut self, id: PeerConnectionId) {
        self.forget_connection(id);
    }

    /// Begins a Connect: the shell is asked, and answers `handle_peer_connected`.
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
        let id = self.connections.insert(self.shard.index, &mut self.rng, connection);
        if let Some(allocation) = self.allocations.allocation_mut(allocation) {
            allocation.connections.push(id);
        }
        let relay = RelayedAddressId { allocation, family: AddressFamily::of(peer.ip()) };
        self.outputs.push_back(Output::ConnectPeer { relayed: relay, connection: id, peer });
    }

    /// Whether the allocation has a connection with this peer, in whatever state.
    pub(super) fn is_connected(&self, allocation: AllocationId, peer: SocketAddr) -> bool {
        let ids = self.allocations.allocation(allocation).map_or(&[][..], |allocation| &allocation.connections);
        ids.iter().any(|id| self.connections.connection(*id).is_some_and(|connection| connection.peer == peer))
    }

    /// Closes it; a Connect that waits for it is answered.
    pub(super) fn end_connection(&mut self, id: PeerConnectionId, now: Instant) {
        self.handle_peer_connected(id, false, now);
        self.drop_connection(id);
    }

    /// Those of one relayed transport address.
    pub(super) fn close_connections(&mut self, relay: RelayedAddressId, now: Instant) {
        let ids = self.allocations.allocation(relay.allocation).map_or(Vec::new(), |allocation| allocation.connections.clone());
        for id in ids {
            if self.connections.connection(id).is_some_and(|connection| AddressFamily::of(connection.peer.ip()) == relay.family) {
                self.end_connection(id, now);
            }
        }
    }

    pub(super) fn close_denied_connections(&mut self, now: Instant) {
        let denied = self.connections.iter().filter(|(_, connection)| !self.admits(connection.peer, PeerTransport::Tcp));
        let ids: Vec<PeerConnectionId> = denied.map(|(id, _)| id).collect();
        for id in ids {
            self.end_connection(id, now);
        }
    }

    fn drop_connection(&mut self, id: PeerConnectionId) {
        if self.forget_connection(id) {
            self.outputs.push_back(Output::ClosePeerConnection { connection: id });
        }
    }

    fn forget_connection(&mut self, id: PeerConnectionId) -> bool {
        let Some(connection) = self.connections.remove(id) else { return false };
        if let Some(allocation) = self.allocations.allocation_mut(connection.allocation) {
            allocation.connections.retain(|other| *other != id);
        }
        true
    }
}
