//! All AppRTC rooms as one state machine: the room server's members and Collider's slots side by side. PURE: no socket, no
//! clock, no lock.
//!
//! Owner: the hub, by value behind its lock. Inputs: `handle_*`, each with the time; their return value is the verdict.
//! Outputs: [`Rooms::poll_output`], drained after every input; [`Rooms::next_timeout`] says when [`Rooms::handle_timeout`] is due.
//!
//! Members come by join and go by leave, or a day after the last join, queued message or leave; slots come by register or by a
//! posted message and go when they are without a socket. Either does without the other: Collider has clients that never join.
//! What the two know of each other is this:
//! - a message of a member to a member is delivered to the peer's socket, as if it had come through Collider;
//! - a member is stale when its socket has been gone for a while, and a stale one makes way for whoever joins;
//! - a slot whose client has left makes way for a member's.
//!
//! Invariants: a room that is in the table has a member or a slot, two of each at most; what waits in it is bounded, and so is
//! what waits in all.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::queue::Queue;
use super::slots::Slots;

pub use super::slots::{Output, SlotError};

/// Members of a room at most.
const CAPACITY: usize = 2;
/// How long members are remembered after the last join, queued message or leave.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// A member whose socket has been gone for so long makes way for another one.
const STALE_AFTER_DROP: Duration = Duration::from_secs(10);
/// The same for one that joined and never registered.
const STALE_AFTER_JOIN: Duration = Duration::from_secs(60);
/// Bytes of messages that wait in a room, and in all rooms, at most.
const ROOM_BYTES: usize = 1 << 20;
const ALL_BYTES: usize = 256 << 20;

/// The phantom that takes the second place of a loopback call.
pub const LOOPBACK_CLIENT: &str = "LOOPBACK_CLIENT_ID";
/// What a client says when it leaves: its peer becomes the initiator and offers again.
const BYE: &str = r#"{"type":"bye"}"#;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Eight digits.
    pub client: String,
    /// The first one in the room is.
    pub initiator: bool,
    /// What the other member said while it was alone, the oldest first.
    pub messages: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the room is full")]
    Full,
    #[error("this server has as many rooms as it may have")]
    ServerFull,
    #[error("unknown room")]
    UnknownRoom,
    #[error("unknown client")]
    UnknownClient,
    #[error(transparent)]
    Slot(#[from] SlotError),
}

/// What there is of all rooms together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub rooms: usize,
    pub members: usize,
    /// Registered ones.
    pub sockets: usize,
    /// Bytes of messages that wait.
    pub waiting: usize,
}

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
    /// heard by the one it was talking to, if nobody has come in between.
    ///
    /// # Errors
    /// `Slot(NotRegistered)` where it is not that client's any more and there is no such one, `Slot(TooManyWaiting)`.
    pub fn handle_send(&mut self, room: &str, client: &str, socket: &S, message: String, now: Instant) -> Result<(), Refusal> {
        let not_registered = Err(Refusal::Slot(SlotError::NotRegistered));
        let sent = self.within(room, now, |room, step| {
            if room.slots.is_live(client, socket) {
                return room.send(client, message, step);
            }
            let to = room.slots.only_socket().filter(|_| !room.slots.clients().any(|other| other == client));
            let Some(to) = to else { return not_registered };
            step.outputs.push_back(Output::Send { to, message });
            Ok(())
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
            }
        });
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, room)) = self.timers.first().filter(|(due, _)| *due <= now).cloned() {
            self.within(&room, now, |room, step| room.expire(step.now));
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

/// What an event in a room works with.
struct Step<'a, S> {
    now: Instant,
    /// Bytes that may still wait.
    space: usize,
    rng: &'a mut StdRng,
    outputs: &'a mut VecDeque<Output<S>>,
}

#[derive(Debug)]
struct Room<S> {
    name: Arc<str>,
    members: Vec<Member>,
    /// The end of the members.
    expires: Instant,
    slots: Slots<S>,
    /// The room's entry in the timers.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Member {
    id: String,
    /// What it said while it was alone.
    queue: Queue,
    /// `None` while it has a socket, and for phantoms.
    stale_at: Option<Instant>,
}

