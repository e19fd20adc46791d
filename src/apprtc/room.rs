//! One AppRTC room as a state machine: the room server's members and Collider's slots side by side. PURE: no socket, no clock, no
//! lock.
//!
//! Members come by join and go by leave, or a day after the last join, queued message or leave; slots come by register or by a
//! posted message and go when they are without a socket. Either does without the other: Collider has clients that never join.
//! What the two know of each other is this:
//! - a message of a member to a member is delivered to the peer's socket, as if it had come through Collider;
//! - a member whose last message was a bye and whose socket is gone has left, whether or not it says so to the room server;
//! - a member is stale when its socket has been gone for a while, and a stale one makes way for whoever joins;
//! - who joined while the other one had no socket hears bye if that one does not come back before it is stale;
//! - a slot whose client has left makes way for a member's.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::queue::{Allowance, MESSAGE_COST, Queue};
use super::slots::{BYE, Output, Slot, SlotError, Slots, is_bye};
use super::usage::Taken;

/// Members of a room at most.
pub(super) const CAPACITY: usize = 2;
/// How long members are remembered after the last join, queued message or leave.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// A member whose socket has been gone for so long makes way for another one.
const STALE_AFTER_DROP: Duration = Duration::from_secs(10);
/// The same for one that joined and never registered.
const STALE_AFTER_JOIN: Duration = Duration::from_secs(60);

/// The phantom that takes the second place of a loopback call.
pub const LOOPBACK_CLIENT: &str = "LOOPBACK_CLIENT_ID";

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
    /// Bytes that messages take which wait.
    pub waiting: usize,
}

/// What an event in a room works with.
pub(super) struct Step<'a, S> {
    pub(super) now: Instant,
    pub(super) allowance: Allowance<'a>,
    pub(super) rng: &'a mut StdRng,
    pub(super) outputs: &'a mut VecDeque<Output<S>>,
}

