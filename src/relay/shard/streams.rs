//! The connections of a shard's clients: how they come, what is read from them, and how they end.

use std::io;
use std::time::Instant;

use crate::limits::descriptors::Descriptor;
use crate::relay::ClientConnection;
use crate::relay::admission::Location;
use crate::relay::io::poll::Ready;
use crate::relay::io::source::{Source, StreamId};
use crate::relay::shard::event_loop::{ACCEPT_PAUSE, ACCEPTS, Shard};
use crate::relay::shard::mailbox::Control;
use crate::relay::stats::Close;
use crate::relay::tcp::acceptor::is_exhaustion;
use crate::relay::tcp::stream::Stream;
use crate::relay::tcp::stream_table::FIRST_REQUEST;
use crate::relay::tcp::wire::Wire;
use crate::turn::codec::framing::{Frame, next_frame};
use crate::turn::codec::message::{Class, Method, type_number};
use crate::turn::{DropReason, FiveTuple, Forward, Transport};

/// What the only answer begins with that makes a client's connection a peer's (RFC 6062 §5.4).
const CONNECTION_BOUND: [u8; 2] = type_number(Class::Success, Method::ConnectionBind).to_be_bytes();

impl Shard {
    pub(in crate::relay) fn accept(&mut self, number: u8, now: Instant) {
        for _ in 0..ACCEPTS {
            let Some(acceptor) = self.core.acceptors.get(usize::from(number)) else { return };
            let (socket, client, server) = match acceptor.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_exhaustion(&error) => {
                    // It would be reported at once again, and again.
                    tracing::warn!(%error, "no more TCP clients for now: raise the limit of open files (ulimit -n)");
                    self.core.stats.accept_failures.add(1);
                    if self.core.poll.remove(acceptor).is_ok() {
                        self.full.push(number);
                    }
                    self.accept_again = Some(now + ACCEPT_PAUSE);
                    return;
                }
                // That connection is gone already.
                Err(_) => continue,
            };
            if let Some(diversion) = self.core.diversion.as_ref().filter(|diversion| diversion.is_for(client.ip())) {
                if diversion.to.try_send(socket).is_err() {
                    self.core.stats.closed(Close::Limit);
                }
                continue;
            }
            match self.descriptor(now) {
                Some(descriptor) => self.adopt(ClientConnection { client, server, wire: Wire::Tcp(socket) }, descriptor, now),
                None => self.core.stats.closed(Close::Limit),
            }
        }
    }

    /// One of the clients' share; a stranger makes room where it is nearly used up.
    fn descriptor(&mut self, now: Instant) -> Option<Descriptor> {
        let displaced = self.core.admission.displace_for_want(now);
        if let Some(location) = displaced {
            self.displace(location, now);
        }
        self.core.admission.clients.take()
    }

    /// Takes a connection in; a stranger goes for it where there are too many.
    pub(in crate::relay) fn adopt(&mut self, connection: ClientConnection, descriptor: Descriptor, now: Instant) {
        let ClientConnection { client, server, wire } = connection;
        self.core.stats.accepted.add(1);
        let (stranger, displaced) = self.core.admission.strangers.enter(Some(client.ip()), now);
        if let Some(location) = displaced {
            self.displace(location, now);
        }
        let decrypted = wire.transport() == Transport::Tls;
        let tuple = FiveTuple { client, server, transport: wire.transport() };
        let stream = Stream::new(tuple, wire, stranger, descriptor, self.core.admission.held.none(), now + FIRST_REQUEST);
        match self.take_in(Box::new(stream), now) {
            // What was decrypted already no socket will report.
            Some(id) if decrypted => self.core.poll.again(Source::Stream(id).token()),
            Some(_) => {}
            None => self.core.stats.closed(Close::Limit),
        }
        self.core.stats.streams.set(self.streams.len() as u64);
    }

    /// A connection is this shard's from now on; `None`: it can't be, and is closed.
    pub(in crate::relay) fn take_in(&mut self, stream: Box<Stream>, now: Instant) -> Option<StreamId> {
        let id = self.streams.insert(stream, &self.core.poll, now)?;
        let location = Location { shard: self.core.index, stream: id };
        let stranger = self.streams.stream(id)?.stranger.as_ref();
        if stranger.is_none_or(|stranger| stranger.settle(location)) {
            return Some(id);
        }
        self.streams.remove(id);
        None
    }

    /// Ends the connection of a stranger, here or at another shard.
    pub(in crate::relay) fn displace(&mut self, location: Location, now: Instant) {
        if location.shard == self.core.index {
            self.close_stream(location.stream, Close::Displaced, now);
        } else if let Some(mailbox) = self.core.mailboxes.get(usize::from(location.shard)) {
            mailbox.send(Control::Displace(location.stream));
        }
    }

    /// Whoever has an allocation is no stranger.
    pub(in crate::relay) fn prove(&mut self, id: StreamId, now: Instant) {
        if let Some(stream) = self.streams.stream(id)
            && stream.stranger.is_some()
            && self.engine.has_allocation(&stream.tuple)
        {
            stream.stranger = None;
            stream.deadline = now + FIRST_REQUEST;
        }
    }

    pub(in crate::relay) fn stream_ready(&mut self, id: StreamId, event: &Ready, now: Instant) {
        if event.writable && !self.streams.flush(id, &self.core.poll, now) {
            return self.close_stream(id, Close::Client, now);
        }
        if event.readable || event.error {
            let mut buffer = std::mem::take(&mut self.buffer);
            let end = self.read_stream(id, &mut buffer, now);
            self.buffer = buffer;
            if self.streams.stream(id).is_some_and(|stream| stream.holds_back()) {
                self.streams.touch(id);
            }
            self.finish(now);
            match end {
                Some(why) => self.close_stream(id, why, now),
                None => self.prove(id, now),
            }
        }
    }

    /// Reads once and handles the whole messages; why the connection is to be closed, if it is.
    fn read_stream(&mut self, id: StreamId, buffer: &mut Vec<u8>, now: Instant) -> Option<Close> {
        let stream = self.streams.stream(id)?;
        let len = match stream.read(buffer) {
            Ok(Some(len)) => len,
            Ok(None) => return Some(Close::Client),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return None,
            Err(_) => return Some(Close::Client),
        };
        self.read_frames(id, &buffer[..len], now)
    }

    /// Handles the whole messages, and keeps the rest; why the connection is to be closed, if it is.
    pub(in crate::relay) fn read_frames(&mut self, id: StreamId, mut bytes: &[u8], now: Instant) -> Option<Close> {
        let tuple = self.streams.stream(id)?.tuple;
        loop {
            match next_frame(bytes) {
                Frame::Whole(len) => {
                    self.packets += 1;
                    let (message, rest) = bytes.split_at(len);
                    let verdict = self.engine.handle_client(tuple, message, now);
                    if verdict == Forward::Drop(DropReason::Throttled) && !self.engine.has_allocation(&tuple) {
                        self.core.stats.dropped(DropReason::Throttled);
                        return self.keep_for_later(id, bytes, now);
                    }
                    let answered = matches!(verdict, Forward::Reply { .. });
                    let bound = answered && self.engine.reply().starts_with(&CONNECTION_BOUND);
                    if answered {
                        self.streams.stream(id)?.asked();
                    }
                    if let Forward::ToShard { shard } = verdict {
                        self.hand_stream_over(id, shard, bytes);
                    } else if !self.carry_copied(verdict, message, Some(tuple)) {
                        return Some(Close::Slow);
                    }
                    if bound {
                        // It is the peer's connection from here on, and so are the bytes that follow.
                        self.streams.stream(id)?.keep(rest);
                        self.outputs(now);
                    }
                    self.streams.stream(id)?;
                    bytes = rest;
                }
                Frame::Needs(_) => {
                    let stream = self.streams.stream(id)?;
                    stream.keep(bytes);
                    if stream.keeps_too_much(|client| self.engine.has_allocation(client)) {
                        return Some(Close::Garbage);
                    }
                    return stream.has_ended().then_some(Close::Client);
                }
                Frame::Garbage => return Some(Close::Garbage),
            }
        }
    }

    pub(in crate::relay) fn close_stream(&mut self, id: StreamId, why: Close, now: Instant) {
        self.forget_stream(id, why, now);
        self.outputs(now);
    }

    /// Ends a connection; true where it was still there, and the engine's outputs are to follow.
    pub(in crate::relay) fn forget_stream(&mut self, id: StreamId, why: Close, now: Instant) -> bool {
        let tuple = self.streams.remove(id);
        if let Some(tuple) = &tuple {
            self.core.stats.closed(why);
            self.engine.client_closed(tuple, now);
        }
        tuple.is_some()
    }
}
