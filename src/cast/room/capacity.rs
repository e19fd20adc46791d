//! How many TVs an address and its site may have, and which TV is evicted when the server is full. PURE.
//!
//! - A TV's **eviction class** says what protects it: nothing while it is away and nobody casts to it; else its resume token, once that is
//!   old enough.
//! - When the server is full, TVs that are away are evicted first. Then the newest TV of the site (an IPv4 address, an IPv6 /48) with most
//!   TVs makes way for a TV of a site with fewer, unless somebody casts to it. An established TV never makes way for a new one.
//! - After an eviction the evicted TV's site still has at least as many TVs as the newcomer's: no two sites take a place from each other in
//!   turn.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::IpAddr;

use crate::cast::code::Code;
use crate::cast::model::CapacityReached;
use crate::limits::fair_shares::FairShares;

/// TVs that one address (an IPv6 /64) may have on a server for fewer than ten times as many: a hotel behind one address.
const MAX_TVS_PER_CLIENT: usize = 1000;
/// TVs that one site (an IPv6 /48) may have on such a server.
const MAX_TVS_PER_SITE: usize = 2 * MAX_TVS_PER_CLIENT;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EvictionClass {
    /// The TV's connection dropped, and nobody casts to it.
    Away,
    /// The server has known the TV for less than a day.
    New,
    /// The TV's token is older than that.
    Established,
}

/// One TV among those of its class; the smallest is evicted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct EvictionKey {
    casting: bool,
    order: u64,
    code: Code,
}

/// What [`Capacity`] knows about a TV; the TV's room keeps it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CapacityEntry {
    pub(super) from: IpAddr,
    pub(super) class: EvictionClass,
    key: EvictionKey,
    /// The TV's number in the order of arrival.
    number: u64,
}

/// What has to happen before one more TV gets a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Free,
    /// The TV with this code has to be evicted.
    Evict(Code),
    Wait(CapacityReached),
}

/// Invariant: each live room has one entry.
pub(super) struct Capacity {
    max_tvs: usize,
    /// The TV that has been away longest first.
    away: FairShares<EvictionKey>,
    /// Newest first.
    new: FairShares<EvictionKey>,
    /// Newest first.
    established: FairShares<EvictionKey>,
    /// TVs that have arrived or dropped so far; numbers both in ascending order.
    count: u64,
}

impl Capacity {
    pub(super) fn new(max_tvs: usize) -> Self {
        Self { max_tvs, away: FairShares::default(), new: FairShares::default(), established: FairShares::default(), count: 0 }
    }

    /// Counts a TV that arrives.
    pub(super) fn add(&mut self, code: Code, from: IpAddr, class: EvictionClass) -> CapacityEntry {
        self.count += 1;
        self.insert(code, from, class, false, self.count)
    }

    /// A TV's address or class has changed, or a cast to it has begun or ended.
    pub(super) fn update(&mut self, entry: &CapacityEntry, from: IpAddr, class: EvictionClass, casting: bool) -> CapacityEntry {
        if (entry.from, entry.class, entry.key.casting) == (from, class, casting) {
            return *entry;
        }
        self.remove(entry);
        self.insert(entry.key.code, from, class, casting, entry.number)
    }

    /// A TV's code has changed.
    pub(super) fn rename(&mut self, entry: &CapacityEntry, code: Code) -> CapacityEntry {
        self.remove(entry);
        self.insert(code, entry.from, entry.class, entry.key.casting, entry.number)
    }

    pub(super) fn remove(&mut self, entry: &CapacityEntry) {
        self.of_class(entry.class).remove(entry.from, entry.key);
    }

    /// What has to happen before one more TV at `from` gets a place; `is_established`: its token is old enough to protect it.
    pub(super) fn admission(&self, from: IpAddr, is_established: bool) -> Admission {
        let all = [&self.away, &self.new, &self.established];
        let count = |of: fn(&FairShares<EvictionKey>, IpAddr) -> usize| all.iter().map(|shares| of(shares, from)).sum::<usize>();
        let most = self.max_tvs_per_client();
        if most < self.max_tvs && count(FairShares::of_client) >= most {
            let first = |shares: &FairShares<EvictionKey>| shares.first_of_client(from);
            return self.among_own(first, is_established, CapacityReached::Address { most });
        }
        let most = self.max_tvs_per_site();
        if most < self.max_tvs && count(FairShares::of_site) >= most {
            let first = |shares: &FairShares<EvictionKey>| shares.first_of_site(from);
            return self.among_own(first, is_established, CapacityReached::Site { most });
        }
        if all.iter().map(|shares| shares.len()).sum::<usize>() < self.max_tvs {
            return Admission::Free;
        }
        if let Some((_, key)) = self.away.first_of_all() {
            return Admission::Evict(key.code);
        }
        let of_larger_site =
            |shares: &FairShares<EvictionKey>| shares.first_of_all().filter(|(count, _)| *count > shares.of_site(from) + 1);
        let evicted = if is_established {
            self.new.first_of_all().or_else(|| of_larger_site(&self.established))
        } else {
            of_larger_site(&self.new)
        };
        evicted.map_or(Admission::Wait(CapacityReached::Server { most: self.max_tvs }), |(_, key)| Admission::Evict(key.code))
    }

    /// Where the newcomer's own address or site is full: evicts one of its TVs that is away, or a new one if the newcomer is established.
    fn among_own(
        &self,
        first: impl Fn(&FairShares<EvictionKey>) -> Option<EvictionKey>,
        is_established: bool,
        reached: CapacityReached,
    ) -> Admission {
        let new = || if is_established { first(&self.new) } else { None };
        first(&self.away).or_else(new).map_or(Admission::Wait(reached), |key| Admission::Evict(key.code))
    }

    /// A tenth of all TVs, but at least those of a hotel.
    fn max_tvs_per_client(&self) -> usize {
        (self.max_tvs / 10).max(MAX_TVS_PER_CLIENT.min(self.max_tvs))
    }

    fn max_tvs_per_site(&self) -> usize {
        (self.max_tvs / 5).max(MAX_TVS_PER_SITE.min(self.max_tvs))
    }

    fn insert(&mut self, code: Code, from: IpAddr, class: EvictionClass, casting: bool, number: u64) -> CapacityEntry {
        let order = match class {
            EvictionClass::Away => {
                self.count += 1;
                self.count
            }
            EvictionClass::New | EvictionClass::Established => u64::MAX - number,
        };
        let key = EvictionKey { casting, order, code };
        self.of_class(class).insert(from, key);
        CapacityEntry { from, class, key, number }
    }

    fn of_class(&mut self, class: EvictionClass) -> &mut FairShares<EvictionKey> {
        match class {
            EvictionClass::Away => &mut self.away,
            EvictionClass::New => &mut self.new,
            EvictionClass::Established => &mut self.established,
        }
    }

    /// How many TVs are counted.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.away.len() + self.new.len() + self.established.len()
    }
}
