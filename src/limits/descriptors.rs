//! Divides the process's file descriptors among the kinds of connections. A kind that has used up its pool leaves the other pools alone, and
//! accept(2) never fails for want of a descriptor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::log_interval::LogInterval;

/// Descriptors for everything but the connections of clients (the database, DNS look-ups, reloaded certificates, requests to an authority),
/// and for connections that are accepted shortly before another one is closed for them.
const RESERVED_DESCRIPTORS: u64 = 64;
/// Descriptors for each relay thread: its own, and one connection that is accepted before it is known whether it may stay.
const DESCRIPTORS_PER_THREAD: u64 = 8;
/// Connections whose protocol is not known yet: more are never needed.
const MAX_UNIDENTIFIED: u64 = 4096;
/// How often the log says that a pool is used up.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The descriptors of one kind; clones share them.
#[derive(Debug, Clone)]
pub struct DescriptorPool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: &'static str,
    most: usize,
    taken: AtomicUsize,
    refused: AtomicU64,
    start: Instant,
    log_interval: LogInterval,
}

/// One descriptor of a pool, which returns to the pool on drop.
#[derive(Debug)]
pub struct Descriptor(DescriptorPool);

/// All pools.
#[derive(Debug, Clone)]
pub struct DescriptorPools {
    /// Relayed sockets, and connections to TCP peers.
    pub relayed: DescriptorPool,
    /// Connections of TURN clients over TCP and TLS.
    pub turn_clients: DescriptorPool,
    /// HTTP connections, including WebSockets.
    pub http: DescriptorPool,
    /// Connections whose protocol is not known yet.
    pub unidentified: DescriptorPool,
    /// The limit of the process.
    pub limit: u64,
}

/// The descriptors that one cast over the relay needs of each pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CastCost {
    pub relayed: usize,
    pub turn_clients: usize,
    pub http: usize,
}

impl DescriptorPool {
    #[must_use]
    pub fn new(kind: &'static str, most: usize) -> Self {
        let (taken, refused, log_interval) = (AtomicUsize::new(0), AtomicU64::new(0), LogInterval::new(LOG_INTERVAL));
        Self(Arc::new(Inner { kind, most, taken, refused, start: Instant::now(), log_interval }))
    }

    /// Takes a descriptor; `None`: all are taken.
    #[must_use]
    pub fn take(&self) -> Option<Descriptor> {
        let Inner { most, taken, .. } = &*self.0;
        let more = |count: usize| (count < *most).then_some(count + 1);
        if taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.note_refusal();
            return None;
        }
        Some(Descriptor(self.clone()))
    }

    /// The size of the pool.
    #[must_use]
    pub fn most(&self) -> usize {
        self.0.most
    }

    /// How many descriptors are taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// How often the pool had no descriptor left.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// The name in metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    fn note_refusal(&self) {
        let Inner { kind, most, refused, start, log_interval, .. } = &*self.0;
        refused.fetch_add(1, Ordering::Relaxed);
        if log_interval.is_due(start.elapsed()) {
            tracing::warn!(
                kind,
                most,
                "all descriptors of this kind are taken: raise the limit of open files (LimitNOFILE=, ulimit -n)"
            );
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DescriptorPools {
    /// Divides the rest of `limit`, after `open` descriptors that are in use and the needs of `threads` relay threads. `ports` bounds the relayed
    /// sockets. A cast over the relay takes at most 6, 4 and 2 descriptors of the first three pools, so these get 6, 4 and 4 of 16 parts: pages
    /// that don't cast have HTTP connections too.
    #[must_use]
    pub fn divide(limit: u64, open: u64, threads: usize, ports: usize) -> Self {
        let left = limit.saturating_sub(open + RESERVED_DESCRIPTORS + threads as u64 * DESCRIPTORS_PER_THREAD);
        let (unidentified, turn_clients) = ((left / 8).min(MAX_UNIDENTIFIED), left / 4);
        let relayed = (left * 3 / 8).min(ports as u64);
        let http = left - unidentified - turn_clients - relayed;
        let pool = |kind, most: u64| DescriptorPool::new(kind, usize::try_from(most).unwrap_or(usize::MAX).max(1));
        Self {
            relayed: pool("relayed", relayed),
            turn_clients: pool("turn_clients", turn_clients),
            http: pool("http", http),
            unidentified: pool("undecided", unidentified),
            limit,
        }
    }

    /// Pools without a practical limit, for tests and benches.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::divide(1 << 30, 0, 0, usize::MAX)
    }

    /// All pools.
    #[must_use]
    pub const fn all(&self) -> [&DescriptorPool; 4] {
        [&self.relayed, &self.turn_clients, &self.http, &self.unidentified]
    }

    /// How many casts over the relay are possible at the same time.
    #[must_use]
    pub fn casts(&self, cost: CastCost) -> usize {
        let parts = [(&self.relayed, cost.relayed), (&self.turn_clients, cost.turn_clients), (&self.http, cost.http)];
        parts.iter().filter(|(_, each)| *each > 0).map(|(pool, each)| pool.most() / each).min().unwrap_or(0)
    }
}

