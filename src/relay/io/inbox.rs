//! Where received datagrams lie until they are sent on.
//!
//! Owner: a shard. One arena for all its sockets: a batch is received, judged, sent and forgotten before the next one. Each
//! datagram has a slot that holds the largest one, because a coalesced train (UDP_GRO) is up to 64 KiB, with [`HEADROOM`]
//! free in front, so that a ChannelData header or that of a Data indication goes there without a copy.
//!
//! The slots are mapped when they are first used. Their distance is an odd number of cache lines: at 64 KiB sharp the
//! beginnings of all slots would compete for the same few lines of the caches.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::relay::io::udp::ReceiveState;

/// Bytes free in front of the first segment of a datagram; one cache line, so that payloads begin with one.
pub const HEADROOM: usize = 64;
/// The largest UDP payload, and the largest coalesced one.
pub const LARGEST: usize = 65_535;
const STRIDE: usize = 1041 * 64;
const _: () = assert!(STRIDE >= HEADROOM + LARGEST && (STRIDE / 64) % 2 == 1);

/// Datagrams that one receive can bring; a larger number won no more in measurements, where trains arrive coalesced.
pub const BATCH: usize = 32;

/// One batch of received datagrams and their bytes.
pub struct Inbox {
    pub(in crate::relay) arena: Vec<u8>,
    pub(in crate::relay) datagrams: Vec<Datagram>,
    pub(in crate::relay) state: ReceiveState,
}

/// What one message of recvmmsg brought: one datagram, or a train of them with the same addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// An IPv4 address on a socket for both families is given as IPv4.
    pub from: SocketAddr,
    /// The local address that it was sent to, where the socket asks for it (`Options::packet_info`).
    pub to: Option<IpAddr>,
    pub(in crate::relay) start: u32,
    pub(in crate::relay) len: u32,
    /// Bytes of each segment but the last, which may be shorter.
    pub(in crate::relay) segment: u32,
}

/// One datagram as its sender sent it. Only good until the next receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    start: u32,
    len: u32,
    headroom: u32,
}

impl Inbox {
    /// For up to [`BATCH`] datagrams a receive.
    #[must_use]
    pub fn new() -> Self {
        Self::with_slots(BATCH)
    }

    /// For up to `slots` datagrams a receive.
    #[must_use]
    pub fn with_slots(slots: usize) -> Self {
        Self { arena: vec![0; slots * STRIDE], datagrams: Vec::with_capacity(slots), state: ReceiveState::default() }
    }

    /// What the last receive brought, in order.
    #[must_use]
    pub fn datagrams(&self) -> &[Datagram] {
        &self.datagrams
    }

    /// Whether the last receive filled every slot, so that the socket may hold more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.datagrams.len() * STRIDE == self.arena.len()
    }

    #[must_use]
    pub fn bytes(&self, segment: Segment) -> &[u8] {
        &self.arena[segment.range()]
    }

    /// Writes a header of `len` bytes directly in front of byte `payload` of `segment` and returns where it begins in the
    /// arena; `None` where that place belongs to the segment before.
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
        write(&mut self.arena[end - len..end]);
        true
    }

    pub(in crate::relay) fn slots(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.arena.chunks_exact_mut(STRIDE).map(|slot| &mut slot[HEADROOM..HEADROOM + LARGEST])
    }

    /// Where slot `index` begins in the arena.
    pub(in crate::relay) const fn slot_start(index: usize) -> u32 {
        (index * STRIDE + HEADROOM) as u32
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Datagram {
    /// The datagrams of the train, in order; one, if it is none. Does not borrow the inbox, so that headers can be written.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + use<> {
        let Self { start, len, segment, .. } = *self;
        let step = if segment == 0 { len.max(1) } else { segment };
        let count = len.div_ceil(step).max(1);
        (0..count).map(move |index| Segment {
            start: start + index * step,
            len: step.min(len - index * step),
            headroom: if index == 0 { HEADROOM as u32 } else { 0 },
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
    /// Its bytes in the arena.
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
        Datagram { from: SocketAddr::from(([127, 0, 0, 1], 1)), to: None, start: Inbox::slot_start(0), len, segment }
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
        let mut inbox = Inbox::with_slots(1);
        inbox.arena.fill(7);
        let segments: Vec<_> = datagram(200, 100).segments().collect();
        assert!(inbox.write_before(segments[0], 0, 48, |header| header.fill(1)));
        assert!(!inbox.write_before(segments[1], 0, 4, |_| panic!("no room")));
        assert!(inbox.write_before(segments[1], 4, 4, |header| header.fill(2)), "over a header that was stripped");
        assert!(!inbox.write_before(segments[1], 4, 5, |_| panic!("no room")));
        assert_eq!(inbox.bytes(segments[0]), [7; 100]);
        assert_eq!(inbox.bytes(segments[1])[..5], [2, 2, 2, 2, 7]);
    }
}
