//! All AppRTC rooms with their timers and their bounds. PURE: no socket, no clock, no lock.
//!
//! Owner: the gateway, behind its lock. Inputs: `handle_*`, each with the address and the time; their return value is the verdict.
//! Outputs: [`Rooms::poll_output`], drained after every input; [`Rooms::next_timeout`] says when [`Rooms::handle_timeout`] is due.
//!
//! Invariants: a room in the table has a member or a slot, and two of each at most; the queued messages of a room are bounded, and so
//! are those of all rooms. At a bound the eviction index names the room or the messages to drop; if no address has more than the
//! requesting one, the request is refused.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::eviction::{EvictionIndex, MAX_QUEUED_BYTES};
use super::model::{CallEnd, CallEvent, EventContext, EvictionCounts, Joined, Output, Refusal, RoomCounts, SlotError};
use super::queue::{Allowance, MESSAGE_OVERHEAD_BYTES};
use super::room::{Room, RoomContext};
use super::slots::BYE;
use crate::admission::proven_user::ProvenUser;
use crate::limits::ip_prefix;
use crate::room_driver::numbers::Numbers;

/// Bytes of the texts that are queued in one room.
const MAX_ROOM_TEXT_BYTES: usize = 1 << 20;

/// No client causes a time-out, or an operator's end.
pub(super) const NO_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// `S` is a handle of a client's socket.
#[derive(Debug)]
pub struct Rooms<S> {
    pub(super) rooms: HashMap<Arc<str>, Room<S>>,
    pub(super) numbers: Numbers<Arc<str>>,
    /// Each room's `due`.
    timers: BTreeSet<(Instant, Arc<str>)>,
    counts: RoomCounts,
    eviction: EvictionIndex,
    evictions: EvictionCounts,
    max_rooms: usize,
    rng: StdRng,
    outputs: VecDeque<Output<S>>,
    call_events: VecDeque<CallEvent>,
}

impl<S: Clone + PartialEq> Rooms<S> {
    /// `seed` is for client ids.
    pub fn new(max_rooms: usize, seed: [u8; 32]) -> Self {
        Self {
            rooms: HashMap::new(),
            numbers: Numbers::default(),
            timers: BTreeSet::new(),
            counts: RoomCounts::default(),
            eviction: EvictionIndex::default(),
            evictions: EvictionCounts::default(),
            max_rooms,
            rng: StdRng::from_seed(seed),
            outputs: VecDeque::new(),
            call_events: VecDeque::new(),
        }
    }

    /// Drops all rooms, even inconsistent ones, and returns the registered sockets. `seed` is for client ids.
    pub fn clear(&mut self, seed: [u8; 32]) -> Vec<S> {
        let numbers = Numbers::continued_from(&self.numbers);
        let before = std::mem::replace(self, Self { numbers, ..Self::new(self.max_rooms, seed) });
        before.rooms.values().flat_map(|room| room.slots.sockets()).cloned().collect()
    }

