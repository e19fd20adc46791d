//! The part of the rooms that is about who is in which: opening, joining, leaving, passwords, lists.

use crate::socketio::client_id::ClientId;
use std::time::Instant;

use subtle::ConstantTimeEq as _;

use super::{Entry, Event, MAX_LISTED, MAX_LISTED_BYTES, Opaque, Refusal, Room, RoomId, RoomInfo, Rooms, UserKey};
use crate::config::secret::Secret;
use crate::limits::reserved_names;

impl<J: Opaque> Rooms<J> {
    /// Leaves the room that the user is in, then opens a new one, or one that is left to this user.
    ///
    /// # Errors
    /// `NotAvailable`: somebody else is in a room of that id, or no room may have it.
    pub fn handle_open(&mut self, connection: ClientId, entry: Entry<J>, now: Instant) -> Result<(), Refusal> {
        let key = self.users.by_connection(connection).ok_or(Refusal::NoUser)?;
        let id = self.meant(key, &entry);
        self.start_over(key);
        let heritage = self.inherit(key, &id, now);
        self.leave_room(key);
        self.changed(now);
        if reserved_names::is_property_of_peers(&id) || self.rooms.contains_key(&id) {
            return Err(Refusal::NotAvailable);
        }
        let mut participants = vec![key];
        participants.extend(heritage.into_iter().take(self.users[key].max_participants - 1));
        for participant in &participants {
            self.users[*participant].room = Some(id.clone());
        }
        let user = &mut self.users[key];
        user.extra = entry.extra.clone();
        user.about = Some(entry.about);
        let room = Room {
            owner: key,
            opened_from: user.whereabouts,
            successor: None,
            participants,
            max_participants: user.max_participants,
            identifier: entry.identifier,
            password: entry.password,
            session: entry.session,
            one_way: entry.one_way,
            extra: entry.extra,
        };
        self.rooms.insert(id, room);
        self.weigh(key);
        Ok(())
    }

    /// Leaves the room that the user is in, then joins another.
    ///
    /// # Errors
    /// `NotAvailable`, `InvalidPassword` (counted by address), `TooManyGuesses`, `Full`, in this order.
    pub fn handle_join(&mut self, connection: ClientId, entry: Entry<J>, now: Instant) -> Result<(), Refusal> {
        let key = self.users.by_connection(connection).ok_or(Refusal::NoUser)?;
        // Who joins asks all others to connect anew, so that they need not hear that the old page is gone.
        self.users[key].came_back = false;
        self.leave_room(key);
        self.changed(now);
        let id = self.meant(key, &entry);
        self.users[key].extra = entry.extra;
        self.weigh(key);
        let room = self.rooms.get(&id).ok_or(Refusal::NotAvailable)?;
        if room.password.is_some() {
            self.check_password(key, &id, entry.password.as_ref(), now)?;
        }
        let seat = self.seat_in(key, &id)?;
        let room = self.rooms.get_mut(&id).ok_or(Refusal::NotAvailable)?;
        room.participants.push(key);
        let owner = &self.users[room.owner];
        if owner.due.is_some() && owner.whereabouts == self.users[key].whereabouts {
            room.successor = Some(key);
        }
        let user = &mut self.users[key];
        user.about = Some(entry.about);
        user.room = Some(id);
        self.weigh(key);
        // It is in the room by now, which may end with who goes.
        if let Some(seat) = seat {
            self.remove(seat, now);
        }
        Ok(())
    }

    /// A room that is there for whoever asks.
    pub fn room(&self, connection: ClientId, id: &str) -> Option<RoomInfo<J>> {
        let (id, room) = self.rooms.get_key_value(id)?;
        self.info_for(connection, id, room)
    }

    /// The rooms that were opened with this identifier, so many, and of so many bytes, at most.
    pub fn public_rooms(&self, connection: ClientId, identifier: &str) -> Vec<RoomInfo<J>> {
        let public = self.rooms.iter().filter(|(_, room)| room.identifier.as_deref() == Some(identifier));
        self.listed(public.filter_map(|(id, room)| self.info_for(connection, id, room)))
    }

    pub(super) fn listed(&self, rooms: impl Iterator<Item = RoomInfo<J>>) -> Vec<RoomInfo<J>> {
        let mut left = MAX_LISTED_BYTES;
        let fits = |room: &RoomInfo<J>| {
            let rest = left.checked_sub(room.bytes());
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        rooms.take(MAX_LISTED).filter(fits).collect()
    }

    /// Whether `password` opens a room.
    ///
    /// # Errors
    /// `NotAvailable`, `NoPassword`, `TooManyGuesses`, `InvalidPassword`.
    pub fn handle_password_check(
        &mut self,
        connection: ClientId,
        room: &str,
        password: &Secret<String>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let key = self.users.by_connection(connection).ok_or(Refusal::NoUser)?;
        let asked = self.rooms.get(room).ok_or(Refusal::NotAvailable)?;
        asked.password.as_ref().ok_or(Refusal::NoPassword)?;
        self.check_password(key, room, Some(password), now)
    }

    /// Sets or takes away the password of the owner's room; returns the room that was meant.
    pub fn handle_set_password(
        &mut self,
        connection: ClientId,
        password: Option<Secret<String>>,
    ) -> (Option<RoomId>, Result<(), Refusal>) {
        let Some(key) = self.users.by_connection(connection) else { return (None, Err(Refusal::NotInRoom)) };
        let Some(id) = self.users[key].room.clone() else { return (None, Err(Refusal::NotInRoom)) };
        let room = self.rooms.get_mut(&id).filter(|room| room.owner == key);
        let done = room.map(|room| room.password = password).ok_or(Refusal::PermissionDenied);
        (Some(id), done)
    }

    fn meant(&self, key: UserKey, entry: &Entry<J>) -> RoomId {
        let broadcast = entry.broadcast.clone().filter(|_| self.users[key].relay_limit.is_some());
        broadcast.unwrap_or_else(|| entry.room.clone())
    }

    pub(super) fn leave_room(&mut self, key: UserKey) {
        let user = &mut self.users[key];
        let Some(id) = user.room.take() else { return };
        let (auto_close, farewell) = (user.auto_close, user.due.is_none());
        let room = self.rooms.get_mut(&id).expect("users are in rooms that are there");
        room.participants.retain(|participant| *participant != key);
        if room.owner != key {
            return;
        }
        let heir = match auto_close || room.one_way {
            true => room.successor.filter(|successor| room.participants.contains(successor)),
            false => room.participants.first().copied(),
        };
        match heir {
            Some(heir) => {
                room.owner = heir;
                if farewell {
                    // Whoever has said goodbye has no room to come back to.
                    room.opened_from = self.users[heir].whereabouts;
                }
                self.weigh(heir);
                self.weigh(key);
                self.send(heir, Event::Owner(id));
            }
            None => drop(self.close_room(&id)),
        }
    }

    /// Ends a room; returns who was in it.
    pub(super) fn close_room(&mut self, id: &str) -> Vec<UserKey> {
        let Some(room) = self.rooms.remove(id) else { return Vec::new() };
        for participant in &room.participants {
            self.users[*participant].room = None;
        }
        self.weigh(room.owner);
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

    /// A room as one user sees it; `None`: it is not there for this one.
    fn info_for(&self, connection: ClientId, id: &RoomId, room: &Room<J>) -> Option<RoomInfo<J>> {
        let info = self.info(id, room);
        let Some(key) = self.users.by_connection(connection) else { return Some(info) };
        if self.is_absent_for(key, id, room) {
            return None;
        }
        let is_full = info.is_full && self.seat_for(key, room).is_none();
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
