//! Turns the engine's verdicts into packets. This part of a shard runs for each packet, and allocates nothing.

use std::io;
use std::time::Instant;

use crate::relay::io::arena::Segment;
use crate::relay::io::packet_route::{PacketRoute, SendFailure};
use crate::relay::io::poll_source::{ClientStreamId, PollSource};
use crate::relay::setup::client_sockets::ClientSocket;
use crate::relay::shard::mailbox::Handover;
use crate::relay::shard::state::Shard;
use crate::relay::stats::counters::ShardCounters;
use crate::relay::stats::labels::{CloseReason, DropCause, TrafficDirection};
use crate::relay::tcp::client_streams::ClientStreams;
use crate::turn::codec::framing::{Framing, MAX_FRAMING_HEADER_BYTES};
use crate::turn::{FiveTuple, Transport, Verdict};

/// Where a packet came from.
#[derive(Debug, Clone, Copy)]
pub(super) enum PacketSource {
    Client(FiveTuple),
    Peer,
    /// A relayed address of another shard, and so one of its clients.
    RelayedAddress,
}

impl PacketSource {
    fn transport(self) -> Transport {
        match self {
            Self::Client(from) => from.transport,
            Self::Peer | Self::RelayedAddress => Transport::Udp,
        }
    }

    /// The direction of a payload to a client.
    fn direction(self) -> TrafficDirection {
        match self {
            Self::Client(_) | Self::RelayedAddress => TrafficDirection::BetweenClients,
            Self::Peer => TrafficDirection::ToClient,
        }
    }
}

impl Shard {
    /// Carries out the engine's verdict on a segment of the inbox.
    pub(super) fn execute(&mut self, verdict: Verdict, segment: Segment, from: PacketSource) {
        if self.context.watch.is_open() {
            self.note_relayed(&verdict, self.inbox.bytes(segment), from);
        }
        match verdict {
            Verdict::ToPeer { relayed, peer, payload, dont_fragment } => {
                self.context.stats.count_forwarded(TrafficDirection::ToPeer, from.transport(), payload.len());
                let route =
                    PacketRoute { socket: PollSource::RelayedSocket(relayed).token(), to: peer, from: None, dont_fragment };
                self.outbox.push_payload(route, segment, payload);
            }
            Verdict::ToClient { to, framing, payload } if to.transport == Transport::Udp => {
                let len = payload.len();
                self.context.stats.count_forwarded(from.direction(), to.transport, len);
                let route = self.client_route(to);
                self.outbox.push_framed(
                    &mut self.inbox,
                    route,
                    (segment, payload),
                    framing.header_len(),
                    framing.padding(len, false),
                    |header| {
                        framing.write_header(header, len);
                    },
                );
            }
            Verdict::ToClient { to, framing, payload } => {
                let Self { inbox, streams, context, engine, .. } = self;
                let payload = &inbox.bytes(segment)[payload];
                if push_framed(streams, to, framing, payload) {
                    engine.handle_stream_took_payload();
                    context.stats.count_forwarded(from.direction(), to.transport, payload.len());
                } else {
                    context.stats.count_lost(DropCause::StreamFull, 1);
                }
            }
            Verdict::Reply { to, answer } => {
                self.context.stats.count_answer(answer);
                self.reply(to);
            }
            Verdict::ToShard { shard } => {
                if let PacketSource::Client(from) = from {
                    self.hand_over_datagram(shard, from, segment);
                }
            }
            Verdict::ToRelayedAddress { shard, from, to, payload } => {
                let payload = &self.inbox.bytes(segment)[payload];
                let queued = self.wakes.push(&self.context.packet_queues, shard, from, to, payload);
                self.context.stats.count_lost(DropCause::QueueFull, queued.is_err().into());
            }
            Verdict::Drop(reason) => self.context.stats.count_drop(reason),
            Verdict::Accepted => {}
        }
    }

