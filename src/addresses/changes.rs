//! Tells when the machine's interfaces, addresses or routes have changed, as the kernel reports it (rtnetlink(7)).
//!
//! The kernel's messages are dropped unread: whoever learns of a change reads addresses and routes anew, as at the start. So a lost
//! message costs nothing, and there is one reader of addresses.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

const GROUPS: i32 =
    libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR | libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV6_ROUTE;
/// Messages that are dropped in one call; the socket stays readable while more wait.
const MAX_DROPPED_MESSAGES: usize = 1024;

/// A socket that is readable after a change.
#[derive(Debug)]
pub struct AddressChanges(OwnedFd);

impl AddressChanges {
    /// # Errors
    /// Of socket(2) and bind(2): the kernel or a sandbox has no such sockets.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // The protocol is NETLINK_ROUTE, whose number is 0.
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, GROUPS.cast_unsigned()))?;
        Ok(Self(fd))
    }

    /// Drops what was reported so far.
    pub fn clear(&self) {
        for _ in 0..MAX_DROPPED_MESSAGES {
            match rustix::io::read(&self.0, &mut [0; 64]) {
                // Some messages did not fit into the socket's buffer.
                Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl AsFd for AddressChanges {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
