//! The messages that a shard gets from other threads, and how many of them may wait.
//!
//! Owner: the shard owns the [`MailboxReceiver`]; every thread that sends has a [`ShardMailbox`]. Invariant: messages of the
//! server itself always fit, because there are few of them. [`Handover`]s are caused by clients, so their bytes are bounded for
//! each shard; a handover beyond the bound is returned to its sender, which then gives it up. So a stalled shard holds no more
//! than that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crate::limits::descriptors::Descriptor;
use crate::relay::ingress_forwarding::IngressForwarding;
use crate::relay::io::poll::PollWaker;
use crate::relay::io::poll_source::ClientStreamId;
use crate::relay::shard::operator_requests::{EndRequest, ListRequest};
use crate::relay::tcp::accepted_connection::AcceptedConnection;
use crate::relay::tcp::client_stream::ClientStream;
use crate::turn::{AllocationId, FiveTuple, MachineAddresses};

/// Bytes of handovers that may wait for a shard.
const MAX_WAITING_BYTES: usize = 1 << 20;
/// Bytes that a handover counts besides its payload.
const MESSAGE_OVERHEAD_BYTES: usize = 256;
/// Bytes that a connection counts, TLS with its buffers.
const CONNECTION_OVERHEAD_BYTES: usize = 2 * 1024;

/// A message to a shard from another thread.
#[derive(Debug)]
pub(in crate::relay) enum ShardMessage {
    /// Users may have been disabled or removed.
    CheckUsers,
    /// Add what was relayed to the accounts of the users, and end the allocations of those who may relay no more.
    SettleAccounts,
    /// The machine's addresses have changed, or those that it is advertised under.
    Addresses(Arc<MachineAddresses>),
    /// Refuse new allocations; end when none is left, or at this time.
    Stop(Instant),
    /// Forward connections to the ingress from now on.
    ForwardToIngress(IngressForwarding),
    /// That shard has a fresh engine, which knows no client that had moved to it.
    Restarted {
        shard: u8,
    },
    /// End an allocation of a stranger for a new one at another shard. Each allocation is named at most once, so no more of these
    /// messages wait than the shard has allocations.
    DisplaceAllocation(AllocationId),
    /// Close a stream without an allocation, to make room for another one.
    Displace(ClientStreamId),
    /// List the allocations. One of these messages waits at most ([`ListRequest`]).
    ListAllocations(ListRequest),
    /// End some allocations.
    EndAllocations(EndRequest),
    Handover(Handover),
}

/// A handover to a shard that a client causes another thread to make. Clients can cause any number of handovers.
#[derive(Debug)]
pub(in crate::relay) enum Handover {
    /// A message that belongs to this shard's engine arrived at another shard (RFC 8016).
    Datagram { from: FiveTuple, bytes: Box<[u8]> },
    /// The last message of this stream belongs to this shard's engine (RFC 6062, RFC 8016).
    ClientStream(Box<ClientStream>),
    /// A client has moved to this five-tuple, and its packets belong to that shard.
    ClientMoved { client: FiveTuple, shard: u8 },
    /// No shard has that client any more.
    ClientForgotten { client: FiveTuple },
    /// A connection that another listener has accepted.
    Accepted(AcceptedConnection, Descriptor),
}

impl Handover {
    fn cost(&self) -> usize {
        match self {
            Self::Datagram { bytes, .. } => MESSAGE_OVERHEAD_BYTES + bytes.len(),
            Self::ClientStream(stream) => CONNECTION_OVERHEAD_BYTES + stream.buffered_bytes(),
            Self::ClientMoved { .. } | Self::ClientForgotten { .. } => MESSAGE_OVERHEAD_BYTES,
            Self::Accepted(..) => CONNECTION_OVERHEAD_BYTES,
        }
    }
}

/// The sending end, which wakes the shard.
#[derive(Debug, Clone)]
pub(in crate::relay) struct ShardMailbox {
    sender: Sender<ShardMessage>,
    waker: PollWaker,
    waiting: Arc<WaitingMessages>,
}

/// The shard's end.
pub(in crate::relay) struct MailboxReceiver {
    receiver: Receiver<ShardMessage>,
    waiting: Arc<WaitingMessages>,
    waker: PollWaker,
}

#[derive(Debug, Default)]
struct WaitingMessages {
    /// Bytes of handovers.
    bytes: AtomicUsize,
    /// [`ShardMessage::CheckUsers`] waits; a second one would change nothing.
    check_users: AtomicBool,
    /// The same for [`ShardMessage::SettleAccounts`].
    settle_accounts: AtomicBool,
}

