//! The value of Retry-After. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Duration;

/// Whole seconds, rounded up and at least one, so that a client that waits exactly so long is not refused again.
#[must_use]
pub fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up() {
        for (wait, told) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_500, 60)] {
            assert_eq!(seconds(Duration::from_millis(wait)), told, "{wait} ms");
        }
    }
}
