//! The data paths between clients and peers (RFC 8656 §11, §12.6, §12.7). Every packet takes one of them, and none allocates
//! memory.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::allocation::Allocation;
use super::bandwidth::{BandwidthLimits, Direction};
use super::codec::attribute::{self, AddressFamily};
use super::codec::framing::{ChannelData, Framing};
use super::codec::header::{Class, Method, TransactionId};
use super::codec::message::StunMessage;
use super::codec::writer::MessageWriter;
use super::delivery::Delivery;
use super::engine::Engine;
use super::five_tuple::{FiveTuple, PeerTransport};
use super::ids::{AllocationId, RelayedAddressId};
use super::peer_location::PeerLocation;
use super::ports::PortOwner;
use super::shared::SharedState;
use super::stream_payload::StreamPayload;
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
        let verdict = self.relay_to_client(relayed, peer, None, 0..0, now);
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
        if !self.bandwidth.take(Direction::ToPeer, &allocation.delivery, &self.shared, payload.len(), now) {
            return Verdict::Drop(DropReason::Bandwidth);
        }
        let PeerLocation::OwnRelayedAddress(owner) = location else {
            allocation.delivery.traffic.add_sent(payload.len());
            return Verdict::ToPeer { relayed: RelayedAddressId { allocation: id, family }, peer, payload, dont_fragment };
        };
        if allocation.peers.contact(peer, owner).is_none() {
            if !self.may_name_new_peers(id, 1, now) {
                return Verdict::Drop(DropReason::NotContacted);
            }
            self.add_contact(id, peer, owner);
        }
        self.relay_between_clients(id, SocketAddr::new(source.advertised, source.port), (peer, owner), payload, now)
    }

    /// The client names a relayed address of this server as its peer, with address and port: from now on it may send to the client.
    pub(super) fn add_contact(&mut self, id: AllocationId, peer: SocketAddr, owner: PortOwner) {
        let delivery = self.shared.delivery(AddressFamily::of(peer.ip()), peer.port());
        let Some(allocation) = self.allocations.allocation_mut(id) else { return };
        allocation.peers.add_contact(peer, owner, delivery);
        allocation.publish();
    }

    /// Passes a payload of the allocation `id`, whose relayed address is `from`, to the client of another relayed address of this
    /// server. All relayed addresses have one IP address, so a permission lets every client of this server send. A client receives
    /// only from those whose address and port it has named itself.
    fn relay_between_clients(
        &mut self,
        id: AllocationId,
        from: SocketAddr,
        (to, to_owner): (SocketAddr, PortOwner),
        payload: Range<usize>,
        now: Instant,
    ) -> Verdict {
        let Self { allocations, shared, bandwidth, rng, shard, .. } = self;
        let allocation = allocations.allocation(id);
        let contact = allocation.and_then(|allocation| allocation.peers.contact(to, to_owner)).flatten();
        let (Some(delivery), Some(owner)) = (contact, shared.ports.owner(AddressFamily::of(from.ip()), from.port())) else {
            return Verdict::Drop(DropReason::NotContacted);
        };
        let route = delivery.route();
        let own_group = allocation.and_then(|allocation| allocation.delivery.group);
        let is_of_group = || own_group.is_some() && own_group == delivery.group;
        let found = route.as_ref().and_then(|route| Some((route, route.sender(from, owner, is_of_group)?)));
        let Some((route, sender)) = found else {
            return Verdict::Drop(DropReason::NotContacted);
        };
        // A stream has one owner.
        if route.to.transport.is_stream() {
            if to_owner.shard() != shard.index {
                return Verdict::ToRelayedAddress { shard: to_owner.shard(), from, to, payload };
            }
            let relayed = allocations.by_port(AddressFamily::of(to.ip()), to.port());
            let sender = allocation.map(|allocation| Arc::clone(&allocation.delivery));
            return relayed
                .map_or(Verdict::Drop(DropReason::NoAllocation), |to| self.relay_to_client(to, from, sender, payload, now));
        }
        if route.expires <= now {
            return Verdict::Drop(DropReason::NoAllocation);
        }
        if sender.permitted_until.is_none_or(|until| until <= now) {
            return Verdict::Drop(DropReason::NoPermission);
        }
        let framing = match sender.channel {
            Some((channel, expires)) if expires > now => Framing::Channel(channel),
            Some(_) | None => Framing::Data { peer: from, transaction: TransactionId::random(rng) },
        };
        let bytes = payload.len();
        let verdict = to_client(bandwidth, shared, delivery, (route.to, framing), payload, now);
        if matches!(verdict, Verdict::ToClient { .. }) {
            delivery.traffic.add_received(bytes);
            allocation.iter().for_each(|allocation| allocation.delivery.traffic.add_sent(bytes));
        }
        verdict
    }

    /// Passes `payload`, a range of the packet at hand, from the relayed address `from` of this server to the client of `to`, a
    /// relayed address of this engine.
    pub fn handle_relayed(&mut self, from: SocketAddr, to: SocketAddr, payload: Range<usize>, now: Instant) -> Verdict {
        let family = AddressFamily::of(to.ip());
        let Some(relayed) = self.allocations.by_port(family, to.port()) else { return Verdict::Drop(DropReason::NoAllocation) };
        let sender = self.shared.ports.owner(family, from.port()).and_then(|owner| {
            let allocation = self.allocations.allocation(relayed.allocation)?;
            match allocation.peers.contact(from, owner) {
                Some(delivery) => Some(delivery.cloned()),
                None => self.first_of_group(allocation, from).map(Some),
            }
        });
        match sender {
            Some(sender) => self.relay_to_client(relayed, from, sender, payload, now),
            None => Verdict::Drop(DropReason::NotContacted),
        }
    }

    /// The allocation whose relayed address is `from`, if it is of the same group as an allocation that has contacted nobody yet.
    fn first_of_group(&self, allocation: &Allocation, from: SocketAddr) -> Option<Arc<Delivery>> {
        let group = allocation.delivery.group.filter(|_| !allocation.peers.has_contacts())?;
        let sender = self.shared.delivery(AddressFamily::of(from.ip()), from.port())?;
        (sender.group == Some(group)).then_some(sender)
    }

    /// RFC 8656 §11.3, §12.7: passes a peer's payload to the client, as ChannelData where a channel is bound, else as a Data
    /// indication. `sender` is the allocation of a peer that is a client of this server.
    pub(super) fn relay_to_client(
        &mut self,
        relayed: RelayedAddressId,
        peer: SocketAddr,
        sender: Option<Arc<Delivery>>,
        payload: Range<usize>,
        now: Instant,
    ) -> Verdict {
        let Some(allocation) = self.allocations.allocation(relayed.allocation).filter(|allocation| allocation.expires > now)
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
        let (receiver, bytes) = (&allocation.delivery, payload.len());
        let to = allocation.five_tuple;
        let verdict = to_client(&self.bandwidth, &self.shared, receiver, (to, framing), payload, now);
        if matches!(verdict, Verdict::ToClient { .. }) {
            if to.transport.is_stream() {
                self.stream_payload = Some(StreamPayload { receiver: Arc::clone(receiver), sender, bytes });
            } else {
                receiver.traffic.add_received(bytes);
                sender.iter().for_each(|sender| sender.traffic.add_sent(bytes));
            }
        }
        verdict
    }
}

/// The last checks of a payload for a client: its length, and the bandwidth.
fn to_client(
    bandwidth: &BandwidthLimits,
    shared: &SharedState,
    charged: &Delivery,
    (to, framing): (FiveTuple, Framing),
    payload: Range<usize>,
    now: Instant,
) -> Verdict {
    if payload.len() > framing.longest_payload() {
        return Verdict::Drop(DropReason::TooLong);
    }
    if !bandwidth.take(Direction::ToClient, charged, shared, payload.len(), now) {
        return Verdict::Drop(DropReason::Bandwidth);
    }
    Verdict::ToClient { to, framing, payload }
}
