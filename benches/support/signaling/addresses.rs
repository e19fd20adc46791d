//! The addresses of clients: servers limit what one address may do.

use std::net::Ipv4Addr;

/// Clients of one address.
const CLIENTS_AN_ADDRESS: usize = 16;

/// An address of this machine for client `number`.
pub(crate) fn of_client(number: usize) -> Ipv4Addr {
    let host = number / CLIENTS_AN_ADDRESS;
    Ipv4Addr::new(127, 10 + (host >> 14) as u8, (host >> 7 & 127) as u8, 1 + (host & 127) as u8)
}
