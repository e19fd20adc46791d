//! The counters of one shard, and the sum of all shards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::relay::stats::labels::{CloseReason, DropCause, TrafficDirection};
use crate::turn::codec::error_code::ErrorCode;
use crate::turn::{Answer, DropReason, RefusalReason, Transport};

/// A number that only its shard changes.
#[derive(Debug, Default)]
pub(in crate::relay) struct Counter(AtomicU64);

impl Counter {
    /// Adds without a read-modify-write, because each counter has one writer.
    #[inline]
    pub(in crate::relay) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    pub(in crate::relay) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(in crate::relay) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One place for each direction and each transport of the client.
type ByTraffic<T> = [[T; Transport::ALL.len()]; TrafficDirection::ALL.len()];

/// Declares each single number once: as a counter of a shard, as a number of the sum, and how it is summed.
macro_rules! numbers {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// The counters of one shard.
        #[derive(Debug, Default)]
        pub(in crate::relay) struct ShardCounters {
            $($(#[$doc])+ pub(in crate::relay) $name: Counter,)+
            packets: ByTraffic<Counter>,
            bytes: ByTraffic<Counter>,
            drops: [Counter; DropCause::ALL.len()],
            errors: [Counter; ErrorCode::ALL.len()],
            closes: [Counter; CloseReason::ALL.len()],
            /// Nanoseconds of work.
            pub(in crate::relay) busy: Counter,
            /// When the current turn began: nanoseconds since the relay's start, plus one; 0 while the shard waits.
            busy_since: Counter,
        }

        /// The sums of all shards since the start.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct RelayStats {
            $($(#[$doc])+ pub $name: u64,)+
            packets: ByTraffic<u64>,
            bytes: ByTraffic<u64>,
            drops: [u64; DropCause::ALL.len()],
            errors: [u64; ErrorCode::ALL.len()],
            closes: [u64; CloseReason::ALL.len()],
            /// Nanoseconds of work since the start, by shard.
            pub busy: Vec<u64>,
        }

        impl RelayStats {
            fn add_numbers(&mut self, shard: &ShardCounters) {
                $(self.$name += shard.$name.value();)+
            }
        }
    };
}

numbers! {
    /// Allocations, live now.
    allocations,
    /// Clients' connections over TCP and TLS, open now.
    streams,
    /// Connections with peers over TCP (RFC 6062), open now.
    peer_connections,
    /// Clients that have moved (RFC 8016), and whose packets another shard passes on.
    moved,
    /// Requests with wrong or unknown credentials.
    failed_authentications,
    /// Connections of TCP peers without a permission.
    refused_peers,
    /// Peers that were refused because they are in networks of this machine.
    refused_neighbours,
    /// Requests that named a peer which the policy denies (403).
    denied_requests,
    /// Allocations of strangers that ended for others, because capacity was scarce.
    displaced_allocations,
    /// Receives that failed; the socket is read again.
    receive_errors,
    /// Clients' connections over TCP and TLS.
    accepted,
    /// Connections that could not be accepted, because no descriptors were left.
    accept_failures,
    /// ICMP errors about packets that were sent to peers.
    icmp_errors,
    /// Restarts of a shard after a panic, or after an error of epoll_wait(2).
    panics,
    /// System calls that sent datagrams.
    send_calls,
    /// Calls that wrote to clients' connections over TCP and TLS.
    stream_writes,
}

impl ShardCounters {
    /// A turn begins, `since` after the relay's start.
    pub(in crate::relay) fn begin_turn(&self, since: Duration) {
        self.busy_since.set(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).saturating_add(1));
    }

    /// The shard waits for events.
    pub(in crate::relay) fn end_turn(&self) {
        self.busy_since.set(0);
    }

    /// How long the current turn has taken; `now` is the time since the relay's start.
    pub(in crate::relay) fn turn_duration(&self, now: Duration) -> Duration {
        let since = self.busy_since.value();
        if since == 0 { Duration::ZERO } else { now.saturating_sub(Duration::from_nanos(since - 1)) }
    }

    #[inline]
    pub(in crate::relay) fn count_forwarded(&self, direction: TrafficDirection, client: Transport, bytes: usize) {
        self.packets[direction as usize][client as usize].add(1);
        self.bytes[direction as usize][client as usize].add(bytes as u64);
    }

    /// Counts a packet that the engine dropped.
    pub(in crate::relay) fn count_drop(&self, reason: DropReason) {
        self.count_lost(reason.into(), 1);
        if matches!(reason, DropReason::Throttled | DropReason::Withheld) {
            self.failed_authentications.add(1);
        }
    }

    /// Counts packets that could not be sent.
    pub(in crate::relay) fn count_lost(&self, cause: DropCause, packets: u64) {
        self.drops[cause as usize].add(packets);
    }

    pub(in crate::relay) fn count_close(&self, reason: CloseReason) {
        self.closes[reason as usize].add(1);
    }

    /// Counts a request that was refused for a peer. Its answer is counted as any other.
    pub(in crate::relay) fn count_refused(&self, reason: RefusalReason) {
        if matches!(reason, RefusalReason::DeniedPeer(_)) {
            self.denied_requests.add(1);
        }
    }

    /// Counts a message of the engine, if it is an error response.
    pub(in crate::relay) fn count_answer(&self, answer: Answer) {
        let Answer::Error { code, failed_authentication, .. } = answer else { return };
        self.errors[error_index(code)].add(1);
        if failed_authentication {
            self.failed_authentications.add(1);
        }
    }
}

impl RelayStats {
    /// Payloads that went this way; `client` is the transport of the client.
    #[must_use]
    pub const fn packets(&self, direction: TrafficDirection, client: Transport) -> u64 {
        self.packets[direction as usize][client as usize]
    }

    /// Bytes of those payloads.
    #[must_use]
    pub const fn bytes(&self, direction: TrafficDirection, client: Transport) -> u64 {
        self.bytes[direction as usize][client as usize]
    }

    /// Packets that were dropped for this cause.
    #[must_use]
    pub const fn drops(&self, cause: DropCause) -> u64 {
        self.drops[cause as usize]
    }

    /// Error responses with this code.
    #[must_use]
    pub fn errors(&self, code: ErrorCode) -> u64 {
        self.errors[error_index(code)]
    }

    /// Clients' connections that were closed for this reason.
    #[must_use]
    pub const fn closes(&self, reason: CloseReason) -> u64 {
        self.closes[reason as usize]
    }

    pub(in crate::relay) fn sum<'a>(shards: impl Iterator<Item = &'a ShardCounters>) -> Self {
        let mut sum = Self::default();
        for shard in shards {
            sum.add_numbers(shard);
            for (sums, counters) in [(&mut sum.packets, &shard.packets), (&mut sum.bytes, &shard.bytes)] {
                sums.iter_mut().zip(counters).for_each(|(sums, counters)| add(sums, counters));
            }
            add(&mut sum.drops, &shard.drops);
            add(&mut sum.errors, &shard.errors);
            add(&mut sum.closes, &shard.closes);
            sum.busy.push(shard.busy.value());
        }
        sum
    }
}

fn error_index(code: ErrorCode) -> usize {
    ErrorCode::ALL.iter().position(|known| *known == code).expect("every code is in the list of all")
}

fn add(sums: &mut [u64], counters: &[Counter]) {
    sums.iter_mut().zip(counters).for_each(|(sum, counter)| *sum += counter.value());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::codec::header::Method;

    #[test]
    fn an_error_response_is_counted_by_its_code() {
        let stats = ShardCounters::default();
        let error = |code| stats.count_answer(Answer::Error { method: Method::Refresh, code, failed_authentication: false });
        error(ErrorCode::StaleNonce);
        error(ErrorCode::InsufficientCapacity);
        stats.count_answer(Answer::Success { method: Method::Refresh });
        let sum = RelayStats::sum([&stats].into_iter());
        let (stale, full) = (sum.errors(ErrorCode::StaleNonce), sum.errors(ErrorCode::InsufficientCapacity));
        assert_eq!((stale, full, sum.errors.iter().sum::<u64>()), (1, 1, 2));
    }

    #[test]
    fn a_shard_that_waits_does_not_hang_and_one_whose_turn_does_not_end_does() {
        let (stats, at) = (ShardCounters::default(), Duration::from_secs);
        assert_eq!(stats.turn_duration(at(100)), Duration::ZERO);
        stats.begin_turn(at(100));
        assert_eq!(stats.turn_duration(at(107)), at(7));
        stats.end_turn();
        assert_eq!(stats.turn_duration(at(107)), Duration::ZERO);
        stats.begin_turn(Duration::ZERO);
        assert_eq!(stats.turn_duration(at(3)), at(3));
    }
}
