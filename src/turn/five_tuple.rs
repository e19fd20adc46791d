//! Who talks to us, and the names of what we open for them.

use std::net::{IpAddr, SocketAddr};

use super::codec::attribute::AddressFamily;

/// What carries a client's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    /// Messages are cut from a stream, and the source address was proven by a handshake.
    pub const fn is_stream(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }
}

/// Client address, server address and transport (RFC 8656 §2). A reply leaves from `server`.
///
/// An IPv4 client of a dual-stack socket is written as that socket reports it (IPv4-mapped); the client is told its IPv4 address. For NAT
/// behaviour discovery, `server` must be the address that the packet was sent to, not a wildcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiveTuple {
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub transport: Transport,
}

/// A five-tuple as one short run of bytes: it hashes in one go and takes less room as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TupleKey([u8; 41]);

impl From<&FiveTuple> for TupleKey {
    fn from(tuple: &FiveTuple) -> Self {
        let mut key = [0; 41];
        key[0] = tuple.transport as u8;
        for (at, address) in [(1, tuple.client), (19, tuple.server)] {
            // A mapped address cannot be confused with the IPv4 one: one socket never reports both.
            let ip = match address.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            key[at..at + 16].copy_from_slice(&ip.octets());
            key[at + 16..at + 18].copy_from_slice(&address.port().to_be_bytes());
        }
        if let SocketAddr::V6(client) = tuple.client {
            key[37..].copy_from_slice(&client.scope_id().to_be_bytes());
        }
        Self(key)
    }
}

/// An allocation of one engine. The generation tells it from an earlier one in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllocationId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// A relayed transport address of one engine, and so one socket of its shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayedAddressId {
    pub allocation: AllocationId,
    pub family: AddressFamily,
}

impl RelayedAddressId {
    /// Small and dense: an index into the shell's table of sockets.
    pub const fn index(self) -> usize {
        self.allocation.index as usize * 2 + self.family.index()
    }

    /// The relay as one number, for epoll.
    pub const fn token(self) -> u64 {
        (self.allocation.generation as u64) << 33 | (self.allocation.index as u64) << 1 | self.family.index() as u64
    }

    /// The way back from [`Self::token`]. A generation wraps after 2³¹ uses of one place.
    pub const fn from_token(token: u64) -> Self {
        let family = if token & 1 == 0 { AddressFamily::V4 } else { AddressFamily::V6 };
        Self { allocation: AllocationId { index: (token >> 1) as u32, generation: (token >> 33) as u32 }, family }
    }
}

/// CONNECTION-ID (RFC 6062 §6.2.1). Its first byte is the engine that owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerConnectionId(pub u32);

impl PeerConnectionId {
    pub const fn shard(self) -> u8 {
        (self.0 >> 24) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        for (index, generation, family) in
            [(0, 0, AddressFamily::V4), (7, 9, AddressFamily::V6), (u32::MAX, 0x7FFF_FFFF, AddressFamily::V6)]
        {
            let relay = RelayedAddressId { allocation: AllocationId { index, generation }, family };
            assert_eq!(RelayedAddressId::from_token(relay.token()), relay);
        }
    }

    #[test]
    fn keys_differ_where_five_tuples_do() {
        let tuple = FiveTuple {
            client: "192.0.2.1:1".parse().expect("an address"),
            server: "192.0.2.2:2".parse().expect("an address"),
            transport: Transport::Udp,
        };
        let others = [
            FiveTuple { client: tuple.server, server: tuple.client, ..tuple },
            FiveTuple { transport: Transport::Tcp, ..tuple },
            FiveTuple { client: "192.0.2.1:2".parse().expect("an address"), ..tuple },
        ];
        assert!(others.iter().all(|other| TupleKey::from(other) != TupleKey::from(&tuple)));
    }
}
