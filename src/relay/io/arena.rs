//! The memory that received datagrams lie in until they are sent on, and how a datagram is addressed in it.
//!
//! Owner: the [`Inbox`](super::inbox::Inbox) of a shard. Each datagram has a slot of its own, which is large enough for a train
//! of datagrams that the kernel has joined (UDP_GRO, up to 64 KiB). A slot begins with free bytes, so that a relayed payload
//! never moves: the header that a client expects is written in front of it.
//!
//! ```text
//!   slot, SLOT_STRIDE bytes
//!   ┌──────────────┬───────────────────────────┬───────────────────────────┬───────┐
//!   │ headroom     │ segment 0                 │ segment 1 (of a train)    │ …     │
//!   └──────────────┴───────────────────────────┴───────────────────────────┴───────┘
//!
//!   from a peer, to a client with a channel (RFC 8656 §12.4): the header goes into the headroom
//!   ┌──────────┬───┬───────────────────────────┐
//!   │ headroom │CHD│ payload                   │   CHD: the ChannelData header of 4 bytes; 36 or more for a Data indication
//!   └──────────┴───┴───────────────────────────┘
//!              └─────── sent as one piece ─────┘
//!
//!   from a client to another client of this shard: the new header goes over the one that was stripped
//!   ┌──────────┬───┬───────────────────────────┐
//!   │ headroom │CHD│ payload                   │
//!   └──────────┴───┴───────────────────────────┘
//! ```
//!
//! Invariants:
//! - Only the first segment of a train has headroom. In front of a later one lies the segment before it, so its header goes to
//!   the outbox's scratch memory unless a stripped header has left room (`ReceiveArena::write_before`).
//! - A [`Segment`] is valid until the next receive.
//! - The kernel maps a slot when it is first used. The distance between slots is an odd number of cache lines: at exactly
//!   64 KiB the beginnings of all slots would compete for the same few cache lines.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::turn::codec::framing::MAX_FRAMING_HEADER_BYTES;

/// Free bytes in front of the first segment of a datagram: one cache line, so that payloads begin with one.
pub const SLOT_HEADROOM_BYTES: usize = 64;
/// Bytes of the largest UDP payload, and of the largest train that the kernel joins.
pub const MAX_DATAGRAM_BYTES: usize = 65_535;
const CACHE_LINE: usize = 64;
const SLOT_STRIDE: usize = 1041 * CACHE_LINE;
const _: () = assert!(SLOT_HEADROOM_BYTES >= MAX_FRAMING_HEADER_BYTES);
const _: () = assert!(SLOT_STRIDE >= SLOT_HEADROOM_BYTES + MAX_DATAGRAM_BYTES && (SLOT_STRIDE / CACHE_LINE) % 2 == 1);

/// One batch of received datagrams and their bytes.
pub(in crate::relay) struct ReceiveArena {
    pub(in crate::relay) bytes: Vec<u8>,
    pub(in crate::relay) datagrams: Vec<Datagram>,
}

/// One message of recvmmsg(2): a datagram, or a train of datagrams with the same addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// An IPv4 address on a dual-stack socket is given as IPv4.
    pub from: SocketAddr,
    /// The local address that the datagram was sent to, where the socket asks for it (`UdpOptions::packet_info`).
    pub to: Option<IpAddr>,
    pub(in crate::relay) start: u32,
    pub(in crate::relay) len: u32,
    /// Bytes of each segment but the last, which may be shorter; 0 for a single datagram.
    pub(in crate::relay) segment: u32,
}

/// One datagram as its sender sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    start: u32,
    len: u32,
    headroom: u32,
}

impl ReceiveArena {
    pub(in crate::relay) fn with_slots(slots: usize) -> Self {
        Self { bytes: vec![0; slots * SLOT_STRIDE], datagrams: Vec::with_capacity(slots) }
    }

    pub(in crate::relay) fn is_full(&self) -> bool {
        self.datagrams.len() * SLOT_STRIDE == self.bytes.len()
    }

    #[inline]
    pub(in crate::relay) fn segment(&self, segment: Segment) -> &[u8] {
        &self.bytes[segment.range()]
    }

    /// Writes a header of `len` bytes directly in front of byte `payload` of `segment`. Returns false, and writes nothing, where
    /// that place belongs to the segment before.
    #[inline]
    pub(in crate::relay) fn write_before(
        &mut self,
        segment: Segment,
        payload: usize,
        len: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> bool {
        if segment.headroom as usize + payload < len {
            return false;
        }
        let end = segment.start as usize + payload;
        write(&mut self.bytes[end - len..end]);
        true
    }

    pub(in crate::relay) fn slots(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.bytes
            .chunks_exact_mut(SLOT_STRIDE)
            .map(|slot| &mut slot[SLOT_HEADROOM_BYTES..SLOT_HEADROOM_BYTES + MAX_DATAGRAM_BYTES])
    }

    /// The place in the arena where slot `index` begins.
    pub(in crate::relay) const fn slot_start(index: usize) -> u32 {
        (index * SLOT_STRIDE + SLOT_HEADROOM_BYTES) as u32
    }
}

impl Datagram {
    /// The datagrams of a train, in order; a single datagram is its only segment. The iterator does not borrow the arena, so that
    /// headers can be written meanwhile.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + use<> {
        let Self { start, len, segment, .. } = *self;
        let step = if segment == 0 { len.max(1) } else { segment };
        let count = len.div_ceil(step).max(1);
        (0..count).map(move |index| Segment {
            start: start + index * step,
            len: step.min(len - index * step),
            headroom: if index == 0 { SLOT_HEADROOM_BYTES as u32 } else { 0 },
        })
    }

    /// Bytes of all segments.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Segment {
    /// The place of the segment's bytes in the arena.
    pub(in crate::relay) const fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }

    #[must_use]
    pub const fn len(self) -> usize {
        self.len as usize
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(len: u32, segment: u32) -> Datagram {
        Datagram { from: SocketAddr::from(([127, 0, 0, 1], 1)), to: None, start: ReceiveArena::slot_start(0), len, segment }
    }

    #[test]
    fn a_train_is_cut_at_its_segment_size() {
        let lengths = |len, segment| datagram(len, segment).segments().map(Segment::len).collect::<Vec<_>>();
        assert_eq!(lengths(250, 100), [100, 100, 50]);
        assert_eq!(lengths(200, 100), [100, 100]);
        assert_eq!(lengths(250, 0), [250]);
        assert_eq!(lengths(50, 100), [50]);
        assert_eq!(lengths(0, 0), [0]);
    }

    #[test]
    fn a_header_never_reaches_into_the_segment_before() {
        let mut arena = ReceiveArena::with_slots(1);
        arena.bytes.fill(7);
        let segments: Vec<_> = datagram(200, 100).segments().collect();
        assert!(arena.write_before(segments[0], 0, 48, |header| header.fill(1)));
        assert!(!arena.write_before(segments[1], 0, 4, |_| panic!("no room")));
        assert!(arena.write_before(segments[1], 4, 4, |header| header.fill(2)), "over a header that was stripped");
        assert!(!arena.write_before(segments[1], 4, 5, |_| panic!("no room")));
        assert_eq!(arena.segment(segments[0]), [7; 100]);
        assert_eq!(arena.segment(segments[1])[..5], [2, 2, 2, 2, 7]);
    }
}
