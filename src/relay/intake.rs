//! Takes in connections of clients that another listener has accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::relay::admission::Admission;
use crate::relay::shard::mailbox::{Handover, ShardMailbox, ShardMessage};
use crate::relay::tcp::accepted_connection::AcceptedConnection;

/// Distributes connections that another listener has accepted among the shards, in turn.
#[derive(Debug, Clone)]
pub struct StreamIntake {
    shards: Arc<[ShardMailbox]>,
    admission: Admission,
    next: Arc<AtomicUsize>,
}

impl StreamIntake {
    pub(super) fn new(shards: Arc<[ShardMailbox]>, admission: Admission) -> Self {
        Self { shards, admission, next: Arc::default() }
    }

    /// Gives the connection to the relay, which serves and closes it from then on. It is closed right away where the clients'
    /// descriptors are used up, or where its shard can't keep up.
    pub fn take_in(&self, connection: AcceptedConnection) {
        if let Some(location) = self.admission.displace_if_scarce(Instant::now()) {
            self.shards[usize::from(location.shard) % self.shards.len()].send(ShardMessage::Displace(location.stream));
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(descriptor) = self.admission.clients.take() else { return };
        let _ = self.shards[next % self.shards.len()].offer(Handover::Accepted(connection, descriptor));
    }
}
