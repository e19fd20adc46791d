//! The packets that wait for a flush, gathered into trains.
//!
//! Owner: an [`Outbox`](super::outbox::Outbox). A packet is an optional header in the queue's scratch memory, a range of the
//! arena that its payload was received in, and up to three bytes of padding. The packets of a train are a linked list in
//! `packets`, so that packets to several destinations can be pushed by turns.
//!
//! Invariants: all packets of a train are equally long, except that the last may be shorter; the order of the packets to one
//! destination never changes.

use std::io::IoSlice;
use std::ops::Range;

use crate::relay::io::arena::{ReceiveArena, Segment};
use crate::relay::io::packet_route::PacketRoute;
use crate::relay::io::udp_types::UdpMessage;

/// Bytes of the largest UDP payload over IPv4, and so of the largest train.
const MAX_TRAIN_BYTES: u32 = 65_507;
/// How many of the last trains a packet may join, and so how many destinations can be interleaved in one batch.
const OPEN_TRAINS: usize = 8;
/// Bytes that are copied together for one system call, at most: a part of the second-level cache.
const MAX_COALESCED_BYTES: usize = 128 << 10;
/// Ends the linked list of a train's packets.
const END: u32 = u32::MAX;
/// Over streams, ChannelData is padded to a multiple of four bytes (RFC 8656 §12.5); so is the DATA attribute of a Data
/// indication (§18.4).
pub(super) const PADDING: [u8; 4] = [0; 4];

/// The packets that wait for a flush.
#[derive(Default)]
pub(super) struct TrainQueue {
    pub(super) trains: Vec<Train>,
    pub(super) packets: Vec<Packet>,
    /// Bytes that were copied: own messages, and headers that did not fit in front of their payload.
    pub(super) scratch: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Train {
    pub(super) route: PacketRoute,
    first: u32,
    last: u32,
    pub(super) packets: u16,
    bytes: u32,
    /// Bytes of each packet but the last.
    pub(super) segment: u32,
    /// Another packet may follow.
    open: bool,
}

#[derive(Debug)]
pub(super) struct Packet {
    /// In the queue's scratch memory.
    header: Range<u32>,
    /// In the arena.
    payload: Range<u32>,
    padding: u8,
    next: u32,
}

impl Packet {
    pub(super) const fn new(header: Range<u32>, payload: Range<u32>, padding: u8) -> Self {
        Self { header, payload, padding, next: END }
    }

    fn len(&self) -> u32 {
        let Self { header, payload, padding, .. } = self;
        (header.end - header.start) + (payload.end - payload.start) + u32::from(*padding)
    }
}

impl TrainQueue {
    /// Adds a packet to an open train with the same route, or begins a train of at most `longest_train` packets.
    pub(super) fn push(&mut self, route: PacketRoute, packet: Packet, longest_train: u16) {
        let len = packet.len();
        let index = self.packets.len() as u32;
        self.packets.push(packet);
        let recent = self.trains.len().saturating_sub(OPEN_TRAINS);
        if let Some(train) = self.trains[recent..].iter_mut().rev().find(|train| train.route == route)
            && train.open
            && len <= train.segment
            && len > 0
            && train.bytes + len <= MAX_TRAIN_BYTES
            && train.packets < longest_train
        {
            self.packets[train.last as usize].next = index;
            train.last = index;
            train.packets += 1;
            train.bytes += len;
            train.open = len == train.segment;
            return;
        }
        self.trains.push(Train { route, first: index, last: index, packets: 1, bytes: len, segment: len, open: true });
    }

    /// Copies the packets of a train together and says where they are in `coalesced`; `None` where the train lies in one piece
    /// already, or where the copy would leave the caches.
    pub(super) fn coalesce(&self, arena: &ReceiveArena, train: &Train, coalesced: &mut Vec<u8>) -> Option<Range<usize>> {
        if train.packets == 1 || coalesced.len() + train.bytes as usize > MAX_COALESCED_BYTES {
            return None;
        }
        let start = coalesced.len();
        let mut in_one_piece = true;
        let mut end_before = None;
        let mut at = train.first;
        while at != END {
            let Packet { header, payload, padding, next } = &self.packets[at as usize];
            in_one_piece &= header.start == header.end && *padding == 0 && end_before.is_none_or(|end| end == payload.start);
            end_before = Some(payload.end);
            at = *next;
        }
        if in_one_piece {
            return None;
        }
        at = train.first;
        while at != END {
            let packet = &self.packets[at as usize];
            coalesced.extend_from_slice(&self.scratch[packet.header.start as usize..packet.header.end as usize]);
            coalesced.extend_from_slice(&arena.bytes[packet.payload.start as usize..packet.payload.end as usize]);
            coalesced.extend_from_slice(&PADDING[..usize::from(packet.padding)]);
            at = packet.next;
        }
        Some(start..coalesced.len())
    }

    /// Adds the message of a train, or one message for each of its packets.
    pub(super) fn load<'a>(
        &'a self,
        arena: &'a ReceiveArena,
        train: &Train,
        as_train: bool,
        messages: &mut Vec<UdpMessage>,
        slices: &mut Vec<IoSlice<'a>>,
    ) {
        let PacketRoute { to, from, .. } = train.route;
        let mut start = slices.len();
        let mut at = train.first;
        // Bytes of the arena that are not in `slices` yet.
        let mut pending = 0..0;
        while at != END {
            let packet = &self.packets[at as usize];
            if packet.header.end > packet.header.start {
                push_pending(&mut pending, arena, slices);
                slices.push(IoSlice::new(&self.scratch[packet.header.start as usize..packet.header.end as usize]));
            }
            if packet.payload.end > packet.payload.start {
                if pending.end != packet.payload.start {
                    push_pending(&mut pending, arena, slices);
                    pending.start = packet.payload.start;
                }
                pending.end = packet.payload.end;
            }
            if packet.padding > 0 {
                push_pending(&mut pending, arena, slices);
                slices.push(IoSlice::new(&PADDING[..usize::from(packet.padding)]));
            }
            at = packet.next;
            if !as_train || at == END {
                push_pending(&mut pending, arena, slices);
                let segment = (as_train && train.packets > 1).then_some(train.segment as u16);
                messages.push(UdpMessage { to, from, segment, slices: start..slices.len() });
                start = slices.len();
            }
        }
    }
}

/// Adds the pending bytes of the arena to the list for the kernel.
fn push_pending<'a>(pending: &mut Range<u32>, arena: &'a ReceiveArena, slices: &mut Vec<IoSlice<'a>>) {
    if pending.end > pending.start {
        slices.push(IoSlice::new(&arena.bytes[pending.start as usize..pending.end as usize]));
    }
    *pending = 0..0;
}

/// Where `payload`, a part of `segment`, lies in the arena.
pub(super) fn in_arena(segment: Segment, payload: &Range<usize>) -> Range<u32> {
    let whole = segment.range();
    assert!(payload.start <= payload.end && payload.end <= whole.len(), "a payload is a part of its segment");
    (whole.start + payload.start) as u32..(whole.start + payload.end) as u32
}
