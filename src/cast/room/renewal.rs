//! Fresh credentials for all seats at once, and what a clock that was set means for the rooms. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::{Duration, Instant};

use super::rooms::Rooms;
use crate::cast::code::{Code, NewCodePolicy};
use crate::cast::resume_token::Role;
use crate::clock::WallClock;

/// All seats have been sent fresh credentials after this time. Signing and sending them at once would hold up everybody else for as long
/// as the lock is held.
const RENEWAL_TIME: Duration = Duration::from_secs(3);
/// Maximum number of seats that are sent fresh credentials at the same time.
const MAX_SEATS_AT_ONCE: usize = 100;

impl<P: Send + 'static> Rooms<P> {
    /// The wall clock has been set: tokens made from now on bear its time. The tokens of TVs that understand new codes are replaced with
    /// their next credentials; by the new time they might look so old that a restarted server would change the codes.
    pub fn handle_clock(&mut self, clock: WallClock, now: Instant) {
        let by = clock.seconds_ahead_of(self.clock, now);
        self.clock = clock;
        for room in self.rooms.values_mut() {
            room.since = room.since.saturating_add_signed(by);
            room.token_is_outdated = room.understands_new_codes && self.config.new_code == NewCodePolicy::AfterIdle;
        }
    }

    /// The secret that signs credentials has changed, or the wall clock was set by so much that credentials may end early: all connected
    /// clients that accept unasked credentials get fresh ones within three seconds, by [`Self::handle_timeout`].
    pub fn renew_credentials(&mut self, now: Instant) {
        let mut seats: Vec<(Code, Role)> = self.seats.values().copied().collect();
        seats.sort_unstable_by_key(|(code, role)| (*code, *role == Role::Caster));
        let groups = u32::try_from(seats.len().div_ceil(MAX_SEATS_AT_ONCE)).unwrap_or(u32::MAX);
        for (group, seats) in (0..).zip(seats.chunks(MAX_SEATS_AT_ONCE)) {
            let due = now + RENEWAL_TIME * group / groups;
            for (code, role) in seats {
                // A clock that is set again and again must not postpone them.
                self.change_seat(*code, *role, |seat| seat.due = seat.due.min(due));
            }
        }
    }
}
