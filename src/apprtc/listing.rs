//! The rooms as an operator sees them, and how an operator closes one. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Instant;

use super::model::{CallEnd, ClientDetails, EventContext, ListedClient, ListedRoom};
use super::room::{LOOPBACK_CLIENT, Member, Room};
use super::rooms::{NO_CLIENT, Rooms};

impl<S: Clone + PartialEq> Rooms<S> {
    /// The rooms in which two members are or somebody is connected, and which were opened after the one with this number, in that order.
    pub fn listed_after(&self, number: u64, now: Instant) -> impl Iterator<Item = ListedRoom<'_>> {
        self.numbers.after(number).filter_map(move |(_, name)| self.rooms.get(name)?.listed(now))
    }

    /// An operator closes the room with this number: its clients are sent a bye, and their sockets are closed. Returns the room's name;
    /// `None`: there is no such room.
    pub fn handle_operator_end(&mut self, number: u64, now: Instant) -> Option<String> {
        let name = self.numbers.name(number)?.clone();
        self.update(&name, EventContext { from: NO_CLIENT, now }, |room, in_room| room.end(CallEnd::EndedByOperator, in_room));
        Some(name.to_string())
    }

    /// What an operator is told of a client, which has joined or registered.
    pub fn describe(&mut self, room: &str, client: &str, details: ClientDetails) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.describe(client, details);
        }
    }
}

impl<S: Clone + PartialEq> Room<S> {
    fn describe(&mut self, client: &str, details: ClientDetails) {
        match self.members.iter_mut().find(|member| member.id == client) {
            // What a member said when it joined stays.
            Some(member) => drop(member.details.get_or_insert_with(|| details.into())),
            None => self.slots.describe(client, details.into()),
        }
    }

    fn listed(&self, now: Instant) -> Option<ListedRoom<'_>> {
        if self.members.len() < 2 && self.slots.socket_count() == 0 {
            return None;
        }
        let members = self.members.iter().filter(|member| member.id != LOOPBACK_CLIENT).map(|member| member.listed(now));
        let others = self.slots.listed().filter(|(client, _)| !self.is_member(client)).map(|(_, listed)| listed);
        let since = if self.has_call() { self.call_began } else { self.opened };
        Some(ListedRoom { number: self.number, room: &self.name, since, clients: members.chain(others).collect() })
    }
}

impl Member {
    fn listed(&self, now: Instant) -> ListedClient<'_> {
        let is_away = self.stale_at.is_some_and(|at| at <= now);
        ListedClient { address: Some(self.from).filter(|_| !is_away), details: self.details.as_deref() }
    }
}
