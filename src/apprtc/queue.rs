//! The messages that a client has sent to a peer that has no socket yet. PURE.
//!
//! Owner: the sender's `Member` or `Slot`. Invariants: the order is kept, the bounds hold, and each message knows the address that
//! sent it, which can be another client's.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::VecDeque;
use std::net::IpAddr;

/// Collider's bound.
pub(super) const MAX_MESSAGES: usize = 1024;
/// Approximate memory of a message besides its text.
pub(super) const MESSAGE_OVERHEAD_BYTES: usize = 160;
/// Addresses from which messages of one client may come: clients move from one network to another.
const MAX_ADDRESSES: usize = 4;

/// The address that sends a message, and the bound of the message's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// In the form of [`crate::limits::ip_prefix::of_client`].
    pub(super) from: IpAddr,
    /// Bytes of text that may still be queued in the room.
    pub(super) text_bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<QueuedMessage>,
    text_bytes: usize,
    /// Memory of each address's messages.
    costs: Vec<(IpAddr, usize)>,
}

#[derive(Debug)]
struct QueuedMessage {
    text: String,
    from: IpAddr,
}

/// The queue has too many messages, too many addresses or too many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFull;

impl Queue {
    pub(super) const fn new() -> Self {
        Self { messages: VecDeque::new(), text_bytes: 0, costs: Vec::new() }
    }

    pub(super) fn push(&mut self, mut text: String, allowance: Allowance) -> Result<(), QueueFull> {
        let Allowance { from, text_bytes } = allowance;
        if self.messages.len() >= MAX_MESSAGES || text.len() > text_bytes {
            return Err(QueueFull);
        }
        let known = self.costs.iter().position(|(address, _)| *address == from);
        if known.is_none() && self.costs.len() >= MAX_ADDRESSES {
            return Err(QueueFull);
        }
        let cost = text.len() + MESSAGE_OVERHEAD_BYTES;
        match known {
            Some(known) => self.costs[known].1 += cost,
            None => self.costs.push((from, cost)),
        }
        text.shrink_to_fit();
        self.text_bytes += text.len();
        self.messages.push_back(QueuedMessage { text, from });
        Ok(())
    }

    /// Takes all messages, the oldest first.
    pub(super) fn take(&mut self) -> impl Iterator<Item = String> + use<> {
        std::mem::take(self).messages.into_iter().map(|message| message.text)
    }

    /// Drops the messages of an address, and returns their number.
    pub(super) fn drop_from(&mut self, address: IpAddr) -> usize {
        let before = self.messages.len();
        self.messages.retain(|message| message.from != address);
        self.costs.retain(|(from, _)| *from != address);
        self.text_bytes = self.messages.iter().map(|message| message.text.len()).sum();
        before - self.messages.len()
    }

    pub(super) const fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The memory of each address's messages.
    pub(super) fn costs(&self) -> impl Iterator<Item = (IpAddr, usize)> {
        self.costs.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_for_the_address_that_sent_it_until_it_is_taken() {
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse::<IpAddr>().unwrap());
        let memory = |queue: &Queue| queue.costs().map(|(_, bytes)| bytes).sum::<usize>();
        let mut queue = Queue::new();
        for (from, text) in [(one, "first"), (other, "second"), (one, "third")] {
            queue.push(text.to_owned(), Allowance { from, text_bytes: 100 }).unwrap();
        }
        assert_eq!(
            queue.costs().collect::<Vec<_>>(),
            [(one, 10 + 2 * MESSAGE_OVERHEAD_BYTES), (other, 6 + MESSAGE_OVERHEAD_BYTES)]
        );
        assert_eq!((queue.text_bytes(), memory(&queue)), (16, 16 + 3 * MESSAGE_OVERHEAD_BYTES));
        assert_eq!(queue.drop_from(one), 2);
        assert_eq!((queue.text_bytes(), memory(&queue), queue.costs().count()), (6, 6 + MESSAGE_OVERHEAD_BYTES, 1));
        assert_eq!(queue.take().collect::<Vec<_>>(), ["second"]);
        assert_eq!((queue.text_bytes(), memory(&queue), queue.costs().count()), (0, 0, 0));
    }

    #[test]
    fn the_messages_of_a_client_come_from_few_addresses() {
        let mut queue = Queue::new();
        let mut say = |host: u32| {
            let from = IpAddr::V4(host.into());
            queue.push("x".to_owned(), Allowance { from, text_bytes: 100 })
        };
        assert_eq!((1..=10).filter(|host| say(*host).is_ok()).count(), MAX_ADDRESSES);
        assert!(say(1).is_ok());
    }
}
