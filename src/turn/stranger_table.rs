//! The allocations of strangers (credentials of the scope *clients*), by site and in order of age. PURE.
//!
//! Owner: [`super::strangers::Strangers`], behind its lock. Inputs: an allocation begins, ends, or has to end for another one.
//! Outputs: the number of allocations of each client and site ([`ip_prefix`]), and the site with the most.
//!
//! Invariants: a site has a list of its allocations, youngest first, and is in `by_count` under their number. A site without an
//! allocation is in no index. An entry of the slab belongs to its [`StrangerPlace`] until [`StrangerTable::end`], even where its
//! allocation no longer counts, so that no place ever leads to the entry of another allocation.
//!
//! Beginning, ending and displacing take logarithmic time. The first allocation of an address takes 125 B here, each further one 34 B
//! (`benches/turn.rs`).

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::ids::AllocationId;
use super::rate_limit::Bandwidth;
use crate::limits::ip_prefix;
use crate::limits::network_counts::NetworkCounts;

/// The end of a list of entries.
const NO_ENTRY: u32 = u32::MAX;

/// An allocation of any engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct AllocationLocation {
    pub(super) shard: u8,
    pub(super) allocation: AllocationId,
}

/// A site with at least one allocation of a stranger.
#[derive(Debug)]
pub(super) struct StrangerSite {
    network: IpAddr,
    /// Bytes that were forwarded lately: see [`super::stranger_bandwidth`].
    pub(super) recent: Bandwidth,
    /// Only the owner of the [`StrangerTable`] reads or changes the rest.
    allocations: AtomicU32,
    /// The first entry of the list.
    youngest: AtomicU32,
    /// The index in its list of `by_count`.
    position: AtomicU32,
}

/// The place of one allocation of a stranger, which the allocation holds until it ends.
#[derive(Debug)]
pub(super) struct StrangerPlace {
    pub(super) site: Arc<StrangerSite>,
    entry: u32,
    /// The bits of an IPv6 client's /64 behind those of its /48.
    subnet: u16,
}

/// An element of the list of a site.
#[derive(Debug)]
struct Entry {
    allocation: AllocationId,
    younger: u32,
    /// For a free entry, the next free one.
    older: u32,
    shard: u8,
    /// The allocation still counts: it has not been displaced.
    counts: bool,
}

/// See the module doc.
#[derive(Debug)]
pub(super) struct StrangerTable {
    sites: HashSet<ByNetwork>,
    by_count: BTreeMap<u32, Vec<Arc<StrangerSite>>>,
    /// The allocations of each /64, displaced ones included until they end. An IPv4 client is a site.
    ipv6_clients: NetworkCounts,
    entries: Vec<Entry>,
    first_free: u32,
    /// The entries that belong to a place.
    places: usize,
}

impl Default for StrangerTable {
    fn default() -> Self {
        Self {
            sites: HashSet::new(),
            by_count: BTreeMap::new(),
            ipv6_clients: NetworkCounts::default(),
            entries: Vec::new(),
            first_free: NO_ENTRY,
            places: 0,
        }
    }
}

impl StrangerTable {
    /// The number of allocations of the client at `address`.
    pub(super) fn of_client(&self, address: IpAddr) -> u32 {
        match ip_prefix::of_client(address) {
            IpAddr::V4(_) => self.of_site(address),
            client @ IpAddr::V6(_) => self.ipv6_clients.of(client),
        }
    }

    /// The number of allocations of the site of `address`.
    pub(super) fn of_site(&self, address: IpAddr) -> u32 {
        self.sites.get(&ip_prefix::of_site(address)).map_or(0, |site| site.0.allocations.load(Ordering::Relaxed))
    }

    /// The number of allocations of the site that has the most.
    pub(super) fn most(&self) -> u32 {
        self.by_count.last_key_value().map_or(0, |(count, _)| *count)
    }

