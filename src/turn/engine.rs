//! The engine: state, inputs, and the paths of data. Requests are in `requests`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::allocation::{AllocationTable, PeerTransport};
use super::codec::attribute::AddressFamily;
use super::codec::message::{Class, Method, ParseError, StunMessage};
use super::credentials::CredentialSource;
use super::data::BandwidthLimits;
use super::five_tuple::{AllocationId, FiveTuple, RelayedAddressId};
use super::policy::{PeerPolicy, canonical};
use super::ports::PortRequirement;
use super::settings::EngineSettings;
use super::shared::{ReservationToken, SharedState};
use super::tcp_peers::PeerConnectionTable;
use super::verdict::{DropReason, Output, Verdict};

/// Which part of a server one engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSettings {
    /// Different for each engine of a server.
    pub index: u8,
    /// The ports that this engine picks from. Those of different engines may overlap: which are taken is [`SharedState`].
    pub ports: RangeInclusive<u16>,
}

/// One STUN/TURN server, or one shard of it. See the module doc of `turn`.
pub struct Engine {
    pub(super) settings: Arc<EngineSettings>,
    pub(super) policy: PeerPolicy,
    pub(super) shared: Arc<SharedState>,
    pub(super) credentials: Arc<dyn CredentialSource>,
    pub(super) shard: ShardSettings,
    pub(super) rng: StdRng,
    pub(super) allocations: AllocationTable,
    pub(super) connections: PeerConnectionTable,
    /// Our reservations in the order in which they end.
    pub(super) reservations: VecDeque<(Instant, ReservationToken)>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) reply: Vec<u8>,
    pub(super) rates: BandwidthLimits,
    /// PeerTable that were refused for nothing but that they are in a network of this machine.
    refused_neighbours: Cell<u64>,
}

/// What stands at a peer's address now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerLocation {
    Outside,
    /// A live relay of this server that speaks UDP.
    OwnRelayedAddress(AddressFamily),
    /// An address of this machine that is none.
    OwnAddress,
}

impl Engine {
    /// `seed` must come from the system's random source.
    pub fn new(
        settings: Arc<EngineSettings>,
        policy: PeerPolicy,
        shared: Arc<SharedState>,
        credentials: Arc<dyn CredentialSource>,
        shard: ShardSettings,
        seed: [u8; 32],
    ) -> Self {
        let rates = BandwidthLimits::new(&settings.limits);
        shared.enter(shard.index);
        Self {
            settings,
            policy,
            shared,
            credentials,
            shard,
            rng: StdRng::from_seed(seed),
            allocations: AllocationTable::default(),
            connections: PeerConnectionTable::default(),
            reservations: VecDeque::new(),
            outputs: VecDeque::new(),
            reply: Vec::with_capacity(1024),
            rates,
            refused_neighbours: Cell::new(0),
        }
    }

    /// A datagram, or a frame of a stream, from a client. Never blocks; allocates for authenticated requests alone.
    pub fn handle_client(&mut self, from: FiveTuple, bytes: &[u8], now: Instant) -> Verdict {
        match bytes.first() {
            Some(0x40..=0x7F) => self.channel_data(&from, bytes, now),
            Some(0x00..=0x3F) => match StunMessage::parse(bytes) {
                Ok(message) => self.message(from, &message, now),
                Err(error) => Verdict::Drop(DropReason::Malformed(error)),
            },
            Some(0x80..) | None => Verdict::Drop(DropReason::Malformed(ParseError::NotStun)),
        }
    }

    /// A datagram that a relayed socket received from a peer; the payload of the verdict is all of it.
    pub fn handle_peer(&mut self, relay: RelayedAddressId, peer: SocketAddr, bytes: &[u8], now: Instant) -> Verdict {
        let peer = self.outward(relay, canonical(peer), now);
        if self.reach(peer) == PeerLocation::OwnAddress {
            return Verdict::Drop(DropReason::DeniedPeer);
        }
        self.relay_to_client(relay, peer, 0..bytes.len(), now)
    }

