//! What the relay may have open, and the connections that have not allocated yet: shared by the shards and by those who give them
//! connections.

use std::sync::Arc;
use std::time::Instant;

use super::io::source::StreamId;
use super::tcp::held_bytes::HeldByAll;
use crate::limits::descriptors::{Share, Shares};
use crate::limits::strangers::{self, Strangers};

/// Connections without an allocation at most; never more than half of what clients may have.
const MAX_STRANGERS: usize = 2048;
/// So many of the clients' descriptors are kept free as long as there are strangers: another shard needs a moment to close one.
const SLACK: usize = 16;

/// Where the connection of a stranger is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Location {
    pub(super) shard: u8,
    pub(super) stream: StreamId,
}

/// One connection that has not allocated.
pub(super) type Stranger = strangers::Stranger<Location>;

/// Clones share everything.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    pub(super) strangers: Arc<Strangers<Location>>,
    /// Connections of clients.
    pub(super) clients: Share,
    /// Relayed sockets and connections with peers.
    pub(super) relayed: Share,
    /// What waits for clients over TCP and TLS.
    pub(super) held: HeldByAll,
}

impl Admission {
    pub(super) fn new(shares: &Shares) -> Self {
        let (clients, relayed) = (shares.turn_clients.clone(), shares.relayed.clone());
        Self { strangers: Strangers::new(MAX_STRANGERS.min(clients.most() / 2)), clients, relayed, held: HeldByAll::default() }
    }

    /// Which stranger is to go so that the next client finds a descriptor; `None`: there are enough, or no strangers.
    pub(super) fn displace_for_want(&self, now: Instant) -> Option<Location> {
        let free = self.clients.most().saturating_sub(self.clients.taken());
        if free > SLACK.min(self.clients.most() / 8) { None } else { self.strangers.displace(now) }
    }
}
