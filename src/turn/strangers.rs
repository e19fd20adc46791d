//! Decides whether another allocation of a stranger (credentials of the scope *clients*) may begin, and which one ends for it.
//!
//! Owner: [`super::SharedState`]. A lock is taken only when an allocation of a stranger begins or ends, and when one of a user
//! begins while capacity is scarce; the data path never takes it.
//!
//! # The rules
//! - A client (an IPv4 address, an IPv6 /64) has at most so many allocations: 486.
//! - Nobody is refused while less than [`Limits::clients_capacity`] percent of what the new allocation needs is in use.
//! - Beyond that a stranger takes the place of another one: of the site (an IPv4 address, an IPv6 /48) that holds the most. That
//!   site must hold at least two more than the newcomer's site then does, so that no two sites take turns; otherwise 508. So a
//!   site that holds the most is refused, and what strangers hold together grows no further.
//! - A user takes the place of a stranger too, but is admitted in any case, as long as anything is left.
//!
//! The fairness is between sites, because anybody can have a /48: its 65,536 networks would outnumber every school that is behind
//! one IPv4 address. Of a site, **the youngest allocation ends**. If a school and an attacker share an address, the casts that run
//! already are the older allocations, and they stay; the attacker's further allocations and new casts alike wait for capacity. The
//! idlest one would be the wrong choice: a client allocates before it knows whether it needs the relay, and an attacker can send a
//! packet now and then.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::rate_limit::Bandwidth;
use super::settings::Limits;
use super::stranger_bandwidth::StrangerBuckets;
use super::stranger_table::{AllocationLocation, StrangerPlace, StrangerTable};
use crate::limits::ip_prefix;

/// An IPv6 /64 has this part of the allocations of an IPv4 address, which may be a school's.
const IPV4_CLIENTS_PER_IPV6_CLIENT: u32 = 5;
/// How many allocations the site with the most must have more than the newcomer's site then has.
const MIN_LEAD: u32 = 2;

/// The allocations of strangers, and the buckets that they share.
#[derive(Debug)]
pub(super) struct Strangers {
    per_address: u32,
    /// The bucket of all strangers in each direction: see [`super::stranger_bandwidth`].
    pub(super) bandwidth: Bandwidth,
    /// The sites that have an allocation, as the table counts them.
    sites: AtomicU32,
    table: Mutex<StrangerTable>,
}

/// A stranger's allocation may begin.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) place: StrangerPlace,
    /// Ends for it.
    pub(super) displaced: Option<AllocationLocation>,
}

/// Why a stranger's allocation may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StrangerRefusal {
    /// The client has as many as it may have: 486.
    Client,
    /// Capacity is scarce, and no other site has so many that one of its allocations ends for this one: 508.
    Capacity,
}

/// How much of a resource is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) used: usize,
    pub(super) most: usize,
}

impl Usage {
    /// Whether at least this part is in use. Of a resource that does not exist, nothing is.
    pub(super) const fn reaches(self, percent: u8) -> bool {
        self.most > 0 && self.used.saturating_mul(100) >= self.most.saturating_mul(percent as usize)
    }
}

