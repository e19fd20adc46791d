//! Clients by their five-tuple, and the transports on both sides of the server.

use std::net::{IpAddr, SocketAddr};

/// The default port of STUN and TURN over UDP and TCP (RFC 8489 §8).
pub const STANDARD_PORT: u16 = 3478;

/// The transport between a client and this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// The name in `/metrics` and in the log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// True where messages are cut from a stream, and a handshake has proved the source address.
    pub const fn is_stream(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }
}

/// The transport between this server and the peers of an allocation (REQUESTED-TRANSPORT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerTransport {
    Udp,
    /// A TCP allocation (RFC 6062).
    Tcp,
}

/// Client address, server address and transport (RFC 8656 §2). A reply leaves from `server`.
///
/// An IPv4 client of a dual-stack socket is written as IPv4. A shell that writes it IPv4-mapped, as that socket reports it, does no
/// harm: limits count it as IPv4, and the client is told its IPv4 address.
/// For NAT behaviour discovery, `server` must be the address that the packet was sent to, not a wildcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiveTuple {
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub transport: Transport,
}

/// A five-tuple as one run of bytes, which hashes in one step and is smaller than the five-tuple itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FiveTupleKey([u8; 41]);

impl From<&FiveTuple> for FiveTupleKey {
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(others.iter().all(|other| FiveTupleKey::from(other) != FiveTupleKey::from(&tuple)));
    }
}
