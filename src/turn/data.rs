//! The data paths between clients and peers (RFC 8656 §11, §12.6, §12.7). Every packet takes one of them, and none allocates
//! memory.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use super::bandwidth::Direction;
use super::codec::attribute::{self, AddressFamily};
use super::codec::framing::{ChannelData, Framing};
use super::codec::header::{Class, Method, TransactionId};
use super::codec::message::StunMessage;
use super::codec::writer::MessageWriter;
use super::engine::Engine;
use super::five_tuple::{FiveTuple, PeerTransport};
use super::ids::{AllocationId, RelayedAddressId};
use super::peer_location::PeerLocation;
use super::verdict::{Answer, DropReason, Verdict};
use crate::limits::ip_prefix::canonical;

impl Engine {
    /// An ICMP error for a packet that a relayed address sent to `peer`: the client gets a Data indication (RFC 8656 §11.5,
    /// §18.13).
    pub fn handle_icmp(
        &mut self,
        relayed: RelayedAddressId,
        peer: SocketAddr,
        kind: u8,
        code: u8,
        data: [u8; 4],
        now: Instant,
    ) -> Verdict {
        let peer = canonical(peer);
        let verdict = self.relay_to_client(relayed, peer, 0..0, now);
        let Verdict::ToClient { to, .. } = verdict else { return verdict };
        let transaction = TransactionId::random(&mut self.rng);
        let mut value = [0; 8];
        value[2] = kind;
        value[3] = code;
        value[4..].copy_from_slice(&data);
        let mut writer = MessageWriter::new(&mut self.reply, Class::Indication, Method::Data, &transaction);
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer).attribute(attribute::ICMP, &value);
        Verdict::Reply { to, answer: Answer::Indication { method: Method::Data } }
    }

    /// RFC 8656 §12.6: passes the payload of a ChannelData message to the peer of its channel.
    pub(super) fn channel_data(&mut self, from: &FiveTuple, bytes: &[u8], now: Instant) -> Verdict {
        let Some(ChannelData { channel, payload }) = ChannelData::parse(bytes) else {
            return Verdict::Drop(DropReason::MalformedChannelData);
        };
        let Some(id) = self.allocations.find(from) else { return Verdict::Drop(DropReason::NoAllocation) };
        let allocation = self.allocations.allocation(id);
        match allocation.and_then(|allocation| allocation.peers.channel_peer(channel, now)) {
            Some(peer) => self.relay_to_peer(id, peer, payload, false, now),
            None => Verdict::Drop(DropReason::NoChannel),
        }
    }

    /// RFC 8656 §11.2: passes the payload of a Send indication to its peer. An indication with a fault is dropped silently.
    pub(super) fn send_indication(&mut self, from: &FiveTuple, message: &StunMessage<'_>, now: Instant) -> Verdict {
        let Some(id) = self.allocations.find(from) else { return Verdict::Drop(DropReason::NoAllocation) };
        let peer =
            message.find(attribute::XOR_PEER_ADDRESS).and_then(|value| attribute::xor_address(value, &message.transaction()));
        let (Some(peer), Some(data), true) =
            (peer, message.find(attribute::DATA), message.unknown_attributes(|kind| self.knows(kind)).is_empty())
        else {
            return Verdict::Drop(DropReason::MalformedIndication);
        };
        let start = data.as_ptr() as usize - message.bytes().as_ptr() as usize;
        let dont_fragment = message.has(attribute::DONT_FRAGMENT);
        self.relay_to_peer(id, canonical(peer), start..start + data.len(), dont_fragment, now)
    }

    fn relay_to_peer(
        &mut self,
        id: AllocationId,
        peer: SocketAddr,
        payload: Range<usize>,
        dont_fragment: bool,
        now: Instant,
    ) -> Verdict {
        let family = AddressFamily::of(peer.ip());
        let Some(allocation) = self.allocations.allocation(id).filter(|allocation| allocation.expires > now) else {
            return Verdict::Drop(DropReason::NoAllocation);
        };
        if !allocation.peers.permits(peer.ip(), now) {
            return Verdict::Drop(DropReason::NoPermission);
        }
        let source = allocation.relayed(family).filter(|address| address.live && allocation.transport == PeerTransport::Udp);
        let Some(&source) = source else { return Verdict::Drop(DropReason::NoRelayedAddress) };
        let location = self.locate_peer(peer, allocation.scope);
        let reachable = match location {
            PeerLocation::OwnRelayedAddress(_) => true,
            PeerLocation::Outside => source.socket && peer.port() != 0,
            PeerLocation::Denied => false,
        };
        if !reachable {
            return Verdict::Drop(DropReason::DeniedPeer);
        }
        let Some(allocation) = self.allocations.allocation_mut(id) else { return Verdict::Drop(DropReason::NoAllocation) };
        if !self.bandwidth.take(Direction::ToPeer, allocation, &self.shared, payload.len(), now) {
            return Verdict::Drop(DropReason::Bandwidth);
        }
        let PeerLocation::OwnRelayedAddress(owner) = location else {
            return Verdict::ToPeer { relayed: RelayedAddressId { allocation: id, family }, peer, payload, dont_fragment };
        };
        allocation.peers.add_contact(family, peer.port(), owner);
        let from = SocketAddr::new(source.advertised, source.port);
        if owner.shard() != self.shard.index {
            return Verdict::ToRelayedAddress { shard: owner.shard(), from, to: peer, payload };
        }
        match self.allocations.by_port(family, peer.port()) {
            Some(sibling) => self.relay_between_clients(sibling, from, payload, now),
            None => Verdict::Drop(DropReason::NoAllocation),
        }
    }

    /// Passes a payload of the relayed address `from` of this server to the client of another one. All relayed addresses have one
    /// IP address, so a permission lets every client of this server send. A client receives only from those whose address and port
    /// it has named itself.
    pub(super) fn relay_between_clients(
        &mut self,
        to: RelayedAddressId,
        from: SocketAddr,
        payload: Range<usize>,
        now: Instant,
    ) -> Verdict {
        let is_contact = self.shared.ports.owner(to.family, from.port()).is_some_and(|owner| {
            let allocation = self.allocations.allocation(to.allocation);
            allocation.is_some_and(|allocation| allocation.peers.has_contacted(to.family, from.port(), owner))
        });
        if is_contact { self.relay_to_client(to, from, payload, now) } else { Verdict::Drop(DropReason::NotContacted) }
    }

    /// RFC 8656 §11.3, §12.7: passes a peer's payload to the client, as ChannelData where a channel is bound, else as a Data
    /// indication.
    pub(super) fn relay_to_client(
        &mut self,
        relayed: RelayedAddressId,
        peer: SocketAddr,
        payload: Range<usize>,
        now: Instant,
    ) -> Verdict {
        let Some(allocation) = self.allocations.allocation_mut(relayed.allocation).filter(|allocation| allocation.expires > now)
        else {
            return Verdict::Drop(DropReason::NoAllocation);
        };
        let live = allocation.relayed(relayed.family).is_some_and(|address| address.live);
        if !live || allocation.transport != PeerTransport::Udp {
            return Verdict::Drop(DropReason::NoRelayedAddress);
        }
        if !allocation.peers.permits(peer.ip(), now) {
            return Verdict::Drop(DropReason::NoPermission);
        }
        let framing = match allocation.peers.channel_of(peer, now) {
            Some(channel) => Framing::Channel(channel),
            None => Framing::Data { peer, transaction: TransactionId::random(&mut self.rng) },
        };
        if payload.len() > framing.longest_payload() {
            return Verdict::Drop(DropReason::TooLong);
        }
        if !self.bandwidth.take(Direction::ToClient, allocation, &self.shared, payload.len(), now) {
            return Verdict::Drop(DropReason::Bandwidth);
        }
        Verdict::ToClient { to: allocation.five_tuple, framing, payload }
    }
}
