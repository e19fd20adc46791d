//! Limits how often one client may send a request.
//!
//! The table has a fixed size. A client may be in one of `ENTRIES_PER_SET` entries. If none of these is free, a new client
//! replaces the one that has used least of its allowance. So no client is refused because of the number of others, and a client
//! that has used up its allowance is forgotten last. To have its own entry replaced, an attacker would have to use up the
//! allowances of so many addresses that it would gain nothing.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ip_prefix;

/// Entries in which one client may be.
const ENTRIES_PER_SET: usize = 16;
/// Clients that are remembered, at 16 bytes each.
const MAX_CLIENTS: usize = 16_384;
const NANOS_PER_MINUTE: u64 = 60_000_000_000;

/// The limit of one kind of request; clones share one table.
#[derive(Debug, Clone)]
pub struct ClientLimiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sets: Box<[Mutex<[RateEntry; ENTRIES_PER_SET]>]>,
    /// Random, so that no client can choose its set.
    hashes: RandomState,
    start: Instant,
    /// The nanoseconds that one request costs.
    cost: u64,
    /// The nanoseconds that a client may owe.
    burst: u64,
}

/// A client by its hash, and when it will have its whole allowance again, in nanoseconds from the start.
#[derive(Debug, Clone, Copy, Default)]
struct RateEntry {
    tag: u64,
    whole_at: u64,
}

impl ClientLimiter {
    /// `rate` requests a minute, and as many at the same time after a minute without requests.
    pub fn per_minute(rate: NonZeroU32) -> Self {
        Self::with_room_for(MAX_CLIENTS, rate)
    }

    fn with_room_for(addresses: usize, rate: NonZeroU32) -> Self {
        Self(Arc::new(Inner {
            sets: (0..addresses.div_ceil(ENTRIES_PER_SET)).map(|_| Mutex::default()).collect(),
            hashes: RandomState::new(),
            start: Instant::now(),
            cost: NANOS_PER_MINUTE / u64::from(rate.get()),
            burst: NANOS_PER_MINUTE,
        }))
    }

    /// Counts a request from `address`, see [`ip_prefix::of_client`].
    ///
    /// # Errors
    /// The client has used up its allowance. The result says after how long it may send the next request.
    pub fn check(&self, address: IpAddr) -> Result<(), Duration> {
        self.check_at(address, self.nanos())
    }

    /// The same, without counting a request.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn peek(&self, address: IpAddr) -> Result<(), Duration> {
        self.decide(address, self.nanos(), false)
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn check_at(&self, address: IpAddr, now: u64) -> Result<(), Duration> {
        self.decide(address, now, true)
    }

    fn decide(&self, address: IpAddr, now: u64, counts: bool) -> Result<(), Duration> {
        let Inner { sets, hashes, cost, burst, .. } = &*self.0;
        let tag = hashes.hash_one(ip_prefix::of_client(address)) | 1;
        // All tags have the lowest bit set.
        let set = &sets[(tag >> 1) as usize % sets.len()];
        // An entry is written in one step, so a panic in another thread can't leave half an entry.
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let known = set.iter().position(|entry| entry.tag == tag);
        let index = known.or_else(|| (0..ENTRIES_PER_SET).min_by_key(|index| set[*index].whole_at)).unwrap_or(0);
        let owed = if known.is_some() { set[index].whole_at.max(now) } else { now };
        let whole_at = owed.saturating_add(*cost);
        match (whole_at - now).checked_sub(*burst) {
            Some(wait @ 1..) => Err(Duration::from_nanos(wait)),
            Some(0) | None => {
                if counts {
                    set[index] = RateEntry { tag, whole_at };
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(rate: u32) -> NonZeroU32 {
        NonZeroU32::new(rate).unwrap()
    }

    #[test]
    fn one_address_may_ask_so_often_a_minute() {
        let limiter = ClientLimiter::per_minute(rate(3));
        let address = "192.0.2.1".parse().unwrap();
        for _ in 0..3 {
            assert_eq!((limiter.peek(address), limiter.peek(address)), (Ok(()), Ok(())), "a look counts nothing");
            assert_eq!(limiter.check(address), Ok(()));
        }
        let wait = limiter.check(address).unwrap_err();
        assert!(wait > Duration::from_secs(15) && wait <= Duration::from_secs(20), "{wait:?}");
        assert!(limiter.peek(address).is_err());
        assert_eq!(limiter.check("192.0.2.2".parse().unwrap()), Ok(()));
        assert!(limiter.check("::ffff:192.0.2.1".parse().unwrap()).is_err());
    }

    #[test]
    fn a_wait_that_is_observed_is_enough() {
        let (limiter, address) = (ClientLimiter::per_minute(rate(7)), "192.0.2.1".parse().unwrap());
        let mut now = 5;
        for _ in 0..100 {
            if let Err(wait) = limiter.check_at(address, now) {
                now += u64::try_from(wait.as_nanos()).unwrap();
                assert_eq!(limiter.check_at(address, now), Ok(()));
            }
        }
        // 7 requests at the start, and one for each seventh of a minute.
        let minutes = now / NANOS_PER_MINUTE;
        assert!((12..=14).contains(&minutes), "{minutes}");
    }

    #[test]
    fn ipv6_counts_by_its_64() {
        let limiter = ClientLimiter::per_minute(rate(1));
        assert!(limiter.check("2001:db8::1".parse().unwrap()).is_ok());
        assert!(limiter.check("2001:db8::ffff:1".parse().unwrap()).is_err());
        assert!(limiter.check("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }

    #[test]
    fn a_full_table_refuses_neither_newcomers_nor_who_was_there_before() {
        let limiter = ClientLimiter::with_room_for(128, rate(2));
        let before = "203.0.113.7".parse().unwrap();
        assert_eq!(limiter.check_at(before, 1), Ok(()));
        let flood = || (0..10_000_u32).map(|n| IpAddr::V4((0x0a00_0000 + n).into()));
        assert!(flood().all(|address| limiter.check_at(address, 1).is_ok()), "each for the first time");
        assert_eq!(limiter.check_at(before, 1), Ok(()), "its second request of two");
    }

    #[test]
    fn a_flood_of_others_does_not_make_an_address_forgotten_that_has_used_up_its_allowance() {
        let limiter = ClientLimiter::with_room_for(128, rate(10));
        let greedy = "203.0.113.7".parse().unwrap();
        assert_eq!((0..100).filter(|_| limiter.check_at(greedy, 1).is_ok()).count(), 10);
        for n in 0..10_000_u32 {
            limiter.check_at(IpAddr::V4((0x0a00_0000 + n).into()), 1).unwrap();
        }
        assert!(limiter.check_at(greedy, 1).is_err());
    }
}
