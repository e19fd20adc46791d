//! A connected client of the gateway.

use std::net::IpAddr;

use axum::http::header;
use serde_json::{Value, json};
use socketioxide::extract::AckSender;

use super::issuer::Issuer;
use super::model::Dialect;
use super::pending::PendingEntry;
use super::wire::{Delivery, EntryEvent, Failure, Request, WireEvent, Wrapped};
use crate::admission::{Applicant, Proof, ProvenUser};
use crate::hooks::authorize::SeatKind;
use crate::http::client_info::ClientInfo;
use crate::http::connection_info::LocalAddress;
use crate::operator::rows::PartyRow;
use crate::outcomes::party::Member;
use crate::socketio::gateway::client_budget::ClientBudget;
use crate::socketio::gateway::client_connection::{self, ClientConnection};
use crate::socketio::gateway::client_id::ClientId;
use crate::socketio::gateway::event_sender::EventSender;

/// An event without arguments: the parser takes an array for the list of them.
pub(super) const NO_ARGUMENTS: [(); 0] = [];

pub(super) struct Client {
    pub(super) socket: ClientConnection,
    pub(super) budget: ClientBudget,
    pub(super) from: IpAddr,
    /// The host name by which the client reached us.
    pub(super) host: Option<String>,
    /// The address of this machine that the client's connection came to; `None` behind a proxy.
    pub(super) reached: Option<IpAddr>,
    /// A dialect B TV has been asked for its device token and has answered.
    pub(super) verified: bool,
    /// The event by which the client last asked for a code.
    pub(super) tv_event: Option<EntryEvent>,
    /// The client's requests for a code that are not answered yet: one for each event.
    pub(super) waiting: Vec<WaitingRequest>,
    /// What the handshake showed of the user.
    pub(super) proof: Option<Proof>,
    /// The user who has proved to be the caster.
    pub(super) user: Option<ProvenUser>,
    /// The entry that waits for an answer.
    pub(super) pending: Option<PendingEntry<ReadEvent>>,
}

/// An event of a client, read; `request`: `None` for one that is not of this flow.
pub(super) struct ReadEvent {
    pub(super) name: String,
    pub(super) request: Option<Result<Request, Failure>>,
}

/// A TV's request that is answered when the TV has its code.
pub(super) struct WaitingRequest {
    pub(super) event: EntryEvent,
    /// The front end sent a token of its own.
    pub(super) had_token: bool,
    pub(super) ack: Option<AckSender>,
}

impl Client {
    pub(super) fn new(socket: ClientConnection) -> Self {
        let extensions = &socket.req_parts().extensions;
        let host = extensions.get::<ClientInfo>().and_then(|client| client.host.clone());
        let reached = extensions.get::<LocalAddress>().and_then(|local| local.0);
        let (from, budget, waiting) = (client_connection::address(&socket), ClientBudget::default(), Vec::new());
        let proof = socket.extensions.remove::<Proof>();
        let (verified, tv_event, user, pending) = (false, None, None, None);
        Self { socket, budget, from, host, reached, verified, tv_event, waiting, proof, user, pending }
    }

    /// The client, as somebody who wants a seat. `proof`: what its event shows; otherwise that of the handshake counts.
    pub(super) fn applicant<'a>(&'a self, kind: SeatKind, proof: Option<&'a Proof>) -> Applicant<'a> {
        let agent = self.socket.req_parts().headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Applicant { kind, proof: proof.or(self.proof.as_ref()), address: self.from, agent }
    }

    /// The client as an operator sees it.
    pub(super) fn party(&self) -> PartyRow {
        let (address, user) = (Some(self.from), self.user.as_ref().map(|user| user.name.clone()));
        PartyRow { address, name: None, user, agent: self.socket.user_agent() }
    }

    pub(super) fn deliver(&self, sender: &mut EventSender, delivery: Delivery) {
        let Delivery { event, wrapper, payload } = delivery;
        match wrapper {
            None => sender.emit(&self.socket, event, payload),
            Some(key) => sender.emit(&self.socket, event, Wrapped { key, payload }),
        }
    }

    pub(super) fn emit(&self, sender: &mut EventSender, event: WireEvent) {
        match event.argument {
            Some(argument) => sender.emit(&self.socket, event.name, argument),
            None => sender.emit(&self.socket, event.name, NO_ARGUMENTS),
        }
    }

    /// The client, for those who follow its cast.
    pub(super) fn member(&self, issuer: &dyn Issuer) -> Member {
        let Self { from, host, reached, .. } = self;
        let signed_in = self.user.as_ref().map(|user| user.name.clone());
        Member {
            address: *from,
            user: Some(issuer.user(&username(self.socket.client()))),
            signed_in,
            host: host.clone(),
            reached: *reached,
        }
    }

    /// The argument of an `RTCPeerConnection`.
    pub(super) fn config(&self, issuer: &dyn Issuer, dialect: Dialect) -> Value {
        match dialect {
            Dialect::A => json!({"iceServers": self.ice_servers(issuer)}),
            Dialect::B => self.pooled_config(issuer),
        }
    }

    pub(super) fn pooled_config(&self, issuer: &dyn Issuer) -> Value {
        json!({"iceServers": self.ice_servers(issuer), "iceCandidatePoolSize": 2})
    }

    fn ice_servers(&self, issuer: &dyn Issuer) -> Value {
        issuer.ice_servers(&username(self.socket.client()), self.host.as_deref())
    }
}

/// The name that a client's credentials are for; it tells nothing about the room.
pub(super) fn username(id: ClientId) -> String {
    format!("cast-{id:x}")
}
