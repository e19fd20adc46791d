//! The options of a UDP socket, the messages to send through it, and the ICMP errors that it reports.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// How to open a socket. Options that the kernel does not have (UDP_GRO before 5.0) are left out silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpOptions {
    /// SO_REUSEPORT: one socket a shard on the same address; the kernel keeps each client with one of them.
    pub reuse_port: bool,
    /// For a socket on `[::]`: IPv4 too.
    pub dual_stack: bool,
    /// Report the address that a datagram was sent to, so that a socket on a wildcard address can reply from there.
    pub packet_info: bool,
    /// UDP_GRO: trains arrive as one datagram.
    pub gro: bool,
    /// IP_RECVERR: keep ICMP errors for [`icmp_error`](super::udp::BatchUdpSocket::icmp_error).
    pub icmp_errors: bool,
    /// Clear the DF bit where the client did not send DONT-FRAGMENT (RFC 8656 §15; the alternate behaviour of §14).
    pub clear_dont_fragment: bool,
    /// Bytes that the kernel may hold in each direction; it may grant fewer.
    pub buffers: Option<usize>,
}

impl UdpOptions {
    /// For a socket of all clients.
    #[must_use]
    pub const fn clients(address: SocketAddr) -> Self {
        let wildcard = match address.ip() {
            IpAddr::V4(ip) => ip.is_unspecified(),
            IpAddr::V6(ip) => ip.is_unspecified(),
        };
        Self {
            reuse_port: true,
            dual_stack: wildcard,
            packet_info: wildcard,
            gro: true,
            icmp_errors: false,
            clear_dont_fragment: false,
            buffers: Some(4 << 20),
        }
    }

    /// For a relayed transport address.
    #[must_use]
    pub const fn relayed() -> Self {
        Self {
            reuse_port: false,
            dual_stack: false,
            packet_info: false,
            gro: true,
            icmp_errors: true,
            clear_dont_fragment: true,
            buffers: Some(1 << 20),
        }
    }
}

/// An ICMP error about a datagram that this socket has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    /// The destination of that datagram.
    pub peer: SocketAddr,
    /// The type, of ICMP or for an IPv6 peer of ICMPv6.
    pub kind: u8,
    pub code: u8,
    /// The next hop's MTU for "fragmentation needed" and "packet too big", else zero (RFC 8656 §18.13).
    pub data: [u8; 4],
}

/// One message of sendmmsg(2): a datagram, or a train of datagrams.
#[derive(Debug)]
pub(in crate::relay) struct UdpMessage {
    pub(in crate::relay) to: SocketAddr,
    pub(in crate::relay) from: Option<IpAddr>,
    /// Bytes of each segment but the last; `None` for a single datagram.
    pub(in crate::relay) segment: Option<u16>,
    /// The pieces of the message.
    pub(in crate::relay) slices: Range<usize>,
}