    /// Carries out a verdict on bytes outside the inbox, such as those of a stream; they are copied. Returns false where the
    /// stream of a client that does not read has no room for an answer.
    pub(super) fn execute_copied(&mut self, verdict: Verdict, bytes: &[u8], from: PacketSource) -> bool {
        if self.context.watch.is_open() {
            self.note_relayed(&verdict, bytes, from);
        }
        match verdict {
            Verdict::ToPeer { relayed, peer, payload, dont_fragment } => {
                self.context.stats.count_forwarded(TrafficDirection::ToPeer, from.transport(), payload.len());
                let route =
                    PacketRoute { socket: PollSource::RelayedSocket(relayed).token(), to: peer, from: None, dont_fragment };
                self.outbox.push_bytes(route, &bytes[payload]);
            }
            Verdict::ToClient { to, framing, payload } => {
                let payload = &bytes[payload];
                if to.transport == Transport::Udp {
                    let (mut header, route) = ([0; MAX_FRAMING_HEADER_BYTES], self.client_route(to));
                    let len = framing.write_header(&mut header, payload.len());
                    let padding = &[0; 3][..framing.padding(payload.len(), false)];
                    self.outbox.push_parts(route, &[&header[MAX_FRAMING_HEADER_BYTES - len..], payload, padding]);
                } else if push_framed(&mut self.streams, to, framing, payload) {
                    self.engine.handle_stream_took_payload();
                } else {
                    self.context.stats.count_lost(DropCause::StreamFull, 1);
                    return true;
                }
                self.context.stats.count_forwarded(from.direction(), to.transport, payload.len());
            }
            Verdict::Reply { to, answer } => {
                self.context.stats.count_answer(answer);
                return self.reply(to);
            }
            Verdict::ToRelayedAddress { shard, from, to, payload } => {
                let queued = self.wakes.push(&self.context.packet_queues, shard, from, to, &bytes[payload]);
                self.context.stats.count_lost(DropCause::QueueFull, queued.is_err().into());
            }
            Verdict::Drop(reason) => self.context.stats.count_drop(reason),
            // The caller hands a stream over to another shard as a whole.
            Verdict::Accepted | Verdict::ToShard { .. } => {}
        }
        true
    }

    /// Sends the engine's reply.
    fn reply(&mut self, to: FiveTuple) -> bool {
        if to.transport == Transport::Udp {
            let route = self.client_route(to);
            self.outbox.push_bytes(route, self.engine.reply());
            return true;
        }
        let Some(id) = self.streams.find(&to) else { return true };
        self.streams.push(id, &[self.engine.reply()], 0)
    }

    /// Sends a message of the engine that is no immediate reply.
    pub(super) fn transmit(&mut self, to: FiveTuple, bytes: &[u8]) {
        if to.transport == Transport::Udp {
            let route = self.client_route(to);
            self.outbox.push_bytes(route, bytes);
        } else if let Some(id) = self.streams.find(&to) {
            // A client whose queue is full does not read, and is closed soon.
            let _ = self.streams.push(id, &[bytes], 0);
        }
    }

    /// RFC 8016: hands a packet of a client that has moved over to the shard that has its allocation. Returns false for other
    /// clients.
    pub(super) fn hand_over_moved(&mut self, from: FiveTuple, segment: Segment) -> bool {
        let Some(shard) = self.moved_clients.get(&from) else { return false };
        self.hand_over_datagram(*shard, from, segment);
        true
    }

    fn hand_over_datagram(&self, shard: u8, from: FiveTuple, segment: Segment) {
        let Some(mailbox) = self.context.mailboxes.get(usize::from(shard)) else { return };
        if mailbox.offer(Handover::Datagram { from, bytes: self.inbox.bytes(segment).into() }).is_err() {
            self.context.stats.count_lost(DropCause::UnsentBufferFull, 1);
        }
    }

    /// Handles a packet that another shard has handed over.
    pub(super) fn take_over_datagram(&mut self, from: FiveTuple, bytes: &[u8], now: Instant) {
        // The ban may have come while the packet was on its way.
        if self.context.banned.contain(from.client.ip()) {
            return;
        }
        let verdict = self.engine.handle_client(from, bytes, now);
        self.note_verdict(&from, bytes, &verdict, now);
        // A packet is handed over once: if this engine names another shard, it is dropped.
        self.execute_copied(verdict, bytes, PacketSource::Client(from));
    }

