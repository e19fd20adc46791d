//! The part of the rooms that sends messages and events between users. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::sync::Arc;
use std::time::Instant;

use super::rooms::Rooms;
use super::users::UserKey;
use crate::multiconnection::model::{Event, MAX_PARTICIPANTS, OpaqueJson, UserMessage};
use crate::socketio::gateway::client_id::ClientId;

/// Peers of one user: other users with which it has exchanged messages.
const MAX_PEERS: usize = 2 * MAX_PARTICIPANTS;
/// Peers of all users, where each pair counts twice; a peer takes about 20 bytes.
pub(super) const MAX_TOTAL_PEERS: usize = 256 * 1024;
/// Peers that a user may have even when all users together have too many.
pub(super) const MIN_PEERS_PER_USER: usize = 64;
/// Custom events of one user.
const MAX_CUSTOM_EVENTS: usize = 16;

impl<J: OpaqueJson> Rooms<J> {
    /// A message to another user; or a request to participate, which goes to the participants of the sender's room, or in a one-way room to
    /// its owner alone. A message to an absent user is lost silently, as in the original.
    pub fn handle_message(&mut self, client: ClientId, message: UserMessage<J>, now: Instant) {
        let Some(key) = self.users.by_client(client) else { return };
        self.users[key].has_reconnected = false;
        let UserMessage { to, message, participation, user_left } = message;
        let user = &self.users[key];
        if participation && user.max_viewers_per_member.is_none() && to != *user.id && self.rooms.contains_key(&*to) {
            for peer in self.participation_receivers(key) {
                self.forward(key, peer, message.clone(), false);
            }
            return;
        }
        let Some(peer) = self.users.by_id(&to).filter(|peer| *peer != key) else { return };
        if self.users[peer].message_event != user.message_event {
            return;
        }
        if !user.peers.contains(&peer) {
            let most = if self.users.peers() < MAX_TOTAL_PEERS { MAX_PEERS } else { MIN_PEERS_PER_USER };
            let too_many_peers = user.peers.len() >= most || self.users[peer].peers.len() >= most;
            if user_left || too_many_peers {
                return;
            }
            self.users.pair(key, peer);
            for (to, other) in [(key, peer), (peer, key)] {
                let id = self.users[other].id.clone();
                self.send(to, Event::UserConnected(id));
            }
            self.schedule_admin_update(now);
        }
        self.forward(key, peer, message, true);
    }

    /// How many users are in the client's room: an event to them costs its sender as many copies.
    pub fn room_size(&self, client: ClientId) -> usize {
        let user = self.users.by_client(client).map(|key| &self.users[key]);
        let room = user.and_then(|user| self.rooms.get(user.room.as_ref()?));
        room.map_or(1, |room| room.participants.len())
    }

    /// How many users may be told the user's extra data: those in its room and its peers.
    pub fn extra_data_receivers(&self, client: ClientId) -> usize {
        let peers = self.users.by_client(client).map_or(0, |key| self.users[key].peers.len());
        self.room_size(client) + peers
    }

    /// A user ends its connection with another user.
    pub fn handle_disconnect_with(&mut self, client: ClientId, other: &str, now: Instant) {
        let Some(key) = self.users.by_client(client) else { return };
        if let Some(other) = self.users.by_id(other)
            && self.users[key].peers.contains(&other)
        {
            self.part(key, other);
            let id = self.users[other].id.clone();
            self.send(key, Event::UserDisconnected(id));
            self.schedule_admin_update(now);
        }
    }

    /// A user's extra data have changed; the owner's are also the room's.
    pub fn handle_extra(&mut self, client: ClientId, extra: J, now: Instant) {
        let Some(key) = self.users.by_client(client) else { return };
        let user = &mut self.users[key];
        user.extra = extra.clone();
        let (id, mut receivers) = (user.id.clone(), user.peers.clone());
        if let Some(room) = user.room.as_ref().and_then(|room| self.rooms.get_mut(room)) {
            receivers.extend(room.participants.iter().copied().filter(|participant| *participant != key));
            if room.owner == key {
                room.extra = extra.clone();
            }
        }
        self.update_description_bytes(key);
        for to in receivers {
            self.send(to, Event::ExtraDataUpdated { user: id.clone(), extra: extra.clone() });
        }
        self.schedule_admin_update(now);
    }

    pub fn extra_of(&self, id: &str) -> Option<&J> {
        self.users.by_id(id).map(|key| &self.users[key].extra)
    }

    /// Whether another user has that id.
    pub fn is_present(&self, client: ClientId, id: &str) -> bool {
        self.users.by_id(id).is_some_and(|key| self.users.by_client(client) != Some(key))
    }

    /// From now on the user's events of that name go to all others in its room.
    pub fn handle_announce_custom_event(&mut self, client: ClientId, event: Arc<str>) {
        let Some(key) = self.users.by_client(client) else { return };
        let events = &mut self.users[key].custom_events;
        if events.len() < MAX_CUSTOM_EVENTS {
            events.insert(event);
        }
    }

    /// A custom event goes to the user's room, if the user has announced its name.
    pub fn handle_custom(&mut self, client: ClientId, event: &str, message: J) {
        let Some(key) = self.users.by_client(client) else { return };
        let user = &self.users[key];
        let Some(event) = user.custom_events.get(event).cloned() else { return };
        let Some(room) = user.room.as_ref().and_then(|room| self.rooms.get(room)) else { return };
        // Under the name of a receiver's message event it would look like a message, from any sender.
        let receives = |to: &UserKey| *to != key && self.users[*to].message_event != event;
        let receivers: Vec<_> = room.participants.iter().copied().filter(receives).collect();
        for to in receivers {
            self.send(to, Event::Custom { event: event.clone(), message: message.clone() });
        }
    }

    /// Two users are no longer peers; `other` is told.
    pub(super) fn part(&mut self, key: UserKey, other: UserKey) {
        self.users.part(key, other);
        let id = self.users[key].id.clone();
        self.send(other, Event::UserDisconnected(id));
    }

    /// The users that are told that `key` wants to participate in its room.
    fn participation_receivers(&self, key: UserKey) -> Vec<UserKey> {
        let user = &self.users[key];
        let Some(room) = user.room.as_ref().and_then(|room| self.rooms.get(room)) else { return Vec::new() };
        let receives = |to: &UserKey| *to != key && self.users[*to].message_event == user.message_event;
        match room.one_way {
            true => Some(room.owner).filter(receives).into_iter().collect(),
            false => room.participants.iter().copied().filter(receives).collect(),
        }
    }

    fn forward(&mut self, key: UserKey, to: UserKey, message: J, with_extra: bool) {
        let (sender, receiver) = (&self.users[key], &self.users[to]);
        let event = Event::Message {
            event: receiver.message_event.clone(),
            to: receiver.id.clone(),
            sender: sender.id.clone(),
            message,
            extra: with_extra.then(|| sender.extra.clone()),
        };
        self.send(to, event);
    }
}
