//! The address of a TCP listener, with alternatives.

use std::net::SocketAddr;

/// Where a TCP listener is wanted: an address, and the alternatives to try where it can't be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// In the order in which they are tried; never empty.
    pub addrs: Vec<SocketAddr>,
    /// Whether the server refuses to start without it.
    pub required: bool,
}

impl Listen {
    /// An address that somebody has set.
    pub fn exactly(addr: SocketAddr) -> Self {
        Self { addrs: vec![addr], required: true }
    }
}
