//! From the engine's verdicts to packets: the part of a shard that runs for each packet. Nothing allocates here.

use std::io;
use std::time::Instant;

use crate::relay::io::inbox::Segment;
use crate::relay::io::outbox::{Failure, Route};
use crate::relay::io::source::Source;
use crate::relay::shard::event_loop::Shard;
use crate::relay::shard::mailbox::Caused;
use crate::relay::shard::relayed_sockets::Listener;
use crate::relay::stats::{Close, Direction, Lost, ShardStats};
use crate::relay::tcp::stream_table::Streams;
use crate::turn::codec::framing::{Framing, HEADROOM};
use crate::turn::{FiveTuple, Forward, Transport};

impl Shard {
    /// Does what the engine said about a segment of the inbox. `from` is the client, where a client sent it.
    pub(in crate::relay) fn carry(&mut self, verdict: Forward, segment: Segment, from: Option<FiveTuple>) {
        match verdict {
            Forward::ToPeer { relay, peer, payload, dont_fragment } => {
                self.core.stats.forwarded(Direction::ToPeer, transport(from), payload.len());
                let route = Route { socket: Source::RelayedSocket(relay).token(), to: peer, from: None, dont_fragment };
                self.outbox.push_payload(route, segment, payload);
            }
            Forward::ToClient { to, framing, payload } if to.transport == Transport::Udp => {
                let len = payload.len();
                self.core.stats.forwarded(direction(from), to.transport, len);
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
            Forward::ToClient { to, framing, payload } => {
                let Self { inbox, streams, core, .. } = self;
                let payload = &inbox.bytes(segment)[payload];
                if push_framed(streams, to, framing, payload) {
                    core.stats.forwarded(direction(from), to.transport, payload.len());
                } else {
                    core.stats.lost(Lost::StreamFull, 1);
                }
            }
            Forward::Reply { to } => {
                self.core.stats.answered(self.inbox.bytes(segment), self.engine.reply());
                self.reply(to);
            }
            Forward::ToShard { shard } => {
                if let Some(from) = from {
                    self.hand_to(shard, from, segment);
                }
            }
            Forward::Drop(reason) => self.core.stats.dropped(reason),
            Forward::Accepted => {}
        }
    }

    /// The same for bytes that lie elsewhere, such as those of a connection. False: an answer found no room, because the client
    /// does not read.
    pub(in crate::relay) fn carry_copied(&mut self, verdict: Forward, bytes: &[u8], from: Option<FiveTuple>) -> bool {
        match verdict {
            Forward::ToPeer { relay, peer, payload, dont_fragment } => {
                self.core.stats.forwarded(Direction::ToPeer, transport(from), payload.len());
                let route = Route { socket: Source::RelayedSocket(relay).token(), to: peer, from: None, dont_fragment };
                self.outbox.push_bytes(route, &bytes[payload]);
            }
            Forward::ToClient { to, framing, payload } => {
                let payload = &bytes[payload];
                if to.transport == Transport::Udp {
                    let (mut header, route) = ([0; HEADROOM], self.client_route(to));
                    let len = framing.write_header(&mut header, payload.len());
                    let padding = &[0; 3][..framing.padding(payload.len(), false)];
                    self.outbox.push_parts(route, &[&header[HEADROOM - len..], payload, padding]);
                } else if !push_framed(&mut self.streams, to, framing, payload) {
                    self.core.stats.lost(Lost::StreamFull, 1);
                    return true;
                }
                self.core.stats.forwarded(direction(from), to.transport, payload.len());
            }
            Forward::Reply { to } => {
                self.core.stats.answered(bytes, self.engine.reply());
                return self.reply(to);
            }
            Forward::Drop(reason) => self.core.stats.dropped(reason),
            // A connection goes to another shard as a whole.
            Forward::Accepted | Forward::ToShard { .. } => {}
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

    /// A message of ours that had to wait.
    pub(in crate::relay) fn transmit(&mut self, to: FiveTuple, bytes: &[u8]) {
        if to.transport == Transport::Udp {
            let route = self.client_route(to);
            self.outbox.push_bytes(route, bytes);
        } else if let Some(id) = self.streams.find(&to) {
            // A client that leaves no room for it is on its way out.
            let _ = self.streams.push(id, &[bytes], 0);
        }
    }

    /// Gives a packet of a client that has moved to the shard that knows it. False: it is not one.
    pub(in crate::relay) fn hand_over(&mut self, from: FiveTuple, segment: Segment) -> bool {
        let Some(shard) = self.moved.get(&from) else { return false };
        self.hand_to(*shard, from, segment);
        true
    }

    fn hand_to(&self, shard: u8, from: FiveTuple, segment: Segment) {
        let Some(mailbox) = self.core.mailboxes.get(usize::from(shard)) else { return };
        if mailbox.offer(Caused::Datagram { from, bytes: self.inbox.bytes(segment).into() }).is_err() {
            self.core.stats.lost(Lost::BufferFull, 1);
        }
    }

    /// A packet that arrived at another shard.
    pub(in crate::relay) fn handed_over(&mut self, from: FiveTuple, bytes: &[u8], now: Instant) {
        let verdict = self.engine.handle_client(from, bytes, now);
        // A shard that names another one in its turn is answered by nobody.
        self.carry_copied(verdict, bytes, Some(from));
    }

    /// Sends what waits: datagrams, then what is queued for connections. True: connections ended over it, and the engine has
    /// outputs.
    pub(in crate::relay) fn flush(&mut self, now: Instant) -> bool {
        if !self.outbox.is_empty() {
            let Self { outbox, inbox, core, relays, .. } = self;
            let (listeners, stats) = (&core.listeners, &core.stats);
            let socket = |name| match Source::from_token(name) {
                Source::Listener(number) => listeners.get(usize::from(number)).map(|listener| &listener.socket),
                Source::RelayedSocket(relay) => relays.socket(relay),
                Source::Acceptor(_) | Source::Stream(_) | Source::Splice(_) => None,
            };
            let sent = outbox.flush(inbox, socket, |failure| unsent(stats, &failure));
            stats.send_calls.add(sent.calls);
        }
        let mut ended = false;
        while let Some(id) = self.streams.next_dirty() {
            if !self.streams.flush(id, &self.core.poll, now) {
                ended |= self.forget_stream(id, Close::Client, now);
            }
        }
        ended
    }

    /// Replies leave from where the request came to.
    fn client_route(&self, to: FiveTuple) -> Route {
        let listens = |listener: &&Listener| {
            let ip = listener.address.ip();
            listener.address.port() == to.server.port() && (ip == to.server.ip() || ip.is_unspecified())
        };
        let (number, listener) = (0..).zip(&self.core.listeners).find(|(_, listener)| listens(listener)).unzip();
        let wildcard = listener.is_some_and(|listener: &Listener| listener.address.ip().is_unspecified());
        let from = wildcard.then_some(to.server.ip());
        Route { socket: Source::Listener(number.unwrap_or(0)).token(), to: to.client, from, dont_fragment: false }
    }
}

/// To a client's connection; false where it has no room, or is gone.
fn push_framed(streams: &mut Streams, to: FiveTuple, framing: Framing, payload: &[u8]) -> bool {
    let mut header = [0; HEADROOM];
    let len = framing.write_header(&mut header, payload.len());
    let padding = framing.padding(payload.len(), true);
    streams.find(&to).is_some_and(|id| streams.push(id, &[&header[HEADROOM - len..], payload], padding))
}

fn transport(from: Option<FiveTuple>) -> Transport {
    from.map_or(Transport::Udp, |from| from.transport)
}

fn direction(from: Option<FiveTuple>) -> Direction {
    if from.is_some() { Direction::BetweenClients } else { Direction::ToClient }
}

fn unsent(stats: &ShardStats, failure: &Failure) {
    let kind = failure.error.kind();
    let lost = if matches!(kind, io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) {
        Lost::Unreachable
    } else if matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::PermissionDenied) {
        Lost::Refused
    } else if kind == io::ErrorKind::WouldBlock {
        Lost::BufferFull
    } else if failure.error.raw_os_error() == Some(libc::EMSGSIZE) {
        Lost::TooLong
    } else {
        Lost::Other
    };
    tracing::trace!(to = %failure.route.to, packets = failure.packets, error = %failure.error, "not sent");
    stats.lost(lost, failure.packets.into());
}
