//! The inputs of an engine, apart from those that answer one of its outputs (`requests::opening`, `tcp_peers`).

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::allocation::Allocation;
use super::codec::header::{Class, Method};
use super::codec::message::{ParseError, StunMessage};
use super::credentials::Scope;
use super::engine::Engine;
use super::five_tuple::FiveTuple;
use super::ids::{AllocationId, RelayedAddressId};
use super::policy::PeerPolicy;
use super::ports::PortOwner;
use super::settings::MachineAddresses;
use super::stream_payload::StreamPayload;
use super::verdict::{DropReason, Output, Verdict};
use crate::limits::ip_prefix::canonical;

impl Engine {
    /// A datagram, or a frame of a stream, from a client. Never blocks; allocates memory only for requests with a valid nonce.
    pub fn handle_client(&mut self, from: FiveTuple, bytes: &[u8], now: Instant) -> Verdict {
        // RFC 8656 §12, table 3: the first byte tells ChannelData from STUN. The channel numbers of RFC 5766 extend its range to
        // 0x7F.
        match bytes.first() {
            Some(0x40..=0x7F) => self.channel_data(&from, bytes, now),
            Some(0x00..=0x3F) => match StunMessage::parse(bytes) {
                Ok(message) => self.message(from, &message, now),
                Err(error) => Verdict::Drop(DropReason::Malformed(error)),
            },
            Some(0x80..) | None => Verdict::Drop(DropReason::Malformed(ParseError::NotStun)),
        }
    }

    fn message(&mut self, from: FiveTuple, message: &StunMessage<'_>, now: Instant) -> Verdict {
        match (message.class(), message.method()) {
            (Class::Request, _) => self.request(from, message, now),
            (Class::Indication, Method::Send) => self.send_indication(&from, message, now),
            (Class::Indication, _) => Verdict::Drop(DropReason::Indication),
            (Class::Success | Class::Error, _) => Verdict::Drop(DropReason::Response),
        }
    }

    /// The stream of the client has taken the payload of the last [`Verdict::ToClient`]. The shell says so, since it knows whether the
    /// stream had room, and only then was the payload relayed.
    pub fn handle_stream_took_payload(&mut self) {
        self.stream_payload.take().iter().for_each(StreamPayload::count);
    }

    /// A datagram that a relayed socket received from a peer; the payload of the verdict is all of it.
    pub fn handle_peer(&mut self, relayed: RelayedAddressId, peer: SocketAddr, bytes: &[u8], now: Instant) -> Verdict {
        let peer = canonical(peer);
        // Packets between two of our relayed addresses do not come through sockets, so this source is forged. An internal relayed
        // address sends nothing: then the peer is a program of this machine with the same port.
        let is_forged = self.owner_of(peer).is_some_and(PortOwner::has_socket);
        let scope = self.allocations.allocation(relayed.allocation).map_or(Scope::Clients, |allocation| allocation.scope);
        if is_forged || !self.is_outside(peer, scope) {
            return Verdict::Drop(DropReason::DeniedPeer);
        }
        self.relay_to_client(relayed, peer, None, 0..bytes.len(), now)
    }

    /// The client's stream has ended. No message can come over its five-tuple any more, so its allocation ends too, unless it is
    /// mobile.
    pub fn handle_client_closed(&mut self, from: &FiveTuple, now: Instant) {
        if let Some(id) = self.allocations.find(from)
            && self.allocations.allocation(id).is_some_and(|allocation| allocation.moves.is_none())
        {
            self.end(id);
        }
        self.handle_timeout(now);
    }

