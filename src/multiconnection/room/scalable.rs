//! The part of the rooms that is about scalable broadcasts: what [`Broadcasts`](super::Broadcasts) decides, told to its members.

use crate::socketio::client_id::ClientId;
use std::time::Instant;

use super::{Departure, Event, Member, Opaque, Rooms, UserId, UserKey};

impl<J: Opaque> Rooms<J> {
    /// `join-broadcast`: the user is told whom to receive from, or to start. A broadcaster takes the broadcast's id, if it is
    /// free; clients change theirs without a word.
    pub fn handle_join_broadcast(&mut self, connection: ClientId, id: Option<UserId>, broadcast: &str, types: J, now: Instant) {
        let Some(key) = self.users.by_connection(connection) else { return };
        let Some(limit) = self.users[key].relay_limit else { return };
        if id.is_some_and(|id| !self.handle_rename(connection, id, now)) {
            return;
        }
        let starts_over = self.users[key].came_back;
        let is_over = |member: &Member<J>| member.broadcast != broadcast || (member.initiator && starts_over);
        if self.broadcasts.member(key).is_some_and(is_over) {
            self.leave_broadcast(key);
        }
        if self.broadcasts.member(key).is_none() {
            self.broadcasts.enter(key, broadcast, types);
            self.weigh(key);
            self.tell_viewers(broadcast);
        }
        let source = self.broadcasts.assign(key, self.broadcaster(broadcast), limit);
        let id = self.users[key].id.clone();
        match source {
            Some(source) => {
                let relay = self.users[source].id.clone();
                let types = self.broadcasts.member(source).expect("a source is a member").types.clone();
                let to_relay = format!("You <{relay}> are now relaying/forwarding data/stream to <{id}>");
                let to_viewer = format!("You <{id}> are getting data/stream from <{relay}>");
                self.send(key, Event::JoinBroadcaster { types, user: relay, broadcast: broadcast.to_owned() });
                self.send(key, Event::Log(to_viewer));
                self.send(source, Event::Log(to_relay));
            }
            None => {
                let types = self.broadcasts.member(key).expect("it has entered").types.clone();
                self.send(key, Event::StartBroadcasting { types });
                self.send(key, Event::Log(format!("You <{id}> are now serving the broadcast.")));
            }
        }
        self.changed(now);
    }

    /// `can-relay-broadcast`, `can-not-relay-broadcast`.
    pub fn handle_relaying(&mut self, connection: ClientId, can_relay: bool) {
        if let Some(key) = self.users.by_connection(connection) {
            self.broadcasts.set_relaying(key, can_relay);
        }
    }

    /// `scalable-broadcast-message`: to all others of the broadcast.
    pub fn handle_broadcast_message(&mut self, connection: ClientId, message: &J) {
        let Some(key) = self.users.by_connection(connection) else { return };
        let Some(member) = self.broadcasts.member(key) else { return };
        let mut others = self.broadcasts.members(&member.broadcast).to_vec();
        others.retain(|other| *other != key);
        for to in others {
            self.send(to, Event::BroadcastMessage(message.clone()));
        }
    }

    /// Whether the user of that id broadcasts, to whoever asks.
    pub fn is_broadcasting(&self, connection: ClientId, id: &str) -> bool {
        let Some(key) = self.users.by_id(id) else { return false };
        let asking = self.users.by_connection(connection).map(|asking| self.users[asking].whereabouts);
        let is_left = asking.is_some_and(|whereabouts| self.is_left_to(whereabouts, key));
        self.broadcasts.member(key).is_some_and(|member| member.initiator && !is_left)
    }

    /// The viewers of a broadcast whose broadcaster is there.
    pub fn viewers(&self, broadcast: &str) -> usize {
        self.broadcaster(broadcast).map_or(0, |_| self.broadcasts.members(broadcast).len() - 1)
    }

    /// How many members the user's broadcast has, for what an event to them costs.
    pub fn broadcast_audience(&self, connection: ClientId) -> usize {
        let member = self.users.by_connection(connection).and_then(|key| self.broadcasts.member(key));
        member.map_or(1, |member| self.broadcasts.members(&member.broadcast).len())
    }

    pub(super) fn leave_broadcast(&mut self, key: UserKey) {
        let departure = self.broadcasts.leave(key);
        self.weigh(key);
        match departure {
            None => {}
            Some(Departure::Stopped { broadcast, members }) => {
                for to in members {
                    self.weigh(to);
                    self.send(to, Event::BroadcastStopped(broadcast.clone()));
                }
            }
            Some(Departure::Viewer { broadcast, orphans }) => {
                self.tell_viewers(&broadcast);
                for to in orphans {
                    self.send(to, Event::RejoinBroadcast(broadcast.clone()));
                }
            }
        }
    }

    /// The member whose id is the broadcast's.
    fn broadcaster(&self, broadcast: &str) -> Option<UserKey> {
        let key = self.users.by_id(broadcast)?;
        self.broadcasts.member(key).filter(|member| member.broadcast == broadcast).map(|_| key)
    }

    fn tell_viewers(&mut self, broadcast: &str) {
        if let Some(to) = self.broadcaster(broadcast) {
            let count = self.viewers(broadcast);
            self.send(to, Event::Viewers { count, broadcast: broadcast.to_owned() });
        }
    }
}
