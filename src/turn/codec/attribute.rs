//! Attribute numbers, and the values that a server reads (RFC 8489 §14, RFC 8656 §18, RFC 5780 §7, RFC 6062 §6.2, RFC 8016 §3.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::header::{MAGIC_COOKIE, TransactionId};

pub const MAPPED_ADDRESS: u16 = 0x0001;
pub const CHANGE_REQUEST: u16 = 0x0003;
pub const USERNAME: u16 = 0x0006;
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
pub const ERROR_CODE: u16 = 0x0009;
pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
pub const CHANNEL_NUMBER: u16 = 0x000C;
pub const LIFETIME: u16 = 0x000D;
pub const XOR_PEER_ADDRESS: u16 = 0x0012;
pub const DATA: u16 = 0x0013;
pub const REALM: u16 = 0x0014;
pub const NONCE: u16 = 0x0015;
pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
pub const EVEN_PORT: u16 = 0x0018;
pub const REQUESTED_TRANSPORT: u16 = 0x0019;
pub const DONT_FRAGMENT: u16 = 0x001A;
pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
pub const PASSWORD_ALGORITHM: u16 = 0x001D;
pub const USERHASH: u16 = 0x001E;
pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
pub const RESERVATION_TOKEN: u16 = 0x0022;
pub const CONNECTION_ID: u16 = 0x002A;
pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
pub const PASSWORD_ALGORITHMS: u16 = 0x8002;
pub const ICMP: u16 = 0x8004;
pub const SOFTWARE: u16 = 0x8022;
pub const ALTERNATE_SERVER: u16 = 0x8023;
pub const FINGERPRINT: u16 = 0x8028;
pub const RESPONSE_ORIGIN: u16 = 0x802B;
pub const OTHER_ADDRESS: u16 = 0x802C;
pub const MOBILITY_TICKET: u16 = 0x8030;

/// Attributes below this number are comprehension-required (RFC 8489 §14): an unknown one gets 420 (§6.3.1).
pub const COMPREHENSION_OPTIONAL: u16 = 0x8000;

/// An address family, with its number in attributes (RFC 8489 §14.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AddressFamily {
    V4 = 1,
    V6 = 2,
}

impl AddressFamily {
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// 0 for IPv4 and 1 for IPv6: the index in an array of two.
    pub const fn index(self) -> usize {
        match self {
            Self::V4 => 0,
            Self::V6 => 1,
        }
    }

    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// The family with this number in REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }
}

/// Reads the value of an XOR-…-ADDRESS attribute (RFC 8489 §14.2); `None` where it is malformed.
pub fn xor_address(value: &[u8], transaction: &TransactionId) -> Option<SocketAddr> {
    let (&[_, family, high, low], ip) = value.split_first_chunk()?;
    let port = u16::from_be_bytes([high, low]) ^ (MAGIC_COOKIE >> 16) as u16;
    match AddressFamily::from_number(family)? {
        AddressFamily::V4 => {
            let ip: [u8; 4] = ip.try_into().ok()?;
            Some((Ipv4Addr::from(u32::from_be_bytes(ip) ^ MAGIC_COOKIE), port).into())
        }
        AddressFamily::V6 => {
            let ip: [u8; 16] = ip.try_into().ok()?;
            Some((Ipv6Addr::from(u128::from_be_bytes(ip) ^ transaction.mask()), port).into())
        }
    }
}

/// Writes the value of an XOR-…-ADDRESS attribute and returns its length, 8 or 20.
pub fn put_xor_address(out: &mut [u8; 20], address: SocketAddr, transaction: &TransactionId) -> usize {
    let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
    out[0] = 0;
    out[1] = AddressFamily::of(address.ip()) as u8;
    out[2..4].copy_from_slice(&port.to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => {
            out[4..8].copy_from_slice(&(u32::from(ip) ^ MAGIC_COOKIE).to_be_bytes());
            8
        }
        IpAddr::V6(ip) => {
            out[4..20].copy_from_slice(&(u128::from(ip) ^ transaction.mask()).to_be_bytes());
            20
        }
    }
}

/// Reads a value of exactly four bytes, such as LIFETIME or CONNECTION-ID.
pub fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// The two flags of CHANGE-REQUEST (RFC 5780 §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeRequest {
    pub ip: bool,
    pub port: bool,
}

impl ChangeRequest {
    pub fn read(value: &[u8]) -> Option<Self> {
        number(value).map(|flags| Self { ip: flags & 4 != 0, port: flags & 2 != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xor_addresses_round_trip() {
        let transaction = TransactionId(*b"abcdefghijkl");
        for address in ["192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"] {
            let address: SocketAddr = address.parse().expect("an address");
            let mut value = [0; 20];
            let len = put_xor_address(&mut value, address, &transaction);
            assert_eq!(xor_address(&value[..len], &transaction), Some(address));
            assert_eq!(xor_address(&value[..len - 1], &transaction), None);
        }
        assert_eq!(xor_address(&[0, 3, 0, 0, 1, 2, 3, 4], &transaction), None);
    }
}
