//! Counts the bytes of payload that are relayed for users.
//!
//! An allocation has an [`AllocationTraffic`], which each packet adds to without a lock. From time to time, and when the allocation ends,
//! the new bytes are added to the [`UserAccount`] that the [`CredentialSource`](super::CredentialSource) has named for the user. Every
//! byte is added once: a payload between two clients counts for both allocations, for one as sent and for the other as received.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The bytes of a user that nobody has taken yet. Several users may have one account together.
#[derive(Debug, Default)]
pub struct UserAccount {
    bytes: AtomicU64,
    is_exhausted: AtomicBool,
}

impl UserAccount {
    /// The bytes that were added since the last [`Self::take`].
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes the bytes, so that they are counted elsewhere.
    pub fn take(&self) -> u64 {
        self.bytes.swap(0, Ordering::Relaxed)
    }

    /// Adds bytes.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the user may relay no more: new allocations are refused, and live ones end at the next
    /// [`Engine::settle`](super::Engine::settle).
    pub fn is_exhausted(&self) -> bool {
        self.is_exhausted.load(Ordering::Relaxed)
    }

    /// Returns whether this has changed anything.
    pub fn set_exhausted(&self, is_exhausted: bool) -> bool {
        self.is_exhausted.swap(is_exhausted, Ordering::Relaxed) != is_exhausted
    }
}

/// The bytes of payload that an allocation has relayed. Other engines, which deliver to its client, add to it too.
#[derive(Debug, Default)]
pub(super) struct AllocationTraffic {
    /// From the client to its peers.
    sent: AtomicU64,
    /// From its peers to the client.
    received: AtomicU64,
    /// What the account has of both.
    settled: AtomicU64,
}

impl AllocationTraffic {
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn add_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Adds the new bytes to the account. Only one thread at a time may call this: the engine of the allocation, and then whoever drops the
    /// last reference.
    pub(super) fn settle(&self, account: &UserAccount) {
        let total = self.sent() + self.received();
        let new = total - self.settled.load(Ordering::Relaxed);
        if new > 0 {
            self.settled.store(total, Ordering::Relaxed);
            account.add(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_added_to_the_account_once() {
        let (traffic, account) = (AllocationTraffic::default(), UserAccount::default());
        traffic.add_sent(1000);
        traffic.settle(&account);
        traffic.settle(&account);
        assert_eq!(account.bytes(), 1000);
        traffic.add_received(20);
        traffic.add_sent(3);
        traffic.settle(&account);
        assert_eq!((account.take(), account.take()), (1023, 0));
        traffic.settle(&account);
        assert_eq!((account.bytes(), traffic.sent(), traffic.received()), (0, 1003, 20));
    }
}
