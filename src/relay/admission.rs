//! Limits what the relay has open, and knows which of its clients' streams have no allocation yet.
//!
//! Owner: the [`Relay`](super::Relay); the shards and every [`StreamIntake`](super::StreamIntake) have clones, which share
//! everything.

use std::sync::Arc;
use std::time::Instant;

use crate::limits::descriptors::{DescriptorPool, DescriptorPools};
use crate::limits::unproven::{UnprovenConnection, UnprovenConnections};
use crate::relay::io::poll_source::ClientStreamId;
use crate::relay::tcp::buffer_usage::BufferTotal;

/// The most streams without an allocation. They never exceed half of the clients' descriptors either.
const MAX_UNPROVEN_STREAMS: usize = 2048;
/// The number of clients' descriptors that are kept free as long as there are streams without an allocation, because another
/// shard needs a moment to close one.
const SPARE_DESCRIPTORS: usize = 16;

/// The shard that serves a stream, and the stream's place there.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamLocation {
    pub(super) shard: u8,
    pub(super) stream: ClientStreamId,
}

/// The place of one stream that has not allocated yet.
pub(super) type UnprovenStream = UnprovenConnection<StreamLocation>;

/// The limits of what the relay has open.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    /// Streams that have not allocated yet.
    pub(super) unproven: Arc<UnprovenConnections<StreamLocation>>,
    /// Descriptors of clients' streams.
    pub(super) clients: DescriptorPool,
    /// Descriptors of relayed sockets and of connections with peers.
    pub(super) relayed: DescriptorPool,
    /// Bytes that the streams of all clients hold.
    pub(super) buffers: BufferTotal,
}

impl Admission {
    pub(super) fn new(descriptors: &DescriptorPools) -> Self {
        let (clients, relayed) = (descriptors.turn_clients.clone(), descriptors.relayed.clone());
        let unproven = UnprovenConnections::new(MAX_UNPROVEN_STREAMS.min(clients.most() / 2));
        Self { unproven, clients, relayed, buffers: BufferTotal::default() }
    }

    /// Chooses the stream to close so that the next client finds a descriptor; `None` where enough descriptors are free, or where
    /// every stream has an allocation.
    pub(super) fn displace_if_scarce(&self, now: Instant) -> Option<StreamLocation> {
        let free = self.clients.most().saturating_sub(self.clients.taken());
        if free > SPARE_DESCRIPTORS.min(self.clients.most() / 8) { None } else { self.unproven.displace(now) }
    }
}
