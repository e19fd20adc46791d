//! What all clients' connections hold together: what waits to be written, and messages that have begun to come. Each has a bound of its
//! own, but there are tens of thousands of connections, and clients could have all of them hold that much.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of all connections together. Beyond them each may hold little.
const MAX_BYTES: usize = 32 << 20;

/// Of all connections; clones share it.
#[derive(Debug, Clone, Default)]
pub(in crate::relay) struct HeldByAll(Arc<AtomicUsize>);

/// Of one connection; given back when dropped.
#[derive(Debug)]
pub(in crate::relay) struct Held {
    all: HeldByAll,
    own: usize,
}

impl HeldByAll {
    /// For one more connection, which holds nothing yet.
    pub(in crate::relay) fn none(&self) -> Held {
        Held { all: self.clone(), own: 0 }
    }
}

impl Held {
    /// The connection holds so many bytes now.
    pub(in crate::relay) fn set(&mut self, bytes: usize) {
        if bytes > self.own {
            self.all.0.fetch_add(bytes - self.own, Ordering::Relaxed);
        } else if bytes < self.own {
            self.all.0.fetch_sub(self.own - bytes, Ordering::Relaxed);
        }
        self.own = bytes;
    }

    /// Whether all together hold more than they should.
    pub(in crate::relay) fn is_too_much(&self) -> bool {
        self.all.0.load(Ordering::Relaxed) > MAX_BYTES
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_holds_is_counted_until_it_is_dropped() {
        let all = HeldByAll::default();
        let (mut one, mut other) = (all.none(), all.none());
        one.set(MAX_BYTES);
        assert!(!other.is_too_much());
        other.set(1);
        assert!(one.is_too_much() && other.is_too_much());
        one.set(MAX_BYTES - 1);
        assert!(!one.is_too_much());
        drop((one, other));
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }
}
