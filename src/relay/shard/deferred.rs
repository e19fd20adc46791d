//! Requests over streams that are looked at later: their client has had too many wrong passwords, and another one behind the same address
//! may have the right one. A stream repeats nothing, so what is dropped there is lost, where a datagram comes again by itself.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::relay::io::source::StreamId;
use crate::relay::shard::event_loop::Shard;
use crate::relay::stats::Close;

/// How soon a request is looked at once more.
const AGAIN: Duration = Duration::from_secs(1);

/// The connections whose next message waits. They keep it with what else they keep, within their bound and their deadline.
#[derive(Debug, Default)]
pub(in crate::relay) struct Late {
    /// In the order in which they are due.
    queue: VecDeque<(Instant, StreamId)>,
    /// Those in `queue`.
    waiting: HashSet<StreamId>,
}

impl Late {
    /// False where it waits already.
    pub(in crate::relay) fn add(&mut self, id: StreamId, now: Instant) -> bool {
        let added = self.waiting.insert(id);
        if added {
            self.queue.push_back((now + AGAIN, id));
        }
        added
    }

    pub(in crate::relay) fn next_due(&self) -> Option<Instant> {
        self.queue.front().map(|(at, _)| *at)
    }

    fn due(&mut self, now: Instant) -> Option<StreamId> {
        let (_, id) = self.queue.pop_front_if(|(at, _)| *at <= now)?;
        self.waiting.remove(&id);
        Some(id)
    }
}

impl Shard {
    /// Looks at what is due once more.
    pub(in crate::relay) fn look_again(&mut self, now: Instant) {
        while let Some(id) = self.late.due(now) {
            let Some(stream) = self.streams.stream(id) else { continue };
            let kept = stream.take_kept();
            let end = self.read_frames(id, &kept, now);
            self.finish(now);
            match end {
                Some(why) => self.close_stream(id, why, now),
                None => self.prove(id, now),
            }
        }
    }

    /// Keeps a message that is not looked at yet, and what follows it; why the connection is to be closed, if it is.
    pub(in crate::relay) fn keep_for_later(&mut self, id: StreamId, bytes: &[u8], now: Instant) -> Option<Close> {
        let stream = self.streams.stream(id)?;
        stream.keep(bytes);
        let too_much = stream.keeps_too_much(|client| self.engine.has_allocation(client));
        self.late.add(id, now);
        too_much.then_some(Close::Garbage)
    }
}
