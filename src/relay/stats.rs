//! What the shards count. Each counter has one writer, its shard, and any number of readers; none needs a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::turn::codec::attribute;
use crate::turn::codec::message::{ParseError, StunMessage};
use crate::turn::{DropReason, Transport};

/// A number that its shard alone changes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Not a read-modify-write: there is one writer.
    pub(super) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Which way a payload went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    ToPeer,
    ToClient,
    /// From one client of a shard to another, past the kernel.
    BetweenClients,
}

pub const DIRECTIONS: [&str; 3] = ["to_peer", "to_client", "between_clients"];
pub const TRANSPORTS: [&str; 3] = ["udp", "tcp", "tls"];
pub const DROPS: [&str; 25] = [
    "malformed",
    "malformed_channel_data",
    "malformed_indication",
    "response",
    "indication",
    "unsupported_method",
    "bare",
    "rate_limited",
    "throttled",
    "pending",
    "no_allocation",
    "no_permission",
    "no_channel",
    "no_relay",
    "denied_peer",
    "loop",
    "bandwidth",
    "too_long",
    "bad_fingerprint",
    "stream_full",
    "unsent_unreachable",
    "unsent_refused",
    "unsent_buffer_full",
    "unsent_too_long",
    "unsent_other",
];
/// The last one stands for every other code.
pub const ERROR_CODES: [u16; 18] = [300, 400, 401, 403, 405, 420, 437, 438, 440, 441, 442, 443, 446, 447, 486, 500, 508, 0];
pub const CLOSES: [&str; 7] = ["client", "garbage", "deadline", "slow", "ended", "limit", "displaced"];

/// A drop that is the shell's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    StreamFull = 19,
    Unreachable = 20,
    Refused = 21,
    BufferFull = 22,
    /// For the path's MTU, or for UDP.
    TooLong = 23,
    Other = 24,
}

/// Why a client's stream was closed, or not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    Client = 0,
    Garbage = 1,
    Deadline = 2,
    Slow = 3,
    Ended = 4,
    Limit = 5,
    /// It had no allocation, and made room.
    Displaced = 6,
}

/// The counters of one shard.
#[derive(Debug, Default)]
pub struct ShardStats {
    pub(super) allocations: Counter,
    pub(super) streams: Counter,
    packets: [[Counter; 3]; 3],
    bytes: [[Counter; 3]; 3],
    drops: [Counter; DROPS.len()],
    errors: [Counter; ERROR_CODES.len()],
    closes: [Counter; CLOSES.len()],
    failed_authentications: Counter,
    /// Connections with peers over TCP, open now.
    pub(super) connections: Counter,
    /// Connections of peers that nobody had permitted.
    pub(super) refused_peers: Counter,
    pub(super) accepted: Counter,
    pub(super) accept_failures: Counter,
    /// Peers that are in networks of this machine.
    pub(super) refused_neighbours: Counter,
    pub(super) receive_errors: Counter,
    /// Clients of other shards whose packets arrive here.
    pub(super) moved: Counter,
    pub(super) icmp_errors: Counter,
    pub(super) panics: Counter,
    pub(super) wakes: Counter,
    pub(super) send_calls: Counter,
    /// Nanoseconds.
    pub(super) busy: Counter,
    /// When its turn began, in nanoseconds from the relay's start, and one more; 0: it waits.
    busy_since: Counter,
}

