//! A TCP socket that listens: for a shard's clients, or for the peers of a TCP allocation.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::limits::ip_prefix::canonical;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// Connections of clients that the kernel keeps until they are accepted.
const CLIENT_BACKLOG: i32 = 1024;
/// Connections of peers that the kernel keeps for one relayed transport address.
const PEER_BACKLOG: i32 = 16;

/// A non-blocking socket that listens.
#[derive(Debug)]
pub(in crate::relay) struct Acceptor(OwnedFd);

impl Acceptor {
    /// Listens for clients. With `shared`, several sockets listen at the same address, and the kernel distributes connections
    /// among them.
    ///
    /// # Errors
    /// Of socket(2), bind(2) and listen(2).
    pub(in crate::relay) fn bind(address: SocketAddr, shared: bool) -> io::Result<Self> {
        listening_socket(address, shared).map(Self)
    }

    /// Listens for peers at a relayed transport address, which connections to peers are bound to as well (RFC 6062 §5.2).
    ///
    /// # Errors
    /// Of socket(2), bind(2) and listen(2); `AddrInUse` where the port is taken.
    pub(in crate::relay) fn relayed(address: SocketAddr) -> io::Result<Self> {
        let fd = open(address)?;
        rustix::net::bind(&fd, &address)?;
        // Only after bind(2), so that a port of another program is not shared.
        sockopt::set_socket_reuseport(&fd, true)?;
        rustix::net::listen(&fd, PEER_BACKLOG)?;
        Ok(Self(fd))
    }

    /// # Errors
    /// Of getsockname(2).
    pub(in crate::relay) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(rustix::net::getsockname(&self.0)?.try_into()?)
    }

    /// Accepts the next connection. Returns it with the remote and the local address; an IPv4-mapped address is returned as IPv4.
    ///
    /// # Errors
    /// `WouldBlock` where none waits; see [`is_exhaustion`].
    pub(in crate::relay) fn accept(&self) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
        let (fd, _) = rustix::net::acceptfrom_with(&self.0, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        let stream = TcpStream::from(fd);
        // A relayed packet must not wait for the next one.
        stream.set_nodelay(true)?;
        let (client, server) = (canonical(stream.peer_addr()?), canonical(stream.local_addr()?));
        Ok((stream, client, server))
    }
}

impl AsFd for Acceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A non-blocking socket that listens for clients, of whatever protocol. `[::]` takes IPv4 too, whatever net.ipv6.bindv6only says. With
/// `shared`, several sockets may listen at the same address.
///
/// # Errors
/// Of socket(2), bind(2) and listen(2).
pub fn listening_socket(address: SocketAddr, shared: bool) -> io::Result<OwnedFd> {
    let fd = open(address)?;
    sockopt::set_socket_reuseport(&fd, shared)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, !address.ip().is_unspecified())?;
    }
    rustix::net::bind(&fd, &address)?;
    rustix::net::listen(&fd, CLIENT_BACKLOG)?;
    Ok(fd)
}

fn open(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Connections that a stopped server left in TIME_WAIT must not keep this one from starting.
    sockopt::set_socket_reuseaddr(&fd, true)?;
    Ok(fd)
}

/// Whether accept(2) failed because descriptors or memory have run out, so that it would immediately fail again.
pub(in crate::relay) fn is_exhaustion(error: &io::Error) -> bool {
    let codes = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}
