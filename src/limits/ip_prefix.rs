//! What counts as one client: an IPv4 address, or the IPv6 /64 that one household or attacker has; and what counts as one site:
//! an IPv4 address, or the IPv6 /48 that one customer can get. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The client that `address` belongs to.
#[must_use]
pub const fn of_client(address: IpAddr) -> IpAddr {
    prefix(address, 64)
}

/// The site that `address` belongs to.
#[must_use]
pub const fn of_site(address: IpAddr) -> IpAddr {
    prefix(address, 48)
}

/// The provider that `address` belongs to: an IPv4 address as it is, or the IPv6 /32 that the smallest provider gets.
#[must_use]
pub const fn of_provider(address: IpAddr) -> IpAddr {
    prefix(address, 32)
}

/// The address of an IPv4 client of a dual-stack socket as IPv4.
#[must_use]
pub const fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

const fn prefix(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_counts_as_it_is_and_ipv6_by_its_network() {
        for (address, client, site) in [
            ("203.0.113.7", "203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1::"),
        ] {
            let [address, client, site] = [address, client, site].map(|text| text.parse::<IpAddr>().unwrap());
            assert_eq!((of_client(address), of_site(address)), (client, site));
        }
    }
}
