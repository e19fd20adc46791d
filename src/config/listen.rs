//! Where a listener is wanted.

use std::net::SocketAddr;

/// A TCP listener's address, or the second choice where the first can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// In the order in which they are tried; never empty.
    pub addrs: Vec<SocketAddr>,
    /// Whether the program can't do without.
    pub required: bool,
}

impl Listen {
    /// What somebody has asked for.
    pub fn exactly(addr: SocketAddr) -> Self {
        Self { addrs: vec![addr], required: true }
    }
}
