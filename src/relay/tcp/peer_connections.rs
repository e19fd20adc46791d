//! The connections with the peers of TCP allocations (RFC 6062), and the clients' connections that they are spliced with.
//!
//! Owner: a shard. A connection is being made, or waits for its ConnectionBind, or is spliced with a client's connection.
//! Invariant: while a peer waits, nothing is read from it; its bytes stay with the kernel, which bounds them.

use std::collections::{BTreeSet, HashMap};
use std::net::TcpStream;
use std::time::Instant;

use rustix::net::sockopt;

use crate::limits::descriptors::Descriptor;
use crate::relay::io::poll::{Interest, Poller};
use crate::relay::io::poll_source::PollSource;
use crate::relay::tcp::connection::NonBlockingConnection;
use crate::relay::tcp::splice::{Splice, SpliceSide};
use crate::turn::{Direction, PeerConnectionId};

/// The most bytes of one read, and so the most bytes that wait.
const MAX_READ_BYTES: usize = 64 * 1024;

/// The connections of one shard with peers.
#[derive(Debug, Default)]
pub(in crate::relay) struct PeerConnections {
    by_id: HashMap<PeerConnectionId, PeerConnection>,
    /// When a side that has used up its bandwidth limit is read again.
    resumes: BTreeSet<(Instant, PeerConnectionId)>,
    buffer: Vec<u8>,
}

/// A connection with a peer.
#[derive(Debug)]
enum PeerConnection {
    Connecting(TcpStream, Descriptor),
    /// The connection waits for its ConnectionBind.
    Waiting(TcpStream, Descriptor),
    Spliced(Box<Splice>),
}

/// The result of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Progress {
    /// Connecting has succeeded, or failed.
    Connected(bool),
    Open,
    /// The connection was closed.
    Ended,
}

impl PeerConnections {
    pub(in crate::relay) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Adds a connection that is being made. Returns false, and closes it, where it can't be polled.
    pub(in crate::relay) fn add_connecting(
        &mut self,
        id: PeerConnectionId,
        peer: TcpStream,
        descriptor: Descriptor,
        poller: &Poller,
    ) -> bool {
        let polled = poller.add(&peer, PollSource::PeerConnection(id).token(), Interest::Write).is_ok();
        if polled {
            self.by_id.insert(id, PeerConnection::Connecting(peer, descriptor));
        }
        polled
    }

    /// Adds a connection that a peer has made.
    pub(in crate::relay) fn add_accepted(&mut self, id: PeerConnectionId, peer: TcpStream, descriptor: Descriptor) {
        self.by_id.insert(id, PeerConnection::Waiting(peer, descriptor));
    }

    /// Splices a waiting peer with a client's connection, which must not be polled. `to_client` is still to be written, and
    /// `to_peer` has been read already. Returns false, and closes the client's connection, where no such peer waits.
    pub(in crate::relay) fn splice(
        &mut self,
        id: PeerConnectionId,
        (client, of_client): (NonBlockingConnection, Descriptor),
        to_client: Vec<u8>,
        to_peer: Vec<u8>,
    ) -> bool {
        let Some(PeerConnection::Waiting(peer, of_peer)) = self.by_id.remove(&id) else { return false };
        let (client, peer) = (SpliceSide::new(client, to_client), SpliceSide::new(NonBlockingConnection::Tcp(peer), to_peer));
        let splice = Splice { client, peer, _descriptors: [of_client, of_peer] };
        self.by_id.insert(id, PeerConnection::Spliced(Box::new(splice)));
        true
    }

    /// Closes both sides. Returns false where they were closed already.
    pub(in crate::relay) fn remove(&mut self, id: PeerConnectionId) -> bool {
        self.by_id.remove(&id).is_some()
    }

    /// Makes all progress that is possible now. For `carried` see [`Splice::pump`].
    pub(in crate::relay) fn advance(
        &mut self,
        id: PeerConnectionId,
        poller: &Poller,
        now: Instant,
        carried: impl FnMut(Direction, usize) -> Option<Instant>,
    ) -> Progress {
        let open = match self.by_id.remove(&id) {
            Some(PeerConnection::Connecting(peer, descriptor)) => {
                let connected = matches!(sockopt::socket_error(&peer), Ok(Ok(()))) && poller.remove(&peer).is_ok();
                if connected {
                    self.by_id.insert(id, PeerConnection::Waiting(peer, descriptor));
                }
                return Progress::Connected(connected);
            }
            Some(PeerConnection::Spliced(mut splice)) => {
                self.buffer.resize(MAX_READ_BYTES, 0);
                let token = PollSource::PeerConnection(id).token();
                let open = splice.pump(&mut self.buffer, now, carried).unwrap_or(false)
                    && splice.update_interest(poller, token, now).is_ok();
                let resumes = [splice.client.resume, splice.peer.resume].into_iter().flatten().filter(|at| *at > now);
                self.resumes.extend(resumes.map(|at| (at, id)));
                open.then_some(PeerConnection::Spliced(splice))
            }
            Some(waiting @ PeerConnection::Waiting(..)) => Some(waiting),
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

    /// When a paused connection is to be read again.
    pub(in crate::relay) fn next_resume(&self) -> Option<Instant> {
        self.resumes.first().map(|(at, _)| *at)
    }

    /// Takes the next connection whose pause is over.
    pub(in crate::relay) fn next_resumed(&mut self, now: Instant) -> Option<PeerConnectionId> {
        self.resumes.first().filter(|(at, _)| *at <= now)?;
        self.resumes.pop_first().map(|(_, id)| id)
    }
}