impl ShardStats {
    /// A turn begins, so long after the relay's start.
    pub(super) fn works(&self, since: Duration) {
        self.busy_since.set(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).saturating_add(1));
    }

    /// It waits for something to do.
    pub(super) fn rests(&self) {
        self.busy_since.set(0);
    }

    /// How long its turn has taken at `now`, which is so long after the relay's start.
    pub(super) fn at_work_for(&self, now: Duration) -> Duration {
        let since = self.busy_since.value();
        if since == 0 { Duration::ZERO } else { now.saturating_sub(Duration::from_nanos(since - 1)) }
    }

    pub(super) fn forwarded(&self, direction: Direction, client: Transport, bytes: usize) {
        self.packets[direction as usize][client as usize].add(1);
        self.bytes[direction as usize][client as usize].add(bytes as u64);
    }

    pub(super) fn dropped(&self, reason: DropReason) {
        self.drops[index(reason)].add(1);
        if matches!(reason, DropReason::Throttled | DropReason::Withheld) {
            self.failed_authentications.add(1);
        }
    }

    pub(super) fn lost(&self, lost: Lost, packets: u64) {
        self.drops[lost as usize].add(packets);
    }

    pub(super) fn closed(&self, close: Close) {
        self.closes[close as usize].add(1);
    }

    /// Counts an answer of ours to `request`, if it is an error.
    pub(super) fn answered(&self, request: &[u8], answer: &[u8]) {
        let Some(code) = error_code(answer) else { return };
        let place = ERROR_CODES.iter().position(|known| *known == code).unwrap_or(ERROR_CODES.len() - 1);
        self.errors[place].add(1);
        // A request without credentials is the first one of every client, and fails nothing.
        let signed = |message: StunMessage<'_>| message.has(attribute::USERNAME) || message.has(attribute::USERHASH);
        if code == 401 && StunMessage::parse(request).is_ok_and(signed) {
            self.failed_authentications.add(1);
        }
    }
}

/// ERROR-CODE is the first attribute of our error responses.
fn error_code(answer: &[u8]) -> Option<u16> {
    let message = answer.first_chunk::<28>()?;
    let error = message[0] & 1 == 1 && message[1] & 0x10 == 0x10;
    (error && message[20..22] == attribute::ERROR_CODE.to_be_bytes())
        .then(|| u16::from(message[26]) * 100 + u16::from(message[27]))
}

fn index(reason: DropReason) -> usize {
    match reason {
        DropReason::Malformed(ParseError::Fingerprint) => 18,
        DropReason::Malformed(_) => 0,
        DropReason::MalformedChannelData => 1,
        DropReason::MalformedIndication => 2,
        DropReason::Response => 3,
        DropReason::Indication => 4,
        DropReason::UnsupportedMethod => 5,
        DropReason::Bare => 6,
        DropReason::RateLimited => 7,
        DropReason::Throttled | DropReason::Withheld => 8,
        DropReason::Pending => 9,
        DropReason::NoAllocation => 10,
        DropReason::NoPermission => 11,
        DropReason::NoChannel => 12,
        DropReason::NoRelay => 13,
        DropReason::DeniedPeer => 14,
        DropReason::Loop => 15,
        DropReason::Bandwidth => 16,
        DropReason::TooLong => 17,
    }
}

/// What all shards have counted since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Live now.
    pub allocations: u64,
    /// Client connections over TCP, open now.
    pub streams: u64,
    /// Payloads by [`DIRECTIONS`] and the [`TRANSPORTS`] of the client.
    pub packets: [[u64; 3]; 3],
    /// Bytes of those payloads.
    pub bytes: [[u64; 3]; 3],
    /// By [`DROPS`].
    pub drops: [u64; DROPS.len()],
    /// Error responses by [`ERROR_CODES`].
    pub errors: [u64; ERROR_CODES.len()],
    /// Client connections that ended, by [`CLOSES`].
    pub closes: [u64; CLOSES.len()],
    /// Requests with wrong or unknown credentials.
    pub failed_authentications: u64,
    /// Connections with peers over TCP (RFC 6062), open now.
    pub connections: u64,
    /// Connections of peers that nobody had permitted.
    pub refused_peers: u64,
    /// Peers that were refused because they are in networks of this machine.
    pub refused_neighbours: u64,
    /// Receives that failed; the socket is read again.
    pub receive_errors: u64,
    /// Clients that have moved (RFC 8016), and whose packets another shard passes on.
    pub moved: u64,
    pub accepted: u64,
    /// Connections that could not be accepted: no descriptors.
    pub accept_failures: u64,
    /// ICMP errors about what was sent to peers.
    pub icmp_errors: u64,
    /// Restarts of a shard after a fault in the program.
    pub panics: u64,
    pub wakes: u64,
    /// System calls that sent.
    pub send_calls: u64,
    /// By shard: nanoseconds of work since the start.
    pub busy: Vec<u64>,
}

