//! The bandwidth limits of an allocation, its user, all strangers, and the server, in each direction.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::allocation::Allocation;
use super::rate_limit::RateLimit;
use super::settings::Limits;
use super::shared::SharedState;
use super::stranger_bandwidth::{StrangerBandwidth, StrangerBuckets};

/// The direction of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToPeer,
    ToClient,
}

/// The limits; the buckets are in the allocation, its user and [`SharedState`]. `None` is no limit.
pub(super) struct BandwidthLimits {
    allocation: Option<RateLimit>,
    user: Option<RateLimit>,
    strangers: Option<StrangerBandwidth>,
    server: Option<RateLimit>,
}

/// The buckets that one payload is taken from.
struct Buckets<'a> {
    allocation: &'a mut u64,
    user: &'a AtomicU64,
    /// Of a stranger's allocation.
    strangers: Option<StrangerBuckets<'a>>,
    server: &'a AtomicU64,
}

impl<'a> Buckets<'a> {
    fn of(direction: Direction, allocation: &'a mut Allocation, shared: &'a SharedState) -> Self {
        let site = allocation.stranger.as_ref().map(|place| &place.site.recent);
        let (user, strangers, server) = (&allocation.user.bandwidth, &shared.strangers, &shared.bandwidth);
        let all = &strangers.bandwidth;
        match direction {
            Direction::ToPeer => Self {
                allocation: &mut allocation.to_peer,
                user: &user.to_peer,
                strangers: site.map(|site| strangers.buckets(&all.to_peer, &site.to_peer, &server.to_peer)),
                server: &server.to_peer,
            },
            Direction::ToClient => Self {
                allocation: &mut allocation.to_client,
                user: &user.to_client,
                strangers: site.map(|site| strangers.buckets(&all.to_client, &site.to_client, &server.to_client)),
                server: &server.to_client,
            },
        }
    }
}

impl BandwidthLimits {
    pub(super) fn new(limits: &Limits) -> Self {
        let largest_packet = u64::from(u16::MAX);
        Self {
            allocation: RateLimit::new(limits.allocation_bandwidth, largest_packet),
            user: RateLimit::new(limits.user_bandwidth, largest_packet),
            strangers: StrangerBandwidth::new(limits, largest_packet),
            server: RateLimit::new(limits.server_bandwidth, largest_packet),
        }
    }

    /// Takes a payload from the buckets of the allocation, its user, all strangers if the user is one, and the server. Where a
    /// later bucket refuses, the earlier ones keep their charge.
    pub(super) fn take(
        &self,
        direction: Direction,
        allocation: &mut Allocation,
        shared: &SharedState,
        bytes: usize,
        now: Instant,
    ) -> bool {
        let strangers = self.strangers.as_ref().filter(|_| allocation.stranger.is_some());
        if self.allocation.is_none() && self.user.is_none() && strangers.is_none() && self.server.is_none() {
            return true;
        }
        let (now, bytes) = (shared.nanos(now), bytes as u64);
        let buckets = Buckets::of(direction, allocation, shared);
        self.allocation.is_none_or(|limit| limit.take(buckets.allocation, bytes, now))
            && self.user.is_none_or(|limit| limit.take_shared(buckets.user, bytes, now))
            && strangers.zip(buckets.strangers).is_none_or(|(limit, buckets)| limit.take(buckets, bytes, now))
            && self.server.is_none_or(|limit| limit.take_shared(buckets.server, bytes, now))
    }

    /// Charges bytes of a stream, which can't be dropped, and returns how long to wait before the next ones.
    pub(super) fn charge(
        &self,
        direction: Direction,
        allocation: &mut Allocation,
        shared: &SharedState,
        bytes: usize,
        now: Instant,
    ) -> Duration {
        let (now, bytes) = (shared.nanos(now), bytes as u64);
        let buckets = Buckets::of(direction, allocation, shared);
        let allocation = self.allocation.map_or(0, |limit| limit.charge(buckets.allocation, bytes, now));
        let user = self.user.map_or(0, |limit| limit.charge_shared(buckets.user, bytes, now));
        let strangers =
            self.strangers.as_ref().zip(buckets.strangers).map_or(0, |(limit, buckets)| limit.charge(buckets, bytes, now));
        let server = self.server.map_or(0, |limit| limit.charge_shared(buckets.server, bytes, now));
        Duration::from_nanos(allocation.max(user).max(strangers).max(server))
    }
}
