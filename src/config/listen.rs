//! The address of a TCP listener, with alternatives, and where listeners are by default.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::LazyLock;

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

/// Reads the address of a listener; an IPv4-mapped one is IPv4.
pub(super) fn listening_addr(text: &str) -> Option<SocketAddr> {
    let mut addr: SocketAddr = text.parse().ok()?;
    // Keeps the zone of a link-local address.
    addr.set_ip(addr.ip().to_canonical());
    Some(addr)
}

/// Whether the kernel has IPv6; asked once, so that all listeners have the same default.
static KERNEL_HAS_IPV6: LazyLock<bool> = LazyLock::new(|| {
    let disabled = fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6").is_ok_and(|text| text.trim() == "1");
    !disabled && UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
});

/// A default address on this machine: `[::]`, which takes IPv4 too, is `0.0.0.0` where the kernel has no IPv6.
pub(super) fn on_this_machine(default: SocketAddr) -> SocketAddr {
    on_machine(default, || *KERNEL_HAS_IPV6)
}

fn on_machine(default: SocketAddr, has_ipv6: impl Fn() -> bool) -> SocketAddr {
    let wildcard = default.ip() == Ipv6Addr::UNSPECIFIED;
    if wildcard && !has_ipv6() { (Ipv4Addr::UNSPECIFIED, default.port()).into() } else { default }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_ipv4() {
        for (text, address) in
            [("[::ffff:192.0.2.7]:80", "192.0.2.7:80"), ("[::ffff:0.0.0.0]:80", "0.0.0.0:80"), ("[::]:80", "[::]:80")]
        {
            assert_eq!(listening_addr(text).map(|addr| addr.to_string()).as_deref(), Some(address));
        }
        assert_eq!(listening_addr("[fe80::1%1]:80").map(|addr| addr.port()), Some(80));
        assert_eq!(listening_addr("::1"), None);
    }

    #[test]
    fn defaults_have_both_families_where_the_kernel_has_ipv6() {
        for (default, has_ipv6, address) in
            [("[::]:3478", true, "[::]:3478"), ("[::]:3478", false, "0.0.0.0:3478"), ("127.0.0.1:3478", false, "127.0.0.1:3478")]
        {
            assert_eq!(on_machine(default.parse().unwrap(), || has_ipv6).to_string(), address);
        }
    }
}
