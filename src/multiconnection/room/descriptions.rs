//! The part of the rooms that bounds what users say about themselves: `extra`, the argument of their last `open-room` or `join-room`, the
//! streams that they broadcast, and the `session` and `extra` of the room that they own. PURE.
//!
//! Each description is bounded where it is read, and all of them together are bounded here. Beyond that the user who holds most loses its
//! largest description. The description then reads as if it had never been given; no user is disconnected, and the user may describe itself
//! again.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use super::rooms::Rooms;
use super::users::UserKey;
use crate::multiconnection::model::OpaqueJson;

impl<J: OpaqueJson> Rooms<J> {
    /// Counts a user's descriptions anew after a change, and drops the largest descriptions while all users together hold too much.
    pub(super) fn update_description_bytes(&mut self, key: UserKey) {
        match self.description_bytes(key) {
            Some(bytes) => self.descriptions.set(key, bytes),
            None => self.descriptions.remove(key),
        }
        // An empty description is far smaller than a user's share, so each description is dropped at most once.
        while let Some(largest) = self.descriptions.in_excess() {
            self.drop_largest(largest);
            self.descriptions.set(largest, self.description_bytes(largest).unwrap_or_default());
        }
    }

    /// Bytes of what a user says about itself and about the room that it owns; `None`: the user is gone.
    pub(super) fn description_bytes(&self, key: UserKey) -> Option<usize> {
        let user = self.users.find(key)?;
        let room = user.room.as_ref().and_then(|room| self.rooms.get(room)).filter(|room| room.owner == key);
        let of_room = room.map_or(0, |room| room.session.bytes() + room.extra.bytes());
        let of_streams = self.broadcasts.member(key).map_or(0, |member| member.types.bytes());
        Some(user.extra.bytes() + user.request_json.as_ref().map_or(0, OpaqueJson::bytes) + of_room + of_streams)
    }

    fn drop_largest(&mut self, key: UserKey) {
        let user = &mut self.users[key];
        let room = user.room.as_ref().and_then(|room| self.rooms.get_mut(room)).filter(|room| room.owner == key);
        // Of descriptions of the same size the last one is dropped: others see a user's `extra`, only admins see `request_json`.
        let mut all = vec![&mut user.extra];
        all.extend(room.into_iter().flat_map(|room| [&mut room.extra, &mut room.session]));
        all.extend(self.broadcasts.member_mut(key).map(|member| &mut member.types));
        all.extend(&mut user.request_json);
        if let Some(largest) = all.into_iter().max_by_key(|description| description.bytes()) {
            tracing::debug!(from = %user.from, bytes = largest.bytes(), "dropping the largest description of a user, because the descriptions of all users take too much memory");
            *largest = J::empty();
        }
    }
}
