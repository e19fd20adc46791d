//! A token bucket, kept as one number: the time at which the bucket will be full again. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::{Duration, Instant};

/// Allows `burst` tokens at the same time, and one more each `interval`.
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    interval: Duration,
    burst: u32,
    /// When the bucket is full again; `None` if no token was ever taken.
    full_at: Option<Instant>,
}

impl TokenBucket {
    #[must_use]
    pub const fn new(burst: u32, interval: Duration) -> Self {
        Self { interval, burst, full_at: None }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// No token is left. The result says after how long the next one is available.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let wait = self.ready().map_or(Duration::ZERO, |ready| ready.saturating_duration_since(now));
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at = Some(self.full_at.unwrap_or(now).max(now) + self.interval);
        Ok(())
    }

    /// The time from which on a token is available; `None` if one always was.
    #[must_use]
    pub fn ready(&self) -> Option<Instant> {
        (self.full_at? + self.interval).checked_sub(self.interval * self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_one_each_interval() {
        let (mut bucket, start) = (TokenBucket::new(3, Duration::from_secs(2)), Instant::now());
        for _ in 0..3 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        assert_eq!(bucket.take(start), Err(Duration::from_secs(2)));
        let later = start + Duration::from_secs(2);
        assert_eq!((bucket.take(later), bucket.ready()), (Ok(()), Some(later + Duration::from_secs(2))));
        let much_later = start + Duration::from_secs(100);
        assert_eq!((0..10).filter(|_| bucket.take(much_later).is_ok()).count(), 3, "no more than the burst, however long it was");
    }
}
