//! Counts the bytes that all clients' streams hold together: those that wait to be written, and those of incomplete frames. Each
//! stream has a bound of its own, but clients could open tens of thousands of streams and fill each to its bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of all streams together, beyond which each stream gets a smaller bound.
const MAX_TOTAL_BYTES: usize = 32 << 20;

/// The bytes of all streams; clones share the count.
#[derive(Debug, Clone, Default)]
pub(in crate::relay) struct BufferTotal(Arc<AtomicUsize>);

/// The bytes of one stream, subtracted from the total when dropped.
#[derive(Debug)]
pub(in crate::relay) struct BufferUsage {
    total: BufferTotal,
    own: usize,
}

impl BufferTotal {
    /// The usage of a new stream, which holds nothing yet.
    pub(in crate::relay) fn new_usage(&self) -> BufferUsage {
        BufferUsage { total: self.clone(), own: 0 }
    }
}

impl BufferUsage {
    /// Sets how many bytes the stream holds now.
    pub(in crate::relay) fn set(&mut self, bytes: usize) {
        if bytes > self.own {
            self.total.0.fetch_add(bytes - self.own, Ordering::Relaxed);
        } else if bytes < self.own {
            self.total.0.fetch_sub(self.own - bytes, Ordering::Relaxed);
        }
        self.own = bytes;
    }

    /// Whether all streams together hold more than they should.
    pub(in crate::relay) fn total_is_exceeded(&self) -> bool {
        self.total.0.load(Ordering::Relaxed) > MAX_TOTAL_BYTES
    }
}

impl Drop for BufferUsage {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_holds_is_counted_until_it_is_dropped() {
        let all = BufferTotal::default();
        let (mut one, mut other) = (all.new_usage(), all.new_usage());
        one.set(MAX_TOTAL_BYTES);
        assert!(!other.total_is_exceeded());
        other.set(1);
        assert!(one.total_is_exceeded() && other.total_is_exceeded());
        one.set(MAX_TOTAL_BYTES - 1);
        assert!(!one.total_is_exceeded());
        drop((one, other));
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }
}
