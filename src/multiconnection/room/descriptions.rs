//! The part of the rooms that is about what users say of themselves: `extra`, what they entered a room with, the streams that they
//! broadcast, and the `session` and `extra` of the room that they own. Each is bounded where it is read, and here all of them together
//! are: beyond [`MAX_BYTES`] and [`BYTES_OF_EACH`] more for each user, the user who holds most loses the largest of them. It reads like
//! what was never said, nobody is disconnected, and the user may describe itself again.
//!
//! A user with no more than [`BYTES_OF_EACH`] loses nothing, whatever others say. Of users with as many bytes the newest loses first.

use std::collections::{BTreeSet, HashMap};

use super::{Opaque, Rooms, UserKey};

/// Bytes of all descriptions at most.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// So many more for each user there is.
pub(super) const BYTES_OF_EACH: usize = 1024;

/// How much each user holds.
#[derive(Default)]
pub(super) struct Descriptions {
    of: HashMap<UserKey, usize>,
    /// The same, the largest last.
    by_bytes: BTreeSet<(usize, UserKey)>,
    bytes: usize,
}

impl Descriptions {
    fn set(&mut self, user: UserKey, bytes: usize) {
        self.remove(user);
        self.of.insert(user, bytes);
        self.by_bytes.insert((bytes, user));
        self.bytes += bytes;
    }

    fn remove(&mut self, user: UserKey) {
        if let Some(bytes) = self.of.remove(&user) {
            self.by_bytes.remove(&(bytes, user));
            self.bytes -= bytes;
        }
    }

    /// Who is to lose a description.
    fn in_excess(&self) -> Option<UserKey> {
        let most = MAX_BYTES + BYTES_OF_EACH * self.of.len();
        self.by_bytes.last().filter(|_| self.bytes > most).map(|(_, user)| *user)
    }

    /// Of all users.
    #[cfg(test)]
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all tables agree, with each other and with what so many users hold.
    #[cfg(test)]
    pub(super) fn agree(&self, users: usize, described: impl Fn(UserKey) -> Option<usize>) -> bool {
        self.of.len() == users
            && self.of.iter().all(|(user, bytes)| described(*user) == Some(*bytes))
            && self.bytes == self.of.values().sum::<usize>()
            && self.by_bytes.len() == self.of.len()
            && self.by_bytes.iter().all(|(bytes, user)| self.of.get(user) == Some(bytes))
            && self.in_excess().is_none()
    }
}

impl<J: Opaque> Rooms<J> {
    /// A user holds more or less than before, or is there no more.
    pub(super) fn weigh(&mut self, key: UserKey) {
        match self.described(key) {
            Some(bytes) => self.descriptions.set(key, bytes),
            None => self.descriptions.remove(key),
        }
        // Empty ones are far less than a user's share, so each description is lost once at most.
        while let Some(largest) = self.descriptions.in_excess() {
            self.drop_largest(largest);
            self.descriptions.set(largest, self.described(largest).unwrap_or_default());
        }
    }

    /// Bytes of what a user says of itself and of the room that it owns.
    pub(super) fn described(&self, key: UserKey) -> Option<usize> {
        let user = self.users.find(key)?;
        let room = user.room.as_ref().and_then(|room| self.rooms.get(room)).filter(|room| room.owner == key);
        let of_room = room.map_or(0, |room| room.session.bytes() + room.extra.bytes());
        let of_streams = self.broadcasts.member(key).map_or(0, |member| member.types.bytes());
        Some(user.extra.bytes() + user.about.as_ref().map_or(0, Opaque::bytes) + of_room + of_streams)
    }

    fn drop_largest(&mut self, key: UserKey) {
        let user = &mut self.users[key];
        let room = user.room.as_ref().and_then(|room| self.rooms.get_mut(room)).filter(|room| room.owner == key);
        // Of descriptions as large as each other the last one goes: others see a user's `extra`, `about` is for admins.
        let mut all = vec![&mut user.extra];
        all.extend(room.into_iter().flat_map(|room| [&mut room.extra, &mut room.session]));
        all.extend(self.broadcasts.member_mut(key).map(|member| &mut member.types));
        all.extend(&mut user.about);
        if let Some(largest) = all.into_iter().max_by_key(|description| description.bytes()) {
            tracing::debug!(from = %user.from, bytes = largest.bytes(), "dropping a description, since all users hold too much");
            *largest = J::empty();
        }
    }
}
