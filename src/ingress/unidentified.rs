//! Connections whose protocol is not known yet, of all listeners together: bounds their number, and with it their descriptors.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::limits::unproven::{UnprovenConnection, UnprovenConnections};

/// Slots besides the limit: each listener holds one in advance for its next connection, and a burst needs a few.
const LISTENER_SLOTS: usize = 16;

/// The bound; clones share it.
#[derive(Debug, Clone)]
pub struct UnidentifiedLimit {
    slots: Arc<Semaphore>,
    connections: Arc<UnprovenConnections<AbortHandle>>,
}

/// One connection, until its protocol is known.
#[derive(Debug)]
pub(super) struct UnidentifiedConnection {
    connection: UnprovenConnection<AbortHandle>,
    _slot: OwnedSemaphorePermit,
}

impl UnidentifiedLimit {
    /// At most `max` connections at the same time.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let max = max + LISTENER_SLOTS;
        Self { slots: Arc::new(Semaphore::new(max)), connections: UnprovenConnections::new(max) }
    }

    /// Waits for a free slot. Where none is free, the first connection in the order of [`UnprovenConnections`] is closed for it.
    pub(super) async fn slot(&self) -> OwnedSemaphorePermit {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return slot;
        }
        if let Some(task) = self.connections.displace(Instant::now()) {
            task.abort();
        }
        Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Counts a new connection from `ip`; `None` for a trusted proxy, which brings many clients.
    pub(super) fn admit(&self, ip: Option<IpAddr>, slot: OwnedSemaphorePermit) -> UnidentifiedConnection {
        let (connection, displaced) = self.connections.admit(ip, Instant::now());
        if let Some(task) = displaced {
            task.abort();
        }
        UnidentifiedConnection { connection, _slot: slot }
    }
}

impl UnidentifiedConnection {
    /// Says which task serves the connection; that task is aborted when the connection has to go.
    pub(super) fn attach(&self, task: AbortHandle) {
        if !self.connection.attach(task.clone()) {
            task.abort();
        }
    }

    /// The first byte has come.
    pub(super) fn note_progress(&self) {
        self.connection.note_progress();
    }
}
