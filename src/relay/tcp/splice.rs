//! The connections with the peers of TCP allocations, and what they are spliced with (RFC 6062).
//!
//! Owner: a shard. A connection is being made, waits for its ConnectionBind, or is spliced with a client's: then the bytes of
//! each side go to the other. Invariants:
//! - What one side does not take yet is at most one read; until it is gone, nothing more is read from the other side, so that
//!   TCP slows the sender down. No byte is dropped.
//! - While a peer waits, nothing is read from it: its bytes stay with the kernel, which bounds them.
//! - The end of one side is passed on when all bytes before it are written. Both ends, or an error of either, end the whole.
//! - A side that nothing is wanted of is not polled, because epoll would report its end for ever.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::net::sockopt;

use crate::limits::descriptors::Descriptor;
use crate::relay::io::poll::{Interest, Poll};
use crate::relay::io::source::Source;
use crate::relay::tcp::wire::Wire;
use crate::turn::{Direction, PeerConnectionId};

/// The most that a read brings, and so the most that waits.
const READ: usize = 64 * 1024;

/// Peers' connections of one shard.
#[derive(Debug, Default)]
pub(in crate::relay) struct Splices {
    by_id: HashMap<PeerConnectionId, Connection>,
    /// When a side that was too fast for the bandwidth limits is read again.
    resumes: BTreeSet<(Instant, PeerConnectionId)>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Connection {
    Connecting(TcpStream, Descriptor),
    Waiting(TcpStream, Descriptor),
    Spliced(Box<Splice>),
}

/// What an event has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Progress {
    /// Connecting is over; true: it went well.
    Connected(bool),
    Open,
    /// It is gone.
    Ended,
}

impl Splices {
    pub(in crate::relay) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// A connection that is being made. False: it can't be watched, and is closed.
    pub(in crate::relay) fn connecting(
        &mut self,
        id: PeerConnectionId,
        peer: TcpStream,
        descriptor: Descriptor,
        poll: &Poll,
    ) -> bool {
        let watched = poll.add(&peer, Source::Splice(id).token(), Interest::Write).is_ok();
        if watched {
            self.by_id.insert(id, Connection::Connecting(peer, descriptor));
        }
        watched
    }

    /// A connection that a peer has made.
    pub(in crate::relay) fn accepted(&mut self, id: PeerConnectionId, peer: TcpStream, descriptor: Descriptor) {
        self.by_id.insert(id, Connection::Waiting(peer, descriptor));
    }

    /// Joins a waiting peer with a client's connection, which epoll does not watch. `to_client` is still to be written, and
    /// `to_peer` has been read already. False: no peer waits, and the client's connection is closed.
    pub(in crate::relay) fn splice(
        &mut self,
        id: PeerConnectionId,
        (client, of_client): (Wire, Descriptor),
        to_client: Vec<u8>,
        to_peer: Vec<u8>,
    ) -> bool {
        let Some(Connection::Waiting(peer, of_peer)) = self.by_id.remove(&id) else { return false };
        let (client, peer) = (Side::new(client, to_client), Side::new(Wire::Tcp(peer), to_peer));
        let splice = Splice { client, peer, _descriptors: [of_client, of_peer] };
        self.by_id.insert(id, Connection::Spliced(Box::new(splice)));
        true
    }

    /// Closes both sides. False: they are gone.
    pub(in crate::relay) fn remove(&mut self, id: PeerConnectionId) -> bool {
        self.by_id.remove(&id).is_some()
    }

    /// Does what can be done now. `carried` hears of each read, and of none ahead of it, and says until when that way is to rest.
    pub(in crate::relay) fn progress(
        &mut self,
        id: PeerConnectionId,
        poll: &Poll,
        now: Instant,
        carried: impl FnMut(Direction, usize) -> Option<Instant>,
    ) -> Progress {
        let open = match self.by_id.remove(&id) {
            Some(Connection::Connecting(peer, descriptor)) => {
                let connected = matches!(sockopt::socket_error(&peer), Ok(Ok(()))) && poll.remove(&peer).is_ok();
                if connected {
                    self.by_id.insert(id, Connection::Waiting(peer, descriptor));
                }
                return Progress::Connected(connected);
            }
            Some(Connection::Spliced(mut splice)) => {
                self.buffer.resize(READ, 0);
                let token = Source::Splice(id).token();
                let open = splice.pump(&mut self.buffer, now, carried).unwrap_or(false) && splice.watch(poll, token, now).is_ok();
                let resumes = [splice.client.resume, splice.peer.resume].into_iter().flatten().filter(|at| *at > now);
                self.resumes.extend(resumes.map(|at| (at, id)));
                open.then_some(Connection::Spliced(splice))
            }
            Some(waiting @ Connection::Waiting(..)) => Some(waiting),
            None => return Progress::Open,
        };
        match open {
            Some(connection) => {
                self.by_id.insert(id, connection);
                Progress::Open
            }
            None => Progress::Ended,
        }
    }

