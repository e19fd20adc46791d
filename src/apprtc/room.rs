//! One AppRTC room as a state machine: the room server's members and Collider's slots side by side. PURE: no socket, no clock, no
//! lock.
//!
//! Owner: [`super::rooms::Rooms`]. A join adds a member; a leave removes it, and so does a day after the last join, queued message or
//! leave. A registration or a posted message adds a slot, which is removed some time after its socket has closed. A member can exist
//! without a slot, and a slot without a member: some clients of Collider never join. The two are connected by these rules:
//! - a message of one member to the other goes to the peer's socket, as if it had come through Collider;
//! - a member whose last message was a bye and whose socket is closed has left, even if it does not tell the room server;
//! - a member whose socket has been closed for a while is stale, and the next join replaces it;
//! - a member that joined while the other one had no socket receives a bye when the other one becomes stale;
//! - a slot whose client has left is removed when a member needs a slot.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::eviction::RoomUsage;
use super::model::{CallEnd, CallEvent, CallMember, ClientDetails, Joined, Output, Refusal, RoomCounts, SlotError};
use super::queue::{Allowance, MESSAGE_OVERHEAD_BYTES, Queue};
use super::slots::{BYE, Slot, Slots, is_bye};
use crate::admission::proven_user::ProvenUser;

pub(super) const MAX_MEMBERS: usize = 2;
/// How long members are kept after the last join, queued message or leave.
const MEMBERS_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// A member becomes stale when its socket has been closed for this time.
const STALE_AFTER_DROP: Duration = Duration::from_secs(10);
/// A member becomes stale when it does not register within this time after its join.
const STALE_AFTER_JOIN: Duration = Duration::from_secs(60);

/// The second member of a loopback call, which no client stands behind.
pub(super) const LOOPBACK_CLIENT: &str = "LOOPBACK_CLIENT_ID";

/// The inputs and outputs of an event in one room.
pub(super) struct RoomContext<'a, S> {
    pub(super) now: Instant,
    /// The address of the client that causes the event.
    pub(super) from: IpAddr,
    pub(super) allowance: Allowance,
    pub(super) rng: &'a mut StdRng,
    pub(super) outputs: &'a mut VecDeque<Output<S>>,
}

#[derive(Debug)]
pub(super) struct Room<S> {
    pub(super) name: Arc<str>,
    pub(super) number: u64,
    pub(super) opened: Instant,
    pub(super) opened_from: IpAddr,
    /// The time of the last join, message, registration, leave or loss of a socket.
    pub(super) used: Instant,
    pub(super) members: Vec<Member>,
    /// When all members are removed.
    pub(super) expires: Instant,
    pub(super) slots: Slots<S>,
    /// The two members of the call that was reported last.
    call: Option<[String; 2]>,
    /// When that call began.
    pub(super) call_began: Instant,
    /// Why the call ends, if it does.
    end: CallEnd,
    /// The room's entry in the timers of all rooms.
    pub(super) due: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) from: IpAddr,
    pub(super) details: Option<Box<ClientDetails>>,
    /// The messages that the member sent while it was alone, or since its peer's bye.
    queue: Queue,
    /// `None` while the member has a socket, and for the loopback member.
    pub(super) stale_at: Option<Instant>,
    /// The peer joined after this member had lost its socket: the two have never exchanged a message.
    unmet: bool,
    /// The peer has left, and this member had no socket to receive a bye.
    owed_bye: bool,
}

impl Member {
    const fn new(id: String, from: IpAddr, stale_at: Option<Instant>) -> Self {
        Self { id, from, details: None, queue: Queue::new(), stale_at, unmet: false, owed_bye: false }
    }
}

