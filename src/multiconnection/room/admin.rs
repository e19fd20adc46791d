//! The part of the rooms that is for admins. The gateway asks who they are; here they are connections, not users.

use crate::socketio::client_id::ClientId;
use std::time::Instant;

use super::{Event, MAX_ADMINS, NEWS, Opaque, Output, Refusal, Rooms};

impl<J: Opaque> Rooms<J> {
    /// A connection has proved that it is an admin's.
    ///
    /// # Errors
    /// `ServerFull`: there are enough.
    pub fn handle_admin(&mut self, connection: ClientId) -> Result<(), Refusal> {
        if self.admins.len() >= MAX_ADMINS {
            return Err(Refusal::ServerFull);
        }
        self.admins.insert(connection);
        Ok(())
    }

    pub fn is_admin(&self, connection: ClientId) -> bool {
        self.admins.contains(&connection)
    }

    /// Wants to see all rooms; so many at most are shown, never a password.
    pub fn handle_overview(&mut self, connection: ClientId) {
        let rooms = self.listed(self.rooms.iter().map(|(id, room)| self.info(id, room)));
        self.tell_admin(connection, Some(rooms));
    }

    /// What a user said when it came into its room; `None` inside: it has been in none.
    ///
    /// # Errors
    /// `NoUser`.
    pub fn about(&self, user: &str) -> Result<Option<&J>, Refusal> {
        let key = self.users.by_id(user).ok_or(Refusal::NoUser)?;
        Ok(self.users[key].about.as_ref())
    }

    /// Ends a user's connection and gives up its place.
    pub fn handle_delete_user(&mut self, user: &str, now: Instant) {
        let Some(key) = self.users.by_id(user) else { return };
        self.outputs.extend(self.users[key].connection.map(Output::Close));
        self.remove(key, now);
    }

    /// Ends a room and the connections of all who are in it.
    pub fn handle_delete_room(&mut self, room: &str, now: Instant) {
        for key in self.close_room(room) {
            self.outputs.extend(self.users[key].connection.map(Output::Close));
            self.remove(key, now);
        }
        self.changed(now);
    }

    /// Something that admins hear of has changed.
    pub(super) fn changed(&mut self, now: Instant) {
        if self.news_due.is_none() {
            let earliest = self.news_sent.map(|sent| sent + NEWS);
            self.news_due = Some(earliest.map_or(now, |earliest| earliest.max(now)));
        }
    }

    pub(super) fn tell_admin(&mut self, to: ClientId, rooms: Option<Vec<super::RoomInfo<J>>>) {
        let event = Event::News { rooms, users: self.users.len(), broadcasting: self.broadcasts.len() };
        self.outputs.push_back(Output::Send { to, event });
    }
}
