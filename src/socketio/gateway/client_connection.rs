//! The socket of a connected client of a gateway.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;

use axum::http::header;
use socketioxide::extract::SocketRef;

use super::client_id::ClientId;
use crate::http::client_info::ClientInfo;
use crate::limits::waiting_bytes::Account;
use crate::operator::rows::agent_row;
use crate::socketio::sessions::outgoing::Outgoing;

/// Knows what waits for the client, so that an event finds that without a look into the socket's memory.
pub struct ClientConnection {
    client: ClientId,
    socket: SocketRef,
    outgoing: Outgoing,
}

impl ClientConnection {
    /// # Panics
    /// If the socket's session has no [`Outgoing`]; its first request always brings one.
    pub(super) fn new(client: ClientId, socket: SocketRef) -> Self {
        let outgoing = outgoing_of(&socket).expect("each session's first request has an `Outgoing` among its extensions").clone();
        Self { client, socket, outgoing }
    }

    #[must_use]
    pub const fn client(&self) -> ClientId {
        self.client
    }

    /// What counts the bytes that wait for the client.
    #[must_use]
    pub fn account(&self) -> &Account {
        self.outgoing.account()
    }

    pub(super) const fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// The User-Agent of the client's handshake, which the socket keeps.
    #[must_use]
    pub fn user_agent(&self) -> Option<String> {
        let agent = self.req_parts().headers.get(header::USER_AGENT)?;
        agent_row(&String::from_utf8_lossy(agent.as_bytes()))
    }

    /// Ends the client's connection, in a task of its own: the disconnect handler takes the lock.
    pub fn disconnect(self) {
        tokio::spawn(async move {
            self.outgoing.send_all();
            // A full send buffer has no room for the disconnect packet either.
            if self.socket.disconnect().is_err() {
                self.outgoing.account().close("too many events wait for it");
            }
        });
    }
}

impl Deref for ClientConnection {
    type Target = SocketRef;

    fn deref(&self) -> &SocketRef {
        &self.socket
    }
}

/// The address of a client.
pub fn address(socket: &SocketRef) -> IpAddr {
    socket.req_parts().extensions.get::<ClientInfo>().map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.address)
}

/// What counts the events that wait for a client's session.
pub(super) fn outgoing_of(socket: &SocketRef) -> Option<&Outgoing> {
    socket.req_parts().extensions.get()
}