    /// Ends everything that has expired: allocations, permissions, channels, reservations, and connections that nobody has bound.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.allocations.due(now) {
            if self.allocations.allocation(id).is_none_or(|allocation| allocation.expires <= now) {
                self.end(id);
            } else {
                self.sweep(id, now);
            }
        }
        while let Some(&(at, token)) = self.reservations.front()
            && at <= now
        {
            self.reservations.pop_front();
            self.shared.unreserve(&token);
        }
        while let Some(connection) = self.peer_connections.due(now) {
            self.end_peer_connection(connection, now);
        }
    }

    /// Ends the allocations at these places whose users are refused. The caller makes the [`super::CredentialSource`] refuse them first.
    pub fn end_users(&mut self, places: Range<usize>, is_refused: impl Fn(Scope, &str) -> bool) {
        self.end_where(places, |allocation| is_refused(allocation.user.identity.scope, &allocation.user.identity.name));
    }

    /// Ends the allocations at these places whose clients have one of these addresses. The caller no longer passes on what they send.
    pub fn end_addresses(&mut self, places: Range<usize>, is_one: impl Fn(IpAddr) -> bool) {
        self.end_where(places, |allocation| is_one(allocation.five_tuple.client.ip()));
    }

    /// Adds what the allocations at these places have relayed to the accounts of the users, and ends those of users who may relay no more.
    /// To be called for all places every few seconds.
    pub fn settle(&mut self, places: Range<usize>) {
        self.end_where(places, |allocation| {
            allocation.delivery.settle();
            allocation.user.account.is_exhausted()
        });
    }

    fn end_where(&mut self, places: Range<usize>, ends: impl Fn(&Allocation) -> bool) {
        for place in self.within(places) {
            if let Some((id, allocation)) = self.allocations.at_place(place)
                && ends(allocation)
            {
                self.end(id);
            }
        }
    }

    /// How many places the table of allocations has. An allocation keeps its place: if all places are visited in parts, every allocation is
    /// visited that lives throughout.
    pub fn places(&self) -> usize {
        self.allocations.places()
    }

    fn within(&self, places: Range<usize>) -> Range<usize> {
        places.start..places.end.min(self.places())
    }

    /// Another engine has displaced this allocation of a stranger ([`super::Output::DisplaceAllocation`]). It may have ended already.
    pub fn displace(&mut self, allocation: AllocationId) {
        if let Some(ended) = self.allocations.allocation(allocation) {
            let (client, user) = (ended.five_tuple, ended.user.identity.name.as_ref().into());
            self.outputs.push_back(Output::Displaced { client, user });
            self.end(allocation);
        }
    }

    /// Replaces the policy. [`Self::close_denied`] closes what it denies.
    pub fn replace_policy(&mut self, policy: PeerPolicy) {
        self.policy = policy;
    }

    /// The addresses of the machine, or those that its relayed addresses are advertised under, have changed: see
    /// [`super::EngineSettings::set_addresses`]. An allocation keeps the relayed transport address that its client was told, and
    /// its socket; [`Self::close_denied`] closes what is denied now.
    pub fn replace_addresses(&mut self, addresses: &MachineAddresses) {
        Arc::make_mut(&mut self.settings).set_addresses(addresses);
        self.policy.neighbours.clone_from(&addresses.neighbours);
    }

    /// Closes the permissions, channels and connections of the allocations at these places that the policy denies.
    pub fn close_denied(&mut self, places: Range<usize>, now: Instant) {
        for place in self.within(places) {
            if let Some((id, _)) = self.allocations.at_place(place) {
                self.close_denied_peers(id, now);
                self.close_denied_peer_connections(id, now);
            }
        }
    }

    /// From now on every new Allocate is answered with 508; existing allocations go on.
    pub fn refuse_allocations(&mut self) {
        Arc::make_mut(&mut self.settings).limits.total_quota = Some(0);
    }

    pub(super) fn refuses_allocations(&self) -> bool {
        self.settings.limits.total_quota == Some(0)
    }

    /// Ends every allocation and reservation, and gives back their ports and quotas.
    pub fn end_all(&mut self) {
        for id in self.allocation_ids() {
            self.end(id);
        }
        for (_, token) in std::mem::take(&mut self.reservations) {
            self.shared.unreserve(&token);
        }
    }

    fn allocation_ids(&self) -> Vec<AllocationId> {
        self.allocations.iter().map(|(id, _)| id).collect()
    }
}
