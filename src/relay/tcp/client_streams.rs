//! The streams of one shard's clients, by number and by five-tuple.
//!
//! Owner: a shard. Invariants: a stream is in both indices or in neither; a number is not used again with the same generation; a
//! stream with something to write is in the list of unflushed streams until it was flushed, or the poller reports when it can be
//! written to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::relay::io::poll::{Interest, Poller};
use crate::relay::io::poll_source::{ClientStreamId, MAX_STREAM_GENERATION, PollSource};
use crate::relay::stats::labels::CloseReason;
use crate::relay::tcp::client_stream::ClientStream;
use crate::turn::FiveTuple;

/// How long a stream may be without an allocation.
pub(in crate::relay) const ALLOCATION_DEADLINE: Duration = Duration::from_secs(10);
/// How often deadlines are checked.
const DEADLINE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    stream: Option<Box<ClientStream>>,
}

/// The streams of one shard's clients.
#[derive(Debug, Default)]
pub(in crate::relay) struct ClientStreams {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_tuple: HashMap<FiveTuple, ClientStreamId>,
    unflushed: Vec<ClientStreamId>,
    /// Those of them that have gathered much.
    filled: Vec<ClientStreamId>,
    /// Calls that have written, since [`Self::take_writes`].
    writes: u64,
    next_check: Option<Instant>,
}

fn is_unflushed(slots: &[Slot], id: ClientStreamId) -> bool {
    let slot = slots.get(id.index as usize).filter(|slot| slot.generation == id.generation);
    slot.and_then(|slot| slot.stream.as_deref()).is_some_and(|stream| stream.is_unflushed)
}

impl ClientStreams {
    pub(in crate::relay) fn len(&self) -> usize {
        self.by_tuple.len()
    }

    /// Adds a stream and polls it. Returns `None`, and closes it, where it can't be polled or its five-tuple is in use.
    pub(in crate::relay) fn insert(
        &mut self,
        mut stream: Box<ClientStream>,
        poller: &Poller,
        now: Instant,
    ) -> Option<ClientStreamId> {
        if self.by_tuple.contains_key(&stream.tuple) {
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        let id = ClientStreamId { index, generation: slot.generation };
        if poller.add(&*stream, PollSource::ClientStream(id).token(), Interest::Read).is_err() {
            self.free.push(index);
            return None;
        }
        self.by_tuple.insert(stream.tuple, id);
        // Another shard may have left bytes in its queue.
        stream.is_unflushed = true;
        self.unflushed.push(id);
        slot.stream = Some(stream);
        self.next_check.get_or_insert(now + DEADLINE_CHECK_INTERVAL);
        Some(id)
    }

    /// The stream with this number, if it is still open.
    pub(in crate::relay) fn get_mut(&mut self, id: ClientStreamId) -> Option<&mut ClientStream> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.stream.as_deref_mut()
    }

    pub(in crate::relay) fn find(&self, tuple: &FiveTuple) -> Option<ClientStreamId> {
        self.by_tuple.get(tuple).copied()
    }

    /// The streams of clients at these addresses. Visits every stream.
    pub(in crate::relay) fn of_clients(&self, is_one: impl Fn(IpAddr) -> bool) -> Vec<ClientStreamId> {
        let found = self.by_tuple.iter().filter(|(tuple, _)| is_one(tuple.client.ip()));
        found.map(|(_, id)| *id).collect()
    }

    /// Closes a stream.
    pub(in crate::relay) fn remove(&mut self, id: ClientStreamId) -> Option<FiveTuple> {
        self.take_out(id).map(|stream| stream.tuple)
    }

    /// Gives a stream away, open and no longer polled.
    pub(in crate::relay) fn take(&mut self, id: ClientStreamId, poller: &Poller) -> Option<Box<ClientStream>> {
        let mut stream = self.take_out(id)?;
        (stream.is_unflushed, stream.polls_writable) = (false, false);
        poller.remove(&*stream).ok().map(|()| stream)
    }

