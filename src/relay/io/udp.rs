//! UDP sockets with recvmmsg(2), sendmmsg(2), UDP_GRO and UDP_SEGMENT. Apart from one call in `app::memory`, this is the only
//! file with `unsafe`.
//!
//! Owner of a socket: a shard, on a thread with an epoll loop; no call blocks. Received datagrams go to an
//! [`Inbox`](super::inbox::Inbox); datagrams to send come from an [`Outbox`](super::outbox::Outbox), which decides about trains
//! and about errors.
//!
//! Why `unsafe` is needed: rustix 1.1 has sendmmsg, but neither recvmmsg nor these control messages; nix 0.31 gives all
//! messages of one sendmmsg the same control message, and so the same segment size; quinn-udp sends one train a system call. What
//! rustix or std can do (bind, most options, epoll) is left to them.
//!
//! Sources: udp(7), ip(7), ipv6(7), recvmmsg(2), sendmmsg(2), and Documentation/networking/segmentation-offloads.rst.
#![allow(unsafe_code, reason = "recvmmsg and sendmmsg with control messages exist only in libc, see above")]

use std::io::{self, IoSlice};
use std::mem::{self, offset_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use libc::c_int;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::relay::io::arena::{Datagram, MAX_DATAGRAM_BYTES, ReceiveArena};
use crate::relay::io::udp_types::{IcmpError, UdpMessage, UdpOptions};

/// Errors of earlier sends that one receive skips; more are reported as an error of the socket.
const MAX_SKIPPED_ERRORS: u32 = 8;

/// A bound, unconnected, non-blocking UDP socket. It takes eight bytes, because each allocation has one.
#[derive(Debug)]
pub struct BatchUdpSocket {
    fd: OwnedFd,
    ipv6: bool,
    icmp_errors: bool,
    clear_dont_fragment: bool,
}

impl BatchUdpSocket {
    /// Opens a socket and binds it; port 0 is any free port.
    ///
    /// # Errors
    /// Of socket(2) and bind(2); `AddrInUse` where the port is taken.
    pub fn bind(address: SocketAddr, options: &UdpOptions) -> io::Result<Self> {
        let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
        if options.reuse_port {
            sockopt::set_socket_reuseport(&fd, true)?;
        }
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&fd, !options.dual_stack)?;
        }
        if let Some(bytes) = options.buffers {
            // More than rmem_max needs CAP_NET_ADMIN. A smaller buffer must not keep the server from starting.
            let _ = sockopt::set_socket_recv_buffer_size_force(&fd, bytes)
                .or_else(|_| sockopt::set_socket_recv_buffer_size(&fd, bytes));
            let _ = sockopt::set_socket_send_buffer_size(&fd, bytes);
        }
        let socket = Self {
            fd,
            ipv6: address.is_ipv6(),
            icmp_errors: options.icmp_errors,
            clear_dont_fragment: options.clear_dont_fragment,
        };
        if options.packet_info {
            socket.set_by_family(libc::IP_PKTINFO, libc::IPV6_RECVPKTINFO, 1)?;
        }
        if options.icmp_errors {
            socket.set_by_family(libc::IP_RECVERR, libc::IPV6_RECVERR, 1)?;
        }
        if options.clear_dont_fragment {
            socket.set_dont_fragment(false)?;
        }
        if options.gro {
            let _ = socket.set(libc::SOL_UDP, libc::UDP_GRO, 1);
        }
        rustix::net::bind(&socket.fd, &address)?;
        Ok(socket)
    }

    /// The address that the socket is bound to.
    ///
    /// # Errors
    /// Of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(rustix::net::getsockname(&self.fd)?.try_into()?)
    }

    /// One recvmmsg(2) into the arena: see [`Inbox::receive`](super::inbox::Inbox::receive).
    pub(in crate::relay) fn receive_batch(&self, arena: &mut ReceiveArena, state: &mut ReceiveState) -> io::Result<usize> {
        arena.datagrams.clear();
        state.prepare(arena.slots());
        let mut skippable_errors = MAX_SKIPPED_ERRORS;
        let received = loop {
            // SAFETY: `prepare` has pointed the headers at buffers that live in `state` and `arena`, which nothing else uses
            // until the call returns; the kernel writes no further than the lengths given there.
            let received = unsafe {
                libc::recvmmsg(
                    self.fd.as_raw_fd(),
                    state.headers.as_mut_ptr(),
                    state.headers.len() as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                    ptr::null_mut(),
                )
            };
            if let Ok(received) = usize::try_from(received) {
                break received;
            }
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::WouldBlock {
                break 0;
            }
            if error.kind() != io::ErrorKind::Interrupted {
                if skippable_errors == 0 {
                    return Err(error);
                }
                skippable_errors -= 1;
            }
        };
        arena.datagrams.extend((0..received).filter_map(|index| state.datagram(index)));
        Ok(received)
    }

    /// One sendmmsg(2). Returns how many messages the kernel took, at least one, or the error of the first message.
    pub(in crate::relay) fn send_messages(
        &self,
        messages: &[UdpMessage],
        slices: &[IoSlice<'_>],
        state: &mut SendState,
    ) -> io::Result<usize> {
        state.prepare(messages, slices, self.ipv6);
        // SAFETY: the headers point into `slices` and into vectors of `state`, all of which outlive the call and are only read.
        let sent = unsafe {
            libc::sendmmsg(
                self.fd.as_raw_fd(),
                state.headers.as_mut_ptr(),
                state.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// With `on`, sets the DF bit of all datagrams from now on; those longer than the path's MTU then fail with EMSGSIZE.
    /// Otherwise restores the option that the socket was opened with.
    pub(in crate::relay) fn set_dont_fragment(&self, on: bool) -> io::Result<()> {
        let (v4, v6) = match (on, self.clear_dont_fragment) {
            (true, _) => (libc::IP_PMTUDISC_DO, libc::IPV6_PMTUDISC_DO),
            (false, true) => (libc::IP_PMTUDISC_DONT, libc::IPV6_PMTUDISC_DONT),
            (false, false) => (libc::IP_PMTUDISC_WANT, libc::IPV6_PMTUDISC_WANT),
        };
        if self.ipv6 {
            return self.set(libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, v6);
        }
        self.set(libc::SOL_IP, libc::IP_MTU_DISCOVER, v4)
    }

    /// Whether the error of a send may belong to an earlier one.
    pub(in crate::relay) const fn has_late_errors(&self) -> bool {
        self.icmp_errors
    }

    /// The next ICMP error, where [`UdpOptions::icmp_errors`] is set. Epoll reports an error condition as long as an error waits.
    pub fn icmp_error(&self) -> Option<IcmpError> {
        loop {
            let mut name = SocketAddress::default();
            let mut control = ControlBuffer::default();
            let mut header = message_header(&mut name, &mut control);
            // SAFETY: the header points at two buffers on this stack frame with their true lengths, and at no payload.
            let received =
                unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
            if received < 0 {
                return None;
            }
            let error = control_messages(&header).find_map(|(level, kind, data)| match (level, kind) {
                (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR) => {
                    data.first_chunk::<{ size_of::<libc::sock_extended_err>() }>()
                }
                _ => None,
            });
            let (Some(error), Some(peer)) = (error, name.address()) else { continue };
            let at = |offset: usize| error.get(offset).copied().unwrap_or_default();
            let origin = at(offset_of!(libc::sock_extended_err, ee_origin));
            if origin == libc::SO_EE_ORIGIN_ICMP || origin == libc::SO_EE_ORIGIN_ICMP6 {
                let info = offset_of!(libc::sock_extended_err, ee_info);
                let info = u32::from_ne_bytes([at(info), at(info + 1), at(info + 2), at(info + 3)]);
                return Some(IcmpError {
                    peer,
                    kind: at(offset_of!(libc::sock_extended_err, ee_type)),
                    code: at(offset_of!(libc::sock_extended_err, ee_code)),
                    data: info.to_be_bytes(),
                });
            }
        }
    }

    /// Sets an option; on a dual-stack socket, for both families.
    fn set_by_family(&self, v4: c_int, v6: c_int, value: c_int) -> io::Result<()> {
        if self.ipv6 {
            self.set(libc::SOL_IPV6, v6, value)?;
            // Fails on a socket for IPv6 only, which does not need it.
            let _ = self.set(libc::SOL_IP, v4, value);
            return Ok(());
        }
        self.set(libc::SOL_IP, v4, value)
    }

    pub(in crate::relay) fn set(&self, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
        // SAFETY: the option value is a `c_int` that lives through the call, and its length is given.
        let result = unsafe {
            libc::setsockopt(self.fd.as_raw_fd(), level, name, (&raw const value).cast(), size_of::<c_int>() as libc::socklen_t)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for BatchUdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Buffers for recvmmsg(2) that are kept between calls. Each call sets their pointers anew.
#[derive(Default)]
pub(in crate::relay) struct ReceiveState {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
    names: Vec<SocketAddress>,
    controls: Vec<ControlBuffer>,
}

impl ReceiveState {
    fn prepare<'a>(&mut self, slots: impl Iterator<Item = &'a mut [u8]>) {
        self.iovecs.clear();
        self.iovecs.extend(slots.map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() }));
        self.names.resize_with(self.iovecs.len(), SocketAddress::default);
        self.controls.resize_with(self.iovecs.len(), ControlBuffer::default);
        self.headers.clear();
        for ((iovec, name), control) in self.iovecs.iter_mut().zip(&mut self.names).zip(&mut self.controls) {
            let mut header = message_header(name, control);
            header.msg_iov = iovec;
            header.msg_iovlen = 1;
            self.headers.push(libc::mmsghdr { msg_hdr: header, msg_len: 0 });
        }
    }

    fn datagram(&self, index: usize) -> Option<Datagram> {
        let header = &self.headers[index];
        let mut datagram = Datagram {
            from: self.names[index].address()?,
            to: None,
            start: ReceiveArena::slot_start(index),
            len: header.msg_len.min(MAX_DATAGRAM_BYTES as u32),
            segment: 0,
        };
        for (level, kind, data) in control_messages(&header.msg_hdr) {
            match (level, kind) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size = data.first_chunk().map(|bytes| c_int::from_ne_bytes(*bytes));
                    datagram.segment = size.and_then(|size| u32::try_from(size).ok()).unwrap_or_default();
                }
                (libc::SOL_IP, libc::IP_PKTINFO) => {
                    let at = offset_of!(libc::in_pktinfo, ipi_addr);
                    let octets = data.get(at..).and_then(<[u8]>::first_chunk::<4>);
                    datagram.to = octets.map(|octets| IpAddr::from(*octets));
                }
                (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                    let octets = data.first_chunk::<16>();
                    datagram.to = octets.map(|octets| IpAddr::from(*octets).to_canonical());
                }
                _ => {}
            }
        }
        Some(datagram)
    }
}

/// Buffers for sendmmsg(2) that are kept between calls. Each call sets their pointers anew.
#[derive(Default)]
pub(in crate::relay) struct SendState {
    headers: Vec<libc::mmsghdr>,
    names: Vec<SocketAddress>,
    controls: Vec<ControlBuffer>,
}

impl SendState {
    fn prepare(&mut self, messages: &[UdpMessage], slices: &[IoSlice<'_>], ipv6: bool) {
        self.names.clear();
        self.names.extend(messages.iter().map(|message| SocketAddress::new(message.to, ipv6)));
        self.controls.resize_with(messages.len(), ControlBuffer::default);
        self.headers.clear();
        for ((message, name), control) in messages.iter().zip(&mut self.names).zip(&mut self.controls) {
            let pieces = &slices[message.slices.clone()];
            let mut header = message_header(name, control);
            header.msg_namelen = name.len;
            // std guarantees that `IoSlice` has the layout of `iovec` on Unix; sendmmsg does not write to it.
            header.msg_iov = pieces.as_ptr().cast_mut().cast();
            header.msg_iovlen = pieces.len() as _;
            header.msg_controllen = control.fill(message.segment, message.from, ipv6) as _;
            if header.msg_controllen == 0 {
                header.msg_control = ptr::null_mut();
            }
            self.headers.push(libc::mmsghdr { msg_hdr: header, msg_len: 0 });
        }
    }
}

/// A message header that points at the buffers of `name` and `control`, without a payload.
fn message_header(name: &mut SocketAddress, control: &mut ControlBuffer) -> libc::msghdr {
    // SAFETY: all of its fields are integers and pointers, for which zero is a value; some targets have private padding.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = (&raw mut name.storage).cast();
    header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    header
}

/// A socket address as the kernel writes it.
struct SocketAddress {
    storage: libc::sockaddr_in6,
    len: libc::socklen_t,
}

impl Default for SocketAddress {
    fn default() -> Self {
        // SAFETY: integers and arrays of them, for which zero is a value.
        Self { storage: unsafe { mem::zeroed() }, len: 0 }
    }
}

impl SocketAddress {
    /// On an IPv6 socket, IPv4 addresses are mapped.
    fn new(address: SocketAddr, ipv6: bool) -> Self {
        let mut name = Self::default();
        let v6 = match address {
            SocketAddr::V4(address) if !ipv6 => {
                let storage = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                };
                name.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
                // SAFETY: a `sockaddr_in` fits in the larger, equally aligned `sockaddr_in6`, and any bytes are a value of that.
                unsafe { (&raw mut name.storage).cast::<libc::sockaddr_in>().write(storage) };
                return name;
            }
            SocketAddr::V4(address) => SocketAddrV6::new(address.ip().to_ipv6_mapped(), address.port(), 0, 0),
            SocketAddr::V6(address) => address,
        };
        name.storage.sin6_family = libc::AF_INET6 as libc::sa_family_t;
        name.storage.sin6_port = v6.port().to_be();
        name.storage.sin6_addr.s6_addr = v6.ip().octets();
        name.storage.sin6_scope_id = v6.scope_id();
        name.len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        name
    }

    /// An IPv4-mapped address is returned as IPv4.
    fn address(&self) -> Option<SocketAddr> {
        let port = u16::from_be(self.storage.sin6_port);
        match c_int::from(self.storage.sin6_family) {
            libc::AF_INET => {
                // SAFETY: the family says that a `sockaddr_in` was written here; it is smaller and equally aligned.
                let v4 = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in>().read() };
                Some(SocketAddr::from((Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()), port)))
            }
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(self.storage.sin6_addr.s6_addr);
                Some(match ip.to_ipv4_mapped() {
                    Some(ip) => SocketAddr::from((ip, port)),
                    None => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, self.storage.sin6_scope_id)),
                })
            }
            _ => None,
        }
    }
}