#[derive(Debug)]
pub(super) struct Room<S> {
    pub(super) name: Arc<str>,
    pub(super) opened_from: IpAddr,
    /// The last join, message, registration, leave, or loss of a socket.
    pub(super) used: Instant,
    pub(super) members: Vec<Member>,
    /// The end of the members.
    pub(super) expires: Instant,
    pub(super) slots: Slots<S>,
    /// The room's entry in the timers.
    pub(super) due: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Member {
    id: String,
    /// What it said while it was alone, or since its peer said bye.
    queue: Queue,
    /// `None` while it has a socket, and for phantoms.
    stale_at: Option<Instant>,
    /// Its peer joined after it had lost its socket: they never talked.
    unmet: bool,
    /// Its peer has left, and it was not there to hear that.
    owed_bye: bool,
}

impl Member {
    const fn new(id: String, stale_at: Option<Instant>) -> Self {
        Self { id, queue: Queue::new(), stale_at, unmet: false, owed_bye: false }
    }
}

impl<S: Clone + PartialEq> Room<S> {
    /// A room that nobody has come into yet.
    pub(super) fn new(name: Arc<str>, opened_from: IpAddr, now: Instant) -> Self {
        Self { name, opened_from, used: now, members: Vec::new(), expires: now, slots: Slots::default(), due: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.slots.is_empty()
    }

    pub(super) fn join(&mut self, loopback: bool, step: &mut Step<'_, S>) -> Result<Joined, Refusal> {
        self.evict_stale(|_| true, step);
        self.forget_farewells(step);
        if self.members.len() >= CAPACITY {
            return Err(Refusal::Full);
        }
        let client = self.unused_id(step);
        let initiator = self.members.is_empty();
        let messages = self.members.first_mut().map(|other| {
            other.unmet = other.stale_at.is_some();
            other.queue.take().collect()
        });
        self.members.reserve_exact(CAPACITY - self.members.len());
        self.members.push(Member::new(client.clone(), Some(step.now + STALE_AFTER_JOIN)));
        if initiator && loopback {
            self.members.push(Member::new(LOOPBACK_CLIENT.to_owned(), None));
        }
        self.used = step.now;
        self.expires = step.now + LIFETIME;
        Ok(Joined { client, initiator, messages: messages.unwrap_or_default() })
    }

    /// A bye that waits, of one that is no member, is not for the one who joins next.
    fn forget_farewells(&mut self, step: &mut Step<'_, S>) {
        let is_gone = |slot: &Slot<S>| slot.said_bye() && slot.socket().is_none();
        let gone = self.slots.clients().filter(|client| !self.is_member(client) && self.slots.of(client).is_some_and(is_gone));
        for client in gone.map(str::to_owned).collect::<Vec<_>>() {
            self.close(&client, step);
        }
    }

    /// The one that is left hears bye.
    fn evict_stale(&mut self, who: fn(&Member) -> bool, step: &mut Step<'_, S>) {
        let stale = |member: &&Member| member.stale_at.is_some_and(|at| at <= step.now) && who(member);
        let gone: Vec<String> = self.members.iter().filter(stale).map(|member| member.id.clone()).collect();
        for client in &gone {
            self.leave(client, step.now);
            self.close(client, step);
        }
        if !gone.is_empty() {
            self.say_bye(step);
        }
    }

    /// To the one that is left, now or when it has a socket again.
    fn say_bye(&mut self, step: &mut Step<'_, S>) {
        if let [survivor] = &self.members[..] {
            let survivor = survivor.id.clone();
            self.say_bye_to(&survivor, step);
        }
    }

    fn say_bye_to(&mut self, client: &str, step: &mut Step<'_, S>) {
        match self.slots.of(client).and_then(Slot::socket).cloned() {
            Some(to) => step.outputs.push_back(Output::Send { to, message: BYE.to_owned() }),
            None => self.members.iter_mut().filter(|member| member.id == client).for_each(|member| member.owed_bye = true),
        }
    }

    fn unused_id(&self, step: &mut Step<'_, S>) -> String {
        loop {
            let id = format!("{:08}", step.rng.random_range(0..100_000_000));
            if !self.is_member(&id) && !self.slots.clients().any(|client| client == id) {
                return id;
            }
        }
    }

    pub(super) fn message(&mut self, client: &str, message: String, step: &mut Step<'_, S>) -> Result<(), Refusal> {
        if self.members.is_empty() {
            return Err(Refusal::UnknownRoom);
        }
        if !self.is_member(client) {
            return Err(Refusal::UnknownClient);
        }
        if let [alone] = &mut self.members[..] {
            alone.queue.push(message, step.allowance).map_err(|_| SlotError::TooManyWaiting)?;
            self.used = step.now;
            self.expires = step.now + LIFETIME;
            return Ok(());
        }
        self.keep_for_the_next(client, &message, step);
        self.send(client, message, step)
    }

    /// What a member says after its peer's bye is for the next one, unless the peer goes on all the same.
    fn keep_for_the_next(&mut self, client: &str, message: &str, step: &mut Step<'_, S>) {
        let slots = &self.slots;
        let peer_said_bye = |member: &Member| slots.of(&member.id).is_some_and(Slot::said_bye);
        if !self.members.iter().any(|member| member.id != client && peer_said_bye(member)) {
            return;
        }
        let speaker = self.members.iter_mut().find(|member| member.id == client);
        if speaker.is_some_and(|speaker| speaker.queue.push(message.to_owned(), step.allowance).is_ok()) {
            step.allowance.space = step.allowance.space.saturating_sub(message.len() + MESSAGE_COST);
        }
    }

    pub(super) fn leave(&mut self, client: &str, now: Instant) {
        if !self.is_member(client) {
            return;
        }
        self.members.retain(|member| member.id != client && member.id != LOOPBACK_CLIENT);
        self.members.iter_mut().for_each(|survivor| survivor.unmet = false);
        self.used = now;
        self.expires = now + LIFETIME;
        self.slots.note_leave(client);
    }

    pub(super) fn register(&mut self, client: &str, socket: &S, step: &mut Step<'_, S>) -> Result<(), Refusal> {
        self.make_way(client, step);
        let waiting = self.slots.register(client, socket, step.now)?;
        self.used = step.now;
        let mut owed = None;
        if let Some(member) = self.members.iter_mut().find(|member| member.id == client) {
            member.stale_at = None;
            member.unmet = false;
            owed = std::mem::take(&mut member.owed_bye).then(|| BYE.to_owned());
        }
        step.outputs.extend(owed.into_iter().chain(waiting).map(|message| Output::Send { to: socket.clone(), message }));
        Ok(())
    }

    pub(super) fn send(&mut self, client: &str, message: String, step: &mut Step<'_, S>) -> Result<(), Refusal> {
        self.make_way(client, step);
        let goes_on = self.slots.of(client).is_some_and(Slot::said_bye) && !is_bye(&message);
        if goes_on && self.members.len() > 1 && self.is_member(client) {
            self.members.iter_mut().for_each(|member| drop(member.queue.take()));
        }
        let sent = self.slots.send(client, message, step.allowance, step.now);
        self.used = if sent.is_ok() { step.now } else { self.used };
        self.part(client, step);
        step.outputs.extend(sent?);
        Ok(())
    }

    /// A message of a client whose slot was deleted a moment ago.
    pub(super) fn overtaken(&mut self, client: &str, message: String, step: &mut Step<'_, S>) -> Result<(), Refusal> {
        let bye = is_bye(&message);
        if bye {
            self.leave(client, step.now);
        }
        match self.slots.only().and_then(Slot::socket).cloned() {
            Some(to) => step.outputs.push_back(Output::Send { to, message }),
            None if bye && self.members.len() == 1 => self.say_bye(step),
            None => return Err(SlotError::NotRegistered.into()),
        }
        Ok(())
    }

    /// Who said bye and has no socket has left.
    pub(super) fn part(&mut self, client: &str, step: &mut Step<'_, S>) {
        let Some(slot) = self.slots.of(client).filter(|slot| slot.said_bye() && slot.socket().is_none()) else { return };
        // Collider alone, without the room server, keeps it for the other one.
        let waits = slot.is_unheard() && self.members.is_empty() && !slot.has_left();
        if !waits {
            self.leave(client, step.now);
            self.close(client, step);
        }
    }

    /// Where both slots are taken, one whose client is no member gives way to a member's.
    fn make_way(&mut self, client: &str, step: &mut Step<'_, S>) {
        if !self.slots.is_full() || !self.is_member(client) || self.slots.clients().any(|other| other == client) {
            return;
        }
        let other = self.slots.clients().find(|other| !self.is_member(other)).map(str::to_owned);
        if let Some(other) = other {
            let silent = self.slots.of(&other).is_some_and(|slot| slot.has_left() && !slot.said_bye());
            self.close(&other, step);
            // Whom it was talking to waits for it still, and has nothing to say to the one that comes.
            let survivor = self.members.iter().find(|member| member.id != client).map(|member| member.id.clone());
            if let Some(survivor) = survivor.filter(|_| silent) {
                self.say_bye_to(&survivor, step);
            }
        }
    }

    pub(super) fn close(&mut self, client: &str, step: &mut Step<'_, S>) {
        let Some(slot) = self.slots.remove(client) else { return };
        self.lost_socket(client, step.now);
        if slot.said_bye() {
            self.leave(client, step.now);
            if slot.is_unheard() {
                self.say_bye(step);
            }
        }
        step.outputs.extend(slot.into_socket().map(|socket| Output::Close { socket }));
    }

    pub(super) fn lost_socket(&mut self, client: &str, now: Instant) {
        // A phantom stays as long as its client does.
        if let Some(member) = self.members.iter_mut().find(|member| member.id == client && client != LOOPBACK_CLIENT) {
            member.stale_at = Some(now + STALE_AFTER_DROP);
        }
    }

    /// Everybody is gone, without a word.
    pub(super) fn end(&mut self, step: &mut Step<'_, S>) {
        self.members.clear();
        step.outputs.extend(self.slots.close_all());
    }

    /// Gives up what waits of what an address has said; how many messages that were.
    pub(super) fn drop_from(&mut self, address: IpAddr) -> usize {
        let said: usize = self.members.iter_mut().map(|member| member.queue.drop_from(address)).sum();
        said + self.slots.drop_from(address)
    }

    pub(super) fn expire(&mut self, step: &mut Step<'_, S>) {
        self.evict_stale(|member| member.unmet, step);
        self.slots.expire(step.now);
        if self.expires <= step.now {
            self.members.clear();
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let members = (!self.members.is_empty()).then_some(self.expires);
        let unmet = self.members.iter().filter(|member| member.unmet).filter_map(|member| member.stale_at);
        unmet.chain(members).chain(self.slots.next_timeout()).min()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { rooms: 1, members: self.members.len(), sockets: self.slots.sockets(), waiting: 0 }
    }

    fn is_member(&self, client: &str) -> bool {
        self.members.iter().any(|member| member.id == client)
    }

    fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.members.iter().map(|member| &member.queue).chain(self.slots.queues())
    }

    /// Bytes of text that wait.
    pub(super) fn text_bytes(&self) -> usize {
        self.queues().map(Queue::bytes).sum()
    }

    /// `None`: it has nobody in it.
    pub(super) fn taken(&self) -> Option<Taken> {
        let mut waiting: Vec<(IpAddr, usize)> = Vec::new();
        for (from, bytes) in self.queues().flat_map(Queue::costs) {
            match waiting.iter_mut().find(|(address, _)| *address == from) {
                Some((_, all)) => *all += bytes,
                None => waiting.push((from, bytes)),
            }
        }
        let taken = Taken {
            room: self.name.clone(),
            opened_from: self.opened_from,
            used: self.used,
            sockets: self.slots.sockets(),
            waiting,
        };
        (!self.is_empty()).then_some(taken)
    }
}
