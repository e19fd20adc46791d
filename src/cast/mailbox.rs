//! What one side sends the other: a description (offer or answer), then candidates. PURE.
//!
//! Nothing is delivered to a side that is not there, and no candidate before the description that waits or before there is an
//! offer at all: front ends call `addIceCandidate` at once and it throws without a remote description. What waits, waits in
//! order, within bounds.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::VecDeque;

use crate::quota::Held;

/// Candidates that wait at most; a browser gathers a few dozen.
const MAX_CANDIDATES: usize = 256;
/// Bytes of them at most. The description that they belong to is one at a time: 512 KiB of JSON at most, twice where it
/// waits in two forms.
const MAX_CANDIDATE_BYTES: usize = 256 * 1024;

/// What crosses a room; the payload is opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal<P> {
    Offer(P),
    Answer(P),
    Candidate(P),
}

impl<P> Signal<P> {
    pub const fn payload(&self) -> &P {
        match self {
            Self::Offer(payload) | Self::Answer(payload) | Self::Candidate(payload) => payload,
        }
    }

    const fn is_description(&self) -> bool {
        matches!(self, Self::Offer(_) | Self::Answer(_))
    }
}

pub(super) struct Mailbox<P> {
    /// Candidates may pass.
    open: bool,
    description: Option<Entry<P>>,
    candidates: VecDeque<Entry<P>>,
    candidate_bytes: usize,
}

struct Entry<P> {
    signal: Signal<P>,
    bytes: usize,
    /// Its share of what may wait in all rooms; `None`: it only passes through.
    _held: Option<Held>,
}

impl<P> Default for Mailbox<P> {
    fn default() -> Self {
        Self { open: false, description: None, candidates: VecDeque::new(), candidate_bytes: 0 }
    }
}

impl<P> Mailbox<P> {
    /// Takes a signal of so many bytes; `false`: it does not fit and is gone.
    #[must_use]
    pub(super) fn put(&mut self, signal: Signal<P>, bytes: usize, held: Option<Held>) -> bool {
        let entry = Entry { signal, bytes, _held: held };
        if entry.signal.is_description() {
            if self.open && matches!(entry.signal, Signal::Offer(_)) {
                // Waiting candidates belong to an offer that has been delivered and is now obsolete.
                self.candidates.clear();
                self.candidate_bytes = 0;
            }
            self.open = false;
            self.description = Some(entry);
            return true;
        }
        if self.candidates.len() >= MAX_CANDIDATES || self.candidate_bytes + bytes > MAX_CANDIDATE_BYTES {
            return false;
        }
        self.candidate_bytes += bytes;
        self.candidates.push_back(entry);
        true
    }

    /// Whether a signal passes at once where the other side is there.
    pub(super) const fn passes(&self, signal: &Signal<P>) -> bool {
        self.open || signal.is_description()
    }

    /// The next signal that may go to the other side now.
    pub(super) fn take(&mut self) -> Option<Signal<P>> {
        if let Some(description) = self.description.take() {
            self.open = true;
            return Some(description.signal);
        }
        let candidate = if self.open { self.candidates.pop_front()? } else { return None };
        self.candidate_bytes -= candidate.bytes;
        Some(candidate.signal)
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
        assert!(mailbox.put(Signal::Candidate(1), 10, None));
        assert!(mailbox.put(Signal::Candidate(2), 10, None));
        assert!(drain(&mut mailbox).is_empty());
        assert!(mailbox.put(Signal::Offer(0), 10, None));
        assert_eq!(drain(&mut mailbox), [0, 1, 2]);
        assert!(mailbox.put(Signal::Candidate(3), 10, None));
        assert_eq!(drain(&mut mailbox), [3]);
    }

    #[test]
    fn a_newer_description_replaces_one_that_waits_and_keeps_its_early_candidates() {
        let mut mailbox = Mailbox::default();
        assert!(mailbox.put(Signal::Candidate(1), 10, None));
        assert!(mailbox.put(Signal::Offer(2), 10, None));
        assert!(mailbox.put(Signal::Offer(3), 10, None));
        assert_eq!(drain(&mut mailbox), [3, 1]);
        assert_eq!(mailbox.candidate_bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded_in_count_and_bytes() {
        let mut mailbox = Mailbox::default();
        let taken = (0..1000).filter(|&n| mailbox.put(Signal::Candidate(n), 10, None)).count();
        assert_eq!(taken, MAX_CANDIDATES);
        let mut mailbox = Mailbox::default();
        let taken = (0..1000).filter(|&n| mailbox.put(Signal::Candidate(n), 64 * 1024, None)).count();
        assert_eq!(taken, 4);
    }

    #[test]
    fn the_largest_description_waits_with_its_candidates() {
        let mut mailbox = Mailbox::default();
        for candidate in 0..200 {
            assert!(mailbox.put(Signal::Candidate(candidate), 300, None));
        }
        assert!(mailbox.put(Signal::Offer(1000), 512 * 1024, None));
        for candidate in 200..250 {
            assert!(mailbox.put(Signal::Candidate(candidate), 300, None));
        }
        assert_eq!(drain(&mut mailbox).len(), 251);
        assert_eq!(mailbox.candidate_bytes, 0);
    }
}
