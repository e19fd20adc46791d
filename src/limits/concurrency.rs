//! Limits how many connections one client may have at the same time.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::descriptors::Descriptor;
use super::ip_prefix;
use super::network_counts::NetworkCounts;

type Table = Arc<Mutex<NetworkCounts>>;

/// Counts the connections of each client. Clones share one table, which holds no client without a connection.
#[derive(Debug, Clone)]
pub struct ClientCounter {
    max: u32,
    table: Table,
}

/// One counted connection, which stops counting on drop.
#[derive(Debug)]
pub struct ConnectionSlot {
    /// `None` if the connection counts for no client.
    counted: Option<(IpAddr, Table)>,
    _descriptor: Option<Descriptor>,
}

impl ClientCounter {
    /// Allows at most `max` connections of each client.
    pub fn new(max: u32) -> Self {
        Self { max, table: Arc::default() }
    }

    /// Counts one more connection of the client of `address` (see [`ip_prefix::of_client`]); `None` if the client already has the
    /// maximum.
    pub fn acquire(&self, address: IpAddr) -> Option<ConnectionSlot> {
        let network = ip_prefix::of_client(address);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.of(network) >= self.max {
            return None;
        }
        table.increment(network);
        Some(ConnectionSlot { counted: Some((network, Arc::clone(&self.table))), _descriptor: None })
    }
}

impl ConnectionSlot {
    /// A connection that counts for no client, such as that of a proxy.
    #[must_use]
    pub const fn uncounted() -> Self {
        Self { counted: None, _descriptor: None }
    }

    /// The same slot, which also holds a descriptor.
    #[must_use]
    pub fn with_descriptor(mut self, descriptor: Descriptor) -> Self {
        self._descriptor = Some(descriptor);
        self
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let Some((network, table)) = &self.counted else { return };
        table.lock().unwrap_or_else(PoisonError::into_inner).decrement(*network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::descriptors::DescriptorPool;

    #[test]
    fn places_are_given_back() {
        let counter = ClientCounter::new(2);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        let (first, _second) = (counter.acquire(one).unwrap(), counter.acquire(one).unwrap());
        assert!(counter.acquire(one).is_none());
        let third = counter.acquire(other).unwrap();
        drop((first, third));
        assert_eq!(counter.table.lock().unwrap().networks(), 1);
        assert!(counter.acquire(one).is_some());
    }

    #[test]
    fn a_place_holds_its_descriptor_and_who_has_none_leaves_no_trace() {
        let (counter, pool) = (ClientCounter::new(1), DescriptorPool::new("test", 2));
        let one = "192.0.2.1".parse().unwrap();
        let places =
            [counter.acquire(one).unwrap(), ConnectionSlot::uncounted()].map(|place| place.with_descriptor(pool.take().unwrap()));
        assert_eq!((pool.taken(), counter.acquire(one).is_none()), (2, true));
        drop(places);
        assert_eq!((pool.taken(), counter.table.lock().unwrap().networks()), (0, 0));
        assert!(ClientCounter::new(0).acquire(one).is_none());
    }
}