impl Strangers {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            per_address: limits.clients_per_address,
            bandwidth: Bandwidth::default(),
            sites: AtomicU32::new(0),
            table: Mutex::default(),
        }
    }

    /// Counts the allocation that a stranger at `address` makes. `scarce`: [`Usage::reaches`] holds for something that the
    /// allocation takes. Whoever gets the place gives it to [`Self::end`] when the allocation ends.
    pub(super) fn begin(&self, address: IpAddr, location: AllocationLocation, scarce: bool) -> Result<Admitted, StrangerRefusal> {
        let mut table = self.table();
        if table.of_client(address) >= self.most_of_client(address) {
            return Err(StrangerRefusal::Client);
        }
        let mut displaced = None;
        if scarce {
            if table.most() < table.of_site(address) + 1 + MIN_LEAD {
                return Err(StrangerRefusal::Capacity);
            }
            displaced = table.displace();
        }
        let place = table.begin(address, location);
        self.count_sites(&table);
        Ok(Admitted { place, displaced })
    }

    /// A user's allocation begins although capacity is scarce: the stranger's allocation that ends for it, if there is one.
    pub(super) fn displace(&self) -> Option<AllocationLocation> {
        let mut table = self.table();
        let displaced = table.displace();
        self.count_sites(&table);
        displaced
    }

    /// A stranger's allocation has ended.
    pub(super) fn end(&self, place: &StrangerPlace) {
        let mut table = self.table();
        table.end(place);
        self.count_sites(&table);
    }

    /// The buckets of one direction; `all` is one of [`Self::bandwidth`].
    pub(super) const fn buckets<'a>(
        &'a self,
        all: &'a AtomicU64,
        site: &'a AtomicU64,
        server: &'a AtomicU64,
    ) -> StrangerBuckets<'a> {
        StrangerBuckets { all, site, server, sites: &self.sites }
    }

    fn count_sites(&self, table: &StrangerTable) {
        self.sites.store(u32::try_from(table.sites()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    fn most_of_client(&self, address: IpAddr) -> u32 {
        match ip_prefix::of_client(address) {
            IpAddr::V4(_) => self.per_address,
            IpAddr::V6(_) => (self.per_address / IPV4_CLIENTS_PER_IPV6_CLIENT).max(1),
        }
    }

    /// No code panics while it holds the lock, so that a poisoned lock still guards consistent data.
    fn table(&self) -> MutexGuard<'_, StrangerTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::ids::AllocationId;

    fn strangers() -> Strangers {
        Strangers::new(&Limits::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Holds the places of allocations, as engines do.
    struct Holder {
        strangers: Strangers,
        places: Vec<(IpAddr, AllocationLocation, StrangerPlace)>,
        next: u32,
    }

    impl Holder {
        fn new() -> Self {
            Self { strangers: strangers(), places: Vec::new(), next: 0 }
        }

        fn begin(&mut self, address: IpAddr, scarce: bool) -> Result<Option<AllocationLocation>, StrangerRefusal> {
            let allocation = AllocationId { index: self.next, generation: 0 };
            self.next += 1;
            let location = AllocationLocation { shard: 0, allocation };
            let admitted = self.strangers.begin(address, location, scarce)?;
            self.places.push((address, location, admitted.place));
            if let Some(displaced) = admitted.displaced {
                self.end(displaced);
            }
            Ok(admitted.displaced)
        }

        fn end(&mut self, location: AllocationLocation) {
            let index = self.places.iter().position(|(_, other, _)| *other == location).unwrap();
            let (.., place) = self.places.swap_remove(index);
            self.strangers.end(&place);
        }

        fn of(&self, address: IpAddr) -> usize {
            self.places.iter().filter(|(other, ..)| *other == address).count()
        }
    }

    #[test]
    fn r71_a_client_has_a_hard_bound_that_a_64_has_a_fifth_of() {
        for (address, bound) in [("203.0.113.1", 2000), ("::ffff:203.0.113.1", 2000), ("2001:db8:1:1::1", 400)] {
            let mut holder = Holder::new();
            let other = ip(if bound == 400 { "2001:db8:1:2::1" } else { "203.0.113.2" });
            let admitted = (0..2100).filter(|_| holder.begin(ip(address), false).is_ok()).count();
            assert_eq!(admitted, bound);
            assert_eq!(holder.begin(ip(address), false), Err(StrangerRefusal::Client));
            assert_eq!(holder.begin(ip(address), true), Err(StrangerRefusal::Client), "486, whatever the capacity");
            assert_eq!(holder.begin(other, false), Ok(None));
            let (_, youngest, _) = holder.places[3];
            holder.end(youngest);
            assert_eq!(holder.begin(ip(address), false), Ok(None), "it recovers");
        }
    }

    /// Whatever the attackers have taken, a school behind one address gets in, its casts stay, and the attackers are refused.
    #[test]
    fn r71_attackers_yield_to_a_school() {
        let mut holder = Holder::new();
        let school = ip("203.0.113.1");
        for _ in 0..200 {
            assert_eq!(holder.begin(school, false), Ok(None));
        }
        // Two IPv4 addresses, and a /48 that uses a network for each allocation.
        let attackers: Vec<IpAddr> = (0..4000_u32)
            .map(|n| match n % 4 {
                0 => ip("198.51.100.1"),
                1 => ip("198.51.100.2"),
                _ => ip(&format!("2001:db8:1:{n:x}::1")),
            })
            .collect();
        for &attacker in &attackers {
            assert_eq!(holder.begin(attacker, false), Ok(None));
        }
        for _ in 0..100 {
            let displaced = holder.begin(school, true).unwrap().expect("an attacker's");
            assert!(displaced.allocation.index >= 2200, "the attackers' first allocations stay: {displaced:?}");
        }
        assert_eq!((holder.of(school), holder.places.len()), (300, 4200), "and what is in use grows no further");
        let refused =
            attackers.iter().filter(|attacker| holder.begin(**attacker, true) == Err(StrangerRefusal::Capacity)).count();
        assert!(refused >= 2000, "{refused}");
        assert_eq!((holder.of(school), holder.places.len()), (300, 4200), "no cast of the school has ended");
    }

    #[test]
    fn r71_equal_holders_do_not_take_turns() {
        let mut holder = Holder::new();
        let addresses: Vec<IpAddr> = (1..=50).map(|n| ip(&format!("203.0.113.{n}"))).collect();
        for address in addresses.iter().chain(&addresses) {
            assert_eq!(holder.begin(*address, false), Ok(None));
        }
        for address in &addresses {
            assert_eq!(holder.begin(*address, true), Err(StrangerRefusal::Capacity), "it would hold the most");
        }
        let newcomer = ip("203.0.113.51");
        assert_eq!(holder.begin(newcomer, true), Err(StrangerRefusal::Capacity), "one more is not two more");
        holder.begin(addresses[7], false).unwrap();
        let youngest = holder.places.last().unwrap().1;
        assert_eq!(holder.begin(newcomer, true), Ok(Some(youngest)));
        assert_eq!(holder.begin(newcomer, true), Err(StrangerRefusal::Capacity));
    }

    #[test]
    fn r71_a_user_takes_the_place_of_the_stranger_whose_address_holds_the_most() {
        let mut holder = Holder::new();
        for address in ["203.0.113.1", "203.0.113.2", "203.0.113.2"] {
            holder.begin(ip(address), false).unwrap();
        }
        let mut left = Vec::new();
        while let Some(displaced) = holder.strangers.displace() {
            left.push(displaced.allocation.index);
            holder.end(displaced);
        }
        assert_eq!((left[0], left.len()), (2, 3), "the youngest of two first, and then whatever is left");
        assert_eq!(holder.strangers.sites.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn r71_bursts_from_many_shards_stay_within_the_bound() {
        let strangers = strangers();
        let admitted: usize = std::thread::scope(|scope| {
            let burst = |shard: u8| {
                let strangers = &strangers;
                move || {
                    let location = |index| AllocationLocation { shard, allocation: AllocationId { index, generation: 0 } };
                    (0..1000).filter(|index| strangers.begin(ip("203.0.113.1"), location(*index), false).is_ok()).count()
                }
            };
            let threads: Vec<_> = (0..4).map(|shard| scope.spawn(burst(shard))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((admitted, strangers.sites.load(Ordering::Relaxed)), (2000, 1));
    }

    #[test]
    fn a_resource_is_scarce_at_the_percentage_and_never_where_there_is_none() {
        for (used, most, scarce) in [(0, 0, false), (0, 1, false), (79, 100, false), (80, 100, true), (4, 5, true), (1, 1, true)]
        {
            assert_eq!(Usage { used, most }.reaches(80), scarce, "{used} of {most}");
        }
    }
}
