//! Messages that wait for a peer, in order and within bounds. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::VecDeque;

/// Messages that wait at most; Collider's number.
pub(super) const MESSAGES: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<String>,
    bytes: usize,
}

/// It has as many messages as may wait, or they are too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFull;

impl Queue {
    pub(super) const fn new() -> Self {
        Self { messages: VecDeque::new(), bytes: 0 }
    }

    /// `space`: bytes that may still wait in the room.
    pub(super) fn push(&mut self, message: String, space: usize) -> Result<(), QueueFull> {
        if self.messages.len() >= MESSAGES || message.len() > space {
            return Err(QueueFull);
        }
        self.bytes += message.len();
        self.messages.push_back(message);
        Ok(())
    }

    /// Everything, the oldest first; the queue is empty afterwards.
    pub(super) fn take(&mut self) -> VecDeque<String> {
        std::mem::take(self).messages
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}
