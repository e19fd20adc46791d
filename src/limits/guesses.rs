//! Wrong guesses of codes and passwords, counted per client address. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::ip_prefix;

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered at most, about 4 MiB.
const CAPACITY: usize = 65_536;

/// Bounded by count and time: an entry lives one window.
#[derive(Default)]
pub struct Guesses {
    wrong: HashMap<IpAddr, (u32, Instant)>,
}

impl Guesses {
    /// How long `from` has to wait before it may try again; `None`: it may now. `allowed`: wrong guesses in a window.
    pub fn blocked_for(&self, from: IpAddr, allowed: u32, now: Instant) -> Option<Duration> {
        let &(count, since) = self.wrong.get(&ip_prefix::of_client(from))?;
        let left = (since + WINDOW).saturating_duration_since(now);
        (count >= allowed && !left.is_zero()).then_some(left)
    }

    /// Counts a wrong guess.
    pub fn record(&mut self, from: IpAddr, now: Instant) {
        if self.wrong.len() >= CAPACITY {
            self.wrong.retain(|_, (_, since)| *since + WINDOW > now);
            // So many addresses in one window are an attack on the table itself; forgetting keeps it bounded.
            if self.wrong.len() >= CAPACITY {
                self.wrong.clear();
            }
        }
        let entry = self.wrong.entry(ip_prefix::of_client(from)).or_insert((0, now));
        if entry.1 + WINDOW <= now {
            *entry = (0, now);
        }
        entry.0 = entry.0.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: u32 = 10;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn blocked_after_the_allowed_number_and_free_after_the_window() {
        let (mut guesses, start) = (Guesses::default(), Instant::now());
        for _ in 0..ALLOWED {
            assert_eq!(guesses.blocked_for(ip("203.0.113.1"), ALLOWED, start), None);
            guesses.record(ip("203.0.113.1"), start);
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), ALLOWED, later), Some(Duration::from_secs(40)));
        assert_eq!(guesses.blocked_for(ip("::ffff:203.0.113.1"), ALLOWED, later), Some(Duration::from_secs(40)));
        assert_eq!(guesses.blocked_for(ip("203.0.113.2"), ALLOWED, later), None);
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), ALLOWED, start + WINDOW), None);
        guesses.record(ip("203.0.113.1"), start + WINDOW);
        assert_eq!(guesses.blocked_for(ip("203.0.113.1"), ALLOWED, start + WINDOW), None);
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        (0..ALLOWED).for_each(|host| guesses.record(ip(&format!("2001:db8::{host:x}")), now));
        assert!(guesses.blocked_for(ip("2001:db8::ffff"), ALLOWED, now).is_some());
        assert!(guesses.blocked_for(ip("2001:db8:0:1::1"), ALLOWED, now).is_none());
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for n in 0..u32::try_from(CAPACITY).expect("fits") + 10 {
            guesses.record(IpAddr::V4(n.into()), now);
        }
        assert!(guesses.wrong.len() <= CAPACITY);
    }
}
