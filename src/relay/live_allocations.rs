//! The allocations of all shards, as an operator sees them, and their ends.
//!
//! A list is a copy: shards make it in parts between which they serve their sockets, so that packets don't wait for it. One list is made
//! at a time, and those who ask meanwhile share the next one. So lists take as much memory as allocations do, however many ask.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tokio::time::timeout_at;

use crate::relay::shard::mailbox::{ShardMailbox, ShardMessage};
use crate::relay::shard::operator_requests::{EndRequest, ListRequest};
use crate::turn::{AllocationId, ListedAllocation};

/// How long shards may take; a shard takes milliseconds unless it hangs, and then its allocations are left out.
const SHARD_TIMEOUT: Duration = Duration::from_secs(2);
/// Allocations that one message ends. A shard waits for each of their sockets to be closed.
const MAX_ENDS_A_MESSAGE: usize = 16;

/// Lists and ends allocations, from any task. Clones share the lists.
#[derive(Debug, Clone)]
pub struct LiveAllocations(Arc<Shards>);

#[derive(Debug)]
struct Shards {
    mailboxes: Vec<ShardMailbox>,
    /// For each shard the place of the one list that it makes at a time. A shard that hangs keeps it.
    places: Vec<Arc<Semaphore>>,
    /// The last list, as long as somebody has it.
    last: Mutex<Weak<AllocationList>>,
}

/// The allocations at some time.
#[derive(Debug)]
pub struct AllocationList {
    /// When the first shard was asked.
    pub began: Instant,
    /// With the shard of each.
    pub allocations: Vec<(u8, ListedAllocation)>,
    /// All shards have answered.
    pub complete: bool,
}

impl LiveAllocations {
    pub(super) fn new(mailboxes: Vec<ShardMailbox>) -> Self {
        let places = mailboxes.iter().map(|_| Arc::new(Semaphore::new(1))).collect();
        Self(Arc::new(Shards { mailboxes, places, last: Mutex::default() }))
    }

    /// All allocations, in no order.
    pub async fn list(&self) -> Arc<AllocationList> {
        let asked = Instant::now();
        let mut last = self.0.last.lock().await;
        if let Some(shared) = last.upgrade().filter(|list| list.began >= asked) {
            return shared;
        }
        let list = Arc::new(self.ask_shards().await);
        *last = Arc::downgrade(&list);
        list
    }

    async fn ask_shards(&self) -> AllocationList {
        let began = Instant::now();
        let (to, mut parts) = mpsc::unbounded_channel();
        let mut complete = true;
        for ((shard, mailbox), place) in (0..).zip(&self.0.mailboxes).zip(&self.0.places) {
            match Arc::clone(place).try_acquire_owned() {
                Ok(place) => {
                    let request = ListRequest { shard, _place: place, to: to.clone() };
                    mailbox.send(ShardMessage::ListAllocations(request));
                }
                Err(_) => complete = false,
            }
        }
        drop(to);
        let deadline = (began + SHARD_TIMEOUT).into();
        let mut allocations = Vec::new();
        loop {
            match timeout_at(deadline, parts.recv()).await {
                Ok(Some((shard, part))) => allocations.extend(part.into_iter().map(|allocation| (shard, allocation))),
                Ok(None) => break,
                Err(_) => {
                    complete = false;
                    break;
                }
            }
        }
        AllocationList { began, allocations, complete }
    }

    /// Ends these allocations of a list, and returns how many of them have ended by this: others had ended before, or their shard hangs.
    pub async fn end(&self, chosen: impl IntoIterator<Item = &(u8, ListedAllocation)>) -> usize {
        let mut of_shard = vec![Vec::new(); self.0.mailboxes.len()];
        for (shard, allocation) in chosen {
            if let Some(of_shard) = of_shard.get_mut(usize::from(*shard)) {
                of_shard.push((allocation.id, allocation.number));
            }
        }
        let ends = of_shard.iter().zip(&self.0.mailboxes).map(|(allocations, shard)| end_at(shard, allocations));
        futures_util::future::join_all(ends).await.into_iter().sum()
    }
}

/// The next message is sent when the shard has answered the one before, so that it serves its sockets in between.
async fn end_at(shard: &ShardMailbox, allocations: &[(AllocationId, u64)]) -> usize {
    let mut ended = 0;
    for part in allocations.chunks(MAX_ENDS_A_MESSAGE) {
        let (done, answered) = oneshot::channel();
        shard.send(ShardMessage::EndAllocations(EndRequest { allocations: part.to_vec(), done }));
        let Ok(Ok(count)) = tokio::time::timeout(SHARD_TIMEOUT, answered).await else { break };
        ended += count;
    }
    ended
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::pin::pin;
    use std::task::Poll;

    use futures_util::future::join_all;
    use futures_util::poll;

    use super::*;
    use crate::relay::io::poll::Poller;
    use crate::relay::shard::mailbox::shard_mailbox;

    #[tokio::test]
    async fn those_who_ask_while_a_list_is_made_share_the_next_one() {
        let (mailbox, messages) = shard_mailbox(Poller::new().unwrap().waker());
        let live = LiveAllocations::new(vec![mailbox]);
        let mut lists = pin!(join_all((0..20).map(|_| live.list())));
        let mut requests = 0;
        let lists = loop {
            // All have asked before the shard answers the first of them.
            if let Poll::Ready(lists) = poll!(lists.as_mut()) {
                break lists;
            }
            while let Some(ShardMessage::ListAllocations(request)) = messages.next() {
                requests += 1;
                drop(request);
            }
            tokio::task::yield_now().await;
        };
        assert!(lists.iter().all(|list| list.complete));
        let made: HashSet<_> = lists.iter().map(Arc::as_ptr).collect();
        assert_eq!((requests, made.len()), (2, 2), "the first one asked before the others");
        assert!(lists[1..].iter().all(|list| Arc::ptr_eq(list, &lists[1])));
    }
}
