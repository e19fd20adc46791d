//! What each address has of something that all share, and what goes first where there is no more of it. PURE.
//!
//! Fair between sites (an IPv4 address, an IPv6 /48): the site that has most loses first, and of its clients (an IPv6 /64) the one that
//! has most. Every operation takes logarithmic time, so that whoever causes many of them costs little.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ip_prefix;

/// Comes before and after all addresses in their order.
const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::from_bits(u128::MAX))];

/// Items of type `T`, each of an address. Of one client's items the smallest goes first.
///
/// Invariant: `sites` and the two orders count what is in `clients`, where no set is empty.
#[derive(Debug)]
pub struct FairShares<T> {
    clients: HashMap<IpAddr, BTreeSet<T>>,
    sites: HashMap<IpAddr, usize>,
    /// Count, site.
    sites_by_count: BTreeSet<(usize, IpAddr)>,
    /// Site, count, client.
    clients_by_count: BTreeSet<(IpAddr, usize, IpAddr)>,
    len: usize,
}

impl<T> Default for FairShares<T> {
    fn default() -> Self {
        Self {
            clients: HashMap::new(),
            sites: HashMap::new(),
            sites_by_count: BTreeSet::new(),
            clients_by_count: BTreeSet::new(),
            len: 0,
        }
    }
}

impl<T: Ord + Copy> FairShares<T> {
    /// Adds an item of `from`.
    pub fn insert(&mut self, from: IpAddr, item: T) {
        let before = self.of_client(from);
        if self.clients.entry(ip_prefix::of_client(from)).or_default().insert(item) {
            self.count(from, before, before + 1);
        }
    }

    /// Takes an item of `from` away, if it is there.
    pub fn remove(&mut self, from: IpAddr, item: T) {
        let client = ip_prefix::of_client(from);
        let before = self.of_client(from);
        if self.clients.get_mut(&client).is_some_and(|items| items.remove(&item)) {
            if before == 1 {
                self.clients.remove(&client);
            }
            self.count(from, before, before - 1);
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many the client at `from` has.
    #[must_use]
    pub fn of_client(&self, from: IpAddr) -> usize {
        self.clients.get(&ip_prefix::of_client(from)).map_or(0, BTreeSet::len)
    }

    /// How many the site of `from` has.
    #[must_use]
    pub fn of_site(&self, from: IpAddr) -> usize {
        self.sites.get(&ip_prefix::of_site(from)).copied().unwrap_or(0)
    }

    /// What goes first of what the client at `from` has.
    #[must_use]
    pub fn first_of_client(&self, from: IpAddr) -> Option<T> {
        self.clients.get(&ip_prefix::of_client(from))?.first().copied()
    }

    /// What goes first of what the site of `from` has.
    #[must_use]
    pub fn first_of_site(&self, from: IpAddr) -> Option<T> {
        let site = ip_prefix::of_site(from);
        let [first, last] = ADDRESSES;
        let (.., client) = self.clients_by_count.range((site, 0, first)..=(site, usize::MAX, last)).next_back()?;
        self.first_of_client(*client)
    }

    /// What goes first of all, and how many its site has: no site has more.
    #[must_use]
    pub fn first_of_all(&self) -> Option<(usize, T)> {
        let &(count, site) = self.sites_by_count.last()?;
        Some((count, self.first_of_site(site)?))
    }

    /// The client at `from` has so many now.
    fn count(&mut self, from: IpAddr, before: usize, now: usize) {
        let (client, site) = (ip_prefix::of_client(from), ip_prefix::of_site(from));
        let of_site = self.of_site(from);
        self.len = self.len - before + now;
        self.clients_by_count.remove(&(site, before, client));
        self.sites_by_count.remove(&(of_site, site));
        let of_site = of_site - before + now;
        if now > 0 {
            self.clients_by_count.insert((site, now, client));
        }
        if of_site > 0 {
            self.sites_by_count.insert((of_site, site));
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
        /// Whatever comes and goes, the answers are those of counting by hand.
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
                prop_assert!(shares.clients.len() <= all.len() && shares.sites.len() == shares.sites_by_count.len());
            }
        }
    }
}
