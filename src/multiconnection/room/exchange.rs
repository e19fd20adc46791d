//! The part of the rooms that is about what users send each other.

use crate::socketio::client_id::ClientId;
use std::sync::Arc;
use std::time::Instant;

use super::{Event, MAX_CUSTOM, MAX_PEERS, MAX_PEERS_OF_ALL, Message, Opaque, PEERS_OF_EACH, Rooms, UserKey};

impl<J: Opaque> Rooms<J> {
    /// A message to another user, or a request to the participants of the sender's room (to its owner alone where that is the
    /// only one who sends). Whoever is not there hears nothing, and nobody is told.
    pub fn handle_message(&mut self, connection: ClientId, message: Message<J>, now: Instant) {
        let Some(key) = self.users.by_connection(connection) else { return };
        self.users[key].came_back = false;
        let Message { to, message, participation, user_left } = message;
        let user = &self.users[key];
        if participation && user.relay_limit.is_none() && to != *user.id && self.rooms.contains_key(&*to) {
            for peer in self.asked(key) {
                self.pass_on(key, peer, message.clone(), false);
            }
            return;
        }
        let Some(peer) = self.users.by_id(&to).filter(|peer| *peer != key) else { return };
        if self.users[peer].message_event != user.message_event {
            return;
        }
        if !user.peers.contains(&peer) {
            let most = if self.users.peers() < MAX_PEERS_OF_ALL { MAX_PEERS } else { PEERS_OF_EACH };
            let crowded = user.peers.len() >= most || self.users[peer].peers.len() >= most;
            if user_left || crowded {
                return;
            }
            self.users.pair(key, peer);
            for (to, other) in [(key, peer), (peer, key)] {
                let id = self.users[other].id.clone();
                self.send(to, Event::UserConnected(id));
            }
            self.changed(now);
        }
        self.pass_on(key, peer, message, true);
    }

    /// How many users an event of this one goes to, for what it costs.
    pub fn audience(&self, connection: ClientId) -> usize {
        let user = self.users.by_connection(connection).map(|key| &self.users[key]);
        let room = user.and_then(|user| self.rooms.get(user.room.as_ref()?));
        room.map_or(1, |room| room.participants.len())
    }

    /// How many users hear of this one's extra data at most: those in its room, and those it has exchanged messages with.
    pub fn acquaintances(&self, connection: ClientId) -> usize {
        let peers = self.users.by_connection(connection).map_or(0, |key| self.users[key].peers.len());
        self.audience(connection) + peers
    }

    /// Two users have nothing more to do with each other.
    pub fn handle_disconnect_with(&mut self, connection: ClientId, other: &str, now: Instant) {
        let Some(key) = self.users.by_connection(connection) else { return };
        if let Some(other) = self.users.by_id(other)
            && self.users[key].peers.contains(&other)
        {
            self.part(key, other);
            let id = self.users[other].id.clone();
            self.send(key, Event::UserDisconnected(id));
            self.changed(now);
        }
    }

    /// A user's extra data; the room's are its owner's.
    pub fn handle_extra(&mut self, connection: ClientId, extra: J, now: Instant) {
        let Some(key) = self.users.by_connection(connection) else { return };
        let user = &mut self.users[key];
        user.extra = extra.clone();
        let (id, mut hearers) = (user.id.clone(), user.peers.clone());
        if let Some(room) = user.room.as_ref().and_then(|room| self.rooms.get_mut(room)) {
            hearers.extend(room.participants.iter().copied().filter(|participant| *participant != key));
            if room.owner == key {
                room.extra = extra.clone();
            }
        }
        self.weigh(key);
        for to in hearers {
            self.send(to, Event::ExtraDataUpdated { user: id.clone(), extra: extra.clone() });
        }
        self.changed(now);
    }

    pub fn extra_of(&self, id: &str) -> Option<&J> {
        self.users.by_id(id).map(|key| &self.users[key].extra)
    }

    /// Whether a user of that id is there other than the one who asks.
    pub fn is_present(&self, connection: ClientId, id: &str) -> bool {
        self.users.by_id(id).is_some_and(|key| self.users.by_connection(connection) != Some(key))
    }

    /// From now on the user's event of that name goes to everybody else in its room.
    pub fn handle_listen(&mut self, connection: ClientId, event: Arc<str>) {
        let Some(key) = self.users.by_connection(connection) else { return };
        let events = &mut self.users[key].custom_events;
        if events.len() < MAX_CUSTOM {
            events.insert(event);
        }
    }

    /// An event that is none of ours: to the user's room, if it has said that it would send it.
    pub fn handle_custom(&mut self, connection: ClientId, event: &str, message: J) {
        let Some(key) = self.users.by_connection(connection) else { return };
        let user = &self.users[key];
        let Some(event) = user.custom_events.get(event).cloned() else { return };
        let Some(room) = user.room.as_ref().and_then(|room| self.rooms.get(room)) else { return };
        // Under the name of the relay event it would pass for a message of anybody's.
        let hears = |to: &UserKey| *to != key && self.users[*to].message_event != event;
        let hearers: Vec<_> = room.participants.iter().copied().filter(hears).collect();
        for to in hearers {
            self.send(to, Event::Custom { event: event.clone(), message: message.clone() });
        }
    }

    /// Ends the connection of two users and tells `other`.
    pub(super) fn part(&mut self, key: UserKey, other: UserKey) {
        self.users.part(key, other);
        let id = self.users[key].id.clone();
        self.send(other, Event::UserDisconnected(id));
    }

    /// Who is to hear that `key` wants to participate in its room.
    fn asked(&self, key: UserKey) -> Vec<UserKey> {
        let user = &self.users[key];
        let Some(room) = user.room.as_ref().and_then(|room| self.rooms.get(room)) else { return Vec::new() };
        let hears = |to: &UserKey| *to != key && self.users[*to].message_event == user.message_event;
        match room.one_way {
            true => Some(room.owner).filter(hears).into_iter().collect(),
            false => room.participants.iter().copied().filter(hears).collect(),
        }
    }

    fn pass_on(&mut self, key: UserKey, to: UserKey, message: J, with_extra: bool) {
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
