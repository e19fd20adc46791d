//! Counts the payloads for clients that use streams: the shell knows whether a stream had room, and only then a payload was relayed.

use std::sync::Arc;

use super::delivery::Delivery;

/// A payload, and whose allocations it counts for.
#[derive(Debug)]
pub(super) struct StreamPayload {
    pub(super) receiver: Arc<Delivery>,
    /// The allocation of the sender, where the sender is a client of this server.
    pub(super) sender: Option<Arc<Delivery>>,
    pub(super) bytes: usize,
}

impl StreamPayload {
    /// The stream has taken the payload.
    pub(super) fn count(&self) {
        self.receiver.traffic.add_received(self.bytes);
        self.sender.iter().for_each(|sender| sender.traffic.add_sent(self.bytes));
    }
}
