//! Bytes that wait for clients that are away, counted over all of them. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes may be held at once; clones share them.
#[derive(Debug, Clone)]
pub struct ByteQuota {
    held: Arc<AtomicUsize>,
    most: usize,
}

/// Bytes of a quota, given back when dropped.
#[derive(Debug)]
pub struct Held {
    of: Arc<AtomicUsize>,
    bytes: usize,
}

impl ByteQuota {
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { held: Arc::default(), most }
    }

    /// `None`: there are not so many left.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Option<Held> {
        let more = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Held { of: Arc::clone(&self.held), bytes })
    }

    /// Bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let quota = ByteQuota::new(10);
        let first = quota.take(6).unwrap();
        assert!(quota.take(5).is_none() && quota.take(usize::MAX).is_none());
        let _second = quota.take(4).unwrap();
        drop(first);
        assert_eq!(quota.held(), 4);
        assert!(quota.take(6).is_some());
    }
}
