//! All AppRTC rooms: which there are, when something is due in one, and what waits in all of them. PURE: no socket, no clock, no
//! lock.
//!
//! Owner: the hub, by value behind its lock. Inputs: `handle_*`, each with the time; their return value is the verdict.
//! Outputs: [`Rooms::poll_output`], drained after every input; [`Rooms::next_timeout`] says when [`Rooms::handle_timeout`] is due.
//!
//! Invariants: a room that is in the table has a member or a slot, two of each at most; what waits in it is bounded, and so is
//! what waits in all. Where either bound is met, `Usage` says who gives way: whoever asks, if its address has most.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::queue::{Allowance, MESSAGE_COST};
use super::room::{Counts, Joined, Refusal, Room, Step};
use super::slots::SlotError;
use super::usage::{Usage, WAITING_BYTES};
use crate::apprtc::quota::ByteQuota;
use crate::limits::ip_prefix;

pub use super::slots::Output;

/// Bytes of text that wait in a room at most.
const ROOM_BYTES: usize = 1 << 20;

/// A time-out has nobody who causes it.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Who causes an event, and when.
#[derive(Debug, Clone, Copy)]
pub struct By {
    pub from: IpAddr,
    pub now: Instant,
}

/// What gave way for want of room, and what was refused, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Want {
    /// Rooms that nobody was connected in for a minute.
    pub idle_rooms: u64,
    /// Rooms of the address that had most.
    pub rooms: u64,
    /// Messages of the address that had most.
    pub messages: u64,
    /// Rooms and messages that were refused: their address had most itself.
    pub refused_rooms: u64,
    pub refused_messages: u64,
}

impl Want {
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.idle_rooms + self.rooms + self.messages + self.refused_rooms + self.refused_messages
    }
}

/// `S` is a handle of a client's socket.
#[derive(Debug)]
pub struct Rooms<S> {
    rooms: HashMap<Arc<str>, Room<S>>,
    /// Each room's `due`.
    timers: BTreeSet<(Instant, Arc<str>)>,
    counts: Counts,
    usage: Usage,
    want: Want,
    /// What all messages that wait take of the server's memory.
    quota: ByteQuota,
    max_rooms: usize,
    rng: StdRng,
    outputs: VecDeque<Output<S>>,
}

impl<S: Clone + PartialEq> Rooms<S> {
    /// `quota` counts what waits; `seed` is for client ids.
    pub fn new(max_rooms: usize, quota: ByteQuota, seed: [u8; 32]) -> Self {
        Self {
            rooms: HashMap::new(),
            timers: BTreeSet::new(),
            counts: Counts::default(),
            usage: Usage::default(),
            want: Want::default(),
            quota,
            max_rooms,
            rng: StdRng::from_seed(seed),
            outputs: VecDeque::new(),
        }
    }

    /// Forgets every room, in whatever state they are, and returns the sockets that were registered. `seed` is for client ids.
    pub fn begin_anew(&mut self, seed: [u8; 32]) -> Vec<S> {
        let before = std::mem::replace(self, Self::new(self.max_rooms, self.quota.clone(), seed));
        before.rooms.values().flat_map(|room| room.slots.live_sockets()).cloned().collect()
    }

