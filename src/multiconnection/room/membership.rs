//! The part of the rooms that opens, joins, leaves and lists rooms, and checks their passwords. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Instant;

use subtle::ConstantTimeEq as _;

use super::rooms::Rooms;
use super::state::Room;
use super::users::UserKey;
use crate::config::secret::Secret;
use crate::limits::reserved_names;
use crate::multiconnection::model::{Event, OpaqueJson, Refusal, RoomId, RoomInfo, RoomRequest};
use crate::socketio::gateway::client_id::ClientId;

/// Rooms in one list.
const MAX_LISTED_ROOMS: usize = 256;
/// Bytes of the rooms in one list; a room that does not fit is left out.
pub(super) const MAX_LISTED_BYTES: usize = 56 * 1024;

impl<J: OpaqueJson> Rooms<J> {
    /// Leaves the room that the user is in, then opens a new one, or one that is abandoned for this user.
    ///
    /// # Errors
    /// `NotAvailable`: another user is in a room of that id, or no room may have that id.
    pub fn handle_open(&mut self, client: ClientId, request: RoomRequest<J>, now: Instant) -> Result<(), Refusal> {
        let key = self.users.by_client(client).ok_or(Refusal::NoUser)?;
        let id = self.requested_room(key, &request);
        self.leave_old_peers(key);
        let inherited = self.take_over_room(key, &id, now);
        self.leave_room(key);
        self.schedule_admin_update(now);
        if reserved_names::is_property_of_peers(&id) || self.rooms.contains_key(&id) {
            return Err(Refusal::NotAvailable);
        }
        let mut participants = vec![key];
        participants.extend(inherited.into_iter().take(self.users[key].max_participants - 1));
        for participant in &participants {
            self.users[*participant].room = Some(id.clone());
        }
        let user = &mut self.users[key];
        user.extra = request.extra.clone();
        user.request_json = Some(request.request_json);
        let room = Room {
            number: self.numbers.add(id.clone()),
            opened: now,
            owner: key,
            opened_from: user.fingerprint,
            successor: None,
            participants,
            max_participants: user.max_participants,
            identifier: request.identifier,
            password: request.password,
            session: request.session,
            one_way: request.one_way,
            extra: request.extra,
        };
        self.rooms.insert(id, room);
        self.update_description_bytes(key);
        Ok(())
    }

    /// Leaves the room that the user is in, then joins another.
    ///
    /// # Errors
    /// `NotAvailable`, `InvalidPassword` (counted by address), `TooManyGuesses`, `Full`, in this order.
    pub fn handle_join(&mut self, client: ClientId, request: RoomRequest<J>, now: Instant) -> Result<(), Refusal> {
        let key = self.users.by_client(client).ok_or(Refusal::NoUser)?;
        // A user that joins asks all others to connect again, so they need not be told that the old page is gone.
        self.users[key].has_reconnected = false;
        self.leave_room(key);
        self.schedule_admin_update(now);
        let id = self.requested_room(key, &request);
        self.users[key].extra = request.extra;
        self.update_description_bytes(key);
        let room = self.rooms.get(&id).ok_or(Refusal::NotAvailable)?;
        if room.password.is_some() {
            self.check_password(key, &id, request.password.as_ref(), now)?;
        }
        let replaced = self.place_to_take(key, &id)?;
        let room = self.rooms.get_mut(&id).ok_or(Refusal::NotAvailable)?;
        room.participants.push(key);
        let owner = &self.users[room.owner];
        if owner.is_away() && owner.fingerprint == self.users[key].fingerprint {
            room.successor = Some(key);
        }
        let user = &mut self.users[key];
        user.request_json = Some(request.request_json);
        user.room = Some(id);
        self.update_description_bytes(key);
        // Only now that the user is in the room: the room might end with the one that it replaces.
        if let Some(replaced) = replaced {
            self.remove(replaced, now);
        }
        Ok(())
    }

    /// A room as the asking client sees it.
    pub fn room(&self, client: ClientId, id: &str) -> Option<RoomInfo<J>> {
        let (id, room) = self.rooms.get_key_value(id)?;
        self.info_for(client, id, room)
    }

    /// The rooms that were opened with this identifier, as the asking client sees them; the list is bounded in rooms and bytes.
    pub fn public_rooms(&self, client: ClientId, identifier: &str) -> Vec<RoomInfo<J>> {
        let public = self.rooms.iter().filter(|(_, room)| room.identifier.as_deref() == Some(identifier));
        self.listed(public.filter_map(|(id, room)| self.info_for(client, id, room)))
    }

