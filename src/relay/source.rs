//! The names of what a shard polls, as the numbers that epoll and the outbox carry.

use crate::turn::RelayId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The UDP socket of all clients.
    Listener,
    /// The TCP socket that accepts clients.
    Acceptor,
    /// A relayed transport address.
    Relay(RelayId),
    /// A client's connection.
    Stream(StreamId),
}

/// A connection of one shard. The generation tells it from an earlier one in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct StreamId {
    pub(super) index: u32,
    /// 31 bits.
    pub(super) generation: u32,
}

/// The highest bit of a relay's index, which no machine has the memory to need.
const NO_RELAY: u64 = 1 << 32;
const FIRST_STREAM: u64 = 2;

impl Source {
    pub(super) const fn token(self) -> u64 {
        match self {
            Self::Listener => NO_RELAY,
            Self::Acceptor => NO_RELAY | 1,
            Self::Relay(relay) => relay.token(),
            Self::Stream(stream) => (stream.generation as u64) << 33 | NO_RELAY | (stream.index as u64 + FIRST_STREAM),
        }
    }

    pub(super) const fn from_token(token: u64) -> Self {
        if token & NO_RELAY == 0 {
            return Self::Relay(RelayId::from_token(token));
        }
        match token as u32 as u64 {
            0 => Self::Listener,
            1 => Self::Acceptor,
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
        let relay = Source::Relay(RelayId::from_token(9 << 33 | 5));
        for source in [Source::Listener, Source::Acceptor, relay].into_iter().chain(streams) {
            assert_eq!(Source::from_token(source.token()), source);
        }
    }
}
