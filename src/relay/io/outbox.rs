//! Gathers the packets to send after one batch into trains, and sends them with as few system calls as possible.
//!
//! Owner: a shard. One outbox serves all of its sockets, because a system call carries the packets of one socket and an idle
//! allocation must cost nothing here. Inputs: the `push_*` functions, for the packets of one batch. Output: [`Outbox::flush`],
//! which sends all of them before the next batch is received.
//!
//! **Layout.** A packet is a header and a payload that stays where it was received. The header is written directly in front of
//! the payload where that place is free: in the headroom of a datagram, or over a header that was stripped (see
//! [`arena`](super::arena)). Pieces that then lie next to each other are given to the kernel as one. So a single packet is never
//! copied, nor is a train between two clients. In a train from a peer the place in front of a segment belongs to the segment
//! before, and a train to a peer has gaps where headers were: the kernel would gather 1200-byte pieces for 35 ns each, but a
//! copy, out of caches that just received them, takes 25 ns (160 bytes: 7 ns). So such a train is copied together, unless a batch
//! is so large that the copy would leave the caches.
//!
//! **Trains.** Packets of one size (the last may be shorter) from one socket to one destination pass through the kernel as one
//! message (UDP_SEGMENT). They need not be pushed one after the other: the trains of the last few destinations stay open. The
//! order of the packets to one destination never changes.
//!
//! **Errors.** When the kernel refuses a message, the other messages are still sent. Where it refuses a train as such (no
//! checksum offload, or a path MTU below the segment size), the train is sent again as single packets, and its destination gets
//! no trains for a while. The flush waits for a full socket buffer, [`Outbox::MAX_BUFFER_WAIT`] in total; packets that still do
//! not fit are dropped, as on any network.

use std::io;
use std::ops::Range;
use std::time::Duration;

use crate::relay::io::arena::Segment;
use crate::relay::io::inbox::Inbox;
use crate::relay::io::packet_route::{FlushReport, PacketRoute, SendFailure};
use crate::relay::io::train_queue::{PADDING, Packet, TrainQueue, in_arena};
use crate::relay::io::train_sender::{BufferWait, Flush, TrainSender};
use crate::relay::io::udp::BatchUdpSocket;

/// Packets of the longest train: UDP_MAX_SEGMENTS before Linux 6.9.
const MAX_TRAIN_PACKETS: u16 = 64;

/// Gathers packets, and sends them: see the module's documentation.
pub struct Outbox {
    queue: TrainQueue,
    /// Indices of the trains, by socket.
    order: Vec<u32>,
    sender: TrainSender,
    longest_train: u16,
}

impl Outbox {
    /// How long a flush waits for room in socket buffers, in total.
    pub const MAX_BUFFER_WAIT: Duration = Duration::from_micros(500);

    #[must_use]
    pub fn new() -> Self {
        Self { queue: TrainQueue::default(), order: Vec::new(), sender: TrainSender::new(), longest_train: MAX_TRAIN_PACKETS }
    }

    /// Sends each packet as one message, as on a kernel without UDP_SEGMENT (before 4.18).
    #[must_use]
    pub fn without_trains(mut self) -> Self {
        self.longest_train = 1;
        self
    }

    /// Packets that wait for a flush.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.packets.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.packets.is_empty()
    }

    /// Pushes a packet of this server, such as a STUN response; it is copied.
    pub fn push_bytes(&mut self, route: PacketRoute, bytes: &[u8]) {
        self.push_parts(route, &[bytes]);
    }

    /// Pushes a packet in several parts; they are copied.
    pub fn push_parts(&mut self, route: PacketRoute, parts: &[&[u8]]) {
        let start = self.queue.scratch.len() as u32;
        parts.iter().for_each(|part| self.queue.scratch.extend_from_slice(part));
        let header = start..self.queue.scratch.len() as u32;
        self.queue.push(route, Packet::new(header, 0..0, 0), self.longest_train);
    }

    /// Pushes a part of a received segment, without a header.
    pub fn push_payload(&mut self, route: PacketRoute, segment: Segment, payload: Range<usize>) {
        let payload = in_arena(segment, &payload);
        self.queue.push(route, Packet::new(0..0, payload, 0), self.longest_train);
    }

    /// Pushes a part of a received segment behind a header of `header_len` bytes, which `write` fills, and before `padding`
    /// zeros.
    ///
    /// # Panics
    /// With a padding above 3.
    pub fn push_framed(
        &mut self,
        inbox: &mut Inbox,
        route: PacketRoute,
        (segment, payload): (Segment, Range<usize>),
        header_len: usize,
        padding: usize,
        write: impl Fn(&mut [u8]),
    ) {
        assert!(padding < PADDING.len(), "messages are padded to four bytes");
        let mut range = in_arena(segment, &payload);
        let scratch = &mut self.queue.scratch;
        let start = scratch.len();
        if inbox.arena.write_before(segment, payload.start, header_len, &write) {
            range.start -= header_len as u32;
        } else {
            scratch.resize(start + header_len, 0);
            write(&mut scratch[start..]);
        }
        let packet = Packet::new(start as u32..scratch.len() as u32, range, padding as u8);
        self.queue.push(route, packet, self.longest_train);
    }

    /// Sends everything, and forgets it. `socket` finds the socket of a route; `on_failure` is called for packets that were not
    /// sent.
    pub fn flush<'s>(
        &mut self,
        inbox: &Inbox,
        socket: impl Fn(u64) -> Option<&'s BatchUdpSocket>,
        on_failure: impl FnMut(SendFailure),
    ) -> FlushReport {
        let Self { queue, order, sender, .. } = self;
        let (wait, report) = (BufferWait::new(Self::MAX_BUFFER_WAIT), FlushReport::default());
        let queue = &*queue;
        let mut flush = Flush { queue, arena: &inbox.arena, wait, report, on_failure };
        let trains = &queue.trains;
        let key = |index: u32| {
            let route = &trains[index as usize].route;
            (route.socket, route.dont_fragment)
        };
        order.clear();
        order.extend(0..trains.len() as u32);
        // Stable, so that the trains to one destination stay in order.
        order.sort_by_key(|index| key(*index));
        for run in order.chunk_by(|one, other| key(*one) == key(*other)) {
            let (name, dont_fragment) = key(run[0]);
            let ready = socket(name)
                .ok_or(io::ErrorKind::NotConnected.into())
                .and_then(|socket| if dont_fragment { socket.set_dont_fragment(true).map(|()| socket) } else { Ok(socket) });
            match ready {
                Ok(socket) => {
                    sender.send(&mut flush, socket, run);
                    if dont_fragment {
                        let _ = socket.set_dont_fragment(false);
                    }
                }
                Err(error) => {
                    for index in run {
                        let train = &trains[*index as usize];
                        flush.report.fail(train.route, train.packets, error.kind().into(), &mut flush.on_failure);
                    }
                }
            }
        }
        let report = flush.report;
        self.queue.trains.clear();
        self.queue.packets.clear();
        self.queue.scratch.clear();
        report
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}
