//! The bandwidth limits of an allocation, its user, all strangers, and the server, in each direction.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::delivery::Delivery;
use super::rate_limit::{Bandwidth, RateLimit};
use super::settings::Limits;
use super::shared::SharedState;
use super::stranger_bandwidth::{StrangerBandwidth, StrangerBuckets};

/// A packet is charged as at least so many bytes, because its headers and its handling cost as much as these.
const MIN_CHARGED_BYTES: usize = 64;

/// The direction of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToPeer,
    ToClient,
}

/// The limits; the buckets are in [`Delivery`], the user, the site and [`SharedState`]. `None` is no limit.
pub(super) struct BandwidthLimits {
    allocation: Option<RateLimit>,
    user: Option<RateLimit>,
    strangers: Option<StrangerBandwidth>,
    server: Option<RateLimit>,
}

/// The buckets that one payload is taken from.
struct Buckets<'a> {
    allocation: &'a AtomicU64,
    user: &'a AtomicU64,
    /// Of a stranger's allocation.
    strangers: Option<StrangerBuckets<'a>>,
    server: &'a AtomicU64,
}

impl<'a> Buckets<'a> {
    fn of(direction: Direction, charged: &'a Delivery, shared: &'a SharedState) -> Self {
        let bucket = |bandwidth: &'a Bandwidth| match direction {
            Direction::ToPeer => &bandwidth.to_peer,
            Direction::ToClient => &bandwidth.to_client,
        };
        let (strangers, server) = (&shared.strangers, bucket(&shared.bandwidth));
        let site = charged.site.as_ref().map(|site| bucket(&site.recent));
        Self {
            allocation: bucket(&charged.bandwidth),
            user: bucket(&charged.user.bandwidth),
            strangers: site.map(|site| strangers.buckets(bucket(&strangers.bandwidth), site, server)),
            server,
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
        charged: &Delivery,
        shared: &SharedState,
        bytes: usize,
        now: Instant,
    ) -> bool {
        let strangers = self.strangers.as_ref().filter(|_| charged.site.is_some());
        if self.allocation.is_none() && self.user.is_none() && strangers.is_none() && self.server.is_none() {
            return true;
        }
        let (now, bytes) = (shared.nanos(now), bytes.max(MIN_CHARGED_BYTES) as u64);
        let buckets = Buckets::of(direction, charged, shared);
        self.allocation.is_none_or(|limit| limit.take_shared(buckets.allocation, bytes, now))
            && self.user.is_none_or(|limit| limit.take_shared(buckets.user, bytes, now))
            && strangers.zip(buckets.strangers).is_none_or(|(limit, buckets)| limit.take(buckets, bytes, now))
            && self.server.is_none_or(|limit| limit.take_shared(buckets.server, bytes, now))
    }

    /// Charges bytes of a stream, which can't be dropped, and returns how long to wait before the next ones.
    pub(super) fn charge(
        &self,
        direction: Direction,
        charged: &Delivery,
        shared: &SharedState,
        bytes: usize,
        now: Instant,
    ) -> Duration {
        let (now, bytes) = (shared.nanos(now), bytes as u64);
        let buckets = Buckets::of(direction, charged, shared);
        let allocation = self.allocation.map_or(0, |limit| limit.charge_shared(buckets.allocation, bytes, now));
        let user = self.user.map_or(0, |limit| limit.charge_shared(buckets.user, bytes, now));
        let strangers =
            self.strangers.as_ref().zip(buckets.strangers).map_or(0, |(limit, buckets)| limit.charge(buckets, bytes, now));
        let server = self.server.map_or(0, |limit| limit.charge_shared(buckets.server, bytes, now));
        Duration::from_nanos(allocation.max(user).max(strangers).max(server))
    }
}
