//! How many items each network has: clients or sites, as [`ip_prefix`](super::ip_prefix) defines them. PURE.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

/// The counts of networks; a network without an item takes no memory.
#[derive(Debug, Default)]
pub struct NetworkCounts(HashMap<IpAddr, u32>);

impl NetworkCounts {
    /// The count of `network`.
    #[must_use]
    pub fn of(&self, network: IpAddr) -> u32 {
        self.0.get(&network).copied().unwrap_or(0)
    }

    pub fn increment(&mut self, network: IpAddr) {
        *self.0.entry(network).or_insert(0) += 1;
    }

    pub fn decrement(&mut self, network: IpAddr) {
        if let Entry::Occupied(mut count) = self.0.entry(network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// How many networks have an item.
    #[cfg(test)]
    pub fn networks(&self) -> usize {
        self.0.len()
    }
}
