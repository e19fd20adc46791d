//! A running relay, as the rest of the program sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::diagnosis::watch::Watch;
use crate::limits::guesses::GuessReports;
use crate::relay::address_check::AddressCheck;
use crate::relay::admission::Admission;
use crate::relay::ingress_forwarding::IngressForwarding;
use crate::relay::intake::StreamIntake;
use crate::relay::live_allocations::LiveAllocations;
use crate::relay::refusals::RefusalReports;
use crate::relay::shard::mailbox::{ShardMailbox, ShardMessage};
use crate::relay::stats::{RelayStats, StatsReader};
use crate::relay::watcher::WatcherStop;
use crate::turn::SharedState;

/// A running relay. Dropping it stops the relay immediately; [`Relay::stop`] lets allocations end first.
#[derive(Debug)]
pub struct Relay {
    pub(super) listening: SocketAddr,
    pub(super) alternate_port: Option<u16>,
    pub(super) udp: bool,
    pub(super) tcp: bool,
    pub(super) stats: StatsReader,
    pub(super) refusals: RefusalReports,
    pub(super) watch: Watch,
    pub(super) admission: Admission,
    pub(super) shared: Arc<SharedState>,
    pub(super) closed_neighbours: Arc<[IpNet]>,
    pub(super) mailboxes: Vec<ShardMailbox>,
    pub(super) live_allocations: LiveAllocations,
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) address_check: AddressCheck,
    /// Dropping it ends the thread that watches users and addresses.
    pub(super) watcher: Option<WatcherStop>,
}

impl Relay {
    /// From now on, TCP connections are forwarded that the ingress serves. They reach the relay again only through a [`StreamIntake`].
    pub fn forward_to_ingress(&self, forwarding: &IngressForwarding) {
        self.mailboxes.iter().for_each(|shard| shard.send(ShardMessage::ForwardToIngress(forwarding.clone())));
    }

    /// Takes in the connections of listeners besides the relay's own.
    #[must_use]
    pub fn intake(&self) -> StreamIntake {
        StreamIntake::new(self.mailboxes.clone().into(), self.admission.clone())
    }

    /// The address at which clients reach the relay, with the actual port where port 0 was configured.
    #[must_use]
    pub const fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// The configured second port at which clients reach the relay, with the actual one where port 0 was configured.
    #[must_use]
    pub const fn alternate_port(&self) -> Option<u16> {
        self.alternate_port
    }

    /// Whether the relay listens on UDP.
    #[must_use]
    pub const fn has_udp(&self) -> bool {
        self.udp
    }

    /// Whether the relay listens on TCP.
    #[must_use]
    pub const fn has_tcp(&self) -> bool {
        self.tcp
    }

    /// The machine's own networks at the start, whose addresses are denied as peers only for that reason.
    #[must_use]
    pub fn closed_neighbours(&self) -> &[IpNet] {
        &self.closed_neighbours
    }

    /// Whether all shards still serve.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// Tells whether relayed addresses can be bound, later and from other threads.
    #[must_use]
    pub fn address_check(&self) -> AddressCheck {
        self.address_check.clone()
    }

    /// Live allocations.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.shared.allocations() as usize
    }

    /// Lists allocations and ends them, later and from other tasks.
    #[must_use]
    pub fn live_allocations(&self) -> LiveAllocations {
        self.live_allocations.clone()
    }

    /// The statistics since the start.
    #[must_use]
    pub fn stats(&self) -> RelayStats {
        self.stats.stats()
    }

    /// Where the relay reports wrong passwords; the rest of the server reports there, too.
    #[must_use]
    pub fn reports(&self) -> &GuessReports {
        self.shared.reports()
    }

    /// The refused requests, whose lines are to be written every second.
    #[must_use]
    pub const fn refusals(&self) -> &RefusalReports {
        &self.refusals
    }

    /// What the relay sees of clients that somebody watches.
    #[must_use]
    pub const fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Reads the statistics later, and from other threads.
    #[must_use]
    pub fn stats_reader(&self) -> StatsReader {
        self.stats.clone()
    }

    /// Refuses new allocations (508), waits until the last one ends or `deadline` is over, closes the others and returns
    /// when the ports are free.
    pub async fn stop(mut self, deadline: Duration) {
        let (threads, shared) = (std::mem::take(&mut self.threads), Arc::clone(&self.shared));
        self.tell_to_stop(Instant::now() + deadline);
        let joined =
            tokio::task::spawn_blocking(move || threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count());
        if joined.await.unwrap_or(1) > 0 {
            tracing::error!("a shard of the relay had failed for good");
        }
        tracing::info!(cut = shared.allocations(), "the relay stopped");
    }

    fn tell_to_stop(&mut self, at: Instant) {
        self.watcher = None;
        self.mailboxes.iter().for_each(|shard| shard.send(ShardMessage::Stop(at)));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.tell_to_stop(Instant::now());
        }
    }
}
