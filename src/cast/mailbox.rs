//! What one side sends the other: a description (offer or answer), then candidates. PURE.
//!
//! Nothing is delivered to a side that is not there, and no candidate before the description that waits or before there is an
//! offer at all: front ends call `addIceCandidate` at once and it throws without a remote description. What waits, waits in
//! order, within bounds.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::VecDeque;

use super::room::Signal;

/// Candidates that wait at most; a browser gathers a few dozen.
const CANDIDATES: usize = 256;
/// Bytes that wait at most, description included.
const BYTES: usize = 256 * 1024;

pub(super) struct Mailbox<P> {
    /// Candidates may pass.
    open: bool,
    description: Option<(Signal<P>, usize)>,
    candidates: VecDeque<(Signal<P>, usize)>,
    bytes: usize,
}

impl<P> Default for Mailbox<P> {
    fn default() -> Self {
        Self { open: false, description: None, candidates: VecDeque::new(), bytes: 0 }
    }
}

impl<P> Mailbox<P> {
    /// Takes a signal of `size` bytes; `false`: it does not fit and is gone.
    #[must_use]
    pub(super) fn put(&mut self, signal: Signal<P>, size: usize) -> bool {
        if signal.is_description() {
            if self.open && matches!(signal, Signal::Offer(_)) {
                // Waiting candidates belong to an offer that has been delivered and is now obsolete.
                self.candidates.clear();
            }
            self.open = false;
            self.description = Some((signal, size));
            self.bytes = size + self.candidates.iter().map(|(_, size)| size).sum::<usize>();
            return true;
        }
        if self.candidates.len() >= CANDIDATES || self.bytes + size > BYTES {
            return false;
        }
        self.bytes += size;
        self.candidates.push_back((signal, size));
        true
    }

    /// The next signal that may go to the other side now.
    pub(super) fn take(&mut self) -> Option<Signal<P>> {
        let (signal, size) = match self.description.take() {
            Some(description) => {
                self.open = true;
                description
            }
            None if self.open => self.candidates.pop_front()?,
            None => return None,
        };
        self.bytes -= size;
        Some(signal)
    }

    /// The receiving side is new: candidates for the one before mean nothing to it, nor do later ones before an offer.
    pub(super) fn expect_offer(&mut self) {
        if self.description.is_none() {
            *self = Self::default();
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// There is an offer, so candidates of its answering side mean something.
    pub(super) fn open(&mut self) {
        self.open = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(mailbox: &mut Mailbox<u32>) -> Vec<u32> {
        std::iter::from_fn(|| mailbox.take())
            .map(|signal| match signal {
                Signal::Offer(n) | Signal::Answer(n) | Signal::Candidate(n) => n,
            })
            .collect()
    }

    #[test]
    fn candidates_wait_for_the_description() {
        let mut mailbox = Mailbox::default();
        assert!(mailbox.put(Signal::Candidate(1), 10));
        assert!(mailbox.put(Signal::Candidate(2), 10));
        assert!(drain(&mut mailbox).is_empty());
        assert!(mailbox.put(Signal::Offer(0), 10));
        assert_eq!(drain(&mut mailbox), [0, 1, 2]);
        assert!(mailbox.put(Signal::Candidate(3), 10));
        assert_eq!(drain(&mut mailbox), [3]);
    }

    #[test]
    fn a_newer_description_replaces_one_that_waits_and_keeps_its_early_candidates() {
        let mut mailbox = Mailbox::default();
        assert!(mailbox.put(Signal::Candidate(1), 10));
        assert!(mailbox.put(Signal::Offer(2), 10));
        assert!(mailbox.put(Signal::Offer(3), 10));
        assert_eq!(drain(&mut mailbox), [3, 1]);
        assert_eq!(mailbox.bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded_in_count_and_bytes() {
        let mut mailbox = Mailbox::default();
        let taken = (0..1000).filter(|&n| mailbox.put(Signal::Candidate(n), 10)).count();
        assert_eq!(taken, CANDIDATES);
        let mut mailbox = Mailbox::default();
        let taken = (0..1000).filter(|&n| mailbox.put(Signal::Candidate(n), 64 * 1024)).count();
        assert_eq!(taken, 4);
    }
}
