//! The sources that a shard polls. Epoll and the outbox carry a source as one number, the token.
//!
//! ```text
//!   bits    63..33                    32   31..0
//!           generation or id of it    1    0..4 client socket · 4..6 client acceptor · 6 peer connection · 7.. client stream
//!           generation                0    relayed socket: index
//! ```

use crate::turn::{PeerConnectionId, RelayedAddressId};

/// A source that a shard polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum PollSource {
    /// A UDP socket of all clients; 0 is the first one.
    ClientSocket(u8),
    /// A TCP socket that accepts clients; 0 is the first one.
    ClientAcceptor(u8),
    /// A relayed transport address.
    RelayedSocket(RelayedAddressId),
    /// A client's TCP or TLS stream.
    ClientStream(ClientStreamId),
    /// A connection with a peer, and the client's connection that it is spliced with.
    PeerConnection(PeerConnectionId),
}

/// A client's stream of one shard. The generation distinguishes it from an earlier stream with the same index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::relay) struct ClientStreamId {
    pub(in crate::relay) index: u32,
    /// Up to [`MAX_STREAM_GENERATION`].
    pub(in crate::relay) generation: u32,
}

/// Generations wrap at 31 bits.
pub(in crate::relay) const MAX_STREAM_GENERATION: u32 = 0x7FFF_FFFF;
/// The highest bit of a relayed address's index, which no machine has the memory to need.
const NO_RELAYED_SOCKET: u64 = 1 << 32;
const FIRST_ACCEPTOR: u64 = 4;
const PEER_CONNECTION: u64 = 6;
const FIRST_CLIENT_STREAM: u64 = 7;

impl PollSource {
    pub(in crate::relay) const fn token(self) -> u64 {
        match self {
            Self::ClientSocket(number) => NO_RELAYED_SOCKET | number as u64,
            Self::ClientAcceptor(number) => NO_RELAYED_SOCKET | (number as u64 + FIRST_ACCEPTOR),
            // An engine's index is below 64, so an id has 30 bits.
            Self::PeerConnection(connection) => (connection.0 as u64) << 33 | NO_RELAYED_SOCKET | PEER_CONNECTION,
            Self::RelayedSocket(relayed) => relayed.token(),
            Self::ClientStream(stream) => {
                (stream.generation as u64) << 33 | NO_RELAYED_SOCKET | (stream.index as u64 + FIRST_CLIENT_STREAM)
            }
        }
    }

    pub(in crate::relay) const fn from_token(token: u64) -> Self {
        if token & NO_RELAYED_SOCKET == 0 {
            return Self::RelayedSocket(RelayedAddressId::from_token(token));
        }
        match token as u32 as u64 {
            number @ 0..FIRST_ACCEPTOR => Self::ClientSocket(number as u8),
            acceptor @ FIRST_ACCEPTOR..PEER_CONNECTION => Self::ClientAcceptor((acceptor - FIRST_ACCEPTOR) as u8),
            PEER_CONNECTION => Self::PeerConnection(PeerConnectionId((token >> 33) as u32)),
            index => Self::ClientStream(ClientStreamId {
                index: (index - FIRST_CLIENT_STREAM) as u32,
                generation: (token >> 33) as u32,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        let streams = [(0, 0), (7, 9), (1 << 20, MAX_STREAM_GENERATION)];
        let streams = streams.map(|(index, generation)| PollSource::ClientStream(ClientStreamId { index, generation }));
        let relay = PollSource::RelayedSocket(RelayedAddressId::from_token(9 << 33 | 5));
        let splice = PollSource::PeerConnection(PeerConnectionId(63 << 24 | 0xFF_FFFF));
        let client_sockets = [
            PollSource::ClientSocket(0),
            PollSource::ClientSocket(3),
            PollSource::ClientAcceptor(0),
            PollSource::ClientAcceptor(1),
        ];
        for source in client_sockets.into_iter().chain([relay, splice]).chain(streams) {
            assert_eq!(PollSource::from_token(source.token()), source);
        }
    }
}
