//! The TCP connections between relayed addresses and peers (RFC 6062), from Connect or an accepted peer to the end of the
//! connection.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

use rand::Rng;

use super::allocation::Signer;
use super::codec::header::TransactionId;
use super::ids::{AllocationId, PeerConnectionId};

#[derive(Debug, Clone, Copy)]
pub(super) struct PeerConnection {
    pub(super) allocation: AllocationId,
    pub(super) peer: SocketAddr,
    pub(super) state: PeerConnectionState,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum PeerConnectionState {
    /// The shell is connecting; the Connect is answered afterwards.
    Connecting { transaction: TransactionId, signer: Signer, deadline: Instant },
    /// Waiting for ConnectionBind.
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

/// The peer connections of one engine, by id and by deadline.
#[derive(Debug, Default)]
pub(super) struct PeerConnectionTable {
    by_id: HashMap<PeerConnectionId, PeerConnection>,
    timers: BTreeSet<(Instant, PeerConnectionId)>,
}

impl PeerConnectionTable {
    /// Assigns an id: the shard, and 24 random bits.
    pub(super) fn insert(&mut self, shard: u8, rng: &mut impl Rng, connection: PeerConnection) -> PeerConnectionId {
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

    #[cfg(any(test, fuzzing))]
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
