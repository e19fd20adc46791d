//! Limits the bytes that a client may send, including the bytes that the server sends because of them. PURE.
//!
//! The bytes of an event are known only after the event was handled, so a budget may go into debt, which is paid off before new
//! bytes are allowed.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::{Duration, Instant};

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// How many bytes a second are allowed, and how many at the same time.
#[derive(Debug, Clone, Copy)]
pub struct ByteRate {
    /// Bytes a second.
    pub rate: u32,
    /// Bytes at the same time, after a time without any.
    pub burst: u32,
}

/// The bytes that one client has left.
#[derive(Debug)]
pub struct ByteBudget {
    limit: ByteRate,
    /// Bytes that may be spent; a negative value is debt.
    left: i64,
    /// When `left` was computed.
    at: Instant,
}

impl ByteBudget {
    #[must_use]
    pub fn new(limit: ByteRate, now: Instant) -> Self {
        Self { limit, left: limit.burst.into(), at: now }
    }

    /// Spends so many bytes.
    ///
    /// # Errors
    /// Fewer bytes are left, and none are spent. The result says after how long enough bytes are available, or, for more
    /// bytes than the burst, after how long the whole burst is.
    pub fn spend(&mut self, bytes: usize, now: Instant) -> Result<(), Duration> {
        let (left, bytes) = (self.left(now), i64::try_from(bytes).unwrap_or(i64::MAX));
        if bytes > left {
            let missing = bytes.min(self.limit.burst.into()).saturating_sub(left);
            return Err(Duration::from_secs_f64(missing as f64 / f64::from(self.limit.rate)));
        }
        self.left = left - bytes;
        Ok(())
    }

    /// Spends bytes that were sent already, going into debt if necessary.
    pub fn charge(&mut self, bytes: usize, now: Instant) {
        self.left = self.left(now).saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn left(&mut self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        let refill = u64::try_from(passed * u128::from(self.limit.rate) / NANOS_PER_SECOND).unwrap_or(u64::MAX);
        if self.left.saturating_add_unsigned(refill) >= self.limit.burst.into() {
            self.at = now;
        } else {
            // The remaining fraction of a byte is counted the next time.
            let counted = (u128::from(refill) * NANOS_PER_SECOND).div_ceil(self.limit.rate.max(1).into());
            self.at += Duration::from_nanos(u64::try_from(counted).unwrap_or(u64::MAX));
        }
        self.left = self.left.saturating_add_unsigned(refill).min(self.limit.burst.into());
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: ByteRate = ByteRate { rate: 1000, burst: 5000 };

    #[test]
    fn what_was_spent_comes_back_and_no_more() {
        let start = Instant::now();
        let after = |ms: u64| start + Duration::from_millis(ms);
        let mut budget = ByteBudget::new(LIMIT, start);
        assert!(budget.spend(5000, start).is_ok() && budget.spend(1, start).is_err());
        assert!(budget.spend(501, after(500)).is_err() && budget.spend(500, after(500)).is_ok());
        assert!(budget.spend(5000, after(60_000)).is_ok() && budget.spend(1, after(60_000)).is_err());
    }

    #[test]
    fn debt_is_paid_first() {
        let start = Instant::now();
        let mut budget = ByteBudget::new(LIMIT, start);
        budget.charge(8000, start);
        assert!(budget.spend(0, start + Duration::from_millis(2999)).is_err());
        assert!(budget.spend(0, start + Duration::from_millis(3000)).is_ok());
        assert!(budget.spend(1, start + Duration::from_millis(3000)).is_err());
    }

    #[test]
    fn parts_of_a_byte_are_not_lost() {
        let start = Instant::now();
        let mut budget = ByteBudget::new(LIMIT, start);
        assert!(budget.spend(5000, start).is_ok());
        let tries = (1..=10_000_u64).filter(|tenth| budget.spend(1, start + Duration::from_micros(tenth * 300)).is_ok()).count();
        assert_eq!(tries, 3000);
    }
}
