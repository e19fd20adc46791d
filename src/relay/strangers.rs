//! How many connections without an allocation there are, in all and from one address: whoever proves nothing shares little.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Connections of one address (an IPv6 /64) that have not allocated yet.
const OF_ONE_ADDRESS: u32 = 32;
const IN_ALL: u32 = 2048;

/// Shared by the shards; asked when a connection comes and when it proves itself or goes.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by_address: HashMap<IpAddr, u32>,
    total: u32,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Stranger {
    strangers: Arc<Strangers>,
    address: IpAddr,
}

impl Strangers {
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Stranger> {
        let address = source(ip);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = counts.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= OF_ONE_ADDRESS || counts.total >= IN_ALL {
            return None;
        }
        counts.by_address.insert(address, of_address + 1);
        counts.total += 1;
        Some(Stranger { strangers: Arc::clone(self), address })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.strangers.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        match counts.by_address.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_and_gives_it_back() {
        let strangers = Arc::new(Strangers::default());
        let ip = "2001:db8::1".parse().unwrap();
        let held: Vec<_> = (0..100).filter_map(|_| strangers.admit(ip)).collect();
        assert_eq!(held.len(), OF_ONE_ADDRESS as usize);
        assert!(strangers.admit("2001:db8::ffff".parse().unwrap()).is_none(), "the same network");
        assert!(strangers.admit("192.0.2.1".parse().unwrap()).is_some());
        drop(held);
        assert!(strangers.admit(ip).is_some());
        assert!(strangers.0.lock().unwrap().by_address.is_empty());
    }
}
