//! The relayed sockets of one shard, by the dense numbers that the engine gives its relays.

use std::io;
use std::net::SocketAddr;

use crate::limits::descriptors::{Descriptor, Share};
use crate::relay::io::poll::{Interest, Poll};
use crate::relay::io::source::Source;
use crate::relay::io::udp::{Options, UdpSocket};
use crate::relay::tcp::acceptor::Acceptor;
use crate::turn::{OpenError, RelayTransport, RelayedAddressId};

/// A UDP socket of all clients, and where it listens.
#[derive(Debug)]
pub(in crate::relay) struct Listener {
    pub(in crate::relay) socket: UdpSocket,
    pub(in crate::relay) address: SocketAddr,
}

#[derive(Debug)]
pub(in crate::relay) struct RelaySockets {
    by_index: Vec<Option<(RelayedAddressId, RelaySocket, Descriptor)>>,
    share: Share,
}

#[derive(Debug)]
enum RelaySocket {
    Udp(UdpSocket),
    /// Listens for the peers of a TCP allocation.
    Tcp(Acceptor),
}

impl RelaySockets {
    pub(in crate::relay) const fn new(share: Share) -> Self {
        Self { by_index: Vec::new(), share }
    }

    pub(in crate::relay) fn socket(&self, relay: RelayedAddressId) -> Option<&UdpSocket> {
        if let RelaySocket::Udp(socket) = self.find(relay)? { Some(socket) } else { None }
    }

    pub(in crate::relay) fn acceptor(&self, relay: RelayedAddressId) -> Option<&Acceptor> {
        if let RelaySocket::Tcp(acceptor) = self.find(relay)? { Some(acceptor) } else { None }
    }

    /// Opens what the engine asked for.
    ///
    /// # Errors
    /// What the engine wants to know of it: try another port, or give up.
    pub(in crate::relay) fn open(
        &mut self,
        relay: RelayedAddressId,
        address: SocketAddr,
        transport: RelayTransport,
        poll: &Poll,
    ) -> Result<(), OpenError> {
        let descriptor = self.share.take().ok_or(OpenError::Failed)?;
        let token = Source::RelayedSocket(relay).token();
        let opened = match transport {
            RelayTransport::Udp => UdpSocket::bind(address, &Options::relayed())
                .and_then(|socket| poll.add(&socket, token, Interest::Datagrams).map(|()| RelaySocket::Udp(socket))),
            RelayTransport::Tcp => Acceptor::relayed(address)
                .and_then(|acceptor| poll.add(&acceptor, token, Interest::Read).map(|()| RelaySocket::Tcp(acceptor))),
        };
        match opened {
            Ok(socket) => {
                if self.by_index.len() <= relay.index() {
                    self.by_index.resize_with(relay.index() + 1, || None);
                }
                self.by_index[relay.index()] = Some((relay, socket, descriptor));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(OpenError::PortInUse),
            Err(error) => {
                tracing::debug!(%address, %error, "a relayed socket can't be opened");
                Err(OpenError::Failed)
            }
        }
    }

    /// Closes it; it may be gone already.
    pub(in crate::relay) fn close(&mut self, relay: RelayedAddressId) {
        if let Some(place) = self.by_index.get_mut(relay.index())
            && place.as_ref().is_some_and(|(owner, ..)| *owner == relay)
        {
            *place = None;
        }
    }

    fn find(&self, relay: RelayedAddressId) -> Option<&RelaySocket> {
        let (owner, socket, _) = self.by_index.get(relay.index())?.as_ref()?;
        (*owner == relay).then_some(socket)
    }
}
