//! TCP allocations (RFC 6062): connects to peers, accepts their connections, and splices them with clients.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::relay::io::poll::Interest;
use crate::relay::io::poll_source::PollSource;
use crate::relay::shard::context::ShardContext;
use crate::relay::shard::state::{ACCEPT_PAUSE, MAX_ACCEPTS_A_TURN, Shard};
use crate::relay::tcp::acceptor::is_exhaustion;
use crate::relay::tcp::peer_connections::Progress;
use crate::turn::{self, Direction, FiveTuple, PeerConnectionId, RelayedAddressId, Transport};

impl Shard {
    /// RFC 6062 §5.3: accepts the connections of peers at a relayed transport address.
    pub(super) fn accept_peers(&mut self, relayed: RelayedAddressId, now: Instant) {
        for _ in 0..MAX_ACCEPTS_A_TURN {
            let Some(acceptor) = self.relayed_sockets.acceptor(relayed) else { return };
            match acceptor.accept() {
                Ok((stream, peer, _)) => {
                    let descriptor = self.context.admission.relayed.take();
                    let accepted = descriptor
                        .and_then(|descriptor| Some((self.engine.handle_peer_accepted(relayed, peer, now)?, descriptor)));
                    match accepted {
                        Some((connection, descriptor)) => self.peer_connections.add_accepted(connection, stream, descriptor),
                        None => self.context.stats.refused_peers.add(1),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_exhaustion(&error) => {
                    self.context.stats.accept_failures.add(1);
                    if self.context.poller.remove(acceptor).is_ok() {
                        self.paused_relayed.push(relayed);
                    }
                    self.resume_accepting.get_or_insert(now + ACCEPT_PAUSE);
                    return;
                }
                // That connection has ended already.
                Err(_) => {}
            }
        }
    }

    /// Polls the relayed acceptors that were paused when descriptors had run out. Returns false where some are still paused.
    pub(super) fn resume_relayed_acceptors(&mut self) -> bool {
        for relayed in std::mem::take(&mut self.paused_relayed) {
            if let Some(acceptor) = self.relayed_sockets.acceptor(relayed)
                && self.context.poller.add(acceptor, PollSource::RelayedSocket(relayed).token(), Interest::Read).is_err()
            {
                self.paused_relayed.push(relayed);
            }
        }
        self.paused_relayed.is_empty()
    }

    /// RFC 6062 §5.2: begins to connect to a peer. The engine is told of the result, now or later.
    pub(super) fn connect_peer(
        &mut self,
        relayed: RelayedAddressId,
        connection: PeerConnectionId,
        peer: SocketAddr,
        now: Instant,
    ) {
        let from = self.relayed_sockets.acceptor(relayed).map(|acceptor| acceptor.local_addr());
        let begun = from.zip(self.context.admission.relayed.take()).is_some_and(|(from, descriptor)| {
            match from.and_then(|from| connect(from, peer)) {
                Ok(stream) => self.peer_connections.add_connecting(connection, stream, descriptor, &self.context.poller),
                Err(error) => {
                    tracing::debug!(%error, "no connection with a peer");
                    false
                }
            }
        });
        if !begun {
            self.engine.handle_peer_connected(connection, false, now);
        }
    }

    /// RFC 6062 §5.4: from now on the client's connection carries the bytes of its peer.
    pub(super) fn splice(&mut self, connection: PeerConnectionId, client: FiveTuple, now: Instant) {
        let stream = self.streams.find(&client).and_then(|id| self.streams.take(id, &self.context.poller));
        let spliced = stream.is_some_and(|stream| {
            let (client_connection, descriptor, unsent, unread) = stream.into_parts();
            // These bytes have been read already, so only those that follow can be delayed.
            let _ = count_carried(&self.context, &mut self.engine, connection, Direction::ToPeer, unread.len(), now);
            self.peer_connections.splice(connection, (client_connection, descriptor), unsent, unread)
        });
        if spliced {
            self.advance_peer_connection(connection, now);
        } else {
            self.peer_connections.remove(connection);
            self.engine.handle_peer_connection_closed(connection);
        }
    }

    /// Continues with a connection that is ready, or whose rate limit allows it again.
    pub(super) fn advance_peer_connection(&mut self, id: PeerConnectionId, now: Instant) {
        let Self { peer_connections, engine, context, packets, .. } = self;
        let progress = peer_connections.advance(id, &context.poller, now, |direction, len| {
            *packets += u32::from(len > 0);
            count_carried(context, engine, id, direction, len, now)
        });
        match progress {
            Progress::Connected(connected) => self.engine.handle_peer_connected(id, connected, now),
            Progress::Open => {}
            Progress::Ended => self.engine.handle_peer_connection_closed(id),
        }
    }
}

/// Counts bytes of a connection. Returns until when that direction must pause; with `len` 0 it only asks.
fn count_carried(
    context: &ShardContext,
    engine: &mut turn::Engine,
    id: PeerConnectionId,
    direction: Direction,
    len: usize,
    now: Instant,
) -> Option<Instant> {
    if len > 0 {
        context.stats.count_forwarded(direction.into(), Transport::Tcp, len);
    }
    engine.handle_peer_connection_bytes(id, direction, len, now)
}

/// RFC 6062 §5.2: begins a connection from the relayed transport address itself.
fn connect(from: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let family = if from.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let fd = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    // The socket that listens at this address has the same options, so that the kernel permits the bind.
    sockopt::set_socket_reuseaddr(&fd, true)?;
    sockopt::set_socket_reuseport(&fd, true)?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    rustix::net::bind(&fd, &from)?;
    match rustix::net::connect(&fd, &peer) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd.into()),
        Err(error) => Err(error.into()),
    }
}
