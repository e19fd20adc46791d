//! The part of the rooms that is about who comes back as another user. A page that ends without a farewell and is loaded again
//! is a new user to the server, since clients draw a random id, while the user that it was is away and holds its room, its seat
//! and its id. The same network, browser and origin (its [`Whereabouts`]) are all that the new user can show.
//!
//! So three things go to a new user at once, where another one waits for the end of the grace period:
//! - A room in which all are away, if it was opened from the same whereabouts or its owner was there. It counts as absent.
//! - An id, if its user is away and has no peer here, nor anybody in its room or broadcast.
//! - In a full room the seat of somebody who is away.
//!
//! Whoever shares a room owner's whereabouts (the same NAT, the same browser, the same page) can therefore take the room while
//! all who are in it are away, without its password. Nobody who is here loses a room by this.

use std::time::Instant;

use super::{Opaque, Refusal, Room, Rooms, UserKey, Whereabouts};

impl<J: Opaque> Rooms<J> {
    /// A user that came back and opens a room is a page that was loaded anew: whom the old page talked to hears that it is gone.
    pub(super) fn start_over(&mut self, key: UserKey) {
        if !std::mem::take(&mut self.users[key].came_back) {
            return;
        }
        for peer in self.users[key].peers.clone() {
            self.part(key, peer);
        }
    }

    /// Ends a room that is left to `key`; returns who is to be in the one that `key` opens instead. They are away, and a page
    /// that only reconnects does not ask to join again.
    pub(super) fn inherit(&mut self, key: UserKey, id: &str, now: Instant) -> Vec<UserKey> {
        let Some(room) = self.rooms.get(id).filter(|room| self.is_room_left_to(key, room)) else { return Vec::new() };
        let owner = room.owner;
        let mut others = self.close_room(id);
        others.retain(|other| *other != key);
        // `key` is the page that the owner was.
        if owner != key && self.users[owner].whereabouts == self.users[key].whereabouts {
            others.retain(|other| *other != owner);
            self.remove(owner, now);
        }
        others.iter().for_each(|other| self.users[*other].forget_owning(id));
        others
    }

    /// Whose seat `key` is to have in a room; `None`: there is a free one.
    ///
    /// # Errors
    /// `Full`.
    pub(super) fn seat_in(&self, key: UserKey, id: &str) -> Result<Option<UserKey>, Refusal> {
        let Some(room) = self.rooms.get(id).filter(|room| room.is_full()) else { return Ok(None) };
        self.seat_for(key, room).ok_or(Refusal::Full).map(Some)
    }

    /// The user whose seat `key` may have: one who is away and has come from the same whereabouts.
    pub(super) fn seat_for(&self, key: UserKey, room: &Room<J>) -> Option<UserKey> {
        let whereabouts = self.users[key].whereabouts;
        let may_go = |other: &UserKey| {
            let user = &self.users[*other];
            user.due.is_some() && user.whereabouts == whereabouts
        };
        room.participants.iter().copied().filter(may_go).min_by_key(|other| self.users[*other].due)
    }

    /// Whether a room is absent for `key`: it is left to it, or it was its own before its page was loaded anew.
    pub(super) fn is_absent_for(&self, key: UserKey, id: &str, room: &Room<J>) -> bool {
        let user = &self.users[key];
        let is_inside = user.room.as_deref() == Some(id);
        match (is_inside, user.came_back) {
            (true, false) => false,
            (true, true) => self.is_room_left_to(key, room) || (room.owner == key && self.ends_with_owner(room)),
            (false, _) => self.is_room_left_to(key, room),
        }
    }

    /// Gives up the place of the user that has an id which is wanted from where that user was.
    pub(super) fn release_id(&mut self, id: &str, whereabouts: Whereabouts, now: Instant) {
        if let Some(key) = self.users.by_id(id).filter(|key| self.is_left_to(whereabouts, *key)) {
            self.remove(key, now);
        }
    }

    /// Whether a user is away, was at these whereabouts, and nobody who is here has to do with it.
    pub(super) fn is_left_to(&self, whereabouts: Whereabouts, key: UserKey) -> bool {
        let user = &self.users[key];
        let room = user.room.as_ref().and_then(|room| self.rooms.get(room));
        let broadcast = self.broadcasts.member(key).map(|member| self.broadcasts.members(&member.broadcast));
        let room_mates = room.map(|room| &*room.participants).unwrap_or_default();
        let mut others = user.peers.iter().chain(room_mates).chain(broadcast.unwrap_or_default());
        user.due.is_some() && user.whereabouts == whereabouts && others.all(|other| self.users[*other].due.is_some())
    }

    /// Whether all others in a room are away, and `key` is where its owner was or where it was opened from.
    fn is_room_left_to(&self, key: UserKey, room: &Room<J>) -> bool {
        let whereabouts = self.users[key].whereabouts;
        let is_former = [room.opened_from, self.users[room.owner].whereabouts].contains(&whereabouts);
        (room.owner == key || is_former)
            && room.participants.iter().all(|other| *other == key || self.users[*other].due.is_some())
    }

    fn ends_with_owner(&self, room: &Room<J>) -> bool {
        room.one_way || self.users[room.owner].auto_close
    }
}