impl Stats {
    /// Packets that were dropped for this reason, one of [`DROPS`].
    #[must_use]
    pub fn dropped(&self, reason: &str) -> u64 {
        DROPS.iter().zip(&self.drops).filter(|(name, _)| **name == reason).map(|(_, count)| count).sum()
    }

    /// Packets to peers that no network took.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.drops[Lost::Unreachable as usize..].iter().sum()
    }

    pub(super) fn sum<'a>(shards: impl Iterator<Item = &'a ShardStats>) -> Self {
        let mut sum = Self::default();
        for shard in shards {
            sum.allocations += shard.allocations.value();
            sum.streams += shard.streams.value();
            for (sums, counters) in [(&mut sum.packets, &shard.packets), (&mut sum.bytes, &shard.bytes)] {
                sums.iter_mut().zip(counters).for_each(|(sums, counters)| add(sums, counters));
            }
            add(&mut sum.drops, &shard.drops);
            add(&mut sum.errors, &shard.errors);
            add(&mut sum.closes, &shard.closes);
            sum.failed_authentications += shard.failed_authentications.value();
            sum.connections += shard.connections.value();
            sum.refused_peers += shard.refused_peers.value();
            sum.refused_neighbours += shard.refused_neighbours.value();
            sum.receive_errors += shard.receive_errors.value();
            sum.moved += shard.moved.value();
            sum.accepted += shard.accepted.value();
            sum.accept_failures += shard.accept_failures.value();
            sum.icmp_errors += shard.icmp_errors.value();
            sum.panics += shard.panics.value();
            sum.wakes += shard.wakes.value();
            sum.send_calls += shard.send_calls.value();
            sum.busy.push(shard.busy.value());
        }
        sum
    }
}

fn add(sums: &mut [u64], counters: &[Counter]) {
    sums.iter_mut().zip(counters).for_each(|(sum, counter)| *sum += counter.value());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_response_is_counted_by_its_code() {
        let stats = ShardStats::default();
        let mut answer = [0; 28];
        answer[..2].copy_from_slice(&[0x01, 0x13]);
        answer[20..].copy_from_slice(&[0, 9, 0, 4, 0, 0, 4, 38]);
        stats.answered(&[], &answer);
        answer[27] = 99;
        stats.answered(&[], &answer);
        answer[..2].copy_from_slice(&[0x01, 0x03]);
        stats.answered(&[], &answer);
        let sum = Stats::sum([&stats].into_iter());
        assert_eq!((sum.errors[7], sum.errors[17], sum.errors.iter().sum::<u64>()), (1, 1, 2));
    }

    #[test]
    fn a_shard_that_waits_does_not_hang_and_one_whose_turn_does_not_end_does() {
        let (stats, at) = (ShardStats::default(), Duration::from_secs);
        assert_eq!(stats.at_work_for(at(100)), Duration::ZERO);
        stats.works(at(100));
        assert_eq!(stats.at_work_for(at(107)), at(7));
        stats.rests();
        assert_eq!(stats.at_work_for(at(107)), Duration::ZERO);
        stats.works(Duration::ZERO);
        assert_eq!(stats.at_work_for(at(3)), at(3));
    }

    #[test]
    fn every_reason_has_its_name() {
        for (reason, name) in [
            (DropReason::Malformed(ParseError::Fingerprint), "bad_fingerprint"),
            (DropReason::DeniedPeer, "denied_peer"),
            (DropReason::TooLong, "too_long"),
        ] {
            assert_eq!(DROPS[index(reason)], name);
        }
        assert_eq!([DROPS[Lost::StreamFull as usize], DROPS[Lost::Other as usize]], ["stream_full", "unsent_other"]);
    }
}
