//! The paths of data between clients and peers (RFC 8656 §11, §12.6, §12.7): every packet takes one of these, and none allocates.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use rand::Rng;

use super::allocation::{Allocation, PeerTransport};
use super::codec::attribute::{self, AddressFamily};
use super::codec::framing::{ChannelData, Framing};
use super::codec::message::{Class, Method, StunMessage, TransactionId};
use super::codec::writer::MessageWriter;
use super::engine::{Engine, PeerLocation};
use super::five_tuple::{AllocationId, FiveTuple, RelayedAddressId};
use super::policy::canonical;
use super::rates::RateLimit;
use super::settings::Limits;
use super::shared::SharedState;
use super::verdict::{Answer, DropReason, Verdict};

impl Engine {
    /// An ICMP error for what a relay sent to `peer`: the client is told in a Data indication (RFC 8656 §11.5, §18.13).
    pub fn handle_icmp(
        &mut self,
        relay: RelayedAddressId,
        peer: SocketAddr,
        kind: u8,
        code: u8,
        data: [u8; 4],
        now: Instant,
    ) -> Verdict {
        let peer = self.outward(relay, canonical(peer), now);
        let verdict = self.relay_to_client(relay, peer, 0..0, now);
        let Verdict::ToClient { to, .. } = verdict else { return verdict };
        let transaction = transaction(&mut self.rng);
        let mut value = [0; 8];
        value[2] = kind;
        value[3] = code;
        value[4..].copy_from_slice(&data);
        let mut writer = MessageWriter::new(&mut self.reply, Class::Indication, Method::Data, &transaction);
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer).attribute(attribute::ICMP, &value);
        Verdict::Reply { to, answer: Answer::Indication { method: Method::Data } }
    }

    /// RFC 8656 §12.6.
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

    /// RFC 8656 §11.2.
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
        let reach = self.reach(peer);
        let Some(allocation) = self.allocations.allocation_mut(id).filter(|allocation| allocation.expires > now) else {
            return Verdict::Drop(DropReason::NoAllocation);
        };
        if !allocation.peers.permits(peer.ip(), now) {
            return Verdict::Drop(DropReason::NoPermission);
        }
        let relayed = allocation.relayed(family).filter(|relayed| relayed.live && allocation.transport == PeerTransport::Udp);
        let (Some(&relayed), Some(address)) = (relayed, self.settings.relayed_ip(family)) else {
            return Verdict::Drop(DropReason::NoRelay);
        };
        if reach == PeerLocation::OwnAddress || peer.port() == 0 {
            return Verdict::Drop(DropReason::DeniedPeer);
        }
        if !self.rates.take(Direction::ToPeer, allocation, &self.shared, payload.len(), now) {
            return Verdict::Drop(DropReason::Bandwidth);
        }
        let relay = RelayedAddressId { allocation: id, family };
        if !matches!(reach, PeerLocation::OwnRelayedAddress(_)) {
            return Verdict::ToPeer { relayed: relay, peer, payload, dont_fragment };
        }
        let from = SocketAddr::new(relayed.advertised, relayed.port);
        match self.allocations.by_port(family, peer.port()).filter(|_| self.settings.short_path) {
            Some(sibling) => self.relay_to_client(sibling, from, payload, now),
            None => Verdict::ToPeer { relayed: relay, peer: address.inward(peer), payload, dont_fragment },
        }
    }

    /// RFC 8656 §11.3, §12.7.
    pub(super) fn relay_to_client(
        &mut self,
        relay: RelayedAddressId,
        peer: SocketAddr,
        payload: Range<usize>,
        now: Instant,
    ) -> Verdict {
        let Some(allocation) = self.allocations.allocation_mut(relay.allocation).filter(|allocation| allocation.expires > now)
        else {
            return Verdict::Drop(DropReason::NoAllocation);
        };
        let live = allocation.relayed(relay.family).is_some_and(|relayed| relayed.live);
        if !live || allocation.transport != PeerTransport::Udp {
            return Verdict::Drop(DropReason::NoRelay);
        }
        if !allocation.peers.permits(peer.ip(), now) {
            return Verdict::Drop(DropReason::NoPermission);
        }
        let framing = match allocation.peers.channel_of(peer, now) {
            Some(channel) => Framing::Channel(channel),
            None => Framing::Data { peer, transaction: transaction(&mut self.rng) },
        };
        if payload.len() > framing.longest_payload() {
            return Verdict::Drop(DropReason::TooLong);
        }
        if !self.rates.take(Direction::ToClient, allocation, &self.shared, payload.len(), now) {
            return Verdict::Drop(DropReason::Bandwidth);
        }
        Verdict::ToClient { to: allocation.five_tuple, framing, payload }
    }
}

/// The limits of `EngineSettings` as buckets.
pub(super) struct BandwidthLimits {
    allocation: Option<RateLimit>,
    user: Option<RateLimit>,
    server: Option<RateLimit>,
    pub(super) new_peers: Option<RateLimit>,
}

/// Which way a payload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToPeer,
    ToClient,
}

impl BandwidthLimits {
    pub(super) fn new(limits: &Limits) -> Self {
        let bandwidth = |limit| RateLimit::new(limit, u64::from(u16::MAX));
        Self {
            allocation: bandwidth(limits.allocation_bandwidth),
            user: bandwidth(limits.user_bandwidth),
            server: bandwidth(limits.server_bandwidth),
            new_peers: RateLimit::new(limits.new_peers, 1),
        }
    }

    /// Books a payload on the allocation, its user and the server; what a later one refuses stays booked on the earlier ones.
    fn take(&self, direction: Direction, allocation: &mut Allocation, shared: &SharedState, bytes: usize, now: Instant) -> bool {
        if self.allocation.is_none() && self.user.is_none() && self.server.is_none() {
            return true;
        }
        let (now, bytes) = (shared.nanos(now), bytes as u64);
        let (own, user, server) = buckets(direction, allocation, shared);
        self.allocation.is_none_or(|rate| rate.take(own, bytes, now))
            && self.user.is_none_or(|rate| rate.take_shared(user, bytes, now))
            && self.server.is_none_or(|rate| rate.take_shared(server, bytes, now))
    }

    /// Books bytes of a stream, which can't be dropped, and returns how long to wait before the next ones.
    pub(super) fn charge(
        &self,
        direction: Direction,
        allocation: &mut Allocation,
        shared: &SharedState,
        bytes: usize,
        now: Instant,
    ) -> Duration {
        let (now, bytes) = (shared.nanos(now), bytes as u64);
        let (own, user, server) = buckets(direction, allocation, shared);
        let own = self.allocation.map_or(0, |rate| rate.charge(own, bytes, now));
        let user = self.user.map_or(0, |rate| rate.charge_shared(user, bytes, now));
        let server = self.server.map_or(0, |rate| rate.charge_shared(server, bytes, now));
        Duration::from_nanos(own.max(user).max(server))
    }
}

fn buckets<'a>(
    direction: Direction,
    allocation: &'a mut Allocation,
    shared: &'a SharedState,
) -> (&'a mut u64, &'a AtomicU64, &'a AtomicU64) {
    let (user, server) = (&allocation.user.bandwidth, &shared.bandwidth);
    match direction {
        Direction::ToPeer => (&mut allocation.to_peer, &user.to_peer, &server.to_peer),
        Direction::ToClient => (&mut allocation.to_client, &user.to_client, &server.to_client),
    }
}

pub(super) fn transaction(rng: &mut impl Rng) -> TransactionId {
    let mut transaction = TransactionId::default();
    rng.fill_bytes(&mut transaction.0);
    transaction
}
