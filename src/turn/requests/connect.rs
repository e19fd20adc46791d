//! Connect and ConnectionBind (RFC 6062 §5.2, §5.4).

use super::permission::{check_family, peers_of};
use super::request::{ALLOCATION_MISMATCH, BAD_REQUEST, Outcome, Refusal, Request, WRONG_CREDENTIALS};
use crate::turn::codec::attribute::{self, AddressFamily};
use crate::turn::credentials::Scope;
use crate::turn::engine::Engine;
use crate::turn::five_tuple::PeerTransport;
use crate::turn::ids::PeerConnectionId;
use crate::turn::peer_connection_table::PeerConnectionState;
use crate::turn::refusal::RefusalReason;
use crate::turn::verdict::{Output, Verdict};

impl Engine {
    /// RFC 6062 §5.2. The answer follows when the connection to the peer succeeds or fails.
    pub(super) fn connect_request(&mut self, request: &Request<'_>) -> Outcome {
        // First check of §5.2: 437 without an allocation.
        let (id, allocation) = self.allocation_of(request)?;
        // The peers of scope clients are relayed addresses, which carry UDP.
        if allocation.scope != Scope::Anyone {
            return Err(Refusal::Error(RefusalReason::Scope));
        }
        if allocation.transport != PeerTransport::Tcp {
            return Err(BAD_REQUEST);
        }
        // Fourth check: 400 without a valid XOR-PEER-ADDRESS. The peer's family is checked as in RFC 8656 §10.2.
        let peer = peers_of(request).next().unwrap_or(Err(BAD_REQUEST))?;
        check_family(allocation, AddressFamily::of(peer.ip()))?;
        // Fifth check: 403.
        if !self.admits(peer, allocation.scope, PeerTransport::Tcp) {
            return Err(Refusal::Error(RefusalReason::DeniedPeer(peer)));
        }
        // Second and third checks: 446 while a connection with this peer is being made, waits or is bound.
        if self.is_connected(id, peer) {
            return Err(Refusal::Error(RefusalReason::Connected(peer)));
        }
        if allocation.peer_connections.len() >= self.settings.limits.peer_connections {
            return Err(Refusal::Error(RefusalReason::TooManyPeerConnections));
        }
        self.charge_new_peers(id, 1, request)?;
        self.connect(id, peer, request.message.transaction(), request.requester.signer, request.now);
        Ok(Verdict::Accepted)
    }

    /// RFC 6062 §5.4. The request comes over a client connection of its own; the peer connection identifies the allocation.
    pub(super) fn connection_bind(&mut self, request: &Request<'_>) -> Outcome {
        // Second check of §5.4: 400 without CONNECTION-ID, and below for one that names no waiting connection.
        let number = request.message.find(attribute::CONNECTION_ID).and_then(attribute::number).ok_or(BAD_REQUEST)?;
        let id = PeerConnectionId(number);
        // First check: 400 where the client uses neither TCP nor TLS. A stream with an allocation cannot carry data.
        if !request.from.transport.is_stream() || self.allocations.find(&request.from).is_some() {
            return Err(BAD_REQUEST);
        }
        if id.shard() != self.shard.index {
            return Err(if self.shared.has_engine(id.shard()) { Refusal::OtherShard(id.shard()) } else { BAD_REQUEST });
        }
        let connection = self.peer_connections.connection(id).ok_or(BAD_REQUEST)?;
        let PeerConnectionState::Waiting { .. } = connection.state else { return Err(BAD_REQUEST) };
        let allocation = self.allocations.allocation(connection.allocation).ok_or(ALLOCATION_MISMATCH)?;
        if !request.requester.is_owner_of(allocation) {
            return Err(WRONG_CREDENTIALS);
        }
        self.peer_connections.set_state(id, PeerConnectionState::Bound);
        self.outputs.push_back(Output::Splice { connection: id, client: request.from });
        Ok(self.success_with(request, |writer| {
            writer.number(attribute::CONNECTION_ID, number);
        }))
    }
}