    pub(super) fn listed(&self, rooms: impl Iterator<Item = RoomInfo<J>>) -> Vec<RoomInfo<J>> {
        let mut left = MAX_LISTED_BYTES;
        let fits = |room: &RoomInfo<J>| {
            let rest = left.checked_sub(room.bytes());
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        rooms.take(MAX_LISTED_ROOMS).filter(fits).collect()
    }

    /// Checks a room's password.
    ///
    /// # Errors
    /// `NotAvailable`, `NoPassword`, `TooManyGuesses`, `InvalidPassword`.
    pub fn handle_password_check(
        &mut self,
        client: ClientId,
        room: &str,
        password: &Secret<String>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let key = self.users.by_client(client).ok_or(Refusal::NoUser)?;
        let asked = self.rooms.get(room).ok_or(Refusal::NotAvailable)?;
        asked.password.as_ref().ok_or(Refusal::NoPassword)?;
        self.check_password(key, room, Some(password), now)
    }

    /// Sets or removes the password of the owner's room; returns the user's room.
    pub fn handle_set_password(
        &mut self,
        client: ClientId,
        password: Option<Secret<String>>,
    ) -> (Option<RoomId>, Result<(), Refusal>) {
        let Some(key) = self.users.by_client(client) else { return (None, Err(Refusal::NotInRoom)) };
        let Some(id) = self.users[key].room.clone() else { return (None, Err(Refusal::NotInRoom)) };
        let room = self.rooms.get_mut(&id).filter(|room| room.owner == key);
        let result = room.map(|room| room.password = password).ok_or(Refusal::PermissionDenied);
        (Some(id), result)
    }

    /// The id of the room that a request means.
    fn requested_room(&self, key: UserKey, request: &RoomRequest<J>) -> RoomId {
        let broadcast = request.broadcast.clone().filter(|_| self.users[key].max_viewers_per_member.is_some());
        broadcast.unwrap_or_else(|| request.room.clone())
    }

    pub(super) fn leave_room(&mut self, key: UserKey) {
        let user = &mut self.users[key];
        let Some(id) = user.room.take() else { return };
        let (auto_close, is_connected) = (user.auto_close, !user.is_away());
        let room = self.rooms.get_mut(&id).expect("users are in live rooms");
        room.participants.retain(|participant| *participant != key);
        if room.owner != key {
            return;
        }
        let new_owner = match auto_close || room.one_way {
            true => room.successor.filter(|successor| room.participants.contains(successor)),
            false => room.participants.first().copied(),
        };
        match new_owner {
            Some(new_owner) => {
                room.owner = new_owner;
                if is_connected {
                    // An owner that left on purpose has no room to come back to.
                    room.opened_from = self.users[new_owner].fingerprint;
                }
                self.update_description_bytes(new_owner);
                self.update_description_bytes(key);
                self.send(new_owner, Event::Owner(id));
            }
            None => drop(self.close_room(&id)),
        }
    }

    /// Ends a room; returns the users that were in it.
    pub(super) fn close_room(&mut self, id: &str) -> Vec<UserKey> {
        let Some(room) = self.rooms.remove(id) else { return Vec::new() };
        self.numbers.remove(room.number);
        for participant in &room.participants {
            self.users[*participant].room = None;
        }
        self.update_description_bytes(room.owner);
        room.participants
    }

    fn check_password(
        &mut self,
        key: UserKey,
        room: &str,
        password: Option<&Secret<String>>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let from = self.users[key].from;
        if self.guesses.blocked_for(from, now).is_some() {
            return Err(Refusal::TooManyGuesses);
        }
        let right = self.rooms.get(room).and_then(|room| room.password.as_ref()).zip(password);
        if right.is_some_and(|(right, given)| bool::from(right.expose().as_bytes().ct_eq(given.expose().as_bytes()))) {
            return Ok(());
        }
        if password.is_some() {
            self.guesses.record(from, now);
        }
        Err(Refusal::InvalidPassword)
    }

    /// A room as one client sees it; `None`: the room does not exist for this client.
    fn info_for(&self, client: ClientId, id: &RoomId, room: &Room<J>) -> Option<RoomInfo<J>> {
        let info = self.info(id, room);
        let Some(key) = self.users.by_client(client) else { return Some(info) };
        if self.is_hidden_from(key, id, room) {
            return None;
        }
        let is_full = info.is_full && self.place_left_to(key, room).is_none();
        Some(RoomInfo { is_full, ..info })
    }

    pub(super) fn info(&self, id: &RoomId, room: &Room<J>) -> RoomInfo<J> {
        let id_of = |key: &UserKey| self.users[*key].id.clone();
        RoomInfo {
            id: id.clone(),
            owner: id_of(&room.owner),
            participants: room.participants.iter().map(id_of).collect(),
            max_participants: room.max_participants,
            is_full: room.is_full(),
            is_password_protected: room.password.is_some(),
            identifier: room.identifier.clone(),
            session: room.session.clone(),
            extra: room.extra.clone(),
        }
    }
}
