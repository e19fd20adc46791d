//! The table of an engine's allocations, with an index for each way to find one.
//!
//! Timers are an index with one entry an allocation. An entry may be early, never late.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::allocation::{Allocation, RelayedAddress};
use super::codec::attribute::AddressFamily;
use super::five_tuple::{FiveTuple, FiveTupleKey, PeerTransport};
use super::ids::{AllocationId, RelayedAddressId};

/// A place for an allocation, with the time at which the timer index holds it.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    allocation: Option<(Instant, Box<Allocation>)>,
}

/// Every allocation of one engine, by id, five-tuple, relayed port, and time of the next expiry. Each index holds an allocation
/// once.
#[derive(Debug, Default)]
pub(super) struct AllocationTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_tuple: HashMap<FiveTupleKey, u32>,
    /// Live relayed addresses that carry UDP.
    by_port: HashMap<(AddressFamily, u16), AllocationId>,
    timers: BTreeSet<(Instant, AllocationId)>,
}

impl AllocationTable {
    pub(super) fn len(&self) -> usize {
        self.by_tuple.len()
    }

    /// The five-tuple must be free.
    pub(super) fn insert(&mut self, allocation: Allocation) -> AllocationId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("there are fewer five-tuples than 2³²")
        });
        let slot = &mut self.slots[index as usize];
        let id = AllocationId { index, generation: slot.generation };
        self.timers.insert((allocation.expires, id));
        self.by_tuple.insert((&allocation.five_tuple).into(), index);
        slot.allocation = Some((allocation.expires, Box::new(allocation)));
        id
    }

    pub(super) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        let (scheduled, allocation) = slot.allocation.take()?;
        // 31 bits, for RelayedAddressId::token.
        slot.generation = (slot.generation + 1) & 0x7FFF_FFFF;
        self.free.push(id.index);
        self.by_tuple.remove(&(&allocation.five_tuple).into());
        self.timers.remove(&(scheduled, id));
        for family in AddressFamily::ALL {
            if let Some(relayed) = allocation.relayed(family) {
                self.by_port.remove(&(family, relayed.port));
            }
        }
        Some(allocation)
    }

    pub(super) fn find(&self, from: &FiveTuple) -> Option<AllocationId> {
        let index = *self.by_tuple.get(&from.into())?;
        Some(AllocationId { index, generation: self.slots[index as usize].generation })
    }

    pub(super) fn allocation(&self, id: AllocationId) -> Option<&Allocation> {
        let slot = self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.allocation.as_ref().map(|(_, allocation)| &**allocation)
    }

    pub(super) fn allocation_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.allocation.as_mut().map(|(_, allocation)| &mut **allocation)
    }

    /// The number of places; an allocation keeps its place.
    pub(super) fn places(&self) -> usize {
        self.slots.len()
    }

    /// The allocation at this place.
    pub(super) fn at_place(&self, place: usize) -> Option<(AllocationId, &Allocation)> {
        let slot = self.slots.get(place)?;
        let id = AllocationId { index: u32::try_from(place).ok()?, generation: slot.generation };
        slot.allocation.as_ref().map(|(_, allocation)| (id, &**allocation))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (AllocationId, &Allocation)> {
        self.slots.iter().zip(0..).filter_map(|(slot, index)| {
            let id = AllocationId { index, generation: slot.generation };
            slot.allocation.as_ref().map(|(_, allocation)| (id, &**allocation))
        })
    }

    /// The socket of a relayed address is open: the address is found by its port from now on.
    pub(super) fn set_live(&mut self, id: RelayedAddressId) {
        let Some(allocation) = self.allocation_mut(id.allocation) else { return };
        let udp = allocation.transport == PeerTransport::Udp;
        let Some(relayed) = &mut allocation.relayed[id.family.index()] else { return };
        relayed.live = true;
        let port = relayed.port;
        if udp {
            self.by_port.insert((id.family, port), id.allocation);
        }
    }

    /// Removes the relayed address of one family.
    pub(super) fn remove_relayed_address(&mut self, id: RelayedAddressId) -> Option<RelayedAddress> {
        let relayed = self.allocation_mut(id.allocation)?.relayed[id.family.index()].take()?;
        if relayed.live {
            self.by_port.remove(&(id.family, relayed.port));
        }
        Some(relayed)
    }

    pub(super) fn by_port(&self, family: AddressFamily, port: u16) -> Option<RelayedAddressId> {
        self.by_port.get(&(family, port)).map(|&allocation| RelayedAddressId { allocation, family })
    }

    /// The client has moved to a free five-tuple (RFC 8016).
    pub(super) fn move_to(&mut self, id: AllocationId, five_tuple: FiveTuple) {
        let Some(allocation) = self.allocation_mut(id) else { return };
        let old = std::mem::replace(&mut allocation.five_tuple, five_tuple);
        self.by_tuple.remove(&(&old).into());
        self.by_tuple.insert((&five_tuple).into(), id.index);
    }

    /// Moves the timer where the next expiry has become earlier. A timer whose expiry has become later is left alone, unless
    /// `force`: the timer then fires early, and the caller of [`Self::due`] calls this again.
    pub(super) fn reschedule(&mut self, id: AllocationId, force: bool) {
        let Some(slot) = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation) else { return };
        let Some((scheduled, allocation)) = &mut slot.allocation else { return };
        let next = allocation.next_expiry();
        if next < *scheduled || force {
            self.timers.remove(&(*scheduled, id));
            self.timers.insert((next, id));
            *scheduled = next;
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// An allocation whose timer has fired. It fires again until [`Self::reschedule`] or [`Self::remove`].
    pub(super) fn due(&self, now: Instant) -> Option<AllocationId> {
        self.timers.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn audit(&self) -> Result<(), &'static str> {
        let mut live = 0;
        for (id, allocation) in self.iter() {
            allocation.peers.audit()?;
            if self.find(&allocation.five_tuple) != Some(id) {
                return Err("a five-tuple does not lead to its allocation");
            }
            let scheduled = self.slots[id.index as usize].allocation.as_ref().map(|(scheduled, _)| *scheduled);
            if !scheduled.is_some_and(|at| self.timers.contains(&(at, id)) && at <= allocation.next_expiry()) {
                return Err("an allocation's timer is missing or late");
            }
            let addresses =
                AddressFamily::ALL.into_iter().filter_map(|family| allocation.relayed(family).map(|relayed| (family, relayed)));
            for (family, relayed) in addresses.filter(|(_, relayed)| relayed.live && allocation.transport == PeerTransport::Udp) {
                live += 1;
                if self.by_port(family, relayed.port) != Some(RelayedAddressId { allocation: id, family }) {
                    return Err("a port does not lead to its relayed address");
                }
            }
        }
        let count = self.iter().count();
        if count != self.by_tuple.len() || count != self.timers.len() || count + self.free.len() != self.slots.len() {
            return Err("an index holds more than the allocations");
        }
        if live == self.by_port.len() { Ok(()) } else { Err("a port leads nowhere") }
    }
}
