//! The ids of allocations, relayed transport addresses and peer connections.

use super::codec::attribute::AddressFamily;

/// An allocation of one engine. The generation distinguishes it from earlier allocations with the same index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllocationId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// A relayed transport address of one engine. The shell has one socket for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayedAddressId {
    pub allocation: AllocationId,
    pub family: AddressFamily,
}

impl RelayedAddressId {
    /// Small and dense, so that the shell can use it as an index into its table of sockets.
    pub const fn index(self) -> usize {
        self.allocation.index as usize * 2 + self.family.index()
    }

    /// The id as one number, for epoll.
    pub const fn token(self) -> u64 {
        (self.allocation.generation as u64) << 33 | (self.allocation.index as u64) << 1 | self.family.index() as u64
    }

    /// The inverse of [`Self::token`]. A generation wraps after 2³¹ allocations with one index.
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
            let relayed = RelayedAddressId { allocation: AllocationId { index, generation }, family };
            assert_eq!(RelayedAddressId::from_token(relayed.token()), relayed);
        }
    }
}
