//! Writes a log line at most once in an interval. PURE.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When a line may be written again. Threads share it; of several threads that find the line due, one writes it.
#[derive(Debug)]
pub struct LogInterval {
    seconds: u64,
    /// The second from which on the line is due.
    due: AtomicU64,
}

impl LogInterval {
    /// An interval in whole seconds. The first line is due.
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self { seconds: interval.as_secs(), due: AtomicU64::new(0) }
    }

    /// Whether the line is due. If it is, the caller writes it, and the next one is due after the interval. `now` is counted from any
    /// moment that stays the same. If it is the time of a clock that was set back, the line is due as well.
    pub fn is_due(&self, now: Duration) -> bool {
        let (now, due) = (now.as_secs(), self.due.load(Ordering::Relaxed));
        let next = now.saturating_add(self.seconds);
        let was_set_back = due > next;
        (now >= due || was_set_back) && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_once_in_an_interval_and_after_the_clock_was_set_back() {
        let interval = LogInterval::new(Duration::from_secs(60));
        let due = [1000, 1001, 1059, 1060, 1061, 1119, 20, 21, 80].map(|now| interval.is_due(Duration::from_secs(now)));
        assert_eq!(due, [true, false, false, true, false, false, true, false, true]);
    }
}
