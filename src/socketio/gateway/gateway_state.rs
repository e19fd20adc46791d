//! The shape of a Socket.IO gateway: what it keeps behind its lock, and what it is asked to do. Cast and RTCMultiConnection have one each.

use std::net::IpAddr;

use socketioxide::extract::AckSender;

use super::client_connection::ClientConnection;
use super::client_id::ClientId;
use super::event_sender::EventSender;
use crate::room_driver::DrivenState;

/// A gateway's rooms and its table of clients.
pub trait GatewayState: DrivenState + Send + 'static {
    /// An event of a client, read.
    type Request: Send + 'static;

    /// Does what a client asks for; nothing, if the client is not in the table.
    fn handle_event(&mut self, id: ClientId, event: ReceivedEvent<Self::Request>, sender: &mut EventSender);

    /// Queues the rooms' outputs.
    fn send_outputs(&mut self, sender: &mut EventSender);

    /// The clients at these addresses.
    fn clients_of(&self, is_one: &dyn Fn(IpAddr) -> bool) -> Vec<ClientId>;

    /// A client is gone. Returns its socket, if it was in the table.
    fn remove_client(&mut self, id: ClientId, how: Disconnect) -> Option<ClientConnection>;
}

/// How a client's connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnect {
    /// The client called `socket.disconnect()`.
    Deliberate,
    /// Anything else may be a glitch, so the client keeps its seat for the grace period.
    Dropped,
}

/// An event of a client.
pub struct ReceivedEvent<R> {
    pub request: R,
    pub bytes: usize,
    /// Where the client asked for an acknowledgement.
    pub ack: Option<AckSender>,
}
