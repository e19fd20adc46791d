//! Lists a shard's allocations in parts, between which the shard serves its sockets, and ends allocations that an operator names.

use std::time::Instant;

use crate::relay::shard::operator_requests::{EndRequest, ListRequest, Listing};
use crate::relay::shard::state::Shard;

/// Allocations that are listed in a turn; that takes some ten microseconds.
const MAX_ROWS_A_TURN: usize = 64;
/// Places of the table that are visited in a turn; most may be empty.
const MAX_PLACES_A_TURN: usize = 1024;

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
