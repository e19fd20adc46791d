//! Defines which addresses count as one client, one site and one provider. PURE.
//!
//! | | IPv4 | IPv6 |
//! |---|---|---|
//! | client | the address | the /64 of one household |
//! | site | the address | the /48 that one customer can get |
//! | provider | the address | the /32 that the smallest provider gets |
//!
//! IPv4-mapped IPv6 addresses count as IPv4.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The client of `address`.
#[must_use]
pub const fn of_client(address: IpAddr) -> IpAddr {
    prefix(address, 64)
}

/// The site of `address`.
#[must_use]
pub const fn of_site(address: IpAddr) -> IpAddr {
    prefix(address, 48)
}

/// The provider of `address`.
#[must_use]
pub const fn of_provider(address: IpAddr) -> IpAddr {
    prefix(address, 32)
}

/// Turns the IPv4-mapped address that a dual-stack socket reports for an IPv4 client into IPv4.
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
