//! The events that a client sends between being told that it is connected and being in its gateway's table.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::gateway_state::ReceivedEvent;

/// A front end sends one or two events in that instant.
const MAX_EARLY_EVENTS: usize = 16;
const MAX_EARLY_BYTES: usize = 1 << 20;

pub(in crate::socketio) struct EarlyEvents<R>(Arc<Inner<R>>);

struct Inner<R> {
    /// `None`: the client is in the table, or gone.
    held: Mutex<Option<Vec<ReceivedEvent<R>>>>,
    is_over: AtomicBool,
}

impl<R> Default for EarlyEvents<R> {
    fn default() -> Self {
        Self(Arc::new(Inner { held: Mutex::new(Some(Vec::new())), is_over: AtomicBool::new(false) }))
    }
}

impl<R> Clone for EarlyEvents<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> EarlyEvents<R> {
    /// Keeps an event, or gives it back if the client is in the table or gone.
    pub(in crate::socketio) fn hold(&self, event: ReceivedEvent<R>) -> Option<ReceivedEvent<R>> {
        let mut early = self.lock();
        let Some(held) = early.as_mut() else { return Some(event) };
        let bytes = held.iter().map(|event| event.bytes).sum::<usize>() + event.bytes;
        if held.len() < MAX_EARLY_EVENTS && bytes <= MAX_EARLY_BYTES {
            held.push(event);
        }
        None
    }

    /// Ends the holding; `None`: it had ended already.
    pub(in crate::socketio) fn take(&self) -> Option<Vec<ReceivedEvent<R>>> {
        let held = self.lock().take();
        self.0.is_over.store(true, Ordering::Release);
        held
    }

    /// Whether [`Self::hold`] gives every event back.
    pub(in crate::socketio) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<ReceivedEvent<R>>>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