    /// The number of sites.
    pub(super) fn sites(&self) -> usize {
        self.sites.len()
    }

    /// An allocation of the client at `address` begins.
    pub(super) fn begin(&mut self, address: IpAddr, location: AllocationLocation) -> StrangerPlace {
        let network = ip_prefix::of_site(address);
        let client = ip_prefix::of_client(address);
        let site = match self.sites.get(&network) {
            Some(site) => Arc::clone(&site.0),
            None => {
                let site = Arc::new(StrangerSite {
                    network,
                    recent: Bandwidth::default(),
                    allocations: AtomicU32::new(0),
                    youngest: AtomicU32::new(NO_ENTRY),
                    position: AtomicU32::new(0),
                });
                self.sites.insert(ByNetwork(Arc::clone(&site)));
                site
            }
        };
        if client.is_ipv6() {
            self.ipv6_clients.increment(client);
        }
        let entry = self.push_youngest(&site, location);
        let count = site.allocations.load(Ordering::Relaxed);
        self.recount(&site, count, count + 1);
        StrangerPlace { entry, subnet: subnet(client), site }
    }

    /// An allocation has ended.
    pub(super) fn end(&mut self, place: &StrangerPlace) {
        if self.entries[place.entry as usize].counts {
            self.uncount(&place.site, place.entry);
        }
        if place.site.network.is_ipv6() {
            self.ipv6_clients.decrement(with_subnet(place.site.network, place.subnet));
        }
        self.entries[place.entry as usize].older = self.first_free;
        self.first_free = place.entry;
        self.places -= 1;
        if self.places == 0 {
            *self = Self::default();
        }
    }

    /// Chooses the allocation that has to end: of the site with the most, the youngest. It counts no longer, although its engine
    /// may need a moment to end it.
    pub(super) fn displace(&mut self) -> Option<AllocationLocation> {
        let site = Arc::clone(self.by_count.last_key_value()?.1.last()?);
        let entry = site.youngest.load(Ordering::Relaxed);
        self.uncount(&site, entry);
        let Entry { shard, allocation, .. } = self.entries[entry as usize];
        Some(AllocationLocation { shard, allocation })
    }

    fn uncount(&mut self, site: &Arc<StrangerSite>, entry: u32) {
        self.unlink(site, entry);
        let count = site.allocations.load(Ordering::Relaxed);
        self.recount(site, count, count - 1);
    }

    fn push_youngest(&mut self, site: &StrangerSite, location: AllocationLocation) -> u32 {
        let AllocationLocation { shard, allocation } = location;
        let older = site.youngest.load(Ordering::Relaxed);
        let new = Entry { allocation, younger: NO_ENTRY, older, shard, counts: true };
        let entry = self.first_free;
        let entry = match self.entries.get_mut(entry as usize) {
            Some(free) => {
                self.first_free = free.older;
                *free = new;
                entry
            }
            None => {
                self.entries.push(new);
                u32::try_from(self.entries.len() - 1).expect("there are fewer five-tuples than 2³²")
            }
        };
        if let Some(older) = self.entries.get_mut(older as usize) {
            older.younger = entry;
        }
        site.youngest.store(entry, Ordering::Relaxed);
        self.places += 1;
        entry
    }

    fn unlink(&mut self, site: &StrangerSite, entry: u32) {
        let unlinked = &mut self.entries[entry as usize];
        unlinked.counts = false;
        let (younger, older) = (unlinked.younger, unlinked.older);
        match self.entries.get_mut(younger as usize) {
            Some(younger) => younger.older = older,
            None => site.youngest.store(older, Ordering::Relaxed),
        }
        if let Some(older) = self.entries.get_mut(older as usize) {
            older.younger = younger;
        }
    }

