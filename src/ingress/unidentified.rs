//! Connections that have not shown what they are, of all listeners together: so many at once, and no more descriptors.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::limits::strangers::{self, Strangers};

/// Each listener holds one place in advance, for the next that comes; and a burst needs a few.
const FOR_LISTENERS: usize = 16;

/// Clones share the places.
#[derive(Debug, Clone)]
pub struct Undecided {
    places: Arc<Semaphore>,
    strangers: Arc<Strangers<AbortHandle>>,
}

/// One of them, until it has shown what it is.
#[derive(Debug)]
pub(super) struct Stranger {
    stranger: strangers::Stranger<AbortHandle>,
    _room: OwnedSemaphorePermit,
}

impl Undecided {
    /// `most` at once, of all listeners.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let most = most + FOR_LISTENERS;
        Self { places: Arc::new(Semaphore::new(most)), strangers: Strangers::new(most) }
    }

    /// Waits until there is room for one more, which the one that goes first makes.
    pub(super) async fn room(&self) -> OwnedSemaphorePermit {
        if let Ok(room) = Arc::clone(&self.places).try_acquire_owned() {
            return room;
        }
        if let Some(task) = self.strangers.displace(Instant::now()) {
            task.abort();
        }
        Arc::clone(&self.places).acquire_owned().await.expect("nobody closes it")
    }

    /// A connection has come, from `ip` unless it is a proxy's, which brings many.
    pub(super) fn enter(&self, ip: Option<IpAddr>, room: OwnedSemaphorePermit) -> Stranger {
        let (stranger, displaced) = self.strangers.enter(ip, Instant::now());
        if let Some(task) = displaced {
            task.abort();
        }
        Stranger { stranger, _room: room }
    }
}

impl Stranger {
    /// Its task is there.
    pub(super) fn settle(&self, task: AbortHandle) {
        if !self.stranger.settle(task.clone()) {
            task.abort();
        }
    }

    /// It has begun to show what it is.
    pub(super) fn asked(&self) {
        self.stranger.asked();
    }
}
