//! Binds a listener to the first of its addresses that is free; an error says what to do. Connections may also be accepted elsewhere and
//! handed in.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::addresses::port_holder::{listen_privilege, port_taken, without_ipv6};
use crate::config::Listen;
use crate::relay::{ForwardedConnection, listening_socket};

/// From the accept until the protocol is known, a TLS handshake included.
const DETECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A bound listener, and its address.
#[derive(Debug)]
pub struct Listener {
    source: Source,
    pub addr: SocketAddr,
    /// Whether HTTP is served there, besides TURN.
    serves_http: bool,
}

/// What became of the addresses of a listener.
pub struct Bound {
    pub listener: Listener,
    /// Why the address before that of the listener could not be bound, and what to do.
    pub refused: Option<anyhow::Error>,
}

/// A new connection.
pub(super) struct NewConnection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// When the connection is closed, unless its protocol is known by then.
    pub(super) deadline: Instant,
    pub(super) serves_http: bool,
}

#[derive(Debug)]
enum Source {
    Socket(TcpListener),
    Handed(mpsc::Receiver<ForwardedConnection>),
}

impl Listener {
    /// Connections that the relay accepts at `addr` and forwards.
    #[must_use]
    pub const fn handed(connections: mpsc::Receiver<ForwardedConnection>, addr: SocketAddr, serves_http: bool) -> Self {
        Self { source: Source::Handed(connections), addr, serves_http }
    }

    /// The next connection.
    ///
    /// # Errors
    /// accept(2) fails.
    pub(super) async fn accept(&mut self) -> io::Result<NewConnection> {
        let (stream, peer, deadline) = match &mut self.source {
            Source::Socket(socket) => {
                let (stream, peer) = socket.accept().await?;
                (stream, peer, Instant::now() + DETECT_TIMEOUT)
            }
            Source::Handed(connections) => match connections.recv().await {
                Some(ForwardedConnection { stream, deadline, .. }) => {
                    let peer = stream.peer_addr()?;
                    (TcpStream::from_std(stream)?, peer, deadline)
                }
                None => std::future::pending().await,
            },
        };
        Ok(NewConnection { stream, peer, deadline, serves_http: self.serves_http })
    }
}

/// Binds the first address that is free; `setting` is the environment variable with these addresses.
///
/// # Errors
/// Why the last address can't be bound, and what to do.
pub fn bind(listen: &Listen, setting: &str) -> anyhow::Result<Bound> {
    let mut refused = None;
    for addr in &listen.addrs {
        match listening_socket(*addr, false).and_then(|socket| TcpListener::from_std(socket.into())) {
            Ok(socket) => {
                let addr = socket.local_addr().context("a listener has no address")?;
                return Ok(Bound { listener: Listener { source: Source::Socket(socket), addr, serves_http: true }, refused });
            }
            Err(error) => refused = Some(bind_error(*addr, setting, &error)),
        }
    }
    Err(refused.unwrap_or_else(|| anyhow!("{setting} names no address")))
}

fn bind_error(addr: SocketAddr, setting: &str, error: &io::Error) -> anyhow::Error {
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        anyhow!(port_taken("TCP", addr, setting))
    } else if kind == io::ErrorKind::PermissionDenied {
        anyhow!("TCP {addr} needs more privileges: {}; or set {setting} to a higher port", listen_privilege(addr.port()))
    } else if kind == io::ErrorKind::AddrNotAvailable {
        let port = addr.port();
        anyhow!("{setting}={addr} is not an address of this machine: use one of its own, or 0.0.0.0:{port} for all")
    } else if let Some(sentence) = without_ipv6(addr, setting, error) {
        anyhow!(sentence)
    } else {
        anyhow!("{setting}={addr} can't be listened on: {error}")
    }
}
