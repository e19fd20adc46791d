//! The part of the rooms that recognizes users who come back under a new identity. PURE.
//!
//! A page that ends without disconnecting and is loaded again is a new user to the server, since clients draw a random id, while the user
//! that it was is away and holds its room, its place and its id. The new user can only show its [`Fingerprint`]: the same network, browser
//! and origin.
//!
//! So a new user gets three things for which any other user waits until the grace period ends:
//! - A room in which all users are away, if it was opened with the same fingerprint or its owner had that fingerprint. For the new user the
//!   room does not exist.
//! - An id, if its user is away and has no peer here, nor any user in its room or broadcast.
//! - In a full room the place of a user that is away.
//!
//! A client that shares a room owner's fingerprint (the same NAT, the same browser, the same page) can therefore take the room while all
//! users in it are away, without its password. No user that is connected loses a room by this.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Instant;

use super::rooms::Rooms;
use super::state::Room;
use super::users::UserKey;
use crate::multiconnection::model::{Fingerprint, OpaqueJson, Refusal};

impl<J: OpaqueJson> Rooms<J> {
    /// A user that reconnected and opens a room is a page that was reloaded: the peers of the old page are told that it is gone.
    pub(super) fn leave_old_peers(&mut self, key: UserKey) {
        if !std::mem::take(&mut self.users[key].has_reconnected) {
            return;
        }
        for peer in self.users[key].peers.clone() {
            self.part(key, peer);
        }
    }

    /// Ends a room that is abandoned for `key`; returns the users that belong into the room that `key` opens instead. They are away, and a
    /// page that only reconnects does not ask to join again.
    pub(super) fn take_over_room(&mut self, key: UserKey, id: &str, now: Instant) -> Vec<UserKey> {
        let Some(room) = self.rooms.get(id).filter(|room| self.is_room_abandoned_for(key, room)) else { return Vec::new() };
        let owner = room.owner;
        let mut others = self.close_room(id);
        others.retain(|other| *other != key);
        // `key` is the owner's page, loaded again.
        if owner != key && self.users[owner].fingerprint == self.users[key].fingerprint {
            others.retain(|other| *other != owner);
            self.remove(owner, now);
        }
        others.iter().for_each(|other| self.users[*other].drop_ownership_event(id));
        others
    }

    /// The user whose place `key` takes in a room; `None`: a place is free.
    ///
    /// # Errors
    /// `Full`.
    pub(super) fn place_to_take(&self, key: UserKey, id: &str) -> Result<Option<UserKey>, Refusal> {
        let Some(room) = self.rooms.get(id).filter(|room| room.is_full()) else { return Ok(None) };
        self.place_left_to(key, room).ok_or(Refusal::Full).map(Some)
    }

    /// The user whose place `key` may take: one that is away and has the same fingerprint.
    pub(super) fn place_left_to(&self, key: UserKey, room: &Room<J>) -> Option<UserKey> {
        let fingerprint = self.users[key].fingerprint;
        let may_go = |other: &UserKey| {
            let user = &self.users[*other];
            user.is_away() && user.fingerprint == fingerprint
        };
        room.participants.iter().copied().filter(may_go).min_by_key(|other| self.users[*other].grace_ends)
    }

    /// Whether a room does not exist for `key`: it is abandoned for `key`, or it was its own before its page was reloaded.
    pub(super) fn is_hidden_from(&self, key: UserKey, id: &str, room: &Room<J>) -> bool {
        let user = &self.users[key];
        let is_inside = user.room.as_deref() == Some(id);
        match (is_inside, user.has_reconnected) {
            (true, false) => false,
            (true, true) => self.is_room_abandoned_for(key, room) || (room.owner == key && self.ends_with_owner(room)),
            (false, _) => self.is_room_abandoned_for(key, room),
        }
    }

    /// Removes the user that has this id, if it is abandoned for a client with that fingerprint.
    pub(super) fn release_id(&mut self, id: &str, fingerprint: Fingerprint, now: Instant) {
        if let Some(key) = self.users.by_id(id).filter(|key| self.is_abandoned_for(fingerprint, *key)) {
            self.remove(key, now);
        }
    }

    /// Whether a user is away and has this fingerprint, and all its peers and the others in its room and broadcast are away.
    pub(super) fn is_abandoned_for(&self, fingerprint: Fingerprint, key: UserKey) -> bool {
        let user = &self.users[key];
        let room = user.room.as_ref().and_then(|room| self.rooms.get(room));
        let broadcast = self.broadcasts.member(key).map(|member| self.broadcasts.members(&member.broadcast));
        let room_mates = room.map(|room| &*room.participants).unwrap_or_default();
        let mut others = user.peers.iter().chain(room_mates).chain(broadcast.unwrap_or_default());
        user.is_away() && user.fingerprint == fingerprint && others.all(|other| self.users[*other].is_away())
    }

    /// Whether all others in a room are away, and `key` is its owner, or has the owner's fingerprint or the one that it was opened with.
    fn is_room_abandoned_for(&self, key: UserKey, room: &Room<J>) -> bool {
        let fingerprint = self.users[key].fingerprint;
        let is_former = [room.opened_from, self.users[room.owner].fingerprint].contains(&fingerprint);
        (room.owner == key || is_former) && room.participants.iter().all(|other| *other == key || self.users[*other].is_away())
    }

    fn ends_with_owner(&self, room: &Room<J>) -> bool {
        room.one_way || self.users[room.owner].auto_close
    }
}