    /// A client's stream has ended, and with it its allocation (RFC 8656 §3.1), unless it is mobile.
    pub fn handle_client_closed(&mut self, from: &FiveTuple, now: Instant) {
        if let Some(id) = self.allocations.find(from)
            && self.allocations.allocation(id).is_some_and(|allocation| allocation.moves.is_none())
        {
            self.end(id);
        }
        self.handle_timeout(now);
    }

    /// Ends whatever has expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.allocations.due(now) {
            if self.allocations.allocation(id).is_none_or(|allocation| allocation.expires <= now) {
                self.end(id);
            } else {
                self.sweep(id, now, false);
            }
        }
        while let Some(&(at, token)) = self.reservations.front()
            && at <= now
        {
            self.reservations.pop_front();
            self.shared.unreserve(&token);
        }
        while let Some(connection) = self.connections.due(now) {
            self.end_connection(connection, now);
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `handle_timeout` is due at the latest; earlier is harmless.
    pub fn next_timeout(&self) -> Option<Instant> {
        let reservation = self.reservations.front().map(|(at, _)| *at);
        [self.allocations.next_timer(), reservation, self.connections.next_timer()].into_iter().flatten().min()
    }

    /// The bytes of [`Verdict::Reply`], until the next call.
    pub fn reply(&self) -> &[u8] {
        &self.reply
    }

    /// Ends every allocation of a user. Whoever calls makes the credentials refuse the user first. This one looks at every allocation.
    pub fn revoke(&mut self, user: &str) {
        let allocations = self.allocations.iter().filter(|(_, allocation)| &*allocation.user.name == user);
        let ids: Vec<AllocationId> = allocations.map(|(id, _)| id).collect();
        for id in ids {
            self.end(id);
        }
    }

    /// Replaces the policy and closes what it denies: permissions, channels, connections. This one looks at every allocation.
    pub fn set_policy(&mut self, policy: PeerPolicy, now: Instant) {
        self.policy = policy;
        let ids: Vec<AllocationId> = self.allocations.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.sweep(id, now, true);
        }
        self.close_denied_connections(now);
    }

    /// The machine's addresses, or those its relays are advertised under, have changed: see [`EngineSettings::set_addresses`]. AllocationTable
    /// keep the relayed transport address that they were told; what is denied now is closed, as by [`Self::set_policy`].
    pub fn set_addresses(&mut self, advertised: [Option<IpAddr>; 2], own: &[IpAddr], neighbours: &[IpNet], now: Instant) {
        Arc::make_mut(&mut self.settings).set_addresses(advertised, own);
        self.set_policy(PeerPolicy { neighbours: neighbours.to_vec(), ..self.policy.clone() }, now);
    }

    /// How often a peer was refused for nothing but that it is in a network of this machine.
    pub fn refused_neighbours(&self) -> u64 {
        self.refused_neighbours.get()
    }

    /// From now on every new Allocate is answered with 508; what lives goes on.
    pub fn refuse_allocations(&mut self) {
        Arc::make_mut(&mut self.settings).limits.total_quota = Some(0);
    }

    /// Ends every allocation and gives back the ports and quota that it held, and the reservations.
    pub fn end_all(&mut self) {
        let ids: Vec<AllocationId> = self.allocations.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.end(id);
        }
        for (_, token) in std::mem::take(&mut self.reservations) {
            self.shared.unreserve(&token);
        }
    }

    /// Whether the client has an allocation.
    pub fn has_allocation(&self, client: &FiveTuple) -> bool {
        self.allocations.find(client).is_some()
    }

    /// What to show of the allocations of this engine.
    pub fn allocations(&self) -> impl Iterator<Item = AllocationView<'_>> {
        self.allocations.iter().map(|(id, allocation)| AllocationView {
            id,
            five_tuple: allocation.five_tuple,
            user: &allocation.user.name,
            relayed: AddressFamily::ALL.map(|family| allocation.relayed_address(family)),
            transport: allocation.transport,
            expires: allocation.expires,
            permissions: allocation.peers.permissions(),
            channels: allocation.peers.channels(),
        })
    }

    /// How many [`Self::allocations`] there are.
    pub fn allocation_count(&self) -> usize {
        self.allocations.len()
    }

    fn message(&mut self, from: FiveTuple, message: &StunMessage<'_>, now: Instant) -> Verdict {
        match (message.class(), message.method()) {
            (Class::Request, _) => self.request(from, message, now),
            (Class::Indication, Method::Send) => self.send_indication(&from, message, now),
            (Class::Indication, _) => Verdict::Drop(DropReason::Indication),
            (Class::Success | Class::Error, _) => Verdict::Drop(DropReason::Response),
        }
    }

    pub(super) fn reach(&self, peer: SocketAddr) -> PeerLocation {
        let family = AddressFamily::of(peer.ip());
        let relays_here = self.settings.relayed_ip(family).is_some_and(|relay| relay.is(peer.ip()));
        let former = self.settings.former_addresses.contains(&peer.ip());
        if (relays_here || former) && self.shared.ports.is_live(family, peer.port()) {
            return PeerLocation::OwnRelayedAddress(family);
        }
        let open = if relays_here || self.settings.own_addresses.contains(&peer.ip()) {
            self.policy.allows_explicitly(peer.ip()) && !self.settings.listener_ports.contains(&peer.port())
        } else {
            // A permission for a former address was not judged by the policy, and the address may be somebody else's now.
            !former || self.policy.permits(peer.ip())
        };
        if open { PeerLocation::Outside } else { PeerLocation::OwnAddress }
    }

    /// Whether a verb may name this peer. Our own relays speak UDP: what listens on their port for TCP is something else.
    pub(super) fn admits(&self, peer: SocketAddr, transport: PeerTransport) -> bool {
        match self.reach(peer) {
            PeerLocation::OwnRelayedAddress(_) => transport == PeerTransport::Udp,
            PeerLocation::OwnAddress => false,
            PeerLocation::Outside => peer.port() != 0 && self.count_neighbour(peer.ip(), self.policy.permits(peer.ip())),
        }
    }

    /// Whether a permission may be installed. Permissions are per address, so those of our relays are left to the time of sending.
    pub(super) fn admits_ip(&self, ip: IpAddr) -> bool {
        self.count_neighbour(ip, permits_ip(&self.settings, &self.policy, ip))
    }

    fn count_neighbour(&self, ip: IpAddr, permitted: bool) -> bool {
        if !permitted && self.policy.denies_as_neighbour(ip) {
            self.refused_neighbours.set(self.refused_neighbours.get() + 1);
        }
        permitted
    }

    /// A peer that is one of our relays, as the client of `relay` knows it: by what it was advertised under when it was allocated. Which
    /// that is only its own engine knows; it is one that this client has permitted.
    pub(super) fn outward(&self, relay: RelayedAddressId, peer: SocketAddr, now: Instant) -> SocketAddr {
        let family = AddressFamily::of(peer.ip());
        let (PeerLocation::OwnRelayedAddress(_), Some(address)) = (self.reach(peer), self.settings.relayed_ip(family)) else {
            return peer;
        };
        let allocation = self.allocations.allocation(relay.allocation).filter(|_| !self.settings.former_addresses.is_empty());
        let known = allocation.and_then(|allocation| {
            let mut known = std::iter::once(&address.advertised).chain(&self.settings.former_addresses);
            known.find(|ip| AddressFamily::of(**ip) == family && allocation.peers.permits(**ip, now)).copied()
        });
        SocketAddr::new(known.unwrap_or(address.advertised), peer.port())
    }

    /// Drops what has expired or (with `judge`) what the policy denies, and sets the timer anew.
    fn sweep(&mut self, id: AllocationId, now: Instant, judge: bool) {
        let Some(allocation) = self.allocations.allocation_mut(id) else { return };
        let permitted = |ip| !judge || permits_ip(&self.settings, &self.policy, ip);
        let outputs = &mut self.outputs;
        allocation.peers.sweep(now, permitted, |channel, peer| {
            let relay = RelayedAddressId { allocation: id, family: AddressFamily::of(peer.ip()) };
            outputs.push_back(Output::ChannelUnbound { relayed: relay, channel, peer });
        });
        self.allocations.reschedule(id, true);
    }

    /// The one way an allocation ends: everything it held is given back.
    pub(super) fn end(&mut self, id: AllocationId) {
        let Some(mut allocation) = self.allocations.remove(id) else { return };
        let outputs = &mut self.outputs;
        allocation.peers.sweep(
            allocation.expires,
            |_| false,
            |channel, peer| {
                let relay = RelayedAddressId { allocation: id, family: AddressFamily::of(peer.ip()) };
                outputs.push_back(Output::ChannelUnbound { relayed: relay, channel, peer });
            },
        );
        for connection in std::mem::take(&mut allocation.connections) {
            self.connections.remove(connection);
            self.outputs.push_back(Output::ClosePeerConnection { connection });
        }
        for family in AddressFamily::ALL {
            if let Some(relayed) = allocation.relayed(family) {
                self.outputs.push_back(Output::CloseRelayedAddress { relayed: RelayedAddressId { allocation: id, family } });
                self.shared.ports.release(family, relayed.port);
                // Until the Allocate is answered, the sibling is ours and not its reservation's.
                if relayed.wish == PortRequirement::EvenAndNext && allocation.token.is_none() {
                    self.shared.ports.release(family, relayed.port + 1);
                }
            }
        }
        // An unclaimed reservation goes too, or one user could hold every port by allocating and freeing.
        if let Some(token) = &allocation.token {
            self.shared.unreserve(token);
            self.reservations.retain(|(_, other)| other != token);
        }
        if allocation.moves.is_some_and(|moves| moves > 0) {
            self.outputs.push_back(Output::MovedClientEnded { client: allocation.five_tuple });
        }
        self.shared.leave(&allocation.user);
    }

    /// Checks that everything that must agree agrees.
    #[cfg(any(test, fuzzing))]
    pub fn audit(&self) -> Result<(), &'static str> {
        self.allocations.audit()?;
        self.connections.audit()?;
        let listed: usize = self.allocations.iter().map(|(_, allocation)| allocation.connections.len()).sum();
        if listed != self.connections.len() {
            return Err("an allocation lost a connection");
        }
        if self.next_timeout().is_none() && self.allocations.len() > 0 {
            return Err("an allocation would never end");
        }
        Ok(())
    }
}