impl<S: Clone + PartialEq> Room<S> {
    /// A room without members and slots.
    pub(super) fn new(name: Arc<str>, number: u64, opened_from: IpAddr, now: Instant) -> Self {
        Self {
            name,
            number,
            opened: now,
            opened_from,
            used: now,
            members: Vec::new(),
            expires: now,
            slots: Slots::default(),
            call: None,
            call_began: now,
            end: CallEnd::default(),
            due: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.slots.is_empty()
    }

    pub(super) fn join(&mut self, loopback: bool, context: &mut RoomContext<'_, S>) -> Result<Joined, Refusal> {
        self.evict_stale(|_| true, context);
        self.remove_byes(context);
        if self.members.len() >= MAX_MEMBERS {
            return Err(Refusal::Full);
        }
        let client = self.unused_id(context);
        let initiator = self.members.is_empty();
        let messages = self.members.first_mut().map(|other| {
            other.unmet = other.stale_at.is_some();
            other.queue.take().collect()
        });
        self.members.reserve_exact(MAX_MEMBERS - self.members.len());
        self.members.push(Member::new(client.clone(), context.from, Some(context.now + STALE_AFTER_JOIN)));
        if initiator && loopback {
            self.members.push(Member::new(LOOPBACK_CLIENT.to_owned(), context.from, None));
        }
        self.used = context.now;
        self.expires = context.now + MEMBERS_LIFETIME;
        Ok(Joined { client, initiator, messages: messages.unwrap_or_default() })
    }

    /// Removes the slots of clients that are no members, have sent a bye and have no socket: the bye is not for the next member.
    fn remove_byes(&mut self, context: &mut RoomContext<'_, S>) {
        let is_gone = |slot: &Slot<S>| slot.said_bye() && slot.socket().is_none();
        let gone = self.slots.clients().filter(|client| !self.is_member(client) && self.slots.of(client).is_some_and(is_gone));
        for client in gone.map(str::to_owned).collect::<Vec<_>>() {
            self.close(&client, context);
        }
    }

    /// Removes stale members, and sends a bye to the remaining one.
    fn evict_stale(&mut self, selected: fn(&Member) -> bool, context: &mut RoomContext<'_, S>) {
        let stale = |member: &&Member| member.stale_at.is_some_and(|at| at <= context.now) && selected(member);
        let gone: Vec<String> = self.members.iter().filter(stale).map(|member| member.id.clone()).collect();
        for client in &gone {
            self.end = CallEnd::Lost;
            self.leave(client, context.now);
            self.close(client, context);
        }
        if !gone.is_empty() {
            self.send_bye(context);
        }
    }

    /// Sends a bye to the only member, now or when it registers again.
    fn send_bye(&mut self, context: &mut RoomContext<'_, S>) {
        if let [survivor] = &self.members[..] {
            let survivor = survivor.id.clone();
            self.send_bye_to(&survivor, context);
        }
    }

    fn send_bye_to(&mut self, client: &str, context: &mut RoomContext<'_, S>) {
        match self.slots.of(client).and_then(Slot::socket).cloned() {
            Some(to) => context.outputs.push_back(Output::Send { to, message: BYE.to_owned() }),
            None => self.members.iter_mut().filter(|member| member.id == client).for_each(|member| member.owed_bye = true),
        }
    }

    fn unused_id(&self, context: &mut RoomContext<'_, S>) -> String {
        loop {
            let id = format!("{:08}", context.rng.random_range(0..100_000_000));
            if !self.is_member(&id) && !self.slots.clients().any(|client| client == id) {
                return id;
            }
        }
    }

    pub(super) fn message(&mut self, client: &str, message: String, context: &mut RoomContext<'_, S>) -> Result<(), Refusal> {
        if self.members.is_empty() {
            return Err(Refusal::UnknownRoom);
        }
        if !self.is_member(client) {
            return Err(Refusal::UnknownClient);
        }
        if let [alone] = &mut self.members[..] {
            alone.queue.push(message, context.allowance).map_err(|_| SlotError::TooManyWaiting)?;
            self.used = context.now;
            self.expires = context.now + MEMBERS_LIFETIME;
            return Ok(());
        }
        self.keep_for_next(client, &message, context);
        self.send(client, message, context)
    }

    /// Queues a message after the peer's bye for the next member as well. [`Self::send`] drops it if the peer continues.
    fn keep_for_next(&mut self, client: &str, message: &str, context: &mut RoomContext<'_, S>) {
        let slots = &self.slots;
        let peer_said_bye = |member: &Member| slots.of(&member.id).is_some_and(Slot::said_bye);
        if !self.members.iter().any(|member| member.id != client && peer_said_bye(member)) {
            return;
        }
        let speaker = self.members.iter_mut().find(|member| member.id == client);
        if speaker.is_some_and(|speaker| speaker.queue.push(message.to_owned(), context.allowance).is_ok()) {
            context.allowance.text_bytes = context.allowance.text_bytes.saturating_sub(message.len() + MESSAGE_OVERHEAD_BYTES);
        }
    }

    pub(super) fn leave(&mut self, client: &str, now: Instant) {
        if !self.is_member(client) {
            return;
        }
        self.members.retain(|member| member.id != client && member.id != LOOPBACK_CLIENT);
        self.members.iter_mut().for_each(|survivor| survivor.unmet = false);
        self.used = now;
        self.expires = now + MEMBERS_LIFETIME;
        self.slots.note_leave(client);
    }

    pub(super) fn register(&mut self, client: &str, socket: &S, context: &mut RoomContext<'_, S>) -> Result<(), Refusal> {
        self.make_slot_for_member(client, context);
        let queued = self.slots.register(client, socket, context.from, context.now)?;
        self.used = context.now;
        let mut owed = None;
        if let Some(member) = self.members.iter_mut().find(|member| member.id == client) {
            member.stale_at = None;
            member.unmet = false;
            owed = std::mem::take(&mut member.owed_bye).then(|| BYE.to_owned());
        }
        context.outputs.extend(owed.into_iter().chain(queued).map(|message| Output::Send { to: socket.clone(), message }));
        Ok(())
    }

    pub(super) fn send(&mut self, client: &str, message: String, context: &mut RoomContext<'_, S>) -> Result<(), Refusal> {
        self.make_slot_for_member(client, context);
        let continues = self.slots.of(client).is_some_and(Slot::said_bye) && !is_bye(&message);
        if continues && self.members.len() > 1 && self.is_member(client) {
            self.members.iter_mut().for_each(|member| drop(member.queue.take()));
        }
        let sent = self.slots.send(client, message, context.allowance, context.now);
        self.used = if sent.is_ok() { context.now } else { self.used };
        self.leave_after_bye(client, context);
        context.outputs.extend(sent?);
        Ok(())
    }

    /// A message of a client whose slot a DELETE has just removed.
    pub(super) fn send_after_delete(
        &mut self,
        client: &str,
        message: String,
        context: &mut RoomContext<'_, S>,
    ) -> Result<(), Refusal> {
        let bye = is_bye(&message);
        if bye {
            self.leave(client, context.now);
        }
        match self.slots.only().and_then(Slot::socket).cloned() {
            Some(to) => context.outputs.push_back(Output::Send { to, message }),
            None if bye && self.members.len() == 1 => self.send_bye(context),
            None => return Err(SlotError::NotRegistered.into()),
        }
        Ok(())
    }

    /// A client that has sent a bye and has no socket has left.
    pub(super) fn leave_after_bye(&mut self, client: &str, context: &mut RoomContext<'_, S>) {
        let Some(slot) = self.slots.of(client).filter(|slot| slot.said_bye() && slot.socket().is_none()) else { return };
        // Without the room server, Collider keeps the messages for the other client.
        let waits = slot.has_queued() && self.members.is_empty() && !slot.has_left();
        if !waits {
            self.leave(client, context.now);
            self.close(client, context);
        }
    }

    /// Removes the slot of a client that is no member when a member needs it.
    fn make_slot_for_member(&mut self, client: &str, context: &mut RoomContext<'_, S>) {
        if !self.slots.is_full() || !self.is_member(client) || self.slots.clients().any(|other| other == client) {
            return;
        }
        let other = self.slots.clients().find(|other| !self.is_member(other)).map(str::to_owned);
        if let Some(other) = other {
            let without_bye = self.slots.of(&other).is_some_and(|slot| slot.has_left() && !slot.said_bye());
            self.close(&other, context);
            // The remaining member still waits for the removed client, and would not offer to the new one.
            let survivor = self.members.iter().find(|member| member.id != client).map(|member| member.id.clone());
            if let Some(survivor) = survivor.filter(|_| without_bye) {
                self.send_bye_to(&survivor, context);
            }
        }
    }

    pub(super) fn close(&mut self, client: &str, context: &mut RoomContext<'_, S>) {
        let Some(slot) = self.slots.remove(client) else { return };
        self.lost_socket(client, context.now);
        if slot.said_bye() {
            self.leave(client, context.now);
            if slot.has_queued() {
                self.send_bye(context);
            }
        }
        context.outputs.extend(slot.into_socket().map(|socket| Output::Close { socket }));
    }

    pub(super) fn lost_socket(&mut self, client: &str, now: Instant) {
        // The loopback member stays as long as its peer.
        if let Some(member) = self.members.iter_mut().find(|member| member.id == client && client != LOOPBACK_CLIENT) {
            member.stale_at = Some(now + STALE_AFTER_DROP);
        }
    }

    /// Removes all members and slots. Only an operator's end sends a bye.
    pub(super) fn end(&mut self, why: CallEnd, context: &mut RoomContext<'_, S>) {
        self.end = why;
        self.members.clear();
        if why == CallEnd::EndedByOperator {
            context.outputs.extend(self.slots.sockets().map(|to| Output::SendOperatorBye { to: to.clone() }));
        }
        context.outputs.extend(self.slots.close_all());
    }

    /// The members with such an address and user, with their addresses.
    pub(super) fn members_of(
        &self,
        is_one: impl Fn(IpAddr, Option<&ProvenUser>) -> bool,
    ) -> impl Iterator<Item = (String, IpAddr)> {
        let found = self.members.iter().filter(|member| {
            let user = member.details.as_ref().and_then(|details| details.user.as_ref());
            is_one(member.from, user)
        });
        found.map(|member| (member.id.clone(), member.from)).collect::<Vec<_>>().into_iter()
    }

    /// Drops the queued messages of an address, and returns their number.
    pub(super) fn drop_from(&mut self, address: IpAddr) -> usize {
        let dropped: usize = self.members.iter_mut().map(|member| member.queue.drop_from(address)).sum();
        dropped + self.slots.drop_from(address)
    }

    pub(super) fn expire(&mut self, context: &mut RoomContext<'_, S>) {
        self.evict_stale(|member| member.unmet, context);
        self.slots.expire(context.now);
        if self.expires <= context.now {
            self.end = CallEnd::Expired;
            self.members.clear();
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let members = (!self.members.is_empty()).then_some(self.expires);
        let unmet = self.members.iter().filter(|member| member.unmet).filter_map(|member| member.stale_at);
        unmet.chain(members).chain(self.slots.next_timeout()).min()
    }

    pub(super) fn counts(&self) -> RoomCounts {
        RoomCounts { rooms: 1, members: self.members.len(), sockets: self.slots.socket_count(), waiting: self.text_bytes() }
    }

    /// Whether the event has begun or ended a call: the one that has ended, and the one that has begun.
    pub(super) fn changed_call(&mut self, now: Instant) -> [Option<CallEvent>; 2] {
        let end = std::mem::take(&mut self.end);
        let present = match &self.members[..] {
            [first, second] if second.id != LOOPBACK_CLIENT => Some([first, second]),
            _ => None,
        };
        let ids = present.map(|pair| pair.map(|member| member.id.as_str()));
        if ids == self.call.as_ref().map(|call| call.each_ref().map(String::as_str)) {
            return [None, None];
        }
        let of_call = |member: &Member| CallMember { client: member.id.clone(), address: member.from };
        let began = present.map(|pair| CallEvent::Began { room: self.name.clone(), members: pair.map(of_call) });
        self.call_began = now;
        let before = std::mem::replace(&mut self.call, ids.map(|ids| ids.map(str::to_owned)));
        [before.map(|_| CallEvent::Ended { room: self.name.clone(), reason: end }), began]
    }

    pub(super) const fn has_call(&self) -> bool {
        self.call.is_some()
    }

    pub(super) fn is_member(&self, client: &str) -> bool {
        self.members.iter().any(|member| member.id == client)
    }

    fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.members.iter().map(|member| &member.queue).chain(self.slots.queues())
    }

    /// Bytes of the queued messages' texts.
    pub(super) fn text_bytes(&self) -> usize {
        self.queues().map(Queue::text_bytes).sum()
    }

    /// `None` for an empty room.
    pub(super) fn usage(&self) -> Option<RoomUsage> {
        let mut queued: Vec<(IpAddr, usize)> = Vec::new();
        for (from, bytes) in self.queues().flat_map(Queue::costs) {
            match queued.iter_mut().find(|(address, _)| *address == from) {
                Some((_, all)) => *all += bytes,
                None => queued.push((from, bytes)),
            }
        }
        let usage = RoomUsage {
            room: self.name.clone(),
            opened_from: self.opened_from,
            used: self.used,
            sockets: self.slots.socket_count(),
            queued,
        };
        (!self.is_empty()).then_some(usage)
    }
}
