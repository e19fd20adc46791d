//! Does what concerns all allocations of a shard, a part of the table in each turn.

use std::ops::Range;
use std::time::Instant;

use crate::relay::shard::state::Shard;
use crate::relay::shard::table_walk::Parts;

impl Shard {
    /// Does the next part of each walk.
    pub(super) fn continue_walks(&mut self, now: Instant) {
        if self.walks.are_done() {
            return;
        }
        let Parts { users, accounts, peers } = self.walks.next_parts(self.engine.places());
        if let Some(places) = users {
            self.end_refused(places);
        }
        if let Some(places) = accounts {
            self.engine.settle(places);
        }
        if let Some(places) = peers {
            self.engine.close_denied(places, now);
        }
        self.handle_outputs(now);
        if !self.walks.are_done() {
            self.context.messages.wake();
        }
    }

    fn end_refused(&mut self, places: Range<usize>) {
        let users = &self.context.users;
        self.engine.end_users(places.clone(), |scope, user| !users.may_continue(scope, user));
        if !self.context.banned.is_empty() {
            let banned = &self.context.banned;
            self.engine.end_addresses(places, |ip| banned.contain(ip));
        }
    }
}