impl CastCost {
    /// A cast has two browsers, and each allocates once at every TURN URL. `udp` is the number of URLs over UDP, `streams` of those over TCP and
    /// TLS; `sockets` says whether their relayed addresses have sockets.
    #[must_use]
    pub const fn of_urls(udp: usize, streams: usize, sockets: bool) -> Self {
        Self { relayed: if sockets { 2 * (udp + streams) } else { 0 }, turn_clients: 2 * streams, http: 2 }
    }
}

/// How many descriptors this process has open, or an assumption if the system does not report it.
#[must_use]
pub fn open_now() -> u64 {
    const ASSUMED_OPEN: u64 = 64;
    // One of these descriptors is that of the folder itself.
    std::fs::read_dir("/proc/self/fd").map_or(ASSUMED_OPEN, |all| (all.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_leave_each_other_alone_and_are_given_back() {
        let pools = DescriptorPools::divide(1024, 40, 2, 16_384);
        let relayed: Vec<_> = std::iter::from_fn(|| pools.relayed.take()).collect();
        assert_eq!((relayed.len(), pools.relayed.refused()), (pools.relayed.most(), 1));
        assert!(pools.http.take().is_some() && pools.turn_clients.take().is_some() && pools.unidentified.take().is_some());
        drop(relayed);
        assert!(pools.relayed.take().is_some() && pools.relayed.taken() == 0);
    }

    #[test]
    fn all_pools_together_stay_within_the_limit() {
        for (limit, open, threads, ports) in
            [(256, 40, 2, 16_384), (1024, 60, 4, 100), (1_048_576, 60, 4, 16_384), (64, 60, 4, 16_384)]
        {
            let pools = DescriptorPools::divide(limit, open, threads, ports);
            let all: usize = pools.all().iter().map(|pool| pool.most()).sum();
            assert!(
                all as u64 <= limit.saturating_sub(open + RESERVED_DESCRIPTORS + threads as u64 * DESCRIPTORS_PER_THREAD).max(4),
                "{limit}"
            );
            assert!(pools.all().iter().all(|pool| pool.most() > 0) && pools.relayed.most() <= ports);
        }
    }

    #[test]
    fn the_report_counts_casts_by_what_is_short_first() {
        let pools = DescriptorPools::divide(1024, 40, 2, 16_384);
        let cost = CastCost::of_urls(1, 2, true);
        assert_eq!(cost, CastCost { relayed: 6, turn_clients: 4, http: 2 });
        assert_eq!((pools.relayed.most(), pools.turn_clients.most(), pools.http.most()), (339, 226, 226));
        assert_eq!(pools.casts(cost), 56);
        assert_eq!(DescriptorPools::divide(1 << 20, 40, 2, 60).casts(cost), 10, "ports may be short, too");
        assert_eq!(pools.casts(CastCost::of_urls(1, 0, false)), 113);
    }

    #[test]
    fn the_open_descriptors_of_this_process_are_counted() {
        let before = open_now();
        let more: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        assert!(open_now() > before.saturating_sub(30) && open_now() >= more.len() as u64);
    }
}