/// Both ends. `waker` wakes the shard.
pub(in crate::relay) fn shard_mailbox(waker: PollWaker) -> (ShardMailbox, MailboxReceiver) {
    let (sender, receiver) = channel();
    let waiting = Arc::<WaitingMessages>::default();
    let mailbox = ShardMailbox { sender, waker: waker.clone(), waiting: Arc::clone(&waiting) };
    (mailbox, MailboxReceiver { receiver, waiting, waker })
}

impl ShardMailbox {
    /// Sends a message of the server itself. A shard that has ended ignores it.
    pub(in crate::relay) fn send(&self, message: ShardMessage) {
        let is_set = |flag: &AtomicBool| flag.swap(true, Ordering::Relaxed);
        if matches!(message, ShardMessage::CheckUsers) && is_set(&self.waiting.check_users)
            || matches!(message, ShardMessage::SettleAccounts) && is_set(&self.waiting.settle_accounts)
        {
            return;
        }
        let _ = self.sender.send(message);
        self.waker.wake();
    }

    /// Ends the shard's next wait immediately, because packets wait for it.
    pub(in crate::relay) fn wake(&self) {
        self.waker.wake();
    }

    /// Sends a handover.
    ///
    /// # Errors
    /// Returns the handover where too many bytes wait already.
    pub(in crate::relay) fn offer(&self, handover: Handover) -> Result<(), Handover> {
        let cost = handover.cost();
        // A handover that is larger than the bound must fit sometime, so it fits when nothing else waits.
        let room = |waiting: usize| (waiting == 0 || waiting + cost <= MAX_WAITING_BYTES).then_some(waiting + cost);
        if self.waiting.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Err(handover);
        }
        self.send(ShardMessage::Handover(handover));
        Ok(())
    }
}

impl MailboxReceiver {
    /// The next message, if one waits.
    pub(in crate::relay) fn next(&self) -> Option<ShardMessage> {
        let message = self.receiver.try_recv().ok()?;
        match &message {
            ShardMessage::CheckUsers => self.waiting.check_users.store(false, Ordering::Relaxed),
            ShardMessage::SettleAccounts => self.waiting.settle_accounts.store(false, Ordering::Relaxed),
            ShardMessage::Handover(handover) => {
                self.waiting.bytes.fetch_sub(handover.cost(), Ordering::Relaxed);
            }
            ShardMessage::Addresses(_)
            | ShardMessage::Stop(_)
            | ShardMessage::ForwardToIngress(_)
            | ShardMessage::Restarted { .. }
            | ShardMessage::DisplaceAllocation(_)
            | ShardMessage::Displace(_)
            | ShardMessage::ListAllocations(_)
            | ShardMessage::EndAllocations(_) => {}
        }
        Some(message)
    }

    /// Ends the shard's next wait immediately, because messages may be left.
    pub(in crate::relay) fn wake(&self) {
        self.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::relay::io::poll::Poller;
    use crate::turn::Transport;

    fn datagram(len: usize) -> Handover {
        let any = SocketAddr::from(([127, 0, 0, 1], 1));
        let from = FiveTuple { client: any, server: any, transport: Transport::Udp };
        Handover::Datagram { from, bytes: vec![0; len].into() }
    }

    #[test]
    fn what_clients_cause_is_bounded_in_bytes_and_what_the_server_says_always_fits() {
        let (mailbox, messages) = shard_mailbox(Poller::new().unwrap().waker());
        for len in [0, 1200, 65_000] {
            let taken = (0..10_000).filter(|_| mailbox.offer(datagram(len)).is_ok()).count();
            assert_eq!(taken, MAX_WAITING_BYTES / (len + MESSAGE_OVERHEAD_BYTES), "{len}");
            let any = SocketAddr::from(([127, 0, 0, 1], 1));
            let client = FiveTuple { client: any, server: any, transport: Transport::Udp };
            let refused = mailbox.offer(Handover::ClientMoved { client, shard: 0 });
            assert!(refused.is_err() == (len == 0) || refused.is_ok());
            mailbox.send(ShardMessage::Stop(Instant::now()));
            let waiting = std::iter::from_fn(|| messages.next()).count();
            assert_eq!(waiting, taken + 1 + usize::from(refused.is_ok()), "and all of it is room again");
        }
        assert_eq!(messages.waiting.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_shard_that_hangs_is_told_once_of_what_it_is_told_every_second() {
        let (mailbox, messages) = shard_mailbox(Poller::new().unwrap().waker());
        (0..1000).for_each(|_| mailbox.send(ShardMessage::CheckUsers));
        assert!(matches!(messages.next(), Some(ShardMessage::CheckUsers)) && messages.next().is_none());
        mailbox.send(ShardMessage::CheckUsers);
        assert!(messages.next().is_some());
    }
}