impl<S: Clone + PartialEq> Room<S> {
    fn join(&mut self, loopback: bool, step: &mut Step<'_, S>) -> Result<Joined, Refusal> {
        let evicted = self.evict_stale(step);
        if self.members.len() >= CAPACITY {
            return Err(Refusal::Full);
        }
        let client = self.unused_id(step);
        let initiator = self.members.is_empty();
        let messages = self.members.first_mut().map(|other| other.queue.take()).unwrap_or_default();
        self.members.reserve_exact(CAPACITY - self.members.len());
        let stale_at = Some(step.now + STALE_AFTER_JOIN);
        self.members.push(Member { id: client.clone(), queue: Queue::default(), stale_at });
        if initiator && loopback {
            self.members.push(Member { id: LOOPBACK_CLIENT.to_owned(), queue: Queue::default(), stale_at: None });
        }
        self.expires = step.now + LIFETIME;
        if evicted && !initiator {
            // In the newcomer's name, so that it waits where the survivor is just coming back.
            self.send(&client, BYE.to_owned(), step).ok();
        }
        Ok(Joined { client, initiator, messages: messages.into() })
    }

    /// `false`: nobody is stale.
    fn evict_stale(&mut self, step: &mut Step<'_, S>) -> bool {
        let stale = |member: &&Member| member.stale_at.is_some_and(|at| at <= step.now);
        let stale: Vec<String> = self.members.iter().filter(stale).map(|member| member.id.clone()).collect();
        for client in &stale {
            self.leave(client, step.now);
            self.close(client, step);
        }
        !stale.is_empty()
    }

    fn unused_id(&self, step: &mut Step<'_, S>) -> String {
        loop {
            let id = format!("{:08}", step.rng.random_range(0..100_000_000));
            if !self.is_member(&id) && !self.slots.clients().any(|client| client == id) {
                return id;
            }
        }
    }

    fn message(&mut self, client: &str, message: String, step: &mut Step<'_, S>) -> Result<(), Refusal> {
        if self.members.is_empty() {
            return Err(Refusal::UnknownRoom);
        }
        if !self.is_member(client) {
            return Err(Refusal::UnknownClient);
        }
        if let [alone] = &mut self.members[..] {
            self.expires = step.now + LIFETIME;
            return Ok(alone.queue.push(message, step.space).map_err(|_| SlotError::TooManyWaiting)?);
        }
        self.send(client, message, step)
    }

    fn leave(&mut self, client: &str, now: Instant) {
        if !self.is_member(client) {
            return;
        }
        self.members.retain(|member| member.id != client && member.id != LOOPBACK_CLIENT);
        self.expires = now + LIFETIME;
        // It was meant for the one that is gone, and would confuse the next one.
        self.slots.forget_waiting();
    }

    fn register(&mut self, client: &str, socket: &S, step: &mut Step<'_, S>) -> Result<(), Refusal> {
        self.make_way(client, step);
        let waiting = self.slots.register(client, socket, step.now)?;
        step.outputs.extend(waiting.map(|message| Output::Send { to: socket.clone(), message }));
        if let Some(member) = self.members.iter_mut().find(|member| member.id == client) {
            member.stale_at = None;
        }
        Ok(())
    }

    fn send(&mut self, client: &str, message: String, step: &mut Step<'_, S>) -> Result<(), Refusal> {
        self.make_way(client, step);
        let output = self.slots.send(client, message, step.space, step.now)?;
        step.outputs.extend(output);
        Ok(())
    }

    /// Where both slots are taken, one whose client is no member gives way to a member's.
    fn make_way(&mut self, client: &str, step: &mut Step<'_, S>) {
        if !self.slots.is_full() || !self.is_member(client) || self.slots.clients().any(|other| other == client) {
            return;
        }
        let other = self.slots.clients().find(|other| !self.is_member(other)).map(str::to_owned);
        if let Some(other) = other {
            self.close(&other, step);
        }
    }

    fn close(&mut self, client: &str, step: &mut Step<'_, S>) {
        if let Some(socket) = self.slots.remove(client) {
            self.lost_socket(client, step.now);
            step.outputs.push_back(Output::Close { socket });
        }
    }

    fn lost_socket(&mut self, client: &str, now: Instant) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == client) {
            member.stale_at = Some(now + STALE_AFTER_DROP);
        }
    }

    fn expire(&mut self, now: Instant) {
        self.slots.expire(now);
        if self.expires <= now {
            self.members.clear();
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let members = (!self.members.is_empty()).then_some(self.expires);
        [members, self.slots.next_timeout()].into_iter().flatten().min()
    }

    fn is_member(&self, client: &str) -> bool {
        self.members.iter().any(|member| member.id == client)
    }

    fn counts(&self) -> Counts {
        let waiting = self.members.iter().map(|member| member.queue.bytes()).sum::<usize>() + self.slots.waiting();
        Counts { rooms: 1, members: self.members.len(), sockets: self.slots.sockets(), waiting }
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
