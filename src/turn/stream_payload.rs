//! Counts the payloads for clients that use streams: the shell knows whether a stream had room, and only then a payload was relayed.

use std::sync::Arc;

use super::delivery::Delivery;
use super::engine::Engine;

/// A payload, and whose allocations it counts for.
#[derive(Debug)]
pub(super) struct StreamPayload {
    pub(super) receiver: Arc<Delivery>,
    /// The allocation of the sender, where the sender is a client of this server.
    pub(super) sender: Option<Arc<Delivery>>,
    pub(super) bytes: usize,
}

impl Engine {
    /// The stream of the client has taken the payload of the last verdict, [`super::Verdict::ToClient`].
    pub fn handle_stream_took_payload(&mut self) {
        let Some(StreamPayload { receiver, sender, bytes }) = self.stream_payload.take() else { return };
        receiver.traffic.add_received(bytes);
        if let Some(sender) = sender {
            sender.traffic.add_sent(bytes);
        }
    }
}
