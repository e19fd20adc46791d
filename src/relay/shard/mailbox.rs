//! What a shard is told from outside, and how much of it may wait.
//!
//! What the server itself says always fits, since there is little of it. What clients cause does not always: there is a bound in bytes
//! for each shard, and beyond it what was offered comes back, so that whoever offers it can end what it belongs to. So a shard that hangs
//! holds no more than that.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crate::limits::descriptors::Descriptor;
use crate::relay::ClientConnection;
use crate::relay::Diversion;
use crate::relay::io::poll::Waker;
use crate::relay::io::source::StreamId;
use crate::relay::setup::Surroundings;
use crate::relay::tcp::stream::Stream;
use crate::turn::FiveTuple;

/// Bytes of what clients cause that may wait for a shard.
const MAX_WAITING_BYTES: usize = 1 << 20;
/// What a message costs of that besides its bytes.
const MESSAGE_COST: usize = 256;
/// What a connection costs, TLS with its buffers.
const CONNECTION_COST: usize = 2 * 1024;

/// What a shard is told from outside.
#[derive(Debug)]
pub(in crate::relay) enum Control {
    /// Users may have been disabled or removed.
    CheckUsers,
    /// What relays are advertised under, IPv4 and IPv6, what is this machine, and the networks that it is on.
    Addresses { advertised: [Option<IpAddr>; 2], surroundings: Surroundings },
    /// Take no new allocations; end when there are none, or then.
    Stop(Instant),
    /// Whose connections are not for this listener.
    Divert(Diversion),
    /// That shard has begun anew: no client is its any more.
    Restarted { shard: u8 },
    /// A connection that has proved nothing makes room for another.
    Displace(StreamId),
    /// What clients cause.
    Caused(Caused),
}

/// What clients cause, without end if they like.
#[derive(Debug)]
pub(in crate::relay) enum Caused {
    /// A message that belongs to this shard's engine arrived at another shard (RFC 8016).
    Datagram { from: FiveTuple, bytes: Box<[u8]> },
    /// A client's connection whose last message belongs to this shard's engine (RFC 6062, RFC 8016).
    Stream(Box<Stream>),
    /// A client moved to this five-tuple, and its packets are that shard's.
    Moved { client: FiveTuple, shard: u8 },
    /// Nobody has it any more.
    Forget { client: FiveTuple },
    /// A connection that another listener has accepted.
    Adopt(ClientConnection, Descriptor),
}

impl Caused {
    fn cost(&self) -> usize {
        match self {
            Self::Datagram { bytes, .. } => MESSAGE_COST + bytes.len(),
            Self::Stream(stream) => CONNECTION_COST + stream.waiting(),
            Self::Moved { .. } | Self::Forget { .. } => MESSAGE_COST,
            Self::Adopt(..) => CONNECTION_COST,
        }
    }
}

/// How to reach a shard.
#[derive(Debug, Clone)]
pub(in crate::relay) struct Mailbox {
    sender: Sender<Control>,
    waker: Waker,
    shared: Arc<Waiting>,
}

/// The shard's end.
pub(in crate::relay) struct Controls {
    receiver: Receiver<Control>,
    shared: Arc<Waiting>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Of what clients cause.
    bytes: AtomicUsize,
    /// [`Control::CheckUsers`] waits: one is as good as many.
    check_users: AtomicBool,
}

/// Both ends. `waker` is that of the shard.
pub(in crate::relay) fn mailbox(waker: Waker) -> (Mailbox, Controls) {
    let (sender, receiver) = channel();
    let shared = Arc::<Waiting>::default();
    let mailbox = Mailbox { sender, waker: waker.clone(), shared: Arc::clone(&shared) };
    (mailbox, Controls { receiver, shared, waker })
}

impl Mailbox {
    /// What the server itself says.
    pub(in crate::relay) fn send(&self, control: Control) {
        if matches!(control, Control::CheckUsers) && self.shared.check_users.swap(true, Ordering::Relaxed) {
            return;
        }
        // A shard that has ended needs nothing.
        let _ = self.sender.send(control);
        self.waker.wake();
    }

    /// What a client causes.
    ///
    /// # Errors
    /// What was offered, where too much waits already.
    pub(in crate::relay) fn offer(&self, caused: Caused) -> Result<(), Caused> {
        let cost = caused.cost();
        // One that is larger than all must fit sometime.
        let room = |waiting: usize| (waiting == 0 || waiting + cost <= MAX_WAITING_BYTES).then_some(waiting + cost);
        if self.shared.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Err(caused);
        }
        self.send(Control::Caused(caused));
        Ok(())
    }
}

impl Controls {
    /// The next message, if one waits.
    pub(in crate::relay) fn next(&self) -> Option<Control> {
        let control = self.receiver.try_recv().ok()?;
        match &control {
            Control::CheckUsers => self.shared.check_users.store(false, Ordering::Relaxed),
            Control::Caused(caused) => {
                self.shared.bytes.fetch_sub(caused.cost(), Ordering::Relaxed);
            }
            Control::Addresses { .. }
            | Control::Stop(_)
            | Control::Divert(_)
            | Control::Restarted { .. }
            | Control::Displace(_) => {}
        }
        Some(control)
    }

    /// Has the next wait end at once: something may be left.
    pub(in crate::relay) fn wake(&self) {
        self.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::relay::io::poll::Poll;
    use crate::turn::Transport;

    fn datagram(len: usize) -> Caused {
        let any = SocketAddr::from(([127, 0, 0, 1], 1));
        let from = FiveTuple { client: any, server: any, transport: Transport::Udp };
        Caused::Datagram { from, bytes: vec![0; len].into() }
    }

    #[test]
    fn what_clients_cause_is_bounded_in_bytes_and_what_the_server_says_always_fits() {
        let (mailbox, controls) = mailbox(Poll::new().unwrap().waker());
        for len in [0, 1200, 65_000] {
            let taken = (0..10_000).filter(|_| mailbox.offer(datagram(len)).is_ok()).count();
            assert_eq!(taken, MAX_WAITING_BYTES / (len + MESSAGE_COST), "{len}");
            let any = SocketAddr::from(([127, 0, 0, 1], 1));
            let client = FiveTuple { client: any, server: any, transport: Transport::Udp };
            let refused = mailbox.offer(Caused::Moved { client, shard: 0 });
            assert!(refused.is_err() == (len == 0) || refused.is_ok());
            mailbox.send(Control::Stop(Instant::now()));
            let waiting = std::iter::from_fn(|| controls.next()).count();
            assert_eq!(waiting, taken + 1 + usize::from(refused.is_ok()), "and all of it is room again");
        }
        assert_eq!(controls.shared.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_shard_that_hangs_is_told_once_of_what_it_is_told_every_second() {
        let (mailbox, controls) = mailbox(Poll::new().unwrap().waker());
        (0..1000).for_each(|_| mailbox.send(Control::CheckUsers));
        assert!(matches!(controls.next(), Some(Control::CheckUsers)) && controls.next().is_none());
        mailbox.send(Control::CheckUsers);
        assert!(controls.next().is_some());
    }
}
