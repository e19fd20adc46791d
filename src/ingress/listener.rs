//! Binds a listener to the first of its addresses that is free; an error says what to do. Connections may also be accepted elsewhere and
//! handed in.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, anyhow};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::addresses::port_holder::port_holder;
use crate::config::Listen;

/// A bound listener, and its address.
#[derive(Debug)]
pub struct Listener {
    source: Source,
    pub addr: SocketAddr,
}

#[derive(Debug)]
enum Source {
    Socket(TcpListener),
    Handed(mpsc::Receiver<std::net::TcpStream>),
}

impl Listener {
    /// Connections that the relay accepts at `addr`; they are non-blocking.
    #[must_use]
    pub const fn handed(connections: mpsc::Receiver<std::net::TcpStream>, addr: SocketAddr) -> Self {
        Self { source: Source::Handed(connections), addr }
    }

    /// The next connection, and its peer.
    ///
    /// # Errors
    /// accept(2) fails.
    pub(super) async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        match &mut self.source {
            Source::Socket(socket) => socket.accept().await,
            Source::Handed(connections) => match connections.recv().await {
                Some(stream) => {
                    let peer = stream.peer_addr()?;
                    Ok((TcpStream::from_std(stream)?, peer))
                }
                None => std::future::pending().await,
            },
        }
    }
}

/// Binds the first address that is free; `setting` is the environment variable with these addresses.
///
/// # Errors
/// Why the last address can't be bound, and what to do.
pub async fn bind(listen: &Listen, setting: &str) -> anyhow::Result<Listener> {
    let mut refused = anyhow!("{setting} names no address");
    for addr in &listen.addrs {
        match TcpListener::bind(addr).await {
            Ok(socket) => {
                let addr = socket.local_addr().context("a listener has no address")?;
                return Ok(Listener { source: Source::Socket(socket), addr });
            }
            Err(error) => refused = bind_error(*addr, setting, &error),
        }
    }
    Err(refused)
}

fn bind_error(addr: SocketAddr, setting: &str, error: &io::Error) -> anyhow::Error {
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        let holder = port_holder("TCP", addr);
        anyhow!("TCP {addr} is taken by {holder}: stop that program, or set {setting} to a free port")
    } else if kind == io::ErrorKind::PermissionDenied {
        anyhow!(
            "TCP {addr} needs more privileges: ports below 1024 are for root or for CAP_NET_BIND_SERVICE; set {setting} to a higher \
             port, or give the program that capability"
        )
    } else if kind == io::ErrorKind::AddrNotAvailable {
        let port = addr.port();
        anyhow!("{setting}={addr} is not an address of this machine: use one of its own, or 0.0.0.0:{port} for all")
    } else {
        anyhow!("{setting}={addr} can't be listened on: {error}")
    }
}
