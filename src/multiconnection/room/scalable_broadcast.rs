//! The part of the rooms that serves scalable broadcasts: it tells the members what `broadcast` decides. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Instant;

use super::broadcast::{LeaveEffect, Member};
use super::rooms::Rooms;
use super::users::UserKey;
use crate::multiconnection::model::{Event, OpaqueJson, UserId};
use crate::socketio::gateway::client_id::ClientId;

impl<J: OpaqueJson> Rooms<J> {
    /// `join-broadcast`: the user is told which user to receive from, or to start broadcasting. A broadcaster takes the broadcast's id, if
    /// that is free; clients don't announce that change.
    pub fn handle_join_broadcast(&mut self, client: ClientId, id: Option<UserId>, broadcast: &str, types: J, now: Instant) {
        let Some(key) = self.users.by_client(client) else { return };
        let Some(limit) = self.users[key].max_viewers_per_member else { return };
        if id.is_some_and(|id| !self.handle_rename(client, id, now)) {
            return;
        }
        let starts_over = self.users[key].has_reconnected;
        let is_over = |member: &Member<J>| member.broadcast != broadcast || (member.initiator && starts_over);
        if self.broadcasts.member(key).is_some_and(is_over) {
            self.leave_broadcast(key);
        }
        if self.broadcasts.member(key).is_none() {
            self.broadcasts.join(key, broadcast, types);
            self.update_description_bytes(key);
            self.send_viewer_count(broadcast);
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
                let types = self.broadcasts.member(key).expect("it has joined").types.clone();
                self.send(key, Event::StartBroadcasting { types });
                self.send(key, Event::Log(format!("You <{id}> are now serving the broadcast.")));
            }
        }
        self.schedule_admin_update(now);
    }

    /// `can-relay-broadcast`, `can-not-relay-broadcast`.
    pub fn handle_can_relay(&mut self, client: ClientId, can_relay: bool) {
        if let Some(key) = self.users.by_client(client) {
            self.broadcasts.set_can_relay(key, can_relay);
        }
    }

    /// `scalable-broadcast-message`: to all others of the broadcast.
    pub fn handle_broadcast_message(&mut self, client: ClientId, message: &J) {
        let Some(key) = self.users.by_client(client) else { return };
        let Some(member) = self.broadcasts.member(key) else { return };
        let mut others = self.broadcasts.members(&member.broadcast).to_vec();
        others.retain(|other| *other != key);
        for to in others {
            self.send(to, Event::BroadcastMessage(message.clone()));
        }
    }

    /// Whether the user of that id broadcasts, as the asking client sees it.
    pub fn is_broadcasting(&self, client: ClientId, id: &str) -> bool {
        let Some(key) = self.users.by_id(id) else { return false };
        let asking = self.users.by_client(client).map(|asking| self.users[asking].fingerprint);
        let is_abandoned = asking.is_some_and(|fingerprint| self.is_abandoned_for(fingerprint, key));
        self.broadcasts.member(key).is_some_and(|member| member.initiator && !is_abandoned)
    }

    /// The number of viewers of a broadcast whose broadcaster is present.
    pub fn viewers(&self, broadcast: &str) -> usize {
        self.broadcaster(broadcast).map_or(0, |_| self.broadcasts.members(broadcast).len() - 1)
    }

    /// How many members the user's broadcast has: an event to them costs its sender as many copies.
    pub fn broadcast_size(&self, client: ClientId) -> usize {
        let member = self.users.by_client(client).and_then(|key| self.broadcasts.member(key));
        member.map_or(1, |member| self.broadcasts.members(&member.broadcast).len())
    }

    pub(super) fn leave_broadcast(&mut self, key: UserKey) {
        let departure = self.broadcasts.leave(key);
        self.update_description_bytes(key);
        match departure {
            None => {}
            Some(LeaveEffect::BroadcastStopped { broadcast, members }) => {
                for to in members {
                    self.update_description_bytes(to);
                    self.send(to, Event::BroadcastStopped(broadcast.clone()));
                }
            }
            Some(LeaveEffect::ViewerLeft { broadcast, orphans }) => {
                self.send_viewer_count(&broadcast);
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

    fn send_viewer_count(&mut self, broadcast: &str) {
        if let Some(to) = self.broadcaster(broadcast) {
            let count = self.viewers(broadcast);
            self.send(to, Event::Viewers { count, broadcast: broadcast.to_owned() });
        }
    }
}
