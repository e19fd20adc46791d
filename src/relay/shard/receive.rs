//! Passes datagrams from the sockets to the engine, one batch at a time.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::relay::io::poll_source::PollSource;
use crate::relay::io::udp::BatchUdpSocket;
use crate::relay::setup::client_sockets::ClientSocket;
use crate::relay::shard::datagrams::PacketSource;
use crate::relay::shard::state::Shard;
use crate::relay::stats::labels::DropCause;
use crate::turn::{FiveTuple, RelayedAddressId, Transport};

/// ICMP errors read from one socket in a turn; the others wait for the next packet.
const MAX_ICMP_ERRORS_A_TURN: usize = 64;
/// Packets of other shards that are sent together, before those after them are copied over the cached ones.
const MAX_PACKETS_A_FLUSH: usize = 64;
/// How long a socket rests after a receive that failed, which an edge-triggered socket would not report again.
const RECEIVE_PAUSE: Duration = Duration::from_millis(1);

impl Shard {
    /// Handles one batch of a clients' socket.
    pub(super) fn receive_from_clients(&mut self, number: u8, now: Instant) {
        let Some(ClientSocket { socket, address }) = self.context.client_sockets.get(usize::from(number)) else { return };
        let address = *address;
        let received = self.inbox.receive(socket);
        if !self.has_received(received, PollSource::ClientSocket(number), now) {
            return;
        }
        for index in 0..self.inbox.datagrams().len() {
            let datagram = self.inbox.datagrams()[index];
            if self.context.banned.contain(datagram.from.ip()) {
                self.context.stats.count_lost(DropCause::Banned, datagram.segments().count() as u64);
                continue;
            }
            let server = SocketAddr::new(datagram.to.unwrap_or(address.ip()), address.port());
            let from = FiveTuple { client: datagram.from, server, transport: Transport::Udp };
            for segment in datagram.segments() {
                self.packets += 1;
                if !self.moved_clients.is_empty() && self.hand_over_moved(from, segment) {
                    continue;
                }
                let verdict = self.engine.handle_client(from, self.inbox.bytes(segment), now);
                self.note_verdict(&from, self.inbox.bytes(segment), &verdict, now);
                self.execute(verdict, segment, PacketSource::Client(from));
            }
        }
        self.finish_batch(now);
    }

    /// Handles the packets that clients of other shards have sent to clients of this one.
    pub(super) fn receive_from_shards(&mut self, now: Instant) {
        let Some(queue) = self.context.packet_queues.get(usize::from(self.context.index)) else { return };
        let mut batch = std::mem::take(&mut self.packet_batch);
        queue.take(&mut batch);
        for (number, (from, to, payload)) in (1..).zip(batch.iter()) {
            self.packets += 1;
            let verdict = self.engine.handle_relayed(from, to, 0..payload.len(), now);
            self.execute_copied(verdict, payload, PacketSource::RelayedAddress);
            if number % MAX_PACKETS_A_FLUSH == 0 {
                self.flush(now);
            }
        }
        batch.clear();
        self.packet_batch = batch;
        self.finish_batch(now);
    }

    /// Handles one batch of a relayed socket, and the ICMP errors about the packets that it has sent.
    pub(super) fn receive_from_peers(&mut self, relayed: RelayedAddressId, error: bool, now: Instant) {
        if error {
            self.read_icmp_errors(relayed, now);
        }
        let Some(socket) = self.relayed_sockets.socket(relayed) else {
            self.accept_peers(relayed, now);
            return self.handle_outputs(now);
        };
        let received = self.inbox.receive(socket);
        if !self.has_received(received, PollSource::RelayedSocket(relayed), now) {
            return;
        }
        for index in 0..self.inbox.datagrams().len() {
            let datagram = self.inbox.datagrams()[index];
            for segment in datagram.segments() {
                self.packets += 1;
                let verdict = self.engine.handle_peer(relayed, datagram.from, self.inbox.bytes(segment), now);
                self.execute(verdict, segment, PacketSource::Peer);
            }
        }
        self.finish_batch(now);
    }

    /// Whether a batch was received. Either way, the socket is polled again for what it may still hold.
    fn has_received(&mut self, result: io::Result<usize>, source: PollSource, now: Instant) -> bool {
        match result {
            Ok(_) => {
                if self.inbox.is_full() {
                    self.context.poller.repeat(source.token());
                }
                true
            }
            Err(error) => {
                tracing::debug!(?source, %error, "a socket can't be read for now");
                self.context.stats.receive_errors.add(1);
                self.context.poller.repeat_at(source.token(), now + RECEIVE_PAUSE);
                false
            }
        }
    }

    /// RFC 8656 §11.5: an ICMP error about a relayed packet becomes a Data indication with ICMP.
    fn read_icmp_errors(&mut self, relayed: RelayedAddressId, now: Instant) {
        for _ in 0..MAX_ICMP_ERRORS_A_TURN {
            let Some(error) = self.relayed_sockets.socket(relayed).and_then(BatchUdpSocket::icmp_error) else { return };
            self.context.stats.icmp_errors.add(1);
            if !self.context.icmp_indications {
                continue;
            }
            let verdict = self.engine.handle_icmp(relayed, error.peer, error.kind, error.code, error.data, now);
            self.execute_copied(verdict, &[], PacketSource::Peer);
        }
    }
}
