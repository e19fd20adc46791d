//! The ports that are taken, and the engines whose live relayed addresses have them: a bit and a word for each port and family,
//! shared by all shards without locks.
//!
//! An engine starts its search at a random port of a range, so that shards with the same range do not compete. Any engine may
//! release a port: one engine may reserve a port that another claims (RESERVATION-TOKEN).

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use rand::{Rng, RngExt};

use super::codec::attribute::AddressFamily;

/// Words of 64 bits for 65,536 ports.
const PORT_WORDS: usize = 1024;

/// A set of ports.
pub(super) struct PortSet(Box<[AtomicU64; PORT_WORDS]>);

impl PortSet {
    fn new() -> Self {
        Self(Box::new([const { AtomicU64::new(0) }; PORT_WORDS]))
    }

    /// Returns false where the port was in the set already.
    pub(super) fn insert(&self, port: u16) -> bool {
        let (word, bit) = self.place(port);
        word.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Returns false where the port was not in the set.
    pub(super) fn remove(&self, port: u16) -> bool {
        let (word, bit) = self.place(port);
        word.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// How many ports of a range are in the set.
    fn len_in(&self, range: &RangeInclusive<u16>) -> usize {
        let (first, last) = (usize::from(*range.start()), usize::from(*range.end()));
        let bits_of_word = |word: usize| {
            let mut bits = self.0[word].load(Ordering::Relaxed);
            if word == first / 64 {
                bits &= u64::MAX << (first % 64);
            }
            if word == last / 64 {
                bits &= u64::MAX >> (63 - last % 64);
            }
            bits.count_ones() as usize
        };
        if first > last { 0 } else { (first / 64..=last / 64).map(bits_of_word).sum() }
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }

    fn place(&self, port: u16) -> (&AtomicU64, u64) {
        (&self.0[usize::from(port) / 64], 1 << (port % 64))
    }
}

/// The owner of a live relayed address that carries UDP. Two owners of one port, one after the other, are never equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PortOwner(u32);

impl PortOwner {
    const SHARD_BITS: u32 = 0x7F;
    const SOCKET_BIT: u32 = 0x80;
    const GENERATION_SHIFT: u32 = 8;

    /// The owner of a port after the one in `word`. The generation wraps after 2²⁴ owners of the port.
    const fn after(word: u32, shard: u8, socket: bool) -> Self {
        let generation = (word >> Self::GENERATION_SHIFT).wrapping_add(1) << Self::GENERATION_SHIFT;
        Self(generation | if socket { Self::SOCKET_BIT } else { 0 } | (shard as u32 + 1) & Self::SHARD_BITS)
    }

    /// The engine that has the relayed address.
    pub(super) const fn shard(self) -> u8 {
        ((self.0 & Self::SHARD_BITS) - 1) as u8
    }

    /// Whether the relayed address has a socket.
    pub(super) const fn has_socket(self) -> bool {
        self.0 & Self::SOCKET_BIT != 0
    }
}

/// The live relayed addresses of one family, by port.
struct LivePorts {
    /// A [`PortOwner`], or the last generation with a zero in place of the shard.
    words: Box<[AtomicU32]>,
    count: AtomicUsize,
}

impl LivePorts {
    fn new() -> Self {
        Self { words: (0..=u16::MAX).map(|_| AtomicU32::new(0)).collect(), count: AtomicUsize::new(0) }
    }

    fn owner(&self, port: u16) -> Option<PortOwner> {
        let word = self.words[usize::from(port)].load(Ordering::Acquire);
        (word & PortOwner::SHARD_BITS != 0).then_some(PortOwner(word))
    }

    fn insert(&self, port: u16, shard: u8, socket: bool) {
        let word = &self.words[usize::from(port)];
        word.store(PortOwner::after(word.load(Ordering::Relaxed), shard, socket).0, Ordering::Release);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self, port: u16) {
        let owner = self.words[usize::from(port)].fetch_and(!(PortOwner::SHARD_BITS | PortOwner::SOCKET_BIT), Ordering::AcqRel);
        if owner & PortOwner::SHARD_BITS != 0 {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The requirement of an Allocate on its port (RFC 8656 §18.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortRequirement {
    Any,
    /// EVEN-PORT with R = 0.
    Even,
    /// EVEN-PORT with R = 1: takes the next port too.
    EvenAndNext,
}

/// The ports of this server.
pub(super) struct Ports {
    taken: [PortSet; 2],
    live: [LivePorts; 2],
}

impl Ports {
    pub(super) fn new() -> Self {
        Self { taken: [PortSet::new(), PortSet::new()], live: [LivePorts::new(), LivePorts::new()] }
    }

    /// Takes a random free port of the first range that has one; `None` where no free port meets the requirement.
    pub(super) fn take(
        &self,
        family: AddressFamily,
        ranges: &[RangeInclusive<u16>],
        requirement: PortRequirement,
        rng: &mut impl Rng,
    ) -> Option<u16> {
        ranges.iter().find_map(|range| self.take_from(family, range, requirement, rng))
    }

    fn take_from(
        &self,
        family: AddressFamily,
        range: &RangeInclusive<u16>,
        requirement: PortRequirement,
        rng: &mut impl Rng,
    ) -> Option<u16> {
        let taken = &self.taken[family.index()];
        let (&first, &last) = (range.start(), range.end());
        if first > last {
            return None;
        }
        let count = u32::from(last - first) + 1;
        let start = rng.random_range(0..count);
        let mut step = 0;
        while step < count {
            let port = first + ((start + step) % count) as u16;
            let (word, _) = taken.place(port);
            // Skips the rest of a full word, unless the range ends or wraps inside it.
            let left = u32::from((64 - port % 64).min(last - port + 1));
            if word.load(Ordering::Relaxed) == u64::MAX {
                step += left;
                continue;
            }
            if Self::take_this(taken, port, last, requirement) {
                return Some(port);
            }
            step += 1;
        }
        None
    }

    fn take_this(taken: &PortSet, port: u16, last: u16, requirement: PortRequirement) -> bool {
        match requirement {
            PortRequirement::Any => taken.insert(port),
            PortRequirement::Even => port.is_multiple_of(2) && taken.insert(port),
            PortRequirement::EvenAndNext => {
                if !port.is_multiple_of(2) || port == last || !taken.insert(port) {
                    return false;
                }
                let next = taken.insert(port + 1);
                if !next {
                    taken.remove(port);
                }
                next
            }
        }
    }

    /// Releases a port, whether it is live or not.
    pub(super) fn release(&self, family: AddressFamily, port: u16) {
        self.live[family.index()].remove(port);
        let was_taken = self.taken[family.index()].remove(port);
        debug_assert!(was_taken, "port {port} was released twice");
    }

    /// The relayed address of a taken port, which `shard` has, carries UDP from now on.
    pub(super) fn set_live(&self, family: AddressFamily, port: u16, shard: u8, socket: bool) {
        self.live[family.index()].insert(port, shard, socket);
    }

    /// The owner of the live relayed address with this port.
    pub(super) fn owner(&self, family: AddressFamily, port: u16) -> Option<PortOwner> {
        self.live[family.index()].owner(port)
    }

    /// How many ports of `ranges` are taken. Reads a word for 64 ports.
    pub(super) fn taken_of(&self, family: AddressFamily, ranges: &[RangeInclusive<u16>]) -> usize {
        ranges.iter().map(|range| self.taken[family.index()].len_in(range)).sum()
    }

    pub(super) fn taken(&self, family: AddressFamily) -> usize {
        self.taken[family.index()].len()
    }

    pub(super) fn live(&self, family: AddressFamily) -> usize {
        self.live[family.index()].count.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").field("v4", &self.taken(AddressFamily::V4)).field("v6", &self.taken(AddressFamily::V6)).finish()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn every_port_of_a_slice_is_handed_out_once() {
        let ports = Ports::new();
        let mut rng = StdRng::seed_from_u64(1);
        for slice in [40_000..=40_000, 50_000..=50_331, 65_500..=65_535] {
            let mut got: Vec<u16> = std::iter::from_fn(|| {
                ports.take(AddressFamily::V4, std::slice::from_ref(&slice), PortRequirement::Any, &mut rng)
            })
            .collect();
            got.sort_unstable();
            assert_eq!(got, slice.collect::<Vec<_>>());
        }
        assert_eq!(ports.taken(AddressFamily::V6), 0);
        for (range, taken) in [(0..=u16::MAX, 369), (40_000..=40_000, 1), (50_001..=50_099, 99), (50_331..=65_500, 2)] {
            assert_eq!(ports.taken_of(AddressFamily::V4, std::slice::from_ref(&range)), taken, "{range:?}");
        }
        assert_eq!(ports.taken_of(AddressFamily::V4, &[1..=40_000, 60_000..=65_535]), 37);
    }

    #[test]
    fn r14_even_ports_and_their_siblings() {
        let ports = Ports::new();
        let mut rng = StdRng::seed_from_u64(2);
        let slice = 50_001..=50_010;
        let pair =
            |rng: &mut StdRng| ports.take(AddressFamily::V4, std::slice::from_ref(&slice), PortRequirement::EvenAndNext, rng);
        let pairs: Vec<u16> = std::iter::from_fn(|| pair(&mut rng)).collect();
        assert_eq!(pairs.len(), 4);
        assert_eq!(ports.taken(AddressFamily::V4), 8, "50010 has no sibling in the slice, and 50001 is odd");
        assert!(pairs.iter().all(|port| port % 2 == 0));
        assert_eq!(ports.take(AddressFamily::V4, std::slice::from_ref(&slice), PortRequirement::Even, &mut rng), Some(50_010));
        assert_eq!(ports.take(AddressFamily::V4, std::slice::from_ref(&slice), PortRequirement::Even, &mut rng), None);
    }

    #[test]
    fn a_later_range_is_used_where_the_earlier_ones_are_full() {
        let (ports, mut rng) = (Ports::new(), StdRng::seed_from_u64(3));
        let ranges = [5000..=5001, 7000..=7000];
        let mut take = || ports.take(AddressFamily::V4, &ranges, PortRequirement::Any, &mut rng);
        let mut first = [take(), take()];
        first.sort_unstable();
        assert_eq!((first, take(), take()), ([Some(5000), Some(5001)], Some(7000), None));
    }

    #[test]
    fn two_owners_of_one_port_are_different() {
        let ports = Ports::new();
        let owner = || ports.owner(AddressFamily::V6, 4000);
        assert_eq!(owner(), None);
        let mut earlier = Vec::new();
        for (shard, socket) in [(0, false), (63, true), (0, false)] {
            ports.taken[1].insert(4000);
            ports.set_live(AddressFamily::V6, 4000, shard, socket);
            let now = owner().expect("live");
            assert_eq!((now.shard(), now.has_socket(), ports.live(AddressFamily::V6)), (shard, socket, 1));
            assert!(!earlier.contains(&now));
            earlier.push(now);
            ports.release(AddressFamily::V6, 4000);
            assert_eq!((owner(), ports.live(AddressFamily::V6)), (None, 0));
        }
    }
}
