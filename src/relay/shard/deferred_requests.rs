//! Requests over streams that are handled later: their client has sent too many wrong passwords, and another client behind the
//! same address may have the right one. A client repeats a lost datagram but not a part of its stream, so these requests must not
//! be dropped. New streams wait here, too, while the queue to the ingress has no room for them.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::relay::io::poll_source::ClientStreamId;

/// How long a deferred request waits.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The streams whose next message waits. Each keeps that message with its other unread bytes, or leaves its bytes in the kernel if it is
/// new, within its own bound and deadline.
#[derive(Debug, Default)]
pub(super) struct DeferredRequests {
    /// In the order in which they are due.
    queue: VecDeque<(Instant, ClientStreamId)>,
    /// The streams in `queue`.
    waiting: HashSet<ClientStreamId>,
}

impl DeferredRequests {
    /// Defers the next message of a stream, unless it is deferred already.
    pub(super) fn add(&mut self, id: ClientStreamId, now: Instant) {
        if self.waiting.insert(id) {
            self.queue.push_back((now + RETRY_DELAY, id));
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.front().map(|(at, _)| *at)
    }

    /// Takes a stream whose message is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<ClientStreamId> {
        let (_, id) = self.queue.pop_front_if(|(at, _)| *at <= now)?;
        self.waiting.remove(&id);
        Some(id)
    }
}
