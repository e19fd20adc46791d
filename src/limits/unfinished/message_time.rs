//! Limits how long a message may take. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Duration;

use tokio::time::Instant;

/// The time from the first byte of a message to its last one, and between two of its bytes.
pub(super) const BASE_TIMEOUT: Duration = Duration::from_secs(10);
/// A message has one more second for so many bytes, counted from its first byte. The slowest mobile networks are faster; the
/// largest description takes half a minute at this rate.
const MIN_BYTES_PER_SECOND: u64 = 16 * 1024;
/// How long a message may wait for other messages of its client.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How long a message has taken so far.
#[derive(Debug)]
pub(super) struct MessageTime {
    begun: Instant,
    /// When the last bytes of the message arrived, or when it stopped waiting for others.
    last: Instant,
    pub(super) bytes: u64,
    /// The time since which the message waits for others.
    waiting: Option<Instant>,
    waited: Duration,
}

impl MessageTime {
    /// A message that begins now.
    pub(super) const fn new(now: Instant, bytes: u64) -> Self {
        Self { begun: now, last: now, bytes, waiting: None, waited: Duration::ZERO }
    }

    /// Notes that bytes have arrived.
    pub(super) fn grow(&mut self, bytes: u64, now: Instant) {
        self.bytes = bytes;
        self.last = now;
    }

    /// Notes that the message waits for others from now on.
    pub(super) fn wait(&mut self, now: Instant) {
        self.waiting.get_or_insert(now);
    }

    /// Notes that the message is read again.
    pub(super) fn go_on(&mut self, now: Instant) {
        if let Some(since) = self.waiting.take() {
            self.waited += now - since;
            self.last = now;
        }
    }

    /// The time at which the message is given up.
    pub(super) fn limit(&self) -> Instant {
        match self.waiting {
            Some(since) => since + MAX_WAIT.saturating_sub(self.waited),
            None => {
                (self.begun + self.waited + Duration::from_secs(self.bytes / MIN_BYTES_PER_SECOND)).min(self.last) + BASE_TIMEOUT
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_ten_seconds_one_for_each_16_kib_and_none_for_its_wait() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut time = MessageTime::new(begun, 0);
        assert_eq!(time.limit(), after(10));
        time.grow(16 * MIN_BYTES_PER_SECOND - 1, after(2));
        assert_eq!(time.limit(), after(12), "after the last byte");
        time.grow(16 * MIN_BYTES_PER_SECOND, after(25));
        assert_eq!(time.limit(), after(26), "after the first one");
        time.wait(after(26));
        time.wait(after(29));
        assert_eq!(time.limit(), after(26) + MAX_WAIT);
        time.go_on(after(46));
        time.go_on(after(47));
        assert_eq!(time.limit(), after(46));
        time.grow(64 * MIN_BYTES_PER_SECOND, after(46));
        assert_eq!(time.limit(), after(56));
        time.wait(after(50));
        assert_eq!(time.limit(), after(50) + MAX_WAIT - Duration::from_secs(20));
    }
}
