//! All AppRTC rooms: which there are, when something is due in one, and what waits in all of them. PURE: no socket, no clock, no
//! lock.
//!
//! Owner: the hub, by value behind its lock. Inputs: `handle_*`, each with the time; their return value is the verdict.
//! Outputs: [`Rooms::poll_output`], drained after every input; [`Rooms::next_timeout`] says when [`Rooms::handle_timeout`] is due.
//!
//! Invariants: a room that is in the table has a member or a slot, two of each at most; what waits in it is bounded, and so is
//! what waits in all.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::room::{Counts, Joined, Refusal, Room, Step};
use super::slots::{SlotError, Slots};

pub use super::slots::Output;

/// Bytes of messages that wait in a room, and in all rooms, at most.
const ROOM_BYTES: usize = 1 << 20;
const ALL_BYTES: usize = 256 << 20;

/// `S` is a handle of a client's socket.
#[derive(Debug)]
pub struct Rooms<S> {
    rooms: HashMap<Arc<str>, Room<S>>,
    /// Each room's `due`.
    timers: BTreeSet<(Instant, Arc<str>)>,
    counts: Counts,
    max_rooms: usize,
    rng: StdRng,
    outputs: VecDeque<Output<S>>,
}

impl<S: Clone + PartialEq> Rooms<S> {
    /// `seed` is for client ids.
    pub fn new(max_rooms: usize, seed: [u8; 32]) -> Self {
        Self {
            rooms: HashMap::new(),
            timers: BTreeSet::new(),
            counts: Counts::default(),
            max_rooms,
            rng: StdRng::from_seed(seed),
            outputs: VecDeque::new(),
        }
    }

    /// Forgets every room, in whatever state they are, and returns the sockets that were registered. `seed` is for client ids.
    pub fn begin_anew(&mut self, seed: [u8; 32]) -> Vec<S> {
        let before = std::mem::replace(self, Self::new(self.max_rooms, seed));
        before.rooms.values().flat_map(|room| room.slots.live_sockets()).cloned().collect()
    }

    /// Somebody wants to be a member. `loopback`: with a phantom as its peer.
    ///
    /// # Errors
    /// `Full` while two are there of whom none is stale; `ServerFull`.
    pub fn handle_join(&mut self, room: &str, loopback: bool, now: Instant) -> Result<Joined, Refusal> {
        self.open(room, now)?;
        self.within(room, now, |room, step| room.join(loopback, step)).unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// A member's message: kept for the one that joins next, or for the peer's socket.
    ///
    /// # Errors
    /// `UnknownRoom`, `UnknownClient`, `Slot` where it can't be delivered and not be kept.
    pub fn handle_message(&mut self, room: &str, client: &str, message: String, now: Instant) -> Result<(), Refusal> {
        self.within(room, now, |room, step| room.message(client, message, step)).unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// A member goes; its socket may stay for a farewell.
    pub fn handle_leave(&mut self, room: &str, client: &str, now: Instant) {
        self.within(room, now, |room, step| room.leave(client, step.now));
    }

    /// A socket becomes that of `client`.
    ///
    /// # Errors
    /// `Slot(Duplicated)`, `Slot(Full)`, `ServerFull`.
    pub fn handle_register(&mut self, room: &str, client: &str, socket: &S, now: Instant) -> Result<(), Refusal> {
        self.open(room, now)?;
        self.within(room, now, |room, step| room.register(client, socket, step)).unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// A message that came through `socket`, which registered as `client`. Where a DELETE has overtaken it, it is a farewell:
    /// heard by the one that it was talking to, if nobody has come in between.
    ///
    /// # Errors
    /// `Slot(NotRegistered)` where it is not that client's any more and there is no such one, `Slot(TooManyWaiting)`.
    pub fn handle_send(&mut self, room: &str, client: &str, socket: &S, message: String, now: Instant) -> Result<(), Refusal> {
        let not_registered = Err(Refusal::Slot(SlotError::NotRegistered));
        let sent = self.within(room, now, |room, step| match room.slots.of(client) {
            Some(_) if room.slots.is_live(client, socket) => room.send(client, message, step),
            Some(_) => not_registered,
            None => room.overtaken(client, message, step),
        });
        sent.unwrap_or(not_registered)
    }

    /// A message that was posted to Collider.
    ///
    /// # Errors
    /// `Slot(Full)`, `Slot(TooManyWaiting)`, `ServerFull`.
    pub fn handle_post(&mut self, room: &str, client: &str, message: String, now: Instant) -> Result<(), Refusal> {
        self.open(room, now)?;
        self.within(room, now, |room, step| room.send(client, message, step)).unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// Ends a client's slot and closes its socket.
    pub fn handle_delete(&mut self, room: &str, client: &str, now: Instant) {
        self.within(room, now, |room, step| room.close(client, step));
    }

    /// A registered socket is gone.
    pub fn handle_drop(&mut self, room: &str, client: &str, socket: &S, now: Instant) {
        self.within(room, now, |room, step| {
            if room.slots.drop_socket(client, socket, step.now) {
                room.lost_socket(client, step.now);
                room.part(client, step);
            }
        });
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, room)) = self.timers.first().filter(|(due, _)| *due <= now).cloned() {
            self.within(&room, now, Room::expire);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    pub fn poll_output(&mut self) -> Option<Output<S>> {
        self.outputs.pop_front()
    }

    /// Whether there is such a room, of members or of slots.
    pub fn contains(&self, room: &str) -> bool {
        self.rooms.contains_key(room)
    }

    pub fn counts(&self) -> Counts {
        Counts { rooms: self.rooms.len(), ..self.counts }
    }

    /// An event that may begin a room; [`Self::within`] removes it again if nobody comes in.
    fn open(&mut self, name: &str, now: Instant) -> Result<(), Refusal> {
        if self.rooms.contains_key(name) {
            return Ok(());
        }
        if self.rooms.len() >= self.max_rooms {
            return Err(Refusal::ServerFull);
        }
        let name: Arc<str> = name.into();
        let room = Room { name: name.clone(), members: Vec::new(), expires: now, slots: Slots::default(), due: None };
        self.rooms.insert(name, room);
        Ok(())
    }

    /// Lets an event happen in a room and brings the counts, the timer and the table up to date; `None`: no such room.
    fn within<T>(&mut self, name: &str, now: Instant, event: impl FnOnce(&mut Room<S>, &mut Step<'_, S>) -> T) -> Option<T> {
        let room = self.rooms.get_mut(name)?;
        let before = room.counts();
        let space = (ROOM_BYTES - before.waiting).min(ALL_BYTES.saturating_sub(self.counts.waiting));
        let result = event(room, &mut Step { now, space, rng: &mut self.rng, outputs: &mut self.outputs });
        let after = room.counts();
        self.counts.members = self.counts.members - before.members + after.members;
        self.counts.sockets = self.counts.sockets - before.sockets + after.sockets;
        self.counts.waiting = self.counts.waiting - before.waiting + after.waiting;
        let due = room.next_timeout();
        if due != room.due {
            if let Some(old) = std::mem::replace(&mut room.due, due) {
                self.timers.remove(&(old, room.name.clone()));
            }
            if let Some(new) = due {
                self.timers.insert((new, room.name.clone()));
            }
        }
        if room.members.is_empty() && room.slots.is_empty() {
            self.rooms.remove(name);
        }
        Some(result)
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
