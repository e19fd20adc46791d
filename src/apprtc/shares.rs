//! How much of a bounded resource the rooms of each address use, and which address uses the most. PURE.
//!
//! Owner: the eviction index. A client is an IPv4 address or an IPv6 /64, a site an IPv4 address or an IPv6 /48. Invariants: the amount
//! of a site is the sum of its clients' amounts, and the amount of a client the sum of its rooms'; an amount of zero is not stored.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::limits::fair_shares::FairShares;
use crate::limits::ip_prefix;

/// The amounts of a client and of its site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    client: usize,
    site: usize,
}

impl Share {
    pub(super) const fn plus(self, other: Self) -> Self {
        Self { client: self.client + other.client, site: self.site + other.site }
    }

    pub(super) const fn increased_by(self, amount: usize) -> Self {
        Self { client: self.client + amount, site: self.site + amount }
    }
}

/// The amount of a client in a room. The largest amount comes first, and of equal amounts the least recently used room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RoomShare {
    amount: Reverse<usize>,
    used: Instant,
    room: Reverse<Arc<str>>,
    client: IpAddr,
}

/// Addresses have the form of [`ip_prefix::of_client`].
#[derive(Debug, Default)]
pub(super) struct RoomShares(FairShares<RoomShare>);

impl RoomShares {
    pub(super) const fn total(&self) -> usize {
        self.0.len()
    }

    pub(super) fn of(&self, client: IpAddr) -> Share {
        Share { client: self.0.of_client(client), site: self.0.of_site(client) }
    }

    /// Adds the amount of a client in a room where it had none.
    pub(super) fn add(&mut self, client: IpAddr, room: &Arc<str>, used: Instant, amount: usize) {
        self.0.insert_weighted(client, RoomShare::new(client, room, used, amount), amount);
    }

    /// Removes an amount with the arguments with which it was added.
    pub(super) fn remove(&mut self, client: IpAddr, room: &Arc<str>, used: Instant, amount: usize) {
        self.0.remove_weighted(client, &RoomShare::new(client, room, used, amount), amount);
    }

    /// The site with the most, its client with the most, and that client's room with the most.
    pub(super) fn largest(&self) -> Option<(IpAddr, Arc<str>)> {
        let (_, share) = self.0.first_of_all()?;
        Some((share.client, share.room.0))
    }

    /// The same, if that client has more than `client` would have with the share `own`.
    pub(super) fn larger_than(&self, client: IpAddr, own: Share) -> Option<(IpAddr, Arc<str>)> {
        let (of_site, share) = self.0.first_of_all()?;
        let is_larger = match ip_prefix::of_site(share.client) == ip_prefix::of_site(client) {
            true => self.0.of_client(share.client) > own.client,
            false => of_site > own.site,
        };
        is_larger.then_some((share.client, share.room.0))
    }
}

impl RoomShare {
    fn new(client: IpAddr, room: &Arc<str>, used: Instant, amount: usize) -> Self {
        Self { amount: Reverse(amount), used, room: Reverse(room.clone()), client }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_largest_room_of_the_largest_client_is_first() {
        let (mut shares, now) = (RoomShares::default(), Instant::now());
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let rooms: [Arc<str>; 3] = ["a", "b", "c"].map(Arc::from);
        for (client, room, amount) in [(one, 0, 5), (one, 1, 2), (other, 2, 6)] {
            shares.add(client, &rooms[room], now, amount);
        }
        assert_eq!((shares.largest(), shares.total()), (Some((one, rooms[0].clone())), 13));
        let beside = |client, amount| shares.larger_than(client, shares.of(client).increased_by(amount));
        assert_eq!(beside(ip("192.0.2.3"), 6), Some((one, rooms[0].clone())));
        assert_eq!(beside(ip("192.0.2.3"), 7), None, "it would have as much itself");
        assert_eq!((beside(other, 0), beside(other, 1)), (Some((one, rooms[0].clone())), None));
        assert_eq!(beside(one, 1), None);
        shares.remove(one, &rooms[0], now, 5);
        assert_eq!(shares.largest(), Some((other, rooms[2].clone())));
        shares.remove(one, &rooms[1], now, 2);
        shares.remove(other, &rooms[2], now, 6);
        assert_eq!((shares.largest(), shares.total()), (None, 0));
        assert!(shares.0.holds_no_address(), "an address without an amount is stored");
    }

    #[test]
    fn the_networks_of_one_site_count_together() {
        let (mut shares, now) = (RoomShares::default(), Instant::now());
        let [first, second, third] = ["2001:db8:1:1::", "2001:db8:1:2::", "2001:db8:1:3::"].map(ip);
        let room: Arc<str> = "room".into();
        for (client, amount) in [(first, 4), (second, 3), (ip("192.0.2.1"), 5)] {
            shares.add(client, &room, now, amount);
        }
        assert_eq!(shares.largest(), Some((first, room.clone())), "the site has 7");
        assert_eq!(
            shares.larger_than(third, shares.of(third).increased_by(3)),
            Some((first, room)),
            "the largest of its own site"
        );
        assert_eq!(shares.larger_than(third, shares.of(third).increased_by(4)), None);
        assert_eq!(shares.larger_than(ip("192.0.2.1"), shares.of(ip("192.0.2.1")).increased_by(2)), None);
    }

    #[test]
    fn of_equal_rooms_the_one_that_was_used_least_recently_is_first() {
        let (mut shares, now) = (RoomShares::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        for (room, used) in [("a", later), ("b", now), ("c", later)] {
            shares.add(ip("192.0.2.1"), &room.into(), used, 1);
        }
        assert_eq!(shares.largest().map(|(_, room)| room).as_deref(), Some("b"));
    }
}