/// Holds the control messages of one message: a segment size and an IPv6 packet info, or an error with its source.
#[repr(C, align(8))]
struct ControlBuffer([u8; 128]);

impl Default for ControlBuffer {
    fn default() -> Self {
        Self([0; 128])
    }
}

impl ControlBuffer {
    /// Writes the control messages for the kernel, and returns their length.
    fn fill(&mut self, segment: Option<u16>, from: Option<IpAddr>, ipv6: bool) -> usize {
        let mut len = 0;
        if let Some(segment) = segment {
            len += self.push(len, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
        }
        match from {
            Some(IpAddr::V4(ip)) if !ipv6 => {
                let mut info = [0; size_of::<libc::in_pktinfo>()];
                info[offset_of!(libc::in_pktinfo, ipi_spec_dst)..][..4].copy_from_slice(&ip.octets());
                len += self.push(len, libc::SOL_IP, libc::IP_PKTINFO, &info);
            }
            Some(ip) => {
                let octets = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                let mut info = [0; size_of::<libc::in6_pktinfo>()];
                info[..16].copy_from_slice(&octets);
                len += self.push(len, libc::SOL_IPV6, libc::IPV6_PKTINFO, &info);
            }
            None => {}
        }
        len
    }

    fn push(&mut self, at: usize, level: c_int, kind: c_int, data: &[u8]) -> usize {
        // SAFETY: these functions only compute lengths.
        let (space, len, offset) =
            unsafe { (libc::CMSG_SPACE(data.len() as u32), libc::CMSG_LEN(data.len() as u32), libc::CMSG_LEN(0) as usize) };
        let place = &mut self.0[at..at + space as usize];
        // SAFETY: the header's values are integers; zero is one of them.
        let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
        header.cmsg_len = len as _;
        header.cmsg_level = level;
        header.cmsg_type = kind;
        // SAFETY: `place` is as long as CMSG_SPACE says, and so longer than a header; the write needs no alignment.
        unsafe { place.as_mut_ptr().cast::<libc::cmsghdr>().write_unaligned(header) };
        place[offset..offset + data.len()].copy_from_slice(data);
        space as usize
    }
}

/// Level, type and data of the control messages that the kernel wrote.
fn control_messages(header: &libc::msghdr) -> impl Iterator<Item = (c_int, c_int, &[u8])> {
    // SAFETY: `header` points at a control buffer, and the kernel has set its length to what it wrote.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    std::iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header within the control buffer, which the kernel has
        // written; so does the data lie within it.
        unsafe {
            let current = next;
            next = libc::CMSG_NXTHDR(header, current);
            let len = ((*current).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            let data = std::slice::from_raw_parts(libc::CMSG_DATA(current), len);
            Some(((*current).cmsg_level, (*current).cmsg_type, data))
        }
    })
}
