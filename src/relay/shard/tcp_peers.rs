//! What a shard does for TCP allocations (RFC 6062): connects to peers, accepts them, and splices them with clients.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::relay::io::poll::Interest;
use crate::relay::io::source::{Source, StreamId};
use crate::relay::shard::event_loop::{ACCEPT_PAUSE, ACCEPTS, Core, Shard};
use crate::relay::shard::mailbox::Caused;
use crate::relay::stats::{Close, Direction as Counted};
use crate::relay::tcp::acceptor::is_exhaustion;
use crate::relay::tcp::splice::Progress;
use crate::relay::tcp::stream::Stream;
use crate::turn::{self, Direction, FiveTuple, PeerConnectionId, RelayedAddressId, Transport};

impl Shard {
    /// Connections that have come to a relayed transport address.
    pub(in crate::relay) fn accept_peers(&mut self, relay: RelayedAddressId, now: Instant) {
        for _ in 0..ACCEPTS {
            let Some(acceptor) = self.relays.acceptor(relay) else { return };
            match acceptor.accept() {
                Ok((stream, peer, _)) => {
                    let descriptor = self.core.admission.relayed.take();
                    let accepted =
                        descriptor.and_then(|descriptor| Some((self.engine.peer_accepted(relay, peer, now)?, descriptor)));
                    match accepted {
                        Some((connection, descriptor)) => self.splices.accepted(connection, stream, descriptor),
                        None => self.core.stats.refused_peers.add(1),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_exhaustion(&error) => {
                    self.core.stats.accept_failures.add(1);
                    if self.core.poll.remove(acceptor).is_ok() {
                        self.full_relays.push(relay);
                    }
                    self.accept_again.get_or_insert(now + ACCEPT_PAUSE);
                    return;
                }
                // That connection is gone already.
                Err(_) => {}
            }
        }
    }

    /// Accepts again where descriptors had run out; false: not everywhere.
    pub(in crate::relay) fn resume_relays(&mut self) -> bool {
        for relay in std::mem::take(&mut self.full_relays) {
            if let Some(acceptor) = self.relays.acceptor(relay)
                && self.core.poll.add(acceptor, Source::RelayedSocket(relay).token(), Interest::Read).is_err()
            {
                self.full_relays.push(relay);
            }
        }
        self.full_relays.is_empty()
    }

    /// Begins to connect; the engine hears how it went, now or later.
    pub(in crate::relay) fn connect_peer(
        &mut self,
        relay: RelayedAddressId,
        connection: PeerConnectionId,
        peer: SocketAddr,
        now: Instant,
    ) {
        let from = self.relays.acceptor(relay).map(|acceptor| acceptor.local_addr());
        let begun = from.zip(self.core.admission.relayed.take()).is_some_and(|(from, descriptor)| {
            match from.and_then(|from| connect(from, peer)) {
                Ok(stream) => self.splices.connecting(connection, stream, descriptor, &self.core.poll),
                Err(error) => {
                    tracing::debug!(%error, "no connection with a peer");
                    false
                }
            }
        });
        if !begun {
            self.engine.peer_connected(connection, false, now);
        }
    }

    /// The client's connection is the peer's from now on.
    pub(in crate::relay) fn splice(&mut self, connection: PeerConnectionId, client: FiveTuple, now: Instant) {
        let stream = self.streams.find(&client).and_then(|id| self.streams.take(id, &self.core.poll));
        let spliced = stream.is_some_and(|stream| {
            let (wire, descriptor, unsent, unread) = stream.into_parts();
            // It is on its way; what follows it waits the longer.
            let _ = carried(&self.core, &mut self.engine, connection, Direction::ToPeer, unread.len(), now);
            self.splices.splice(connection, (wire, descriptor), unsent, unread)
        });
        if spliced {
            self.splice_ready(connection, now);
        } else {
            self.splices.remove(connection);
            self.engine.connection_closed(connection);
        }
    }

    /// A connection with a peer is ready, or has rested long enough.
    pub(in crate::relay) fn splice_ready(&mut self, id: PeerConnectionId, now: Instant) {
        let Self { splices, engine, core, packets, .. } = self;
        let progress = splices.progress(id, &core.poll, now, |direction, len| {
            *packets += u32::from(len > 0);
            carried(core, engine, id, direction, len, now)
        });
        match progress {
            Progress::Connected(connected) => self.engine.peer_connected(id, connected, now),
            Progress::Open => {}
            Progress::Ended => self.engine.connection_closed(id),
        }
    }

    /// Gives a client's connection to the shard that its last message belongs to. `bytes`: that message and what followed it.
    pub(in crate::relay) fn hand_stream_over(&mut self, id: StreamId, shard: u8, bytes: &[u8]) {
        let Some(mailbox) = self.core.mailboxes.get(usize::from(shard)) else { return };
        if let Some(mut stream) = self.streams.take(id, &self.core.poll) {
            stream.keep(bytes);
            if mailbox.offer(Caused::Stream(stream)).is_err() {
                self.core.stats.closed(Close::Limit);
            }
        }
    }

    /// A connection that another shard gave to this one.
    pub(in crate::relay) fn stream_handed_over(&mut self, mut stream: Box<Stream>, now: Instant) {
        let bytes = stream.take_kept();
        let Some(id) = self.take_in(stream, now) else { return self.core.stats.closed(Close::Limit) };
        let end = self.read_frames(id, &bytes, now);
        self.finish(now);
        match end {
            Some(why) => self.close_stream(id, why, now),
            None => self.prove(id, now),
        }
    }
}

/// Books bytes of a connection, and says until when that way is to rest; no bytes only ask.
fn carried(
    core: &Core,
    engine: &mut turn::Engine,
    id: PeerConnectionId,
    direction: Direction,
    len: usize,
    now: Instant,
) -> Option<Instant> {
    if len > 0 {
        let counted = match direction {
            Direction::ToPeer => Counted::ToPeer,
            Direction::ToClient => Counted::ToClient,
        };
        core.stats.forwarded(counted, Transport::Tcp, len);
    }
    engine.connection_carried(id, direction, len, now)
}

/// A connection that is being made, from the relayed transport address itself (RFC 6062 §5.2).
fn connect(from: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let family = if from.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let fd = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    // The socket that listens there allows it.
    sockopt::set_socket_reuseaddr(&fd, true)?;
    sockopt::set_socket_reuseport(&fd, true)?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    rustix::net::bind(&fd, &from)?;
    match rustix::net::connect(&fd, &peer) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd.into()),
        Err(error) => Err(error.into()),
    }
}
