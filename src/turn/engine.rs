//! The state of one engine, its outputs and timers, and the one way an allocation ends.
//!
//! The inputs are in `inputs`; what they have in common is here. Allocates for nothing but new allocations.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::allocation_table::AllocationTable;
use super::bandwidth::BandwidthLimits;
use super::codec::attribute::AddressFamily;
use super::credentials::CredentialSource;
#[cfg(any(test, fuzzing))]
use super::credentials::Scope;
use super::five_tuple::FiveTuple;
use super::ids::{AllocationId, RelayedAddressId};
use super::peer_connection_table::PeerConnectionTable;
use super::policy::PeerPolicy;
use super::ports::PortRequirement;
use super::rate_limit::RateLimit;
use super::settings::EngineSettings;
use super::shared::{ReservationToken, SharedState};
use super::stream_payload::StreamPayload;
use super::verdict::Output;

/// The settings that differ between the engines of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSettings {
    /// Different for each engine of a server.
    pub index: u8,
    /// The ports that this engine picks from. The ranges of two engines may overlap: [`SharedState`] knows which ports are taken.
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
    pub(super) peer_connections: PeerConnectionTable,
    /// The reservations of this engine, in the order in which they expire.
    pub(super) reservations: VecDeque<(Instant, ReservationToken)>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) reply: Vec<u8>,
    pub(super) bandwidth: BandwidthLimits,
    /// The payload of the last verdict for a client's stream.
    pub(super) stream_payload: Option<StreamPayload>,
    /// New permissions of one allocation.
    pub(super) new_peers: Option<RateLimit>,
    /// Peers that were refused only because they are in a network of this machine.
    pub(super) refused_neighbours: Cell<u64>,
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
        let bandwidth = BandwidthLimits::new(&settings.limits);
        let new_peers = RateLimit::new(settings.limits.new_peers, 1);
        shared.register_engine(shard.index);
        Self {
            settings,
            policy,
            shared,
            credentials,
            shard,
            rng: StdRng::from_seed(seed),
            allocations: AllocationTable::default(),
            peer_connections: PeerConnectionTable::default(),
            reservations: VecDeque::new(),
            outputs: VecDeque::new(),
            reply: Vec::with_capacity(1024),
            bandwidth,
            stream_payload: None,
            new_peers,
            refused_neighbours: Cell::new(0),
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `handle_timeout` is due at the latest; an earlier call is harmless.
    pub fn next_timeout(&self) -> Option<Instant> {
        let reservation = self.reservations.front().map(|(at, _)| *at);
        [self.allocations.next_timer(), reservation, self.peer_connections.next_timer()].into_iter().flatten().min()
    }

    /// The bytes of [`super::Verdict::Reply`]; they are valid until the next call.
    pub fn reply(&self) -> &[u8] {
        &self.reply
    }

    /// How often a peer was refused only because it is in a network of this machine.
    pub fn refused_neighbours(&self) -> u64 {
        self.refused_neighbours.get()
    }

    /// Whether the client has an allocation.
    pub fn has_allocation(&self, client: &FiveTuple) -> bool {
        self.allocations.find(client).is_some()
    }

    /// The user of the client's allocation.
    pub fn user_of(&self, client: &FiveTuple) -> Option<&str> {
        let allocation = self.allocations.allocation(self.allocations.find(client)?)?;
        Some(&allocation.user.identity.name)
    }

    pub fn allocation_count(&self) -> usize {
        self.allocations.len()
    }

    /// Removes expired permissions and channels, and resets the timer.
    pub(super) fn sweep(&mut self, id: AllocationId, now: Instant) {
        let Some(allocation) = self.allocations.allocation_mut(id) else { return };
        allocation.peers.sweep(now, |_| true);
        allocation.publish();
        self.allocations.reschedule(id, true);
    }

    /// Removes the permissions and channels that the policy denies. The timer may be early afterwards.
    pub(super) fn close_denied_peers(&mut self, id: AllocationId, now: Instant) {
        let Some(allocation) = self.allocations.allocation_mut(id) else { return };
        let scope = allocation.scope;
        // Most policies deny nothing that is in use, and publishing allocates memory.
        if allocation.peers.sweep(now, |ip| self.policy.permits_permission(ip, scope, &self.settings)) {
            allocation.publish();
        }
    }

    /// The one way an allocation ends: it gives back everything that it held.
    pub(super) fn end(&mut self, id: AllocationId) {
        let Some(mut allocation) = self.allocations.remove(id) else { return };
        allocation.delivery.publish(None);
        allocation.delivery.settle();
        for connection in allocation.peer_connections.drain(..) {
            self.peer_connections.remove(connection);
            self.outputs.push_back(Output::ClosePeerConnection { connection });
        }
        for family in AddressFamily::ALL {
            if let Some(address) = allocation.relayed(family) {
                let relayed = RelayedAddressId { allocation: id, family };
                if address.socket {
                    self.outputs.push_back(Output::CloseRelayedAddress { relayed });
                }
                self.shared.release_port(family, address.port);
                // Until the Allocate is answered, the sibling port belongs to the allocation and not yet to a reservation.
                if address.requirement == PortRequirement::EvenAndNext && allocation.token.is_none() {
                    self.shared.release_port(family, address.port + 1);
                }
            }
        }
        // An unclaimed reservation ends too, or one user could hold every port by allocating and freeing.
        if let Some(token) = &allocation.token {
            self.shared.unreserve(token);
            self.reservations.retain(|(_, other)| other != token);
        }
        if allocation.moves.is_some_and(|moves| moves > 0) {
            self.outputs.push_back(Output::MovedClientEnded { client: allocation.five_tuple });
        }
        if let Some(place) = &allocation.stranger {
            self.shared.strangers.end(place);
        }
        self.shared.release_quota(&allocation.user);
    }

    /// Checks that the indices agree with each other.
    #[cfg(any(test, fuzzing))]
    pub fn audit(&self) -> Result<(), &'static str> {
        self.allocations.audit()?;
        self.peer_connections.audit()?;
        let listed: usize = self.allocations.iter().map(|(_, allocation)| allocation.peer_connections.len()).sum();
        if listed != self.peer_connections.len() {
            return Err("an allocation lost a connection");
        }
        let mut allocations = self.allocations.iter().map(|(_, allocation)| allocation);
        if !allocations.all(|allocation| (allocation.user.identity.scope == Scope::Clients) == allocation.stranger.is_some()) {
            return Err("a stranger's allocation is not counted as one");
        }
        let mut checked = self.allocations.iter().map(|(_, allocation)| allocation).filter(|it| it.scope == Scope::OwnAddress);
        if !checked.all(|it| it.peers.permitted().iter().all(|(ip, _)| it.may_name(*ip)) && !it.peers.has_contacts()) {
            return Err("an allocation of scope own-address reaches another address");
        }
        if self.next_timeout().is_none() && self.allocations.len() > 0 {
            return Err("an allocation would never end");
        }
        Ok(())
    }
}
