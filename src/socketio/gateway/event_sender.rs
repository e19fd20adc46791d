//! Sends the events and acknowledgements that one input of a gateway leads to.

use socketioxide::SendError;
use socketioxide::extract::{AckSender, SocketRef};

use super::client_id::ClientId;
use super::packet::EventArguments;
use crate::limits::waiting_bytes::Account;
use crate::socketio::sessions::outgoing::{DeferredSend, Outgoing, Sendable};

/// Also notes which clients have to be disconnected after the input, since they don't read what they are sent.
#[derive(Default)]
pub struct EventSender {
    pub to_disconnect: Vec<ClientId>,
    sent_bytes: usize,
}

impl EventSender {
    pub fn emit<T: EventArguments>(&mut self, to: ClientId, socket: &SocketRef, event: &str, arguments: T) {
        self.send(to, socket, event.len() + arguments.wire_bytes(), SendableEvent { socket, event, arguments });
    }

    pub fn acknowledge<T: EventArguments>(&mut self, to: ClientId, socket: &SocketRef, ack: AckSender, arguments: T) {
        self.send(to, socket, arguments.wire_bytes(), SendableAck { ack, arguments });
    }

    pub const fn sent_bytes(&self) -> usize {
        self.sent_bytes
    }

    fn send(&mut self, to: ClientId, socket: &SocketRef, bytes: usize, sendable: impl Sendable) {
        self.sent_bytes += bytes;
        let outgoing = outgoing_of(socket).expect("each session's first request has an `Outgoing` among its extensions");
        if !outgoing.emit(bytes, sendable) {
            self.to_disconnect.push(to);
        }
    }
}

/// What counts the bytes that wait for a client.
pub fn account_of(socket: &SocketRef) -> Option<&Account> {
    outgoing_of(socket).map(Outgoing::account)
}

/// What counts the events that wait for a client's session.
pub(in crate::socketio) fn outgoing_of(socket: &SocketRef) -> Option<&Outgoing> {
    socket.req_parts().extensions.get()
}

struct SendableEvent<'a, T> {
    socket: &'a SocketRef,
    event: &'a str,
    arguments: T,
}

impl<T: EventArguments> Sendable for SendableEvent<'_, T> {
    fn send(self) -> Result<(), SendError> {
        self.socket.emit(self.event, &self.arguments)
    }

    fn defer(self) -> DeferredSend {
        let (socket, event, arguments) = (self.socket.clone(), self.event.to_owned(), self.arguments);
        Box::new(move || socket.emit(event, &arguments))
    }
}

struct SendableAck<T> {
    ack: AckSender,
    arguments: T,
}

impl<T: EventArguments> Sendable for SendableAck<T> {
    fn send(self) -> Result<(), SendError> {
        self.ack.send(&self.arguments)
    }

    fn defer(self) -> DeferredSend {
        Box::new(move || self.send())
    }
}
