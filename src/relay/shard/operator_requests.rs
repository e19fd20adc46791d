//! What an operator asks of a shard: a list of its allocations, or the end of some.

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::turn::{AllocationId, ListedAllocation};

/// A question for all allocations of a shard.
#[derive(Debug)]
pub(in crate::relay) struct ListRequest {
    pub(in crate::relay) shard: u8,
    /// The place of the one list that a shard makes at a time. It is free again before `to` tells that the list is complete, because fields
    /// are dropped in this order.
    pub(in crate::relay) _place: OwnedSemaphorePermit,
    /// Gets each part. It is bounded by the number of allocations, since one list is made at a time.
    pub(in crate::relay) to: UnboundedSender<(u8, Vec<ListedAllocation>)>,
}

/// The wish to end allocations.
#[derive(Debug)]
pub(in crate::relay) struct EndRequest {
    /// With their numbers, by which an allocation differs from a later one with the same id.
    pub(in crate::relay) allocations: Vec<(AllocationId, u64)>,
    /// Gets the number of those that have ended by this.
    pub(in crate::relay) done: oneshot::Sender<usize>,
}

/// A list that is being made.
#[derive(Debug)]
pub(in crate::relay) struct Listing {
    pub(super) request: ListRequest,
    /// The place of the table at which the next part begins.
    pub(super) next: usize,
}
