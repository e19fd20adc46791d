//! Allocations as an operator sees them, a part of them at a time, and their end by their number.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::allocation::Allocation;
use super::codec::attribute::AddressFamily;
use super::credentials::Scope;
use super::engine::Engine;
use super::five_tuple::Transport;
use super::ids::AllocationId;
use super::user_usage::UserUsage;

/// Peers of a [`ListedAllocation`].
pub const MAX_LISTED_PEERS: usize = 4;

/// What an operator sees of an allocation. It is a copy, and takes no memory of its own for texts.
#[derive(Debug, Clone)]
pub struct ListedAllocation {
    pub id: AllocationId,
    /// Different for each allocation since the start of the server, even where an engine has started again.
    pub number: u64,
    user: Arc<UserUsage>,
    pub client: SocketAddr,
    pub transport: Transport,
    /// The live relayed addresses.
    pub relayed: [Option<SocketAddr>; 2],
    /// The first addresses with a permission; `peer_count` has the number of all.
    pub peers: [Option<IpAddr>; MAX_LISTED_PEERS],
    pub peer_count: usize,
    pub since: Instant,
    pub expires: Instant,
    /// Bytes of payload from the client to its peers.
    pub sent: u64,
    /// Bytes of payload from its peers to the client.
    pub received: u64,
}

impl ListedAllocation {
    fn new(id: AllocationId, allocation: &Allocation, now: Instant) -> Self {
        let mut permitted = allocation.peers.permitted_at(now);
        let peers: [_; MAX_LISTED_PEERS] = std::array::from_fn(|_| permitted.next());
        Self {
            id,
            number: allocation.number,
            user: Arc::clone(&allocation.user),
            client: allocation.five_tuple.client,
            transport: allocation.five_tuple.transport,
            relayed: AddressFamily::ALL.map(|family| allocation.relayed_address(family)),
            peers,
            peer_count: peers.iter().flatten().count() + permitted.count(),
            since: allocation.since,
            expires: allocation.expires,
            sent: allocation.delivery.traffic.sent(),
            received: allocation.delivery.traffic.received(),
        }
    }

    /// The name of the user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user.identity.name
    }

    /// The scope of the user's credentials.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.user.identity.scope
    }
}

impl Engine {
    /// Adds to `rows` the allocations of the table from `place` on, until there are `max_rows` or `max_places` were visited. Returns the place
    /// where to go on; `None`: this was the last part. Allocations keep their places, so that each one is listed once that lives throughout.
    pub fn list(
        &self,
        place: usize,
        max_places: usize,
        max_rows: usize,
        now: Instant,
        rows: &mut Vec<ListedAllocation>,
    ) -> Option<usize> {
        let end = place.saturating_add(max_places).min(self.allocations.places());
        for at in place..end {
            if rows.len() >= max_rows {
                return Some(at);
            }
            if let Some((id, allocation)) = self.allocations.at_place(at) {
                rows.push(ListedAllocation::new(id, allocation, now));
            }
        }
        (end < self.allocations.places()).then_some(end)
    }

    /// Ends the allocation with this number, as an operator wishes. It may have ended already, and its id may be another one's: then this
    /// returns false.
    pub fn end_numbered(&mut self, id: AllocationId, number: u64) -> bool {
        let is_this = self.allocations.allocation(id).is_some_and(|allocation| allocation.number == number);
        if is_this {
            self.end(id);
        }
        is_this
    }
}
