//! Messages that wait for a peer, in order and within bounds, each with the address that it came from. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::apprtc::quota::{ByteQuota, Held};

/// Messages that wait at most; Collider's number.
pub(super) const MESSAGES: usize = 1024;
/// Bytes that a message takes besides its text, about.
pub(super) const MESSAGE_COST: usize = 160;
/// Addresses that the messages of one client come from at most: it has moved from one network to another.
const ADDRESSES: usize = 4;

/// Who says something, and how much of it may be kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance<'a> {
    /// As [`crate::limits::ip_prefix::of_client`] has it.
    pub(super) from: IpAddr,
    /// Bytes of text that may still wait in the room.
    pub(super) space: usize,
    pub(super) quota: &'a ByteQuota,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<Waiting>,
    /// Bytes of the texts.
    bytes: usize,
    /// What the messages of each address take.
    costs: Vec<(IpAddr, usize)>,
}

#[derive(Debug)]
struct Waiting {
    text: String,
    from: IpAddr,
    _held: Held,
}

/// It has as many messages as may wait, or they are too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFull;

impl Queue {
    pub(super) const fn new() -> Self {
        Self { messages: VecDeque::new(), bytes: 0, costs: Vec::new() }
    }

    pub(super) fn push(&mut self, mut text: String, allowance: Allowance<'_>) -> Result<(), QueueFull> {
        let Allowance { from, space, quota } = allowance;
        if self.messages.len() >= MESSAGES || text.len() > space {
            return Err(QueueFull);
        }
        let place = self.costs.iter().position(|(address, _)| *address == from);
        if place.is_none() && self.costs.len() >= ADDRESSES {
            return Err(QueueFull);
        }
        let cost = text.len() + MESSAGE_COST;
        let held = quota.take(cost).ok_or(QueueFull)?;
        match place {
            Some(place) => self.costs[place].1 += cost,
            None => self.costs.push((from, cost)),
        }
        text.shrink_to_fit();
        self.bytes += text.len();
        self.messages.push_back(Waiting { text, from, _held: held });
        Ok(())
    }

    /// Everything, the oldest first; the queue is empty afterwards.
    pub(super) fn take(&mut self) -> impl Iterator<Item = String> + use<> {
        std::mem::take(self).messages.into_iter().map(|waiting| waiting.text)
    }

    /// Gives up what came from an address; how many messages that were.
    pub(super) fn drop_from(&mut self, address: IpAddr) -> usize {
        let before = self.messages.len();
        self.messages.retain(|waiting| waiting.from != address);
        self.costs.retain(|(from, _)| *from != address);
        self.bytes = self.messages.iter().map(|waiting| waiting.text.len()).sum();
        before - self.messages.len()
    }

    /// Bytes of the texts.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that the messages of each address take.
    pub(super) fn costs(&self) -> impl Iterator<Item = (IpAddr, usize)> {
        self.costs.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_for_the_address_it_came_from_and_given_back() {
        let quota = ByteQuota::new(1 << 20);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse::<IpAddr>().unwrap());
        let mut queue = Queue::new();
        for (from, text) in [(one, "first"), (other, "second"), (one, "third")] {
            queue.push(text.to_owned(), Allowance { from, space: 100, quota: &quota }).unwrap();
        }
        assert_eq!(queue.costs().collect::<Vec<_>>(), [(one, 10 + 2 * MESSAGE_COST), (other, 6 + MESSAGE_COST)]);
        assert_eq!((queue.bytes(), quota.held()), (16, 16 + 3 * MESSAGE_COST));
        assert_eq!(queue.drop_from(one), 2);
        assert_eq!((queue.bytes(), quota.held(), queue.costs().count()), (6, 6 + MESSAGE_COST, 1));
        assert_eq!(queue.take().collect::<Vec<_>>(), ["second"]);
        assert_eq!((queue.bytes(), quota.held(), queue.costs().count()), (0, 0, 0));
    }

    #[test]
    fn a_client_comes_from_few_addresses() {
        let quota = ByteQuota::new(1 << 20);
        let mut queue = Queue::new();
        let mut say = |host: u32| {
            let from = IpAddr::V4(host.into());
            queue.push("x".to_owned(), Allowance { from, space: 100, quota: &quota })
        };
        assert_eq!((1..=10).filter(|host| say(*host).is_ok()).count(), ADDRESSES);
        assert!(say(1).is_ok());
    }
}
