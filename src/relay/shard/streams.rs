//! Accepts, reads and closes the streams of a shard's clients.

use std::io;
use std::ops::ControlFlow;
use std::time::Instant;

use crate::limits::descriptors::Descriptor;
use crate::relay::admission::StreamLocation;
use crate::relay::io::poll::Readiness;
use crate::relay::io::poll_source::{ClientStreamId, PollSource};
use crate::relay::shard::datagrams::PacketSource;
use crate::relay::shard::mailbox::{Handover, ShardMessage};
use crate::relay::shard::state::{ACCEPT_PAUSE, MAX_ACCEPTS_A_TURN, Shard};
use crate::relay::stats::labels::CloseReason;
use crate::relay::tcp::accepted_connection::AcceptedConnection;
use crate::relay::tcp::acceptor::is_exhaustion;
use crate::relay::tcp::client_stream::ClientStream;
use crate::relay::tcp::client_streams::ALLOCATION_DEADLINE;
use crate::relay::tcp::connection::NonBlockingConnection;
use crate::turn::codec::framing::{StreamFrame, next_frame};
use crate::turn::codec::header::Method;
use crate::turn::{Answer, DropReason, FiveTuple, Transport, Verdict};

impl Shard {
    /// Accepts connections of a clients' TCP socket.
    pub(super) fn accept_clients(&mut self, number: u8, now: Instant) {
        for _ in 0..MAX_ACCEPTS_A_TURN {
            let Some(acceptor) = self.context.acceptors.get(usize::from(number)) else { return };
            let (socket, client, server) = match acceptor.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_exhaustion(&error) => {
                    tracing::warn!(%error, "no more TCP clients for now: raise the limit of open files (ulimit -n)");
                    self.context.stats.accept_failures.add(1);
                    // The poller would report the acceptor again immediately.
                    if self.context.poller.remove(acceptor).is_ok() {
                        self.paused_acceptors.push(number);
                    }
                    self.resume_accepting = Some(now + ACCEPT_PAUSE);
                    return;
                }
                // That connection has ended already.
                Err(_) => continue,
            };
            if self.context.banned.contain(client.ip()) {
                self.context.stats.count_close(CloseReason::Banned);
                continue;
            }
            let Some(socket) = self.forward_proxied(socket, client.ip(), now) else { continue };
            let Some(descriptor) = self.take_client_descriptor(now) else {
                self.context.stats.count_close(CloseReason::Limit);
                continue;
            };
            let accepted = AcceptedConnection { client, server, connection: NonBlockingConnection::Tcp(socket) };
            self.add_stream(accepted, descriptor, self.forwards_by_first_byte(), now);
        }
    }

    /// Takes a descriptor of the clients' share. Where the share is nearly used up, a stream without an allocation is closed for
    /// it.
    fn take_client_descriptor(&mut self, now: Instant) -> Option<Descriptor> {
        let displaced = self.context.admission.displace_if_scarce(now);
        if let Some(location) = displaced {
            self.displace(location, now);
        }
        self.context.admission.clients.take()
    }

    /// Serves a new connection. Where too many streams have no allocation, one of them is closed for it. `awaits_first_byte`: the first
    /// byte tells whether the connection is forwarded.
    pub(super) fn add_stream(
        &mut self,
        accepted: AcceptedConnection,
        descriptor: Descriptor,
        awaits_first_byte: bool,
        now: Instant,
    ) {
        let AcceptedConnection { client, server, connection } = accepted;
        if self.context.banned.contain(client.ip()) {
            return self.context.stats.count_close(CloseReason::Banned);
        }
        self.context.stats.accepted.add(1);
        let (unproven, displaced) = self.context.admission.unproven.admit(Some(client.ip()), now);
        if let Some(location) = displaced {
            self.displace(location, now);
        }
        let is_tls = connection.transport() == Transport::Tls;
        let tuple = FiveTuple { client, server, transport: connection.transport() };
        let usage = self.context.admission.buffers.new_usage();
        let mut stream = ClientStream::new(tuple, connection, unproven, descriptor, usage, now + ALLOCATION_DEADLINE);
        stream.awaits_first_byte = awaits_first_byte;
        match self.insert_stream(Box::new(stream), now) {
            // The poller does not report what TLS has decrypted already.
            Some(id) if is_tls => self.context.poller.repeat(PollSource::ClientStream(id).token()),
            Some(_) => {}
            None => self.context.stats.count_close(CloseReason::Limit),
        }
        self.context.stats.streams.set(self.streams.len() as u64);
    }

    /// Closes the streams of banned clients, also those that have no allocation (yet).
    pub(super) fn close_banned(&mut self, now: Instant) {
        let banned = &self.context.banned;
        for id in self.streams.of_clients(|ip| banned.contain(ip)) {
            self.close_stream(id, CloseReason::Banned, now);
        }
    }

    /// Makes a stream this shard's. Where it can't be polled, or was displaced meanwhile, it is closed and `None` is returned.
    fn insert_stream(&mut self, stream: Box<ClientStream>, now: Instant) -> Option<ClientStreamId> {
        let id = self.streams.insert(stream, &self.context.poller, now)?;
        let location = StreamLocation { shard: self.context.index, stream: id };
        let unproven = self.streams.get_mut(id)?.unproven.as_ref();
        if unproven.is_none_or(|unproven| unproven.attach(location)) {
            return Some(id);
        }
        self.streams.remove(id);
        None
    }

    /// Closes a stream without an allocation, of this shard or of another one.
    fn displace(&mut self, location: StreamLocation, now: Instant) {
        if location.shard == self.context.index {
            self.close_stream(location.stream, CloseReason::Displaced, now);
        } else if let Some(mailbox) = self.context.mailboxes.get(usize::from(location.shard)) {
            mailbox.send(ShardMessage::Displace(location.stream));
        }
    }

    /// Notes that a stream has an allocation, if it has one.
    fn note_allocation(&mut self, id: ClientStreamId, now: Instant) {
        if let Some(stream) = self.streams.get_mut(id)
            && stream.unproven.is_some()
            && self.engine.has_allocation(&stream.tuple)
        {
            stream.unproven = None;
            stream.deadline = now + ALLOCATION_DEADLINE;
        }
    }

    pub(super) fn handle_stream_event(&mut self, id: ClientStreamId, event: &Readiness, now: Instant) {
        if event.writable {
            self.streams.mark_unflushed(id);
        }
        if event.readable || event.error {
            let mut buffer = std::mem::take(&mut self.read_buffer);
            let close = self.read_stream(id, &mut buffer, now);
            self.read_buffer = buffer;
            if self.streams.get_mut(id).is_some_and(|stream| stream.has_unwritten_tls()) {
                self.streams.mark_unflushed(id);
            }
            self.finish_read(id, close, now);
        }
    }

    /// Handles the deferred requests that are due.
    pub(super) fn retry_deferred(&mut self, now: Instant) {
        while let Some(id) = self.deferred.take_due(now) {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            if stream.awaits_first_byte {
                // The poller reports the stream again.
                if !self.streams.resume(id, &self.context.poller) {
                    self.close_stream(id, CloseReason::Limit, now);
                }
                continue;
            }
            let kept = stream.take_unread();
            let close = self.handle_frames(id, &kept, now);
            self.finish_read(id, close, now);
        }
    }

    /// Gives a client's stream to the shard that its last message belongs to. `bytes` is that message and the bytes after it.
    fn hand_over_stream(&mut self, id: ClientStreamId, shard: u8, bytes: &[u8]) {
        let Some(mailbox) = self.context.mailboxes.get(usize::from(shard)) else { return };
        if let Some(mut stream) = self.streams.take(id, &self.context.poller) {
            stream.keep_unread(bytes);
            if mailbox.offer(Handover::ClientStream(stream)).is_err() {
                self.context.stats.count_close(CloseReason::Limit);
            }
        }
    }

    /// Serves a stream that another shard has handed over.
    pub(super) fn take_over_stream(&mut self, mut stream: Box<ClientStream>, now: Instant) {
        // The ban may have come while the stream was on its way.
        if self.context.banned.contain(stream.tuple.client.ip()) {
            return self.context.stats.count_close(CloseReason::Banned);
        }
        let bytes = stream.take_unread();
        let Some(id) = self.insert_stream(stream, now) else { return self.context.stats.count_close(CloseReason::Limit) };
        let close = self.handle_frames(id, &bytes, now);
        self.finish_read(id, close, now);
    }

    /// Sends the packets that a read has led to, and closes the stream if there is a reason.
    fn finish_read(&mut self, id: ClientStreamId, close: Option<CloseReason>, now: Instant) {
        self.finish_batch(now);
        match close {
            Some(reason) => self.close_stream(id, reason, now),
            None => self.note_allocation(id, now),
        }
    }

    /// Reads once and handles the complete frames. Returns why the stream is to be closed, if it is.
    fn read_stream(&mut self, id: ClientStreamId, buffer: &mut Vec<u8>, now: Instant) -> Option<CloseReason> {
        if self.streams.get_mut(id)?.awaits_first_byte
            && let ControlFlow::Break(close) = self.check_first_byte(id, now)
        {
            return close;
        }
        let len = match self.streams.get_mut(id)?.read(buffer) {
            Ok(Some(len)) => len,
            Ok(None) => return Some(CloseReason::Client),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return None,
            Err(_) => return Some(CloseReason::Client),
        };
        self.handle_frames(id, &buffer[..len], now)
    }

    /// Handles the complete frames, and keeps the rest. Returns why the stream is to be closed, if it is.
    fn handle_frames(&mut self, id: ClientStreamId, mut bytes: &[u8], now: Instant) -> Option<CloseReason> {
        let tuple = self.streams.get_mut(id)?.tuple;
        loop {
            match next_frame(bytes) {
                StreamFrame::Complete(len) => {
                    self.packets += 1;
                    let (message, rest) = bytes.split_at(len);
                    let verdict = self.engine.handle_client(tuple, message, now);
                    self.note_verdict(&tuple, message, &verdict, now);
                    if verdict == Verdict::Drop(DropReason::Throttled) && !self.engine.has_allocation(&tuple) {
                        self.context.stats.count_drop(DropReason::Throttled);
                        return self.defer_request(id, bytes, now);
                    }
                    let answer = if let Verdict::Reply { answer, .. } = &verdict { Some(*answer) } else { None };
                    if answer.is_some() {
                        self.streams.get_mut(id)?.note_request();
                    }
                    if let Verdict::ToShard { shard } = verdict {
                        self.hand_over_stream(id, shard, bytes);
                    } else if !self.execute_copied(verdict, message, PacketSource::Client(tuple)) {
                        return Some(CloseReason::SlowReader);
                    }
                    if answer == Some(Answer::Success { method: Method::ConnectionBind }) {
                        // RFC 6062 §5.4: from here on the stream carries the peer's bytes, and so does the rest of this read.
                        self.streams.get_mut(id)?.keep_unread(rest);
                        self.handle_outputs(now);
                    }
                    self.streams.get_mut(id)?;
                    bytes = rest;
                }
                StreamFrame::Incomplete(_) => {
                    let stream = self.streams.get_mut(id)?;
                    stream.keep_unread(bytes);
                    if stream.keeps_too_much(|client| self.engine.has_allocation(client)) {
                        return Some(CloseReason::Garbage);
                    }
                    return stream.has_ended().then_some(CloseReason::Client);
                }
                StreamFrame::Invalid => return Some(CloseReason::Garbage),
            }
        }
    }

    /// Keeps a request that is handled later, and the bytes after it. Returns why the stream is to be closed, if it is.
    fn defer_request(&mut self, id: ClientStreamId, bytes: &[u8], now: Instant) -> Option<CloseReason> {
        let stream = self.streams.get_mut(id)?;
        stream.keep_unread(bytes);
        let too_much = stream.keeps_too_much(|client| self.engine.has_allocation(client));
        self.deferred.add(id, now);
        too_much.then_some(CloseReason::Garbage)
    }

    pub(super) fn close_stream(&mut self, id: ClientStreamId, reason: CloseReason, now: Instant) {
        self.remove_stream(id, reason, now);
        self.handle_outputs(now);
    }

    /// Ends a stream. Returns true where it was still open; the caller then handles the engine's outputs.
    pub(super) fn remove_stream(&mut self, id: ClientStreamId, reason: CloseReason, now: Instant) -> bool {
        // What this turn has for the client is sent before the end, as far as the client takes it.
        if self.streams.is_unflushed(id) {
            let _ = self.streams.flush(id, &self.context.poller, now);
        }
        let tuple = self.streams.remove(id);
        if let Some(tuple) = &tuple {
            self.context.stats.count_close(reason);
            self.engine.handle_client_closed(tuple, now);
        }
        tuple.is_some()
    }
}
