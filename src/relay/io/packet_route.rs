//! The routes of packets, and the results of sending them.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// The route of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketRoute {
    /// The caller's number for the socket to send from.
    pub socket: u64,
    pub to: SocketAddr,
    /// The local address to send from, for a socket on a wildcard address.
    pub from: Option<IpAddr>,
    /// Set the DF bit (DONT-FRAGMENT).
    pub dont_fragment: bool,
}

/// Packets to one destination that were not sent.
#[derive(Debug)]
pub struct SendFailure {
    pub route: PacketRoute,
    pub packets: u32,
    pub error: io::Error,
}

/// The result of a flush.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushReport {
    pub packets: u64,
    pub bytes: u64,
    /// Packets that were reported as failures.
    pub failed: u64,
    /// System calls that sent.
    pub calls: u64,
}

impl FlushReport {
    pub(super) fn fail(&mut self, route: PacketRoute, packets: u16, error: io::Error, on_failure: &mut impl FnMut(SendFailure)) {
        self.failed += u64::from(packets);
        on_failure(SendFailure { route, packets: packets.into(), error });
    }
}