    /// A client joins. With `loopback`, its peer is a second member without a client.
    ///
    /// # Errors
    /// `Full` if the room has two members that are not stale; `ServerFull`.
    pub fn handle_join(&mut self, room: &str, loopback: bool, context: EventContext) -> Result<Joined, Refusal> {
        self.open(room, context)?;
        self.update(room, context, |room, in_room| room.join(loopback, in_room)).unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// A member sends a message over HTTP: queued for the next member, or delivered to the peer's socket.
    ///
    /// # Errors
    /// `UnknownRoom`, `UnknownClient`, `Slot` if the message can be neither delivered nor queued.
    pub fn handle_message(&mut self, room: &str, client: &str, message: String, context: EventContext) -> Result<(), Refusal> {
        self.with_message(room, message, context, |room, message, in_room| room.message(client, message, in_room))
            .unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// A member leaves; its socket may stay to send a bye.
    pub fn handle_leave(&mut self, room: &str, client: &str, context: EventContext) {
        self.update(room, context, |room, in_room| room.leave(client, in_room.now));
    }

    /// Registers a socket for `client`.
    ///
    /// # Errors
    /// `Slot(Duplicated)`, `Slot(Full)`, `ServerFull`.
    pub fn handle_register(&mut self, room: &str, client: &str, socket: &S, context: EventContext) -> Result<(), Refusal> {
        self.open(room, context)?;
        self.update(room, context, |room, in_room| room.register(client, socket, in_room)).unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// `client` sends a message through its `socket`. If a DELETE has removed the slot before, the message is a last one to the peer,
    /// unless another client has taken the slot.
    ///
    /// # Errors
    /// `Slot(NotRegistered)` if `socket` is not registered for `client` and the message has no recipient, `Slot(TooManyWaiting)`.
    pub fn handle_send(
        &mut self,
        room: &str,
        client: &str,
        socket: &S,
        message: String,
        context: EventContext,
    ) -> Result<(), Refusal> {
        let not_registered = Err(Refusal::Slot(SlotError::NotRegistered));
        let sent = self.with_message(room, message, context, |room, message, in_room| match room.slots.of(client) {
            Some(_) if room.slots.is_registered(client, socket) => room.send(client, message, in_room),
            Some(_) => not_registered,
            None => room.send_after_delete(client, message, in_room),
        });
        sent.unwrap_or(not_registered)
    }

    /// A client posts a message to Collider.
    ///
    /// # Errors
    /// `Slot(Full)`, `Slot(TooManyWaiting)`, `ServerFull`.
    pub fn handle_post(&mut self, room: &str, client: &str, message: String, context: EventContext) -> Result<(), Refusal> {
        self.open(room, context)?;
        self.with_message(room, message, context, |room, message, in_room| room.send(client, message, in_room))
            .unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// Removes a client's slot and closes its socket.
    pub fn handle_delete(&mut self, room: &str, client: &str, context: EventContext) {
        self.update(room, context, |room, in_room| room.close(client, in_room));
    }

    /// Members with such an address and user leave with a bye, and their sockets are closed.
    pub fn handle_ban(&mut self, is_one: impl Fn(IpAddr, Option<&ProvenUser>) -> bool, now: Instant) {
        let members =
            self.rooms.iter().flat_map(|(name, room)| room.members_of(&is_one).map(move |client| (name.clone(), client)));
        for (room, (client, from)) in members.collect::<Vec<_>>() {
            let context = EventContext { from, now };
            // A room that can't take the bye ends without it.
            self.handle_post(&room, &client, BYE.to_owned(), context).ok();
            self.handle_delete(&room, &client, context);
            self.handle_leave(&room, &client, context);
        }
    }

    /// A registered socket has closed.
    pub fn handle_drop(&mut self, room: &str, client: &str, socket: &S, context: EventContext) {
        self.update(room, context, |room, in_room| {
            if room.slots.drop_socket(client, socket, in_room.now) {
                room.used = in_room.now;
                room.lost_socket(client, in_room.now);
                room.leave_after_bye(client, in_room);
            }
        });
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, room)) = self.timers.first().filter(|(due, _)| *due <= now).cloned() {
            self.update(&room, EventContext { from: NO_CLIENT, now }, Room::expire);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    pub fn poll_output(&mut self) -> Option<Output<S>> {
        self.outputs.pop_front()
    }

    /// What has happened to the calls, in order. Drained like the outputs.
    pub fn poll_call_event(&mut self) -> Option<CallEvent> {
        self.call_events.pop_front()
    }

    /// Whether the client has joined the room.
    pub fn has_member(&self, room: &str, client: &str) -> bool {
        self.rooms.get(room).is_some_and(|room| room.is_member(client))
    }

    /// Whether the room has a member or a slot.
    pub fn contains(&self, room: &str) -> bool {
        self.rooms.contains_key(room)
    }

    pub fn counts(&self) -> RoomCounts {
        RoomCounts { rooms: self.rooms.len(), ..self.counts }
    }

    pub const fn evictions(&self) -> EvictionCounts {
        self.evictions
    }

    /// Opens a room if it does not exist; [`Self::update`] removes it if it is still empty after the event.
    fn open(&mut self, name: &str, context: EventContext) -> Result<(), Refusal> {
        if self.rooms.contains_key(name) {
            return Ok(());
        }
        while self.rooms.len() >= self.max_rooms {
            if let Some(idle) = self.eviction.idle_room(false, context.now) {
                self.evictions.idle_rooms += 1;
                self.end(&idle, context);
            } else if let Some(room) = self.eviction.evicted_for_room(ip_prefix::of_client(context.from)) {
                self.evictions.rooms += 1;
                self.end(&room, context);
            } else {
                self.evictions.refused_rooms += 1;
                return Err(Refusal::ServerFull);
            }
        }
        let name: Arc<str> = name.into();
        let number = self.numbers.add(name.clone());
        let room = Room::new(name.clone(), number, ip_prefix::of_client(context.from), context.now);
        self.rooms.insert(name, room);
        Ok(())
    }

    fn end(&mut self, room: &str, context: EventContext) {
        self.update(room, context, |room, in_room| room.end(CallEnd::Evicted, in_room));
    }

    /// An event with a message that may have to be queued.
    fn with_message<T>(
        &mut self,
        name: &str,
        message: String,
        context: EventContext,
        event: impl FnOnce(&mut Room<S>, String, &mut RoomContext<'_, S>) -> Result<T, Refusal>,
    ) -> Option<Result<T, Refusal>> {
        let cost = message.len() + MESSAGE_OVERHEAD_BYTES;
        let has_space = self.make_space(name, cost, context);
        let sent = self.update(name, context, |room, in_room| event(room, message, in_room));
        if !has_space && matches!(sent, Some(Err(Refusal::Slot(SlotError::TooManyWaiting)))) {
            self.evictions.refused_messages += 1;
        }
        sent
    }

    /// Drops idle rooms and messages of other clients until `bytes` more can be queued in the room; `false` if that is impossible.
    fn make_space(&mut self, name: &str, bytes: usize, context: EventContext) -> bool {
        let Some(room) = self.rooms.get(name) else { return true };
        let connected = room.slots.socket_count() > 0;
        while self.eviction.queued_bytes() + bytes > MAX_QUEUED_BYTES {
            if let Some(idle) = self.eviction.idle_room(true, context.now).filter(|idle| **idle != *name) {
                self.evictions.idle_rooms += 1;
                self.end(&idle, context);
                continue;
            }
            let Some((from, room)) = self.eviction.evicted_for_message(ip_prefix::of_client(context.from), connected, bytes)
            else {
                return false;
            };
            self.evictions.messages +=
                u64::try_from(self.update(&room, context, |room, _| room.drop_from(from)).unwrap_or(0)).unwrap_or(0);
        }
        true
    }

    /// Handles an event in a room, and updates the counts, the eviction index, the timers and the table; `None` if the room does not
    /// exist.
    pub(super) fn update<T>(
        &mut self,
        name: &str,
        context: EventContext,
        event: impl FnOnce(&mut Room<S>, &mut RoomContext<'_, S>) -> T,
    ) -> Option<T> {
        let room = self.rooms.get_mut(name)?;
        let (before, usage_before) = (room.counts(), room.usage());
        let text_bytes = (MAX_ROOM_TEXT_BYTES - before.waiting).min(self.eviction.free_text_bytes());
        let allowance = Allowance { from: ip_prefix::of_client(context.from), text_bytes };
        let result = event(
            room,
            &mut RoomContext { now: context.now, from: context.from, allowance, rng: &mut self.rng, outputs: &mut self.outputs },
        );
        self.call_events.extend(room.changed_call(context.now).into_iter().flatten());
        let (after, usage) = (room.counts(), room.usage());
        self.counts.members = self.counts.members - before.members + after.members;
        self.counts.sockets = self.counts.sockets - before.sockets + after.sockets;
        self.counts.waiting = self.counts.waiting - before.waiting + after.waiting;
        if usage_before != usage {
            usage_before.iter().for_each(|usage| self.eviction.remove(usage));
            usage.iter().for_each(|usage| self.eviction.insert(usage));
        }
        let due = room.next_timeout();
        if due != room.due {
            if let Some(old) = std::mem::replace(&mut room.due, due) {
                self.timers.remove(&(old, room.name.clone()));
            }
            if let Some(new) = due {
                self.timers.insert((new, room.name.clone()));
            }
        }
        if room.is_empty() {
            self.numbers.remove(room.number);
            self.rooms.remove(name);
        }
        Some(result)
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
