//! Counts how many bytes each client holds in unfinished messages, and decides which of its messages may be read. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::task::Waker;

/// Bytes that one client holds before its younger messages wait: three of the largest messages, or sixteen of the largest descriptions.
pub(super) const MAX_CLIENT_BYTES: u64 = 4 << 20;
/// Bytes of all clients. They are collected in buffers that grow by doubling and take up to twice as much.
pub(super) const MAX_BYTES: u64 = 12 << 20;
/// Bytes of all clients after messages were given up: enough less than [`MAX_BYTES`] to make that rare.
const TARGET_BYTES: u64 = 10 << 20;
/// Bytes of all clients, including given-up messages that are still in memory, beyond which all but small messages wait.
const MAX_HELD_BYTES: u64 = 14 << 20;
/// How many messages of one client may wait for its other ones. HTTP/2 holds unread bytes for each of them, which are not counted
/// here.
pub(super) const MAX_CLIENT_WAITING: usize = 256;
/// How many messages of all clients may wait.
pub(super) const MAX_WAITING: usize = 384;
/// How many waiting messages are woken when another message of their client ends.
pub(super) const WOKEN_AT_END: usize = 4;

/// Whether more of a message may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// The message waits; its task is woken later.
    Later,
    GivenUp,
}

/// All unfinished messages, by client.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Bytes of the messages that have not been given up.
    pub(super) bytes: u64,
    /// Bytes of the messages that have been given up and not dropped yet.
    pub(super) given_up_bytes: u64,
    /// Messages that wait until given-up messages are dropped.
    pub(super) waiting_for_memory: BTreeSet<(IpAddr, u64)>,
    /// How many messages wait for others of their client.
    pub(super) waiting: usize,
    last_order: u64,
    pub(super) clients: HashMap<IpAddr, ClientMessages>,
}

/// The unfinished messages of one client.
#[derive(Debug, Default)]
pub(super) struct ClientMessages {
    /// Bytes of the messages that have not been given up.
    bytes: u64,
    /// The messages by their order, the oldest first.
    messages: BTreeMap<u64, MessageEntry>,
    /// The messages that wait for others of this client.
    waiting: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct MessageEntry {
    bytes: u64,
    given_up: bool,
    waker: Option<Waker>,
}

impl MessageEntry {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Table {
    /// Adds a message, and returns its order.
    pub(super) fn begin(&mut self, client: IpAddr, bytes: u64) -> u64 {
        self.last_order += 1;
        let order = self.last_order;
        self.clients.entry(client).or_default().messages.insert(order, MessageEntry::default());
        self.set(client, order, bytes);
        order
    }

    /// Sets the bytes that a message holds.
    pub(super) fn set(&mut self, client: IpAddr, order: u64, bytes: u64) {
        let Some(held) = self.clients.get_mut(&client) else { return };
        let Some(message) = held.messages.get_mut(&order).filter(|message| !message.given_up) else { return };
        held.bytes = held.bytes - message.bytes + bytes;
        self.bytes = self.bytes - message.bytes + bytes;
        message.bytes = bytes;
        if self.bytes > MAX_BYTES {
            self.give_up_largest();
        }
    }

    /// Gives up the messages of the clients that hold most.
    fn give_up_largest(&mut self) {
        let mut holders: Vec<(u64, IpAddr)> = self.clients.iter().map(|(client, held)| (held.bytes, *client)).collect();
        holders.sort_unstable_by(|one, other| other.cmp(one));
        for (_, client) in holders {
            if self.bytes <= TARGET_BYTES {
                return;
            }
            let Some(held) = self.clients.get_mut(&client) else { continue };
            let bytes = std::mem::take(&mut held.bytes);
            self.bytes -= bytes;
            self.given_up_bytes += bytes;
            for message in held.messages.values_mut() {
                message.given_up = true;
                message.wake();
            }
        }
    }

    /// Gives up a message.
    pub(super) fn give_up(&mut self, client: IpAddr, order: u64) {
        let Some(held) = self.clients.get_mut(&client) else { return };
        let Some(message) = held.messages.get_mut(&order).filter(|message| !message.given_up) else { return };
        message.given_up = true;
        held.bytes -= message.bytes;
        self.bytes -= message.bytes;
        self.given_up_bytes += message.bytes;
    }

    /// Whether more of a message may be read now; if not, `waker` is woken later. Small messages never wait for others.
    pub(super) fn turn(&mut self, client: IpAddr, order: u64, small: bool, waker: &Waker) -> Turn {
        let Some(held) = self.clients.get_mut(&client) else { return Turn::GivenUp };
        let is_oldest = held.messages.keys().next() == Some(&order);
        let Some(message) = held.messages.get_mut(&order) else { return Turn::GivenUp };
        if message.given_up {
            return Turn::GivenUp;
        }
        if !message.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            message.waker = Some(waker.clone());
        }
        if !small && self.bytes + self.given_up_bytes > MAX_HELD_BYTES {
            self.waiting_for_memory.insert((client, order));
            Turn::Later
        } else if is_oldest || small || held.bytes < MAX_CLIENT_BYTES {
            Turn::Now
        } else if held.waiting.contains(&order) {
            Turn::Later
        } else if held.waiting.len() < MAX_CLIENT_WAITING && self.waiting < MAX_WAITING {
            self.waiting += 1;
            held.waiting.insert(order);
            Turn::Later
        } else {
            Turn::GivenUp
        }
    }

    /// Removes a message that is complete or dropped.
    pub(super) fn remove(&mut self, client: IpAddr, order: u64) {
        let Some(held) = self.clients.get_mut(&client) else { return };
        let Some(message) = held.messages.remove(&order) else { return };
        self.waiting -= usize::from(held.waiting.remove(&order));
        self.waiting_for_memory.remove(&(client, order));
        if message.given_up {
            self.given_up_bytes -= message.bytes;
        } else {
            held.bytes -= message.bytes;
            self.bytes -= message.bytes;
        }
        for _ in 0..WOKEN_AT_END {
            let Some(next) = held.waiting.pop_first() else { break };
            self.waiting -= 1;
            held.messages.get_mut(&next).map(MessageEntry::wake);
        }
        if held.messages.is_empty() {
            self.clients.remove(&client);
        }
        self.wake_for_memory();
    }

    /// Wakes the messages that wait for memory, if enough is free.
    fn wake_for_memory(&mut self) {
        if self.bytes + self.given_up_bytes > MAX_HELD_BYTES {
            return;
        }
        for (client, order) in std::mem::take(&mut self.waiting_for_memory) {
            self.clients.get_mut(&client).and_then(|held| held.messages.get_mut(&order)).map(MessageEntry::wake);
        }
    }
}