    /// Counts what is live, sends the waiting datagrams, and wakes the shards that packets wait for. Streams get what the whole turn has
    /// for them in one write, at its end ([`Self::flush_streams`]); those that have gathered much get it now. Returns true where streams
    /// have ended, so that the engine has new outputs.
    pub(super) fn flush(&mut self, now: Instant) -> bool {
        self.count_live();
        self.wakes.take(|shard| {
            if let Some(mailbox) = self.context.mailboxes.get(shard) {
                mailbox.wake();
            }
        });
        if !self.outbox.is_empty() {
            let Self { outbox, inbox, context, relayed_sockets, .. } = self;
            let (client_sockets, stats) = (&context.client_sockets, &context.stats);
            let socket = |token| match PollSource::from_token(token) {
                PollSource::ClientSocket(number) => {
                    client_sockets.get(usize::from(number)).map(|client_socket| &client_socket.socket)
                }
                PollSource::RelayedSocket(relayed) => relayed_sockets.socket(relayed),
                PollSource::ClientAcceptor(_) | PollSource::ClientStream(_) | PollSource::PeerConnection(_) => None,
            };
            let report = outbox.flush(inbox, socket, |failure| count_failure(stats, &failure));
            stats.send_calls.add(report.calls);
        }
        let mut ended = false;
        while let Some(id) = self.streams.next_filled() {
            ended |= self.flush_stream(id, now);
        }
        ended
    }

    /// Writes what is queued for streams, and carries out the engine's outputs about those that have ended. Afterwards nothing waits,
    /// except for clients that don't read.
    pub(super) fn flush_streams(&mut self, now: Instant) {
        while self.streams.has_unflushed() {
            self.count_live();
            while let Some(id) = self.streams.next_unflushed() {
                if self.flush_stream(id, now) {
                    self.handle_outputs(now);
                }
            }
            self.context.stats.stream_writes.add(self.streams.take_writes());
        }
    }

    /// Returns true where the stream has ended.
    fn flush_stream(&mut self, id: ClientStreamId, now: Instant) -> bool {
        !self.streams.flush(id, &self.context.poller, now) && self.remove_stream(id, CloseReason::Client, now)
    }

    /// Counts what is live now. It is called before each answer is sent, so that whoever has an answer finds it in the statistics.
    fn count_live(&self) {
        let stats = &self.context.stats;
        stats.allocations.set(self.engine.allocation_count() as u64);
        stats.refused_neighbours.set(self.engine.refused_neighbours());
        stats.streams.set(self.streams.len() as u64);
        stats.peer_connections.set(self.peer_connections.len() as u64);
        stats.moved.set(self.moved_clients.len() as u64);
    }

    /// A reply is sent from the address that the request was sent to.
    fn client_route(&self, to: FiveTuple) -> PacketRoute {
        let receives = |socket: &&ClientSocket| {
            let ip = socket.address.ip();
            socket.address.port() == to.server.port() && (ip == to.server.ip() || ip.is_unspecified())
        };
        let (number, socket) = (0..).zip(&self.context.client_sockets).find(|(_, socket)| receives(socket)).unzip();
        let wildcard = socket.is_some_and(|socket: &ClientSocket| socket.address.ip().is_unspecified());
        let from = wildcard.then_some(to.server.ip());
        PacketRoute { socket: PollSource::ClientSocket(number.unwrap_or(0)).token(), to: to.client, from, dont_fragment: false }
    }
}

/// Queues a framed payload for a client's stream. Returns false where the stream has no room, or is gone.
fn push_framed(streams: &mut ClientStreams, to: FiveTuple, framing: Framing, payload: &[u8]) -> bool {
    let mut header = [0; MAX_FRAMING_HEADER_BYTES];
    let len = framing.write_header(&mut header, payload.len());
    let padding = framing.padding(payload.len(), true);
    streams.find(&to).is_some_and(|id| streams.push(id, &[&header[MAX_FRAMING_HEADER_BYTES - len..], payload], padding))
}

fn count_failure(stats: &ShardCounters, failure: &SendFailure) {
    let kind = failure.error.kind();
    let cause = if matches!(kind, io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) {
        DropCause::UnsentUnreachable
    } else if matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::PermissionDenied) {
        DropCause::UnsentRefused
    } else if kind == io::ErrorKind::WouldBlock {
        DropCause::UnsentBufferFull
    } else if failure.error.raw_os_error() == Some(libc::EMSGSIZE) {
        DropCause::UnsentTooLong
    } else {
        DropCause::UnsentOther
    };
    tracing::trace!(to = %failure.route.to, packets = failure.packets, error = %failure.error, "not sent");
    stats.count_lost(cause, failure.packets.into());
}
