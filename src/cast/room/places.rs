//! How many TVs an address and its site may have, and which TV makes way where there is no more place. PURE.
//!
//! - A TV's **standing** is what protects it: nothing while it is away and nobody casts to it, else its token, once that is old enough.
//! - Where the server is full, TVs that are away go first. Then a TV makes way to one of a site that has fewer: the newest of the site
//!   (an IPv4 address, an IPv6 /48) that has most, in whose cast nobody is. An old token keeps its TV from making way to one without.
//! - After it made way the site still has as many as the newcomer's: two sites never take a place from each other in turn.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::IpAddr;

use super::model::Full;
use crate::cast::code::Code;
use crate::limits::fair_shares::FairShares;

/// TVs that one address (an IPv6 /64) may have where the server may have fewer than ten times as many: a hotel behind one address.
const MAX_OF_CLIENT: usize = 1000;
/// The same of one site (an IPv6 /48).
const MAX_OF_SITE: usize = 2 * MAX_OF_CLIENT;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its connection dropped, and nobody casts to it.
    Away,
    /// The server has known it for less than a day.
    Young,
    /// Its token is older.
    Old,
}

/// One TV among those of its standing; the smallest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    casting: bool,
    order: u64,
    code: Code,
}

/// Where a TV stands in [`Places`]; its room keeps it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) from: IpAddr,
    pub(super) standing: Standing,
    place: Place,
    /// Of the TV's coming, ascending.
    number: u64,
}

/// What a newcomer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// There is a place.
    Free,
    /// This TV makes way.
    Evict(Code),
    Wait(Full),
}

/// Invariant: each live room has one entry.
pub(super) struct Places {
    max: usize,
    /// Longest away first.
    away: FairShares<Place>,
    /// Newest first.
    young: FairShares<Place>,
    /// Newest first.
    old: FairShares<Place>,
    /// TVs that have come and gone away, ascending.
    count: u64,
}

impl Places {
    pub(super) fn new(max: usize) -> Self {
        Self { max, away: FairShares::default(), young: FairShares::default(), old: FairShares::default(), count: 0 }
    }

    /// A TV comes.
    pub(super) fn enter(&mut self, code: Code, from: IpAddr, standing: Standing) -> Entry {
        self.count += 1;
        self.put(code, from, standing, false, self.count)
    }

    /// A TV's standing is another.
    pub(super) fn change(&mut self, entry: &Entry, from: IpAddr, standing: Standing, casting: bool) -> Entry {
        if (entry.from, entry.standing, entry.place.casting) == (from, standing, casting) {
            return *entry;
        }
        self.leave(entry);
        self.put(entry.place.code, from, standing, casting, entry.number)
    }

    /// A TV's code is another.
    pub(super) fn rename(&mut self, entry: &Entry, code: Code) -> Entry {
        self.leave(entry);
        self.put(code, entry.from, entry.standing, entry.place.casting, entry.number)
    }

    /// A TV is gone.
    pub(super) fn leave(&mut self, entry: &Entry) {
        self.of(entry.standing).remove(entry.from, entry.place);
    }

    /// What has to happen for one more TV at `from`, whose token is `old` or not.
    pub(super) fn choose(&self, from: IpAddr, old: bool) -> Choice {
        let all = [&self.away, &self.young, &self.old];
        let of = |count: fn(&FairShares<Place>, IpAddr) -> usize| all.iter().map(|shares| count(shares, from)).sum::<usize>();
        let most = self.max_of_client();
        if most < self.max && of(FairShares::of_client) >= most {
            return self.own(|shares| shares.first_of_client(from), old, Full::Address { most });
        }
        let most = self.max_of_site();
        if most < self.max && of(FairShares::of_site) >= most {
            return self.own(|shares| shares.first_of_site(from), old, Full::Site { most });
        }
        if all.iter().map(|shares| shares.len()).sum::<usize>() < self.max {
            return Choice::Free;
        }
        if let Some((_, place)) = self.away.first_of_all() {
            return Choice::Evict(place.code);
        }
        let larger = |shares: &FairShares<Place>| shares.first_of_all().filter(|(count, _)| *count > shares.of_site(from) + 1);
        let place = if old { self.young.first_of_all().or_else(|| larger(&self.old)) } else { larger(&self.young) };
        place.map_or(Choice::Wait(Full::Server { most: self.max }), |(_, place)| Choice::Evict(place.code))
    }

    /// A TV of the newcomer's own that is away, or one that its older token beats.
    fn own(&self, first: impl Fn(&FairShares<Place>) -> Option<Place>, old: bool, full: Full) -> Choice {
        let young = || if old { first(&self.young) } else { None };
        first(&self.away).or_else(young).map_or(Choice::Wait(full), |place| Choice::Evict(place.code))
    }

    /// A tenth of all, and a hotel at least.
    pub(super) fn max_of_client(&self) -> usize {
        (self.max / 10).max(MAX_OF_CLIENT.min(self.max))
    }

    fn max_of_site(&self) -> usize {
        (self.max / 5).max(MAX_OF_SITE.min(self.max))
    }

    fn put(&mut self, code: Code, from: IpAddr, standing: Standing, casting: bool, number: u64) -> Entry {
        let order = match standing {
            Standing::Away => {
                self.count += 1;
                self.count
            }
            Standing::Young | Standing::Old => u64::MAX - number,
        };
        let place = Place { casting, order, code };
        self.of(standing).insert(from, place);
        Entry { from, standing, place, number }
    }

    fn of(&mut self, standing: Standing) -> &mut FairShares<Place> {
        match standing {
            Standing::Away => &mut self.away,
            Standing::Young => &mut self.young,
            Standing::Old => &mut self.old,
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.away.len() + self.young.len() + self.old.len()
    }
}
