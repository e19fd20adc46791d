//! Counts the items that each client has of a shared resource, and says which item has to go first when the resource is exhausted. PURE.
//!
//! It is fair between sites ([`ip_prefix::of_site`]): the site with the most items loses one first, and of its clients
//! ([`ip_prefix::of_client`]) the one with the most. Every operation takes logarithmic time.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ip_prefix;

/// The first and the last address in their order.
const FIRST_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const LAST_ADDRESS: IpAddr = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));

/// Items of type `T`, each with an address and a weight, which is 1 for most. Of one client's items the smallest goes first.
///
/// Invariant: `sites` and the two orders have the weights of the items in `clients`, where no set is empty.
#[derive(Debug)]
pub struct FairShares<T> {
    clients: HashMap<IpAddr, Items<T>>,
    sites: HashMap<IpAddr, usize>,
    /// Weight, site.
    sites_by_weight: BTreeSet<(usize, IpAddr)>,
    /// Site, weight, client.
    clients_by_weight: BTreeSet<(IpAddr, usize, IpAddr)>,
    total: usize,
}

#[derive(Debug)]
struct Items<T> {
    items: BTreeSet<T>,
    weight: usize,
}

impl<T> Default for FairShares<T> {
    fn default() -> Self {
        Self {
            clients: HashMap::new(),
            sites: HashMap::new(),
            sites_by_weight: BTreeSet::new(),
            clients_by_weight: BTreeSet::new(),
            total: 0,
        }
    }
}

impl<T: Ord + Clone> FairShares<T> {
    /// Adds an item of the client at `from`.
    pub fn insert(&mut self, from: IpAddr, item: T) {
        self.insert_weighted(from, item, 1);
    }

    /// Adds an item of `from` that counts as `weight` items.
    pub fn insert_weighted(&mut self, from: IpAddr, item: T, weight: usize) {
        let before = self.of_client(from);
        let empty = || Items { items: BTreeSet::new(), weight: 0 };
        let client = self.clients.entry(ip_prefix::of_client(from)).or_insert_with(empty);
        if client.items.insert(item) {
            client.weight += weight;
            self.count(from, before, before + weight);
        }
    }

    /// Removes an item of `from`, if it exists.
    pub fn remove(&mut self, from: IpAddr, item: T) {
        self.remove_weighted(from, &item, 1);
    }

    /// Removes an item of `from` with the weight with which it was added, if it exists.
    pub fn remove_weighted(&mut self, from: IpAddr, item: &T, weight: usize) {
        let before = self.of_client(from);
        let network = ip_prefix::of_client(from);
        let Some(client) = self.clients.get_mut(&network) else { return };
        if !client.items.remove(item) {
            return;
        }
        client.weight -= weight;
        if client.items.is_empty() {
            self.clients.remove(&network);
        }
        self.count(from, before, before - weight);
    }

    /// The weight of all items.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.total
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    #[cfg(test)]
    pub(crate) fn holds_no_address(&self) -> bool {
        self.clients.is_empty() && self.sites.is_empty() && self.sites_by_weight.is_empty() && self.clients_by_weight.is_empty()
    }

    /// The number of items of the client at `from`.
    #[must_use]
    pub fn of_client(&self, from: IpAddr) -> usize {
        self.clients.get(&ip_prefix::of_client(from)).map_or(0, |client| client.weight)
    }

    /// The number of items of the site of `from`.
    #[must_use]
    pub fn of_site(&self, from: IpAddr) -> usize {
        self.sites.get(&ip_prefix::of_site(from)).copied().unwrap_or(0)
    }

    /// The first item to go of the client at `from`.
    #[must_use]
    pub fn first_of_client(&self, from: IpAddr) -> Option<T> {
        self.clients.get(&ip_prefix::of_client(from))?.items.first().cloned()
    }

    /// The first item to go of the site of `from`.
    #[must_use]
    pub fn first_of_site(&self, from: IpAddr) -> Option<T> {
        let site = ip_prefix::of_site(from);
        let (.., client) =
            self.clients_by_weight.range((site, 0, FIRST_ADDRESS)..=(site, usize::MAX, LAST_ADDRESS)).next_back()?;
        self.first_of_client(*client)
    }

    /// The first item to go of all, and the number of items of its site, which has the most.
    #[must_use]
    pub fn first_of_all(&self) -> Option<(usize, T)> {
        let &(count, site) = self.sites_by_weight.last()?;
        Some((count, self.first_of_site(site)?))
    }

    /// Updates the sums after the number of items of the client at `from` has changed.
    fn count(&mut self, from: IpAddr, before: usize, now: usize) {
        let (client, site) = (ip_prefix::of_client(from), ip_prefix::of_site(from));
        let of_site = self.of_site(from);
        self.total = self.total - before + now;
        self.clients_by_weight.remove(&(site, before, client));
        self.sites_by_weight.remove(&(of_site, site));
        let of_site = of_site - before + now;
        if now > 0 {
            self.clients_by_weight.insert((site, now, client));
        }
        if of_site > 0 {
            self.sites_by_weight.insert((of_site, site));
            self.sites.insert(site, of_site);
        } else {
            self.sites.remove(&site);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_largest_site_and_its_largest_client_come_first() {
        let mut shares = FairShares::default();
        let (home, flat, next_flat) = (ip("203.0.113.1"), ip("2001:db8:1:1::1"), ip("2001:db8:1:2::1"));
        for (from, item) in [(home, 1), (home, 2), (flat, 11), (flat, 12), (next_flat, 20)] {
            shares.insert(from, item);
        }
        assert_eq!(shares.first_of_all(), Some((3, 11)), "three of one /48, and two of those of one /64");
        assert_eq!((shares.first_of_client(next_flat), shares.first_of_site(next_flat)), (Some(20), Some(11)));
        shares.remove(flat, 11);
        shares.remove(flat, 12);
        assert_eq!(shares.first_of_all(), Some((2, 1)));
        assert_eq!((shares.len(), shares.of_client(flat), shares.of_site(flat)), (3, 0, 1));
    }

    proptest! {
        /// After any sequence of insertions and removals, the answers are those of counting by hand.
        #[test]
        fn the_counts_are_right(steps in proptest::collection::vec((any::<bool>(), 0_u16..6, 0_u8..5), 1..200)) {
            let (mut shares, mut all) = (FairShares::default(), BTreeSet::new());
            let address = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, n / 3, n % 3, 0, 0, 0, 1));
            for (comes, from, item) in steps {
                if comes {
                    shares.insert(address(from), item);
                    all.insert((from, item));
                } else {
                    shares.remove(address(from), item);
                    all.remove(&(from, item));
                }
                let count = |wanted: &dyn Fn(u16) -> bool| all.iter().filter(|(from, _)| wanted(*from)).count();
                prop_assert_eq!(shares.len(), all.len());
                for from in 0..6 {
                    prop_assert_eq!(shares.of_client(address(from)), count(&|other| other == from));
                    prop_assert_eq!(shares.of_site(address(from)), count(&|other| other / 3 == from / 3));
                }
                let most = (0..6).map(|from| count(&|other| other / 3 == from / 3)).max();
                prop_assert_eq!(shares.first_of_all().map_or(0, |(count, _)| count), most.unwrap_or(0));
                prop_assert!(shares.clients.len() <= all.len() && shares.sites.len() == shares.sites_by_weight.len());
            }
        }
    }
}
