//! The names of what a shard polls, as the numbers that epoll and the outbox carry.

use crate::turn::{PeerConnectionId, RelayedAddressId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Source {
    /// A UDP socket of all clients; 0 is the first one.
    Listener(u8),
    /// A TCP socket that accepts clients; 0 is the first one.
    Acceptor(u8),
    /// A relayed transport address.
    RelayedSocket(RelayedAddressId),
    /// A client's connection.
    Stream(StreamId),
    /// A connection with a peer, and the client's connection that it is spliced with.
    Splice(PeerConnectionId),
}

/// A connection of one shard. The generation tells it from an earlier one in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::relay) struct StreamId {
    pub(in crate::relay) index: u32,
    /// 31 bits.
    pub(in crate::relay) generation: u32,
}

/// The highest bit of a relay's index, which no machine has the memory to need.
const NO_RELAY: u64 = 1 << 32;
const FIRST_ACCEPTOR: u64 = 4;
const SPLICE: u64 = 6;
const FIRST_STREAM: u64 = 7;

impl Source {
    pub(in crate::relay) const fn token(self) -> u64 {
        match self {
            Self::Listener(number) => NO_RELAY | number as u64,
            Self::Acceptor(number) => NO_RELAY | (number as u64 + FIRST_ACCEPTOR),
            // A shard's index is below 64, so that an id has 30 bits.
            Self::Splice(connection) => (connection.0 as u64) << 33 | NO_RELAY | SPLICE,
            Self::RelayedSocket(relay) => relay.token(),
            Self::Stream(stream) => (stream.generation as u64) << 33 | NO_RELAY | (stream.index as u64 + FIRST_STREAM),
        }
    }

    pub(in crate::relay) const fn from_token(token: u64) -> Self {
        if token & NO_RELAY == 0 {
            return Self::RelayedSocket(RelayedAddressId::from_token(token));
        }
        match token as u32 as u64 {
            listener @ 0..FIRST_ACCEPTOR => Self::Listener(listener as u8),
            acceptor @ FIRST_ACCEPTOR..SPLICE => Self::Acceptor((acceptor - FIRST_ACCEPTOR) as u8),
            SPLICE => Self::Splice(PeerConnectionId((token >> 33) as u32)),
            index => Self::Stream(StreamId { index: (index - FIRST_STREAM) as u32, generation: (token >> 33) as u32 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        let streams = [(0, 0), (7, 9), (1 << 20, 0x7FFF_FFFF)];
        let streams = streams.map(|(index, generation)| Source::Stream(StreamId { index, generation }));
        let relay = Source::RelayedSocket(RelayedAddressId::from_token(9 << 33 | 5));
        let splice = Source::Splice(PeerConnectionId(63 << 24 | 0xFF_FFFF));
        let listeners = [Source::Listener(0), Source::Listener(3), Source::Acceptor(0), Source::Acceptor(1)];
        for source in listeners.into_iter().chain([relay, splice]).chain(streams) {
            assert_eq!(Source::from_token(source.token()), source);
        }
    }
}
