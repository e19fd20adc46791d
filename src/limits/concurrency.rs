//! How much an address may have at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::ip_prefix;

/// What each address has at once; clones share one table, which holds no address that has none.
#[derive(Debug, Clone)]
pub struct AddressCounter {
    most: u32,
    table: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// One of an address's places, given back when dropped.
#[derive(Debug)]
pub struct Place {
    network: IpAddr,
    table: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

impl AddressCounter {
    /// `most` of each address.
    pub fn new(most: u32) -> Self {
        Self { most, table: Arc::default() }
    }

    /// One more for `address`, IPv6 by its /64; `None`: it has as many as it may.
    pub fn enter(&self, address: IpAddr) -> Option<Place> {
        let network = ip_prefix::of_client(address);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let count = table.entry(network).or_insert(0);
        (*count < self.most).then(|| {
            *count += 1;
            Place { network, table: Arc::clone(&self.table) }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = table.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let counter = AddressCounter::new(2);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        let (first, _second) = (counter.enter(one).unwrap(), counter.enter(one).unwrap());
        assert!(counter.enter(one).is_none());
        let third = counter.enter(other).unwrap();
        drop((first, third));
        assert_eq!(counter.table.lock().unwrap().len(), 1);
        assert!(counter.enter(one).is_some());
    }
}
