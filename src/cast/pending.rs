//! An entry that waits for the answer of the operator's server, and what its client sends meanwhile.
//!
//! Owner: the client. What is held is handled in order once the answer is there. Held events count as bytes that wait for the client.

use std::collections::VecDeque;

use socketioxide::extract::AckSender;
use tokio::task::JoinHandle;

use super::wire::{JoinArguments, OpenArguments};
use crate::admission::ProvenUser;
use crate::limits::waiting_bytes::{Account, WaitingBytes};
use crate::socketio::gateway::gateway_state::ReceivedEvent;

/// Bytes of the events that one client's entry holds up.
const MAX_HELD_BYTES: usize = 256 << 10;
/// What an event takes besides its bytes.
const EVENT_OVERHEAD_BYTES: usize = 512;

/// A seat that somebody asks for.
pub(super) enum Entry {
    Open(OpenArguments),
    Join { arguments: JoinArguments, user: Option<ProvenUser> },
}

pub(super) struct PendingEntry<R> {
    /// Tells the answer to this entry from that to an earlier one of the client.
    pub(super) number: u64,
    pub(super) entry: Entry,
    /// The event's name.
    pub(super) event: String,
    pub(super) ack: Option<AckSender>,
    pub(super) held: HeldEvents<R>,
    /// Asks, until this is dropped.
    pub(super) _asking: Asking,
}

/// The events that came after an entry.
pub(super) struct HeldEvents<R> {
    events: VecDeque<Held<R>>,
    bytes: usize,
}

pub(super) struct Held<R> {
    pub(super) event: ReceivedEvent<R>,
    /// What the client has paid for it.
    pub(super) paid: usize,
    waiting: WaitingBytes,
    bytes: usize,
}

impl<R> Default for HeldEvents<R> {
    fn default() -> Self {
        Self { events: VecDeque::new(), bytes: 0 }
    }
}

impl<R> HeldEvents<R> {
    /// Holds an event. `false`: the client has sent more than may wait.
    #[must_use]
    pub(super) fn hold(&mut self, event: ReceivedEvent<R>, paid: usize, account: &Account) -> bool {
        let bytes = event.bytes + EVENT_OVERHEAD_BYTES;
        if self.bytes + bytes > MAX_HELD_BYTES {
            return false;
        }
        let Some(waiting) = account.add(bytes) else { return false };
        self.bytes += bytes;
        self.events.push_back(Held { event, paid, waiting, bytes });
        true
    }

    /// The event that came first.
    pub(super) fn next(&mut self) -> Option<(ReceivedEvent<R>, usize)> {
        let Held { event, paid, waiting, bytes } = self.events.pop_front()?;
        self.bytes -= bytes;
        drop(waiting);
        Some((event, paid))
    }
}

/// A task that ends with this.
pub(super) struct Asking(pub(super) JoinHandle<()>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::waiting_bytes::Ledger;

    fn event(number: usize, bytes: usize) -> ReceivedEvent<usize> {
        ReceivedEvent { request: number, bytes, ack: None }
    }

    #[test]
    fn events_are_held_in_order_and_within_256_kib() {
        let ledger = Ledger::default();
        let account = ledger.open(None);
        let mut held = HeldEvents::default();
        let size = 4096 - EVENT_OVERHEAD_BYTES;
        assert_eq!((0..100).take_while(|number| held.hold(event(*number, size), *number, &account)).count(), 64);
        assert_eq!(account.bytes(), MAX_HELD_BYTES);
        assert_eq!(held.next().map(|(event, paid)| (event.request, paid)), Some((0, 0)));
        assert!(held.hold(event(64, size), 64, &account), "there is space again");
        let order: Vec<usize> = std::iter::from_fn(|| held.next()).map(|(event, _)| event.request).collect();
        assert_eq!(order, (1..=64).collect::<Vec<_>>());
        assert_eq!(account.bytes(), 0);
    }

    #[test]
    fn many_small_events_are_bounded_too_and_a_closed_client_holds_nothing() {
        let account = Ledger::default().open(None);
        let mut held = HeldEvents::default();
        assert_eq!((0..10_000).take_while(|number| held.hold(event(*number, 10), 0, &account)).count(), 502);
        account.close("test");
        assert!(!HeldEvents::default().hold(event(0, 10), 0, &account));
    }
}
