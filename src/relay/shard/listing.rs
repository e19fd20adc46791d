//! Lists a shard's allocations in parts, between which the shard serves its sockets, and ends allocations that an operator names.

use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::relay::shard::state::Shard;
use crate::turn::{AllocationId, ListedAllocation};

/// Allocations that are listed in a turn; that takes some ten microseconds.
const MAX_ROWS_A_TURN: usize = 64;
/// Places of the table that are visited in a turn; most may be empty.
const MAX_PLACES_A_TURN: usize = 1024;

/// A question for all allocations of a shard.
#[derive(Debug)]
pub(in crate::relay) struct ListRequest {
    pub(in crate::relay) shard: u8,
    /// Gets each part. It is bounded by the number of allocations, since one list is made at a time.
    pub(in crate::relay) to: UnboundedSender<(u8, Vec<ListedAllocation>)>,
    /// The place of the one list that a shard makes at a time. The place is free again when the request is dropped.
    pub(in crate::relay) _place: OwnedSemaphorePermit,
}

/// The wish to end allocations.
#[derive(Debug)]
pub(in crate::relay) struct EndRequest {
    /// With their numbers, by which an allocation differs from a later one with the same id.
    pub(in crate::relay) allocations: Vec<(AllocationId, u64)>,
    /// Gets the number of those that have ended by this.
    pub(in crate::relay) done: oneshot::Sender<usize>,
}

/// A list that is being made.
#[derive(Debug)]
pub(in crate::relay) struct Listing {
    request: ListRequest,
    /// The place of the table at which the next part begins.
    next: usize,
}

impl Shard {
    pub(super) fn begin_listing(&mut self, request: ListRequest) {
        self.listing = Some(Listing { request, next: 0 });
    }

    /// Adds a part to the list that is being made.
    pub(super) fn continue_listing(&mut self, now: Instant) {
        let Some(listing) = &mut self.listing else { return };
        let mut rows = Vec::with_capacity(MAX_ROWS_A_TURN.min(self.engine.allocation_count()));
        let next = self.engine.list(listing.next, MAX_PLACES_A_TURN, MAX_ROWS_A_TURN, now, &mut rows);
        let is_wanted = rows.is_empty() || listing.request.to.send((listing.request.shard, rows)).is_ok();
        match next.filter(|_| is_wanted) {
            Some(next) => {
                listing.next = next;
                self.context.messages.wake();
            }
            None => self.listing = None,
        }
    }

    pub(super) fn end_allocations(&mut self, request: EndRequest) {
        let ended = request.allocations.iter().filter(|(id, number)| self.engine.end_numbered(*id, *number)).count();
        // Nobody may wait for it any more.
        let _ = request.done.send(ended);
    }
}