    fn take_out(&mut self, id: ClientStreamId) -> Option<Box<ClientStream>> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        let stream = slot.stream.take()?;
        slot.generation = (slot.generation + 1) & MAX_STREAM_GENERATION;
        self.free.push(id.index);
        self.by_tuple.remove(&stream.tuple);
        Some(stream)
    }

    /// Stops polling a stream, until [`Self::resume`]. Returns false where the stream is gone.
    pub(in crate::relay) fn pause(&mut self, id: ClientStreamId, poller: &Poller) -> bool {
        self.get_mut(id).is_some_and(|stream| poller.remove(&*stream).is_ok())
    }

    /// Polls a paused stream again. Returns false where that is not possible.
    pub(in crate::relay) fn resume(&mut self, id: ClientStreamId, poller: &Poller) -> bool {
        let token = PollSource::ClientStream(id).token();
        self.get_mut(id).is_some_and(|stream| poller.add(&*stream, token, Interest::Read).is_ok())
    }

    /// Queues a whole message. Returns false where the stream is gone, or has no room.
    pub(in crate::relay) fn push(&mut self, id: ClientStreamId, parts: &[&[u8]], padding: usize) -> bool {
        let Some(stream) = self.get_mut(id) else { return false };
        let pushed = stream.push(parts, padding);
        // The poller reports when a stream that has no room can be written to.
        if pushed && !stream.polls_writable {
            if stream.is_filled() && self.filled.last() != Some(&id) {
                self.filled.push(id);
            }
            self.mark_unflushed(id);
        }
        pushed
    }

    /// Has a stream flushed with the others.
    pub(in crate::relay) fn mark_unflushed(&mut self, id: ClientStreamId) {
        if self.get_mut(id).is_some_and(|stream| !std::mem::replace(&mut stream.is_unflushed, true)) {
            self.unflushed.push(id);
        }
    }

    /// Takes the next stream that has gathered much since it was flushed.
    pub(in crate::relay) fn next_filled(&mut self) -> Option<ClientStreamId> {
        let Self { filled, slots, .. } = self;
        std::iter::from_fn(|| filled.pop()).find(|id| is_unflushed(slots, *id))
    }

    pub(in crate::relay) fn is_unflushed(&self, id: ClientStreamId) -> bool {
        is_unflushed(&self.slots, id)
    }

    pub(in crate::relay) fn has_unflushed(&self) -> bool {
        !self.unflushed.is_empty()
    }

    /// Returns the number of calls that have written, and begins to count anew.
    pub(in crate::relay) fn take_writes(&mut self) -> u64 {
        std::mem::take(&mut self.writes)
    }

    /// Takes the next stream with queued bytes.
    pub(in crate::relay) fn next_unflushed(&mut self) -> Option<ClientStreamId> {
        let Self { unflushed, slots, .. } = self;
        std::iter::from_fn(|| unflushed.pop()).find(|id| is_unflushed(slots, *id))
    }

    /// Writes the waiting bytes. Returns false where the connection is gone.
    pub(in crate::relay) fn flush(&mut self, id: ClientStreamId, poller: &Poller, now: Instant) -> bool {
        let Some(stream) = self.get_mut(id) else { return true };
        stream.is_unflushed = false;
        let flushed = stream.flush(now);
        let writes = std::mem::take(&mut stream.writes);
        let is_open = match flushed {
            Ok(done) if stream.polls_writable == done => {
                stream.polls_writable = !done;
                let interest = if done { Interest::Read } else { Interest::ReadWrite };
                poller.modify(&*stream, PollSource::ClientStream(id).token(), interest).is_ok()
            }
            Ok(_) => true,
            Err(_) => false,
        };
        self.writes += writes;
        is_open
    }

    /// When [`Self::overdue`] is to be called.
    pub(in crate::relay) fn next_check(&self) -> Option<Instant> {
        self.next_check
    }

    /// The streams to close, and why. `allocated` tells whether a client has an allocation.
    pub(in crate::relay) fn overdue(
        &mut self,
        now: Instant,
        allocated: impl Fn(&FiveTuple) -> bool,
    ) -> Vec<(ClientStreamId, CloseReason)> {
        if self.next_check.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.next_check = (self.len() > 0).then(|| now + DEADLINE_CHECK_INTERVAL);
        let mut overdue = Vec::new();
        for (slot, index) in self.slots.iter_mut().zip(0..) {
            let Some(stream) = slot.stream.as_deref_mut() else { continue };
            let id = ClientStreamId { index, generation: slot.generation };
            if allocated(&stream.tuple) {
                stream.unproven = None;
                stream.deadline = now + ALLOCATION_DEADLINE;
            }
            if stream.is_slow_reader(now) {
                overdue.push((id, CloseReason::SlowReader));
            } else if stream.deadline <= now {
                let proven = stream.unproven.is_none();
                overdue.push((id, if proven { CloseReason::Ended } else { CloseReason::Deadline }));
            }
        }
        overdue
    }
}
