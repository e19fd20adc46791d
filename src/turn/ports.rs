//! The ports that are taken, and those that are live relayed addresses: one bit a port and family, shared by all shards without
//! locks.
//!
//! An engine starts its search at a random port of its range, so that shards with the same range do not compete. Any engine may
//! release a port by clearing its bit: one engine may reserve a port that another claims (RESERVATION-TOKEN).

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

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

    pub(super) fn contains(&self, port: u16) -> bool {
        let (word, bit) = self.place(port);
        word.load(Ordering::Acquire) & bit != 0
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

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }

    fn place(&self, port: u16) -> (&AtomicU64, u64) {
        (&self.0[usize::from(port) / 64], 1 << (port % 64))
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
    live: [PortSet; 2],
}

impl Ports {
    pub(super) fn new() -> Self {
        Self { taken: [PortSet::new(), PortSet::new()], live: [PortSet::new(), PortSet::new()] }
    }

    /// Takes a random free port of `range`; `None` where no free port meets the requirement.
    pub(super) fn take(
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

    /// The relayed socket of a taken port is open, and carries UDP.
    pub(super) fn set_live(&self, family: AddressFamily, port: u16) {
        self.live[family.index()].insert(port);
    }

    pub(super) fn is_live(&self, family: AddressFamily, port: u16) -> bool {
        self.live[family.index()].contains(port)
    }

    pub(super) fn taken(&self, family: AddressFamily) -> usize {
        self.taken[family.index()].len()
    }

    pub(super) fn live(&self, family: AddressFamily) -> usize {
        self.live[family.index()].len()
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
            let mut got: Vec<u16> =
                std::iter::from_fn(|| ports.take(AddressFamily::V4, &slice, PortRequirement::Any, &mut rng)).collect();
            got.sort_unstable();
            assert_eq!(got, slice.collect::<Vec<_>>());
        }
        assert_eq!(ports.taken(AddressFamily::V6), 0);
    }

    #[test]
    fn r14_even_ports_and_their_siblings() {
        let ports = Ports::new();
        let mut rng = StdRng::seed_from_u64(2);
        let slice = 50_001..=50_010;
        let pair = |rng: &mut StdRng| ports.take(AddressFamily::V4, &slice, PortRequirement::EvenAndNext, rng);
        let pairs: Vec<u16> = std::iter::from_fn(|| pair(&mut rng)).collect();
        assert_eq!(pairs.len(), 4);
        assert_eq!(ports.taken(AddressFamily::V4), 8, "50010 has no sibling in the slice, and 50001 is odd");
        assert!(pairs.iter().all(|port| port % 2 == 0));
        assert_eq!(ports.take(AddressFamily::V4, &slice, PortRequirement::Even, &mut rng), Some(50_010));
        assert_eq!(ports.take(AddressFamily::V4, &slice, PortRequirement::Even, &mut rng), None);
    }
}