    /// Somebody wants to be a member. `loopback`: with a phantom as its peer.
    ///
    /// # Errors
    /// `Full` while two are there of whom none is stale; `ServerFull`.
    pub fn handle_join(&mut self, room: &str, loopback: bool, by: By) -> Result<Joined, Refusal> {
        self.open(room, by)?;
        self.within(room, by, |room, step| room.join(loopback, step)).unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// A member's message: kept for the one that joins next, or for the peer's socket.
    ///
    /// # Errors
    /// `UnknownRoom`, `UnknownClient`, `Slot` where it can't be delivered and not be kept.
    pub fn handle_message(&mut self, room: &str, client: &str, message: String, by: By) -> Result<(), Refusal> {
        self.said(room, message, by, |room, message, step| room.message(client, message, step))
            .unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// A member goes; its socket may stay for a farewell.
    pub fn handle_leave(&mut self, room: &str, client: &str, by: By) {
        self.within(room, by, |room, step| room.leave(client, step.now));
    }

    /// A socket becomes that of `client`.
    ///
    /// # Errors
    /// `Slot(Duplicated)`, `Slot(Full)`, `ServerFull`.
    pub fn handle_register(&mut self, room: &str, client: &str, socket: &S, by: By) -> Result<(), Refusal> {
        self.open(room, by)?;
        self.within(room, by, |room, step| room.register(client, socket, step)).unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// A message that came through `socket`, which registered as `client`. Where a DELETE has overtaken it, it is a farewell:
    /// heard by the one that it was talking to, if nobody has come in between.
    ///
    /// # Errors
    /// `Slot(NotRegistered)` where it is not that client's any more and there is no such one, `Slot(TooManyWaiting)`.
    pub fn handle_send(&mut self, room: &str, client: &str, socket: &S, message: String, by: By) -> Result<(), Refusal> {
        let not_registered = Err(Refusal::Slot(SlotError::NotRegistered));
        let sent = self.said(room, message, by, |room, message, step| match room.slots.of(client) {
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
    pub fn handle_post(&mut self, room: &str, client: &str, message: String, by: By) -> Result<(), Refusal> {
        self.open(room, by)?;
        self.said(room, message, by, |room, message, step| room.send(client, message, step)).unwrap_or(Err(Refusal::UnknownRoom))
    }

    /// Ends a client's slot and closes its socket.
    pub fn handle_delete(&mut self, room: &str, client: &str, by: By) {
        self.within(room, by, |room, step| room.close(client, step));
    }

    /// A registered socket is gone.
    pub fn handle_drop(&mut self, room: &str, client: &str, socket: &S, by: By) {
        self.within(room, by, |room, step| {
            if room.slots.drop_socket(client, socket, step.now) {
                room.used = step.now;
                room.lost_socket(client, step.now);
                room.part(client, step);
            }
        });
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, room)) = self.timers.first().filter(|(due, _)| *due <= now).cloned() {
            self.within(&room, By { from: NOBODY, now }, Room::expire);
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

    pub const fn want(&self) -> Want {
        self.want
    }

    /// An event that may begin a room; [`Self::within`] removes it again if nobody comes in.
    fn open(&mut self, name: &str, by: By) -> Result<(), Refusal> {
        if self.rooms.contains_key(name) {
            return Ok(());
        }
        while self.rooms.len() >= self.max_rooms {
            if let Some(idle) = self.usage.idle(false, by.now) {
                self.want.idle_rooms += 1;
                self.end(&idle, by);
            } else if let Some(room) = self.usage.gives_way_to_room(ip_prefix::of_client(by.from)) {
                self.want.rooms += 1;
                self.end(&room, by);
            } else {
                self.want.refused_rooms += 1;
                return Err(Refusal::ServerFull);
            }
        }
        let name: Arc<str> = name.into();
        let room = Room::new(name.clone(), ip_prefix::of_client(by.from), by.now);
        self.rooms.insert(name, room);
        Ok(())
    }

    fn end(&mut self, room: &str, by: By) {
        self.within(room, by, Room::end);
    }

    /// A message that somebody has for a room, where it may have to wait.
    fn said<T>(
        &mut self,
        name: &str,
        message: String,
        by: By,
        event: impl FnOnce(&mut Room<S>, String, &mut Step<'_, S>) -> Result<T, Refusal>,
    ) -> Option<Result<T, Refusal>> {
        let cost = message.len() + MESSAGE_COST;
        let has_space = self.make_space(name, cost, by);
        let said = self.within(name, by, |room, step| event(room, message, step));
        if !has_space && matches!(said, Some(Err(Refusal::Slot(SlotError::TooManyWaiting)))) {
            self.want.refused_messages += 1;
        }
        said
    }

    /// Whether `bytes` more may wait, in that room, where others have made way for them.
    fn make_space(&mut self, name: &str, bytes: usize, by: By) -> bool {
        let Some(room) = self.rooms.get(name) else { return true };
        let connected = room.slots.sockets() > 0;
        while self.usage.waiting() + bytes > WAITING_BYTES {
            if let Some(idle) = self.usage.idle(true, by.now).filter(|idle| **idle != *name) {
                self.want.idle_rooms += 1;
                self.end(&idle, by);
                continue;
            }
            let Some((from, room)) = self.usage.gives_way_to_message(ip_prefix::of_client(by.from), connected, bytes) else {
                return false;
            };
            self.want.messages += u64::try_from(self.within(&room, by, |room, _| room.drop_from(from)).unwrap_or(0)).unwrap_or(0);
        }
        true
    }

    /// Lets an event happen in a room and brings the counts, the timer and the table up to date; `None`: no such room.
    fn within<T>(&mut self, name: &str, by: By, event: impl FnOnce(&mut Room<S>, &mut Step<'_, S>) -> T) -> Option<T> {
        let room = self.rooms.get_mut(name)?;
        let (before, taken) = (room.counts(), room.taken());
        let all = WAITING_BYTES.saturating_sub(self.usage.waiting() + MESSAGE_COST);
        let space = (ROOM_BYTES - before.waiting).min(all);
        let allowance = Allowance { from: ip_prefix::of_client(by.from), space, quota: &self.quota };
        let result = event(room, &mut Step { now: by.now, allowance, rng: &mut self.rng, outputs: &mut self.outputs });
        let (after, takes) = (room.counts(), room.taken());
        self.counts.members = self.counts.members - before.members + after.members;
        self.counts.sockets = self.counts.sockets - before.sockets + after.sockets;
        self.counts.waiting = self.counts.waiting - before.waiting + after.waiting;
        if taken != takes {
            taken.iter().for_each(|taken| self.usage.forget(taken));
            takes.iter().for_each(|takes| self.usage.note(takes));
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
            self.rooms.remove(name);
        }
        Some(result)
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
