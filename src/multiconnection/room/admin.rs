//! The part of the rooms that serves admins. The gateway checks who they are; here they are clients, not users. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::{Duration, Instant};

use super::rooms::Rooms;
use crate::multiconnection::model::{Event, OpaqueJson, Output, Refusal, RoomInfo};
use crate::socketio::gateway::client_id::ClientId;

/// Connected admins.
const MAX_ADMINS: usize = 16;
/// Between two updates that admins get about changes.
const ADMIN_UPDATE_INTERVAL: Duration = Duration::from_secs(1);

impl<J: OpaqueJson> Rooms<J> {
    /// A client has proved that it is an admin.
    ///
    /// # Errors
    /// `ServerFull`: as many admins are connected as may be.
    pub fn handle_admin(&mut self, client: ClientId) -> Result<(), Refusal> {
        if self.admins.len() >= MAX_ADMINS {
            return Err(Refusal::ServerFull);
        }
        self.admins.insert(client);
        Ok(())
    }

    pub fn is_admin(&self, client: ClientId) -> bool {
        self.admins.contains(&client)
    }

    /// An admin asks for all rooms; the list is bounded, and passwords are never in it.
    pub fn handle_overview(&mut self, client: ClientId) {
        let rooms = self.listed(self.rooms.iter().map(|(id, room)| self.info(id, room)));
        self.send_admin_update(client, Some(rooms));
    }

    /// The argument by which a user last opened or joined a room; `None` inside: it has been in none.
    ///
    /// # Errors
    /// `NoUser`.
    pub fn last_room_request(&self, user: &str) -> Result<Option<&J>, Refusal> {
        let key = self.users.by_id(user).ok_or(Refusal::NoUser)?;
        Ok(self.users[key].request_json.as_ref())
    }

    /// Disconnects a user and removes it.
    pub fn handle_delete_user(&mut self, user: &str, now: Instant) {
        let Some(key) = self.users.by_id(user) else { return };
        self.outputs.extend(self.users[key].client.map(Output::Disconnect));
        self.remove(key, now);
    }

    /// Ends a room, and disconnects and removes all users in it.
    pub fn handle_delete_room(&mut self, room: &str, now: Instant) {
        for key in self.close_room(room) {
            self.outputs.extend(self.users[key].client.map(Output::Disconnect));
            self.remove(key, now);
        }
        self.schedule_admin_update(now);
    }

    /// Something that admins are told about has changed.
    pub(super) fn schedule_admin_update(&mut self, now: Instant) {
        if self.admin_update_due.is_none() {
            let earliest = self.admin_update_sent.map(|sent| sent + ADMIN_UPDATE_INTERVAL);
            self.admin_update_due = Some(earliest.map_or(now, |earliest| earliest.max(now)));
        }
    }

    pub(super) fn send_admin_update(&mut self, to: ClientId, rooms: Option<Vec<RoomInfo<J>>>) {
        let event = Event::AdminUpdate { rooms, users: self.users.len(), broadcasting: self.broadcasts.len() };
        self.outputs.push_back(Output::Send { to, event });
    }
}