    /// The number of allocations of a site has changed.
    fn recount(&mut self, site: &Arc<StrangerSite>, before: u32, now: u32) {
        if let Some(equals) = self.by_count.get_mut(&before) {
            let position = site.position.load(Ordering::Relaxed);
            equals.swap_remove(position as usize);
            if let Some(moved) = equals.get(position as usize) {
                moved.position.store(position, Ordering::Relaxed);
            }
            if equals.is_empty() {
                self.by_count.remove(&before);
            }
        }
        site.allocations.store(now, Ordering::Relaxed);
        if now == 0 {
            self.sites.remove(&site.network);
            return;
        }
        let equals = self.by_count.entry(now).or_default();
        let position = u32::try_from(equals.len()).expect("there are fewer sites than allocations");
        site.position.store(position, Ordering::Relaxed);
        equals.push(Arc::clone(site));
    }
}

/// The bits of a /64 behind those of its /48.
const fn subnet(client: IpAddr) -> u16 {
    match client {
        IpAddr::V4(_) => 0,
        IpAddr::V6(client) => client.segments()[3],
    }
}

/// The client with this subnet of `site`.
const fn with_subnet(site: IpAddr, subnet: u16) -> IpAddr {
    match site {
        IpAddr::V4(_) => site,
        IpAddr::V6(site) => IpAddr::V6(std::net::Ipv6Addr::from_bits(site.to_bits() | (subnet as u128) << 64)),
    }
}

/// A site as an element of a set that is searched by network.
#[derive(Debug)]
struct ByNetwork(Arc<StrangerSite>);

impl Borrow<IpAddr> for ByNetwork {
    fn borrow(&self) -> &IpAddr {
        &self.0.network
    }
}

impl PartialEq for ByNetwork {
    fn eq(&self, other: &Self) -> bool {
        self.0.network == other.0.network
    }
}

impl Eq for ByNetwork {}

impl Hash for ByNetwork {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.network.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn location(number: u32) -> AllocationLocation {
        AllocationLocation { shard: (number % 2) as u8, allocation: AllocationId { index: number, generation: 7 } }
    }

    /// Three IPv4 addresses, and two /48 with two /64 each.
    fn address(number: u8) -> IpAddr {
        match number {
            0..3 => Ipv4Addr::new(203, 0, 113, number).into(),
            _ => Ipv6Addr::new(0x2001, 0xdb8, u16::from(number) / 2, u16::from(number) % 2, 0, 0, 0, number.into()).into(),
        }
    }

    #[test]
    fn the_youngest_of_the_largest_site_has_to_end() {
        let mut table = StrangerTable::default();
        let places: Vec<_> =
            [0, 1, 1, 1, 4, 5].into_iter().zip(0..).map(|(at, n)| table.begin(address(at), location(n))).collect();
        assert_eq!((table.most(), table.sites(), table.of_site(address(4)), table.of_client(address(4))), (3, 3, 2, 1));
        assert_eq!(table.displace(), Some(location(3)));
        table.end(&places[3]);
        table.end(&places[0]);
        table.end(&places[2]);
        assert_eq!(table.displace(), Some(location(5)), "the two /64 are one site, and its younger allocation goes");
        assert_eq!(table.of_client(address(5)), 1, "until its engine has ended it");
        table.end(&places[5]);
        assert_eq!((table.of_client(address(5)), table.of_site(address(5)), table.most()), (0, 1, 1));
    }

    #[test]
    fn an_entry_of_a_displaced_allocation_is_not_given_to_another_before_the_allocation_has_ended() {
        let mut table = StrangerTable::default();
        let first = table.begin(address(0), location(0));
        assert_eq!(table.displace(), Some(location(0)));
        assert_eq!((table.sites(), table.displace()), (0, None));
        let second = table.begin(address(0), location(1));
        table.end(&first);
        assert_eq!((table.of_site(address(0)), table.displace()), (1, Some(location(1))));
        table.end(&second);
    }