    pub(in crate::relay) fn next_resume(&self) -> Option<Instant> {
        self.resumes.first().map(|(at, _)| *at)
    }

    /// The next connection that has rested long enough.
    pub(in crate::relay) fn resumed(&mut self, now: Instant) -> Option<PeerConnectionId> {
        self.resumes.first().filter(|(at, _)| *at <= now)?;
        self.resumes.pop_first().map(|(_, id)| id)
    }
}

#[derive(Debug)]
struct Splice {
    client: Side,
    peer: Side,
    _descriptors: [Descriptor; 2],
}

/// One connection, and what it has not taken yet.
#[derive(Debug)]
struct Side {
    wire: Wire,
    queue: Vec<u8>,
    /// How much of `queue` has been written.
    start: usize,
    /// Nothing more comes from it.
    ended: bool,
    /// It was told that nothing more comes from the other side.
    told: bool,
    /// Not to be read before.
    resume: Option<Instant>,
    watched: Option<Interest>,
}

impl Splice {
    /// False: both sides have ended.
    fn pump(
        &mut self,
        buffer: &mut [u8],
        now: Instant,
        mut carried: impl FnMut(Direction, usize) -> Option<Instant>,
    ) -> io::Result<bool> {
        self.client.pass(&mut self.peer, buffer, now, |len| carried(Direction::ToPeer, len))?;
        self.peer.pass(&mut self.client, buffer, now, |len| carried(Direction::ToClient, len))?;
        Ok(!(self.client.told && self.peer.told))
    }

    /// Has epoll report what would lead on, and nothing else.
    fn watch(&mut self, poll: &Poll, token: u64, now: Instant) -> io::Result<()> {
        let read = [self.client.is_wanted(&self.peer, now), self.peer.is_wanted(&self.client, now)];
        for (side, read) in [&mut self.client, &mut self.peer].into_iter().zip(read) {
            let interest = match (read, !side.has_taken_all()) {
                (true, true) => Some(Interest::ReadWrite),
                (true, false) => Some(Interest::Read),
                (false, true) => Some(Interest::Write),
                (false, false) => None,
            };
            match (side.watched, interest) {
                (before, now) if before == now => {}
                (None, Some(interest)) => poll.add(side.wire.as_fd(), token, interest)?,
                (Some(_), Some(interest)) => poll.modify(side.wire.as_fd(), token, interest)?,
                (Some(_), None) => poll.remove(side.wire.as_fd())?,
                (None, None) => {}
            }
            side.watched = interest;
        }
        Ok(())
    }
}

impl Side {
    const fn new(wire: Wire, queue: Vec<u8>) -> Self {
        Self { wire, queue, start: 0, ended: false, told: false, resume: None, watched: None }
    }

    fn has_taken_all(&self) -> bool {
        self.queue.is_empty() && !self.wire.holds_back()
    }

    /// Whether it is to be read, for `to`.
    fn is_wanted(&self, to: &Self, now: Instant) -> bool {
        !self.ended && to.has_taken_all() && self.resume.is_none_or(|at| at <= now)
    }

    /// Passes on to the other side what can be.
    fn pass(
        &mut self,
        to: &mut Self,
        buffer: &mut [u8],
        now: Instant,
        mut carried: impl FnMut(usize) -> Option<Instant>,
    ) -> io::Result<()> {
        to.flush()?;
        if self.is_wanted(to, now) {
            // What others have carried may be too much already, or each new connection would have its first read for nothing.
            self.resume = carried(0);
        }
        if self.is_wanted(to, now) {
            match self.wire.read(buffer) {
                Ok(0) => self.ended = true,
                Ok(len) => {
                    self.resume = carried(len);
                    let taken = to.wire.write(&buffer[..len]).or_else(none_yet)?;
                    to.queue.extend_from_slice(&buffer[taken..len]);
                    self.ended = self.wire.has_ended();
                }
                Err(error) => {
                    none_yet(error)?;
                }
            }
        }
        if self.ended && to.has_taken_all() && !to.told {
            to.wire.finish()?;
            to.told = true;
        }
        Ok(())
    }

    /// Writes what waits, as far as it is taken.
    fn flush(&mut self) -> io::Result<()> {
        while self.start < self.queue.len() || self.wire.holds_back() {
            match self.wire.write(&self.queue[self.start..]) {
                Ok(0) if self.start < self.queue.len() => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.start += len,
                Err(error) => return none_yet(error).map(|_| ()),
            }
        }
        // An idle connection keeps no buffer.
        self.queue = Vec::new();
        self.start = 0;
        Ok(())
    }
}

/// No bytes, where that is all that went wrong: epoll tells when there are some.
fn none_yet(error: io::Error) -> io::Result<usize> {
    let harmless = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
    if harmless { Ok(0) } else { Err(error) }
}
