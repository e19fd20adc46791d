//! The events that wait for one webhook, in order. The time is an argument.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::VecDeque;
use std::time::Instant;

use axum::body::Bytes;

/// Bytes of all events that wait.
const MAX_BYTES: usize = 1 << 20;
/// What an event takes besides its JSON.
const EVENT_OVERHEAD_BYTES: usize = 128;

#[derive(Debug, Clone)]
pub(super) struct QueuedEvent {
    /// Names it in its queue.
    pub(super) number: u64,
    pub(super) json: Bytes,
    pub(super) since: Instant,
    /// It goes first where there is no space.
    is_frequent: bool,
}

#[derive(Debug, Default)]
pub(super) struct EventQueue {
    waiting: VecDeque<QueuedEvent>,
    bytes: usize,
    next: u64,
}

impl EventQueue {
    /// Adds an event. Returns how many were dropped for it: the oldest of those that strangers cause, or else the oldest.
    pub(super) fn push(&mut self, json: Bytes, is_frequent: bool, now: Instant) -> u64 {
        self.bytes += json.len() + EVENT_OVERHEAD_BYTES;
        self.waiting.push_back(QueuedEvent { number: self.next, json, since: now, is_frequent });
        self.next += 1;
        let mut dropped = 0;
        while self.bytes > MAX_BYTES {
            let oldest = self.waiting.iter().position(|event| event.is_frequent).unwrap_or(0);
            let Some(event) = self.waiting.remove(oldest) else { break };
            self.bytes -= event.json.len() + EVENT_OVERHEAD_BYTES;
            dropped += 1;
        }
        dropped
    }

    /// The event that is sent next. It stays until [`Self::remove`].
    pub(super) fn first(&self) -> Option<QueuedEvent> {
        self.waiting.front().cloned()
    }

    /// The event was sent, or is given up. Returns whether it was still there, and not dropped meanwhile.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let removed = self.waiting.pop_front_if(|first| first.number == number);
        if let Some(event) = &removed {
            self.bytes -= event.json.len() + EVENT_OVERHEAD_BYTES;
        }
        removed.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: u32, bytes: usize) -> Bytes {
        format!("{name:0bytes$}").into()
    }

    fn names(queue: &mut EventQueue) -> Vec<u32> {
        let mut names = Vec::new();
        while let Some(first) = queue.first() {
            names.push(std::str::from_utf8(&first.json).unwrap().parse().unwrap());
            queue.remove(first.number);
        }
        names
    }

    #[test]
    fn events_keep_their_order_until_they_are_sent() {
        let (mut queue, now) = (EventQueue::default(), Instant::now());
        for name in 1..=3 {
            assert_eq!(queue.push(event(name, 1), true, now), 0);
        }
        let first = queue.first().unwrap();
        assert_eq!(queue.first().unwrap().number, first.number, "an attempt takes nothing away");
        assert!(queue.remove(first.number));
        assert!(!queue.remove(first.number));
        assert_eq!(names(&mut queue), [2, 3], "an event is removed once");
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn a_full_queue_loses_the_oldest_events_that_strangers_cause() {
        let (mut queue, now) = (EventQueue::default(), Instant::now());
        queue.push(event(0, 10), false, now);
        let dropped: u64 = (1..=2000).map(|name| queue.push(event(name, 1000), true, now)).sum();
        assert!(queue.bytes <= MAX_BYTES && queue.len() > 900);
        let left = names(&mut queue);
        assert_eq!(left.len() as u64 + dropped, 2001);
        assert_eq!(left[0], 0, "what strangers can't cause stays");
        assert!(left[1..].is_sorted() && left.last() == Some(&2000));

        let dropped: u64 = (1..=2000).map(|name| queue.push(event(name, 1000), false, now)).sum();
        assert_eq!(names(&mut queue)[0], u32::try_from(dropped).unwrap() + 1);
    }
}
