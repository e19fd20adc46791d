//! The sockets of one shard's relayed transport addresses.
//!
//! Owner: a shard. The engine numbers its relayed addresses densely, so the table is a vector. Invariant: a socket has a
//! descriptor of the share for relayed sockets, and both end together.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::limits::descriptors::{Descriptor, DescriptorPool};
use crate::limits::log_interval::LogInterval;
use crate::relay::io::poll::{Interest, PollWaker, Poller};
use crate::relay::io::poll_source::PollSource;
use crate::relay::io::udp::BatchUdpSocket;
use crate::relay::io::udp_types::UdpOptions;
use crate::relay::tcp::acceptor::{Acceptor, is_exhaustion};
use crate::turn::{OpenError, PeerTransport, RelayedAddressId};

const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The sockets of relayed transport addresses.
#[derive(Debug)]
pub(in crate::relay) struct RelayedSockets {
    by_index: Vec<Option<OpenSocket>>,
    share: DescriptorPool,
    /// Wakes the thread that watches the machine's addresses.
    watcher: PollWaker,
    failures: FailureLog,
}

/// For the line that a relayed socket can't be opened.
#[derive(Debug)]
struct FailureLog {
    interval: LogInterval,
    since: Instant,
}

#[derive(Debug)]
struct OpenSocket {
    /// Distinguishes the socket from an earlier one with the same index.
    id: RelayedAddressId,
    socket: RelayedSocket,
    _descriptor: Descriptor,
}

#[derive(Debug)]
enum RelayedSocket {
    Udp(BatchUdpSocket),
    /// Listens for the peers of a TCP allocation.
    Tcp(Acceptor),
}

impl RelayedSockets {
    pub(in crate::relay) fn new(share: DescriptorPool, watcher: PollWaker) -> Self {
        let failures = FailureLog { interval: LogInterval::new(FAILURE_LOG_INTERVAL), since: Instant::now() };
        Self { by_index: Vec::new(), share, watcher, failures }
    }

    pub(in crate::relay) fn socket(&self, relayed: RelayedAddressId) -> Option<&BatchUdpSocket> {
        if let RelayedSocket::Udp(socket) = self.find(relayed)? { Some(socket) } else { None }
    }

    pub(in crate::relay) fn acceptor(&self, relayed: RelayedAddressId) -> Option<&Acceptor> {
        if let RelayedSocket::Tcp(acceptor) = self.find(relayed)? { Some(acceptor) } else { None }
    }

    /// Opens the socket that the engine asked for, and polls it.
    ///
    /// # Errors
    /// The engine tries another port where this one is taken, and gives up otherwise.
    pub(in crate::relay) fn open(
        &mut self,
        relayed: RelayedAddressId,
        address: SocketAddr,
        transport: PeerTransport,
        poller: &Poller,
    ) -> Result<(), OpenError> {
        let descriptor = self.share.take().ok_or(OpenError::NoDescriptors)?;
        let token = PollSource::RelayedSocket(relayed).token();
        let opened = match transport {
            PeerTransport::Udp => BatchUdpSocket::bind(address, &UdpOptions::relayed())
                .and_then(|socket| poller.add(&socket, token, Interest::Datagrams).map(|()| RelayedSocket::Udp(socket))),
            PeerTransport::Tcp => Acceptor::relayed(address)
                .and_then(|acceptor| poller.add(&acceptor, token, Interest::Read).map(|()| RelayedSocket::Tcp(acceptor))),
        };
        match opened {
            Ok(socket) => {
                if self.by_index.len() <= relayed.index() {
                    self.by_index.resize_with(relayed.index() + 1, || None);
                }
                self.by_index[relayed.index()] = Some(OpenSocket { id: relayed, socket, _descriptor: descriptor });
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(OpenError::PortInUse),
            Err(error) => {
                if self.failures.interval.is_due(self.failures.since.elapsed()) {
                    tracing::warn!(%address, %error, "a relayed socket can't be opened, so an Allocate is refused (508)");
                }
                Err(if error.kind() == io::ErrorKind::AddrNotAvailable {
                    self.watcher.wake();
                    OpenError::NoAddress
                } else if is_exhaustion(&error) {
                    OpenError::NoDescriptors
                } else {
                    OpenError::Failed
                })
            }
        }
    }

    /// Closes the socket, if it is still open.
    pub(in crate::relay) fn close(&mut self, relayed: RelayedAddressId) {
        if let Some(socket) = self.by_index.get_mut(relayed.index())
            && socket.as_ref().is_some_and(|open| open.id == relayed)
        {
            *socket = None;
        }
    }

    fn find(&self, relayed: RelayedAddressId) -> Option<&RelayedSocket> {
        let open = self.by_index.get(relayed.index())?.as_ref()?;
        (open.id == relayed).then_some(&open.socket)
    }
}
