//! How many of the process's descriptors each kind of connection may have, so that one kind that has used its share up leaves the
//! others theirs, and accept(2) never fails for want of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// For what is no connection of a client: the database, look-ups of names, certificates that are read again, answers of an authority;
/// and for connections that are accepted a moment before another one is closed for them.
const RESERVED_DESCRIPTORS: u64 = 64;
/// A connection is there before it is known whether it may stay: one for each thread that accepts, and as many for its own needs.
const DESCRIPTORS_PER_THREAD: u64 = 8;
/// Connections that have not shown what they are need no more.
const MAX_UNIDENTIFIED: u64 = 4096;
/// How often it is said that a share is used up.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// One kind's descriptors; clones share them.
#[derive(Debug, Clone)]
pub struct DescriptorPool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: &'static str,
    most: usize,
    taken: AtomicUsize,
    refused: AtomicU64,
    start: Instant,
    /// When it was last said that there are none, in seconds from `start`, and one more; 0: never.
    said: AtomicU64,
}

/// One descriptor, given back when dropped.
#[derive(Debug)]
pub struct Descriptor(DescriptorPool);

/// All shares.
#[derive(Debug, Clone)]
pub struct DescriptorPools {
    /// Relayed sockets, and connections with TCP peers.
    pub relayed: DescriptorPool,
    /// Connections of TURN clients over TCP and TLS.
    pub turn_clients: DescriptorPool,
    /// HTTP connections, WebSockets among them.
    pub http: DescriptorPool,
    /// Connections that have not shown what they are.
    pub unidentified: DescriptorPool,
    /// Of the process.
    pub limit: u64,
}

/// What one cast over the relay needs of each share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CastCost {
    pub relayed: usize,
    pub turn_clients: usize,
    pub http: usize,
}

impl DescriptorPool {
    #[must_use]
    pub fn new(kind: &'static str, most: usize) -> Self {
        let (taken, refused, said) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Inner { kind, most, taken, refused, start: Instant::now(), said }))
    }

    /// One more; `None`: all are taken.
    #[must_use]
    pub fn take(&self) -> Option<Descriptor> {
        let Inner { most, taken, .. } = &*self.0;
        let more = |count: usize| (count < *most).then_some(count + 1);
        if taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.refuse();
            return None;
        }
        Some(Descriptor(self.clone()))
    }

    /// How many there may be at once.
    #[must_use]
    pub fn most(&self) -> usize {
        self.0.most
    }

    /// How many there are now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// How often there was none.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// As metrics name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    fn refuse(&self) {
        let Inner { kind, most, refused, start, said, .. } = &*self.0;
        refused.fetch_add(1, Ordering::Relaxed);
        let (now, before) = (start.elapsed().as_secs() + 1, said.load(Ordering::Relaxed));
        let due = before == 0 || now.saturating_sub(before) >= LOG_INTERVAL.as_secs();
        if due && said.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
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
    /// Divides what `limit` leaves when `open` are in use already and `threads` will relay. `ports`: more relayed sockets there can't
    /// be. A cast over the relay takes 6, 4 and 2 of the first three shares at most, which is why they are 6, 4 and 4 of 16: whoever
    /// does not cast has an HTTP connection too.
    #[must_use]
    pub fn divide(limit: u64, open: u64, threads: usize, ports: usize) -> Self {
        let left = limit.saturating_sub(open + RESERVED_DESCRIPTORS + threads as u64 * DESCRIPTORS_PER_THREAD);
        let (unidentified, turn_clients) = ((left / 8).min(MAX_UNIDENTIFIED), left / 4);
        let relayed = (left * 3 / 8).min(ports as u64);
        let http = left - unidentified - turn_clients - relayed;
        let share = |kind, most: u64| DescriptorPool::new(kind, usize::try_from(most).unwrap_or(usize::MAX).max(1));
        Self {
            relayed: share("relayed", relayed),
            turn_clients: share("turn_clients", turn_clients),
            http: share("http", http),
            unidentified: share("undecided", unidentified),
            limit,
        }
    }

    /// As many as anybody wants, for who relays in a process of its own.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::divide(1 << 30, 0, 0, usize::MAX)
    }

    /// All of them.
    #[must_use]
    pub const fn all(&self) -> [&DescriptorPool; 4] {
        [&self.relayed, &self.turn_clients, &self.http, &self.unidentified]
    }

    /// How many casts over the relay there may be at once.
    #[must_use]
    pub fn casts(&self, cost: CastCost) -> usize {
        let parts = [(&self.relayed, cost.relayed), (&self.turn_clients, cost.turn_clients), (&self.http, cost.http)];
        parts.iter().filter(|(_, each)| *each > 0).map(|(share, each)| share.most() / each).min().unwrap_or(0)
    }
}

impl CastCost {
    /// Browsers allocate once at each TURN URL, and two of them cast: `udp` and `streams` are the URLs over UDP, and over TCP and TLS.
    #[must_use]
    pub const fn of_urls(udp: usize, streams: usize) -> Self {
        Self { relayed: 2 * (udp + streams), turn_clients: 2 * streams, http: 2 }
    }
}

/// How many descriptors this process has open; a guess where the system does not tell.
#[must_use]
pub fn open_now() -> u64 {
    const ASSUMED_OPEN: u64 = 64;
    // One of them is the folder itself.
    std::fs::read_dir("/proc/self/fd").map_or(ASSUMED_OPEN, |all| (all.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_each_other_alone_and_are_given_back() {
        let shares = DescriptorPools::divide(1024, 40, 2, 16_384);
        let relayed: Vec<_> = std::iter::from_fn(|| shares.relayed.take()).collect();
        assert_eq!((relayed.len(), shares.relayed.refused()), (shares.relayed.most(), 1));
        assert!(shares.http.take().is_some() && shares.turn_clients.take().is_some() && shares.unidentified.take().is_some());
        drop(relayed);
        assert!(shares.relayed.take().is_some() && shares.relayed.taken() == 0);
    }

    #[test]
    fn all_shares_together_stay_within_the_limit() {
        for (limit, open, threads, ports) in
            [(256, 40, 2, 16_384), (1024, 60, 4, 100), (1_048_576, 60, 4, 16_384), (64, 60, 4, 16_384)]
        {
            let shares = DescriptorPools::divide(limit, open, threads, ports);
            let all: usize = shares.all().iter().map(|share| share.most()).sum();
            assert!(
                all as u64 <= limit.saturating_sub(open + RESERVED_DESCRIPTORS + threads as u64 * DESCRIPTORS_PER_THREAD).max(4),
                "{limit}"
            );
            assert!(shares.all().iter().all(|share| share.most() > 0) && shares.relayed.most() <= ports);
        }
    }

    #[test]
    fn the_report_counts_casts_by_what_is_short_first() {
        let shares = DescriptorPools::divide(1024, 40, 2, 16_384);
        let cost = CastCost::of_urls(1, 2);
        assert_eq!(cost, CastCost { relayed: 6, turn_clients: 4, http: 2 });
        assert_eq!((shares.relayed.most(), shares.turn_clients.most(), shares.http.most()), (339, 226, 226));
        assert_eq!(shares.casts(cost), 56);
        assert_eq!(DescriptorPools::divide(1 << 20, 40, 2, 60).casts(cost), 10, "ports may be short, too");
        assert_eq!(shares.casts(CastCost::of_urls(1, 0)), 113);
    }

    #[test]
    fn the_open_descriptors_of_this_process_are_counted() {
        let before = open_now();
        let more: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        assert!(open_now() > before.saturating_sub(30) && open_now() >= more.len() as u64);
    }
}