    #[test]
    fn r71_a_site_and_its_allocations_take_little_memory_and_leave_none_behind() {
        assert!(size_of::<Entry>() <= 20 && size_of::<StrangerSite>() <= 48 && size_of::<Option<StrangerPlace>>() <= 16);
        let mut table = StrangerTable::default();
        let places: Vec<_> = (0..10_000).map(|n| table.begin(address((n % 7) as u8), location(n))).collect();
        assert!((0..5000).all(|_| table.displace().is_some()));
        places.iter().for_each(|place| table.end(place));
        assert_eq!((table.entries.capacity(), table.sites.capacity(), table.by_count.len()), (0, 0, 0));
        assert_eq!(table.ipv6_clients.networks(), 0);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Begin { at: u8 },
        End { nth: usize },
        Displace,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u8..7).prop_map(|at| Step::Begin { at }),
            2 => (0_usize..64).prop_map(|nth| Step::End { nth }),
            1 => Just(Step::Displace),
        ]
    }

    /// The allocations that count, in order of age: client, location.
    #[derive(Default)]
    struct Model(Vec<(u8, AllocationLocation)>);

    impl Model {
        fn count(&self, same: impl Fn(IpAddr) -> bool) -> u32 {
            self.0.iter().filter(|(at, _)| same(address(*at))).count() as u32
        }

        fn of_site(&self, at: u8) -> u32 {
            self.count(|other| ip_prefix::of_site(other) == ip_prefix::of_site(address(at)))
        }

        fn most(&self) -> u32 {
            (0..7).map(|at| self.of_site(at)).max().unwrap_or(0)
        }
    }

    proptest! {
        /// After any history the table counts as a model that looks at every allocation, and it displaces the youngest allocation
        /// of a site with the most.
        #[test]
        fn r71_the_counts_agree_with_a_model(steps in proptest::collection::vec(step(), 1..300)) {
            let (mut table, mut model, mut places) = (StrangerTable::default(), Model::default(), Vec::new());
            for (step, number) in steps.into_iter().zip(0..) {
                match step {
                    Step::Begin { at } => {
                        places.push((at, location(number), table.begin(address(at), location(number))));
                        model.0.push((at, location(number)));
                    }
                    Step::End { nth } if !places.is_empty() => {
                        let (_, location, place) = places.swap_remove(nth % places.len());
                        table.end(&place);
                        model.0.retain(|(_, other)| *other != location);
                    }
                    Step::End { .. } => {}
                    Step::Displace => {
                        let displaced = table.displace();
                        prop_assert_eq!(displaced.is_some(), !model.0.is_empty());
                        if let Some(displaced) = displaced {
                            let (at, _) = *model.0.iter().find(|(_, location)| *location == displaced).unwrap();
                            prop_assert_eq!(model.of_site(at), model.most());
                            let site = ip_prefix::of_site(address(at));
                            let youngest = model.0.iter().rfind(|(at, _)| ip_prefix::of_site(address(*at)) == site);
                            prop_assert_eq!(youngest.map(|(_, location)| *location), Some(displaced));
                            model.0.retain(|(_, other)| *other != displaced);
                        }
                    }
                }
                prop_assert_eq!(table.most(), model.most());
                let mut sites: Vec<_> = model.0.iter().map(|(at, _)| ip_prefix::of_site(address(*at))).collect();
                sites.sort_unstable();
                sites.dedup();
                prop_assert_eq!(table.sites(), sites.len());
                for at in 0..7 {
                    prop_assert_eq!(table.of_site(address(at)), model.of_site(at));
                    let client = ip_prefix::of_client(address(at));
                    let held = places.iter().filter(|(at, ..)| ip_prefix::of_client(address(*at)) == client).count() as u32;
                    let of_client = if client.is_ipv6() { held } else { model.of_site(at) };
                    prop_assert_eq!(table.of_client(address(at)), of_client);
                }
            }
            places.iter().for_each(|(_, _, place)| table.end(place));
            prop_assert_eq!((table.entries.capacity(), table.sites(), table.most()), (0, 0, 0));
        }
    }
}
