//! The connections of one shard's clients: by place, by five-tuple, and those that have something to write.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::relay::io::poll::{Interest, Poll};
use crate::relay::io::source::{Source, StreamId};
use crate::relay::stats::Close;
use crate::relay::tcp::stream::Stream;
use crate::turn::FiveTuple;

/// How long a connection may be without an allocation.
pub(in crate::relay) const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How often deadlines are looked at.
const CHECK: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    stream: Option<Box<Stream>>,
}

#[derive(Debug, Default)]
pub(in crate::relay) struct Streams {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_tuple: HashMap<FiveTuple, StreamId>,
    dirty: Vec<StreamId>,
    next_check: Option<Instant>,
}

impl Streams {
    pub(in crate::relay) fn len(&self) -> usize {
        self.by_tuple.len()
    }

    /// Takes a connection in and has it polled. `None`: no descriptor can be watched, or the five-tuple is there already.
    pub(in crate::relay) fn insert(&mut self, mut stream: Box<Stream>, poll: &Poll, now: Instant) -> Option<StreamId> {
        if self.by_tuple.contains_key(&stream.tuple) {
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        let id = StreamId { index, generation: slot.generation };
        if poll.add(&*stream, Source::Stream(id).token(), Interest::Read).is_err() {
            self.free.push(index);
            return None;
        }
        self.by_tuple.insert(stream.tuple, id);
        // Another shard may have left something to be written.
        stream.dirty = true;
        self.dirty.push(id);
        slot.stream = Some(stream);
        self.next_check.get_or_insert(now + CHECK);
        Some(id)
    }

    pub(in crate::relay) fn stream(&mut self, id: StreamId) -> Option<&mut Stream> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.stream.as_deref_mut()
    }

    pub(in crate::relay) fn find(&self, tuple: &FiveTuple) -> Option<StreamId> {
        self.by_tuple.get(tuple).copied()
    }

    /// Closes it, as the last owner of its descriptor.
    pub(in crate::relay) fn remove(&mut self, id: StreamId) -> Option<FiveTuple> {
        self.forget(id).map(|stream| stream.tuple)
    }

    /// Gives it away, open and not polled any more.
    pub(in crate::relay) fn take(&mut self, id: StreamId, poll: &Poll) -> Option<Box<Stream>> {
        let mut stream = self.forget(id)?;
        (stream.dirty, stream.writes) = (false, false);
        poll.remove(&*stream).ok().map(|()| stream)
    }

    fn forget(&mut self, id: StreamId) -> Option<Box<Stream>> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        let stream = slot.stream.take()?;
        slot.generation = (slot.generation + 1) & 0x7FFF_FFFF;
        self.free.push(id.index);
        self.by_tuple.remove(&stream.tuple);
        Some(stream)
    }

    /// Queues a whole message. False: the client is gone, or has no room for it.
    pub(in crate::relay) fn push(&mut self, id: StreamId, parts: &[&[u8]], padding: usize) -> bool {
        let Some(stream) = self.stream(id) else { return false };
        let pushed = stream.push(parts, padding);
        if pushed {
            self.touch(id);
        }
        pushed
    }

    /// Has it flushed with the others.
    pub(in crate::relay) fn touch(&mut self, id: StreamId) {
        if self.stream(id).is_some_and(|stream| !std::mem::replace(&mut stream.dirty, true)) {
            self.dirty.push(id);
        }
    }

    /// The next connection that something was queued for.
    pub(in crate::relay) fn next_dirty(&mut self) -> Option<StreamId> {
        self.dirty.pop()
    }

    /// Writes what waits; false: the connection is gone.
    pub(in crate::relay) fn flush(&mut self, id: StreamId, poll: &Poll, now: Instant) -> bool {
        let Some(stream) = self.stream(id) else { return true };
        stream.dirty = false;
        let Ok(done) = stream.flush(now) else { return false };
        if stream.writes == done {
            stream.writes = !done;
            let interest = if done { Interest::Read } else { Interest::ReadWrite };
            return poll.modify(&*stream, Source::Stream(id).token(), interest).is_ok();
        }
        true
    }

    /// When [`Self::overdue`] is to be asked.
    pub(in crate::relay) fn next_check(&self) -> Option<Instant> {
        self.next_check
    }

    /// Those whose time is over. `allocated` tells whether a client has an allocation.
    pub(in crate::relay) fn overdue(&mut self, now: Instant, allocated: impl Fn(&FiveTuple) -> bool) -> Vec<(StreamId, Close)> {
        if self.next_check.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.next_check = (self.len() > 0).then(|| now + CHECK);
        let mut overdue = Vec::new();
        for (slot, index) in self.slots.iter_mut().zip(0..) {
            let Some(stream) = slot.stream.as_deref_mut() else { continue };
            let id = StreamId { index, generation: slot.generation };
            if allocated(&stream.tuple) {
                stream.stranger = None;
                stream.deadline = now + FIRST_REQUEST;
            }
            if stream.is_stuck(now) {
                overdue.push((id, Close::Slow));
            } else if stream.deadline <= now {
                let proven = stream.stranger.is_none();
                overdue.push((id, if proven { Close::Ended } else { Close::Deadline }));
            }
        }
        overdue
    }
}
