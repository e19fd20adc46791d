//! Evicts TVs from a full server in favour of others, and keeps each TV's eviction class up to date. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::capacity::{Admission, EvictionClass};
use super::rooms::Rooms;
use super::state::VerifiedOpen;
use crate::cast::code::Code;
use crate::cast::model::{CapacityReached, LeaveReason, Notice, OpenRequest, Output};
use crate::cast::resume_token::Times;

/// How old a token has to be to protect its TV from eviction: an attacker can get many tokens, but has to wait.
const PROTECTION_AGE: Duration = Duration::from_secs(24 * 3600);

impl<P: Send + 'static> Rooms<P> {
    /// Evicts other TVs until one more has a place.
    pub(super) fn free_place(&mut self, request: &VerifiedOpen, now: Instant) -> Result<(), CapacityReached> {
        loop {
            let code = match self.capacity.admission(request.from, request.is_established) {
                Admission::Free => return Ok(()),
                Admission::Wait(reached) => return Err(reached),
                Admission::Evict(code) => code,
            };
            let class = self.rooms[&code].capacity_entry.class;
            // The TV may have become established since its class was last updated.
            if class == EvictionClass::New && self.eviction_class(code, now) == EvictionClass::Established {
                self.update_eviction_class(code, now);
            } else {
                self.evict(code, now);
            }
        }
    }

    /// Ends a room in favour of another TV's. The evicted TV waits for a place again.
    fn evict(&mut self, code: Code, now: Instant) {
        let room = &self.rooms[&code];
        let (client, dialect, token) = (room.tv.client, room.tv.dialect, room.tv_token.clone());
        let (from, understands_new_codes) = (room.capacity_entry.from, room.understands_new_codes);
        let details = room.details.clone();
        self.evicted += 1;
        self.close_room(code, LeaveReason::Evicted);
        let Some(client) = client else { return };
        self.outputs.push_back(Output::Notify { to: client, dialect, notice: Notice::Evicted });
        let open = OpenRequest {
            client,
            dialect,
            from,
            code: None,
            token: Some(token.as_str()),
            shows_picture: false,
            casting: false,
            understands_new_codes,
            details: details.as_ref(),
            asked_before: true,
        };
        let request = self.verify(open, now);
        if let Err(refusal) = self.queue(client, request, true, now) {
            self.outputs.push_back(Output::Seated { to: client, dialect, result: Err(refusal) });
        }
    }

    /// How long a token does not protect its TV yet. A token from the future is new, since the clock was wrong when it was made.
    pub(super) fn time_until_established(&self, times: Times, now: Instant) -> Duration {
        let age = Duration::from_secs(self.clock.unix_seconds(now).saturating_sub(times.since));
        PROTECTION_AGE.saturating_sub(age)
    }

    fn eviction_class(&self, code: Code, now: Instant) -> EvictionClass {
        let room = &self.rooms[&code];
        if room.tv.client.is_none() && room.caster.is_none() {
            EvictionClass::Away
        } else if room.established_at <= now {
            EvictionClass::Established
        } else {
            EvictionClass::New
        }
    }

    /// A TV or a caster came or went, so the TV's class may have changed.
    pub(super) fn update_eviction_class(&mut self, code: Code, now: Instant) {
        self.update_address(code, self.rooms[&code].capacity_entry.from, now);
    }

    /// The same for a TV that may also have come back from another address.
    pub(super) fn update_address(&mut self, code: Code, from: IpAddr, now: Instant) {
        let class = self.eviction_class(code, now);
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        room.capacity_entry = self.capacity.update(&room.capacity_entry, from, class, room.caster.is_some());
    }
}
