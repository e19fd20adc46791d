//! What every Socket.IO gateway does for each of its clients: hears it from its first word on, counts what it says, notices when
//! it does not read.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Serialize;
use socketioxide::extract::SocketRef;
use socketioxide::{SendError, SocketError};

/// Names one client connection, for as long as it lives; given by its gateway.
pub type ConnectionId = u64;

/// Bytes a second, and at once, that a client may send: far more than any negotiation takes, and little enough for what waits
/// for a side that has stopped reading until its pings time out.
const BUDGET: (NonZeroU32, NonZeroU32) = (NonZeroU32::new(512 << 10).unwrap(), NonZeroU32::new(2 << 20).unwrap());
/// What the smallest event costs of it.
const EVENT_COST: usize = 100;
/// Clients say one or two things in the instant between being told that they are connected and being in the table.
const EARLY: usize = 16;

/// Bytes that a client may still send.
pub struct Budget(DefaultDirectRateLimiter);

impl Default for Budget {
    fn default() -> Self {
        Self(RateLimiter::direct(Quota::per_second(BUDGET.0).allow_burst(BUDGET.1)))
    }
}

impl Budget {
    /// Takes an event of `size` bytes from it; `false`: it has not so much left now.
    pub fn take(&self, size: usize) -> bool {
        let cost = u32::try_from(size.max(EVENT_COST)).ok().and_then(NonZeroU32::new).unwrap_or(BUDGET.1);
        matches!(self.0.check_n(cost.min(BUDGET.1)), Ok(Ok(())))
    }
}

/// Sends of one event; remembers who is to be disconnected after it.
#[derive(Default)]
pub struct Sends {
    pub gone: Vec<ConnectionId>,
}

impl Sends {
    pub fn emit<T: Serialize>(&mut self, to: ConnectionId, socket: &SocketRef, event: &str, arguments: &T) {
        self.note(to, socket.emit(event, arguments));
    }

    pub fn note(&mut self, to: ConnectionId, sent: Result<(), SendError>) {
        match sent {
            // Closed already: its disconnect handler is on its way.
            Ok(()) | Err(SendError::Socket(SocketError::Closed)) => {}
            // What is lost can't be repaired, a reconnect can.
            Err(SendError::Socket(SocketError::InternalChannelFull)) => self.gone.push(to),
            Err(SendError::Serialize(error)) => tracing::error!(%error, "an event could not be written"),
        }
    }
}

/// What a client said before it was in the table; `None` inside: it is gone.
pub struct Early<T>(Arc<Mutex<Option<Vec<T>>>>);

impl<T> Default for Early<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Vec::new()))))
    }
}

impl<T> Clone for Early<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Early<T> {
    pub fn push(&self, heard: T) {
        if let Some(waiting) = self.lock().as_mut().filter(|waiting| waiting.len() < EARLY) {
            waiting.push(heard);
        }
    }

    pub fn take(&self) -> Option<Vec<T>> {
        self.lock().as_mut().map(std::mem::take)
    }

    pub fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
