//! How often one address may ask for something.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::ip_prefix;

/// Most addresses remembered. An address that has its full allowance again is forgotten, so only so many busy ones fill it.
const MOST: usize = 65_536;
/// How often those are looked for.
const PRUNE: Duration = Duration::from_secs(60);
/// How often at most, while the table is full.
const PRUNE_FULL: Duration = Duration::from_secs(1);

/// A cheap handle; clones share one table.
#[derive(Debug, Clone)]
pub struct AddressLimiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    start: Instant,
    /// Milliseconds from `start`.
    pruned: AtomicU64,
    most: usize,
}

impl AddressLimiter {
    /// `rate` requests a minute, and as many at once after a quiet minute.
    pub fn per_minute(rate: NonZeroU32) -> Self {
        Self::with_room_for(MOST, rate)
    }

    fn with_room_for(most: usize, rate: NonZeroU32) -> Self {
        Self(Arc::new(Inner {
            limiter: RateLimiter::keyed(Quota::per_minute(rate)),
            clock: DefaultClock::default(),
            start: Instant::now(),
            pruned: AtomicU64::new(0),
            most,
        }))
    }

    /// Counts a request of `address`, IPv6 by its /64, which is what one customer gets.
    ///
    /// # Errors
    /// How long to wait, when there were too many.
    pub fn check(&self, address: IpAddr) -> Result<(), Duration> {
        let inner = &*self.0;
        let full = inner.limiter.len() >= inner.most;
        inner.prune_after(if full { PRUNE_FULL } else { PRUNE });
        if full && inner.limiter.len() >= inner.most {
            return Err(PRUNE_FULL);
        }
        inner.limiter.check_key(&ip_prefix::of_client(address)).map_err(|refused| refused.wait_time_from(inner.clock.now()))
    }
}

impl Inner {
    fn prune_after(&self, pause: Duration) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let pruned = self.pruned.load(Ordering::Relaxed);
        let due = now.saturating_sub(pruned) >= u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        // One of the threads that find it due does it.
        if due && self.pruned.compare_exchange(pruned, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
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
        let limiter = AddressLimiter::per_minute(rate(3));
        let address = "192.0.2.1".parse().unwrap();
        for _ in 0..3 {
            assert_eq!(limiter.check(address), Ok(()));
        }
        let wait = limiter.check(address).unwrap_err();
        assert!(wait > Duration::from_secs(15) && wait <= Duration::from_secs(20), "{wait:?}");
        assert_eq!(limiter.check("192.0.2.2".parse().unwrap()), Ok(()));
        assert!(limiter.check("::ffff:192.0.2.1".parse().unwrap()).is_err());
    }

    #[test]
    fn ipv6_counts_by_its_64() {
        let limiter = AddressLimiter::per_minute(rate(1));
        assert!(limiter.check("2001:db8::1".parse().unwrap()).is_ok());
        assert!(limiter.check("2001:db8::ffff:1".parse().unwrap()).is_err());
        assert!(limiter.check("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }

    #[test]
    fn the_table_is_bounded() {
        let limiter = AddressLimiter::with_room_for(100, rate(1));
        let allowed = (0..10_000_u32).filter(|n| limiter.check(IpAddr::V4((*n).into())).is_ok()).count();
        assert!(allowed <= 100, "{allowed}");
        assert!(limiter.0.limiter.len() <= 100);
    }
}