/// One allocation, for pages and metrics.
#[derive(Debug, Clone, Copy)]
pub struct AllocationView<'a> {
    pub id: AllocationId,
    pub five_tuple: FiveTuple,
    pub user: &'a str,
    /// IPv4, then IPv6; absent while the socket is not open.
    pub relayed: [Option<SocketAddr>; 2],
    pub transport: PeerTransport,
    pub expires: Instant,
    pub permissions: usize,
    pub channels: usize,
}

fn permits_ip(settings: &EngineSettings, policy: &PeerPolicy, ip: IpAddr) -> bool {
    if settings.relayed_ip(AddressFamily::of(ip)).is_some_and(|relay| relay.is(ip)) || settings.former_addresses.contains(&ip) {
        return true;
    }
    let own = settings.own_addresses.contains(&ip);
    if own { policy.allows_explicitly(ip) } else { policy.permits(ip) }
}

/// How long an Allocate or Refresh gets (RFC 8656 §7.2, §8.2); in whole seconds.
pub(super) fn granted(settings: &EngineSettings, wish: Option<u32>) -> Duration {
    let wish = wish.map_or(settings.default_lifetime, |seconds| Duration::from_secs(seconds.into()));
    wish.min(settings.max_lifetime.max(settings.default_lifetime)).max(settings.default_lifetime)
}
