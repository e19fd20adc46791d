//! Queues the events and acknowledgements that one input of a gateway leads to, and sends them after it.
//!
//! An input runs under the lock of all rooms, which decides the order of events. To serialize an event and to wake its receiver takes longer
//! than most inputs, so that happens once the lock is free.

use std::panic::{AssertUnwindSafe, catch_unwind};

use socketioxide::SendError;
use socketioxide::extract::{AckSender, SocketRef};

use super::client_connection::ClientConnection;
use super::client_id::ClientId;
use super::packet::EventArguments;
use crate::socketio::sessions::outgoing::Outgoing;

/// What one input sends, and which clients it disconnects.
#[derive(Default)]
pub struct EventSender {
    pub(super) to_disconnect: Vec<ClientId>,
    /// Where events are queued.
    queued: Vec<(ClientId, Outgoing)>,
    sent_bytes: usize,
}

impl EventSender {
    pub fn emit<T: EventArguments>(&mut self, to: &ClientConnection, event: impl AsRef<str> + Send + 'static, arguments: T) {
        let (bytes, sending) = (event.as_ref().len() + arguments.wire_bytes(), SocketRef::clone(to));
        self.queue(to, bytes, move || sending.emit(event, &arguments));
    }

    pub fn acknowledge<T: EventArguments>(&mut self, to: &ClientConnection, ack: AckSender, arguments: T) {
        self.queue(to, arguments.wire_bytes(), move || ack.send(&arguments));
    }

    /// Bytes that were queued.
    pub const fn sent_bytes(&self) -> usize {
        self.sent_bytes
    }

    fn queue<F>(&mut self, to: &ClientConnection, bytes: usize, send: F)
    where
        F: FnOnce() -> Result<(), SendError> + Send + 'static,
    {
        self.sent_bytes += bytes;
        to.outgoing().queue(bytes, send);
        if self.queued.last().is_none_or(|(last, _)| *last != to.client()) {
            self.queued.push((to.client(), to.outgoing().clone()));
        }
    }

    /// The client has to be disconnected after the input.
    pub fn disconnect(&mut self, id: ClientId) {
        self.to_disconnect.push(id);
    }

    /// Sends what is queued, and returns the clients that don't read it. Not under the lock of a gateway.
    pub(super) fn flush(&mut self) -> Vec<ClientId> {
        let mut unread = Vec::new();
        for (to, outgoing) in self.queued.drain(..) {
            let sent = catch_unwind(AssertUnwindSafe(|| outgoing.flush()));
            if sent.is_err() {
                // It ends this session, and no other one.
                outgoing.account().close("internal error: an event could not be sent");
            }
            if !sent.unwrap_or(false) {
                unread.push(to);
            }
        }
        unread
    }
}

/// An input that panics leaves queued events, each of which would keep its session in memory. So they are sent.
impl Drop for EventSender {
    fn drop(&mut self) {
        self.flush();
    }
}
