//! The rooms as an operator sees them, and how an operator closes one. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Instant;

use super::rooms::Rooms;
use crate::multiconnection::model::{ListedRoom, ListedUser, OpaqueJson, RoomId};

/// Users of a room that are listed.
const MAX_LISTED_USERS: usize = 20;

impl<J: OpaqueJson> Rooms<J> {
    /// The rooms that were opened after the one with this number, in that order.
    pub fn listed_after(&self, number: u64) -> impl Iterator<Item = ListedRoom<'_>> {
        self.numbers.after(number).map(|(number, id)| {
            let room = &self.rooms[id];
            let users = room.participants.iter().take(MAX_LISTED_USERS).map(|key| {
                let user = &self.users[*key];
                ListedUser { id: &user.id, client: user.client, from: user.from }
            });
            ListedRoom { number, id, opened: room.opened, users: users.collect(), count: room.participants.len() }
        })
    }

    /// An operator closes the room with this number, as [`Self::handle_delete_room`] does for an admin. Returns the room's id; `None`: there
    /// is no such room.
    pub fn handle_operator_end(&mut self, number: u64, now: Instant) -> Option<RoomId> {
        let id = self.numbers.name(number)?.clone();
        self.handle_delete_room(&id, now);
        Some(id)
    }
}
