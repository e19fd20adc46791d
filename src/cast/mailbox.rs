//! What one side sends the other: a description (offer or answer), then candidates. PURE.
//!
//! Nothing is delivered to a side that is not there, and no candidate before the description that waits or before there is an
//! offer at all: front ends call `addIceCandidate` at once and it throws without a remote description. What waits, waits in
//! order, within bounds.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::VecDeque;

use crate::limits::waiting_bytes::{Account, KeptValue, Ledger};

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
    /// What waits here, among what waits on the whole server; `None`: nothing has waited yet.
    account: Option<Account>,
}

enum Entry<P> {
    Waiting(KeptValue<Signal<P>>),
    /// It is taken at once.
    Passing(Signal<P>, usize),
}

impl<P: Send + 'static> Entry<P> {
    fn take(self) -> Option<Signal<P>> {
        match self {
            Self::Waiting(kept) => kept.take(),
            Self::Passing(signal, _) => Some(signal),
        }
    }

    const fn bytes(&self) -> usize {
        match self {
            Self::Waiting(kept) => kept.bytes(),
            Self::Passing(_, bytes) => *bytes,
        }
    }
}

/// Why a signal is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// Too much waits here.
    TooMany,
    /// Too much waits on the whole server, and most of it here.
    NoSpace,
}

impl<P> Default for Mailbox<P> {
    fn default() -> Self {
        Self { open: false, description: None, candidates: VecDeque::new(), candidate_bytes: 0, account: None }
    }
}

impl<P: Send + 'static> Mailbox<P> {
    /// Takes a signal of so many bytes, which is counted in `ledger`, unless it passes at once.
    ///
    /// # Errors
    /// Why the signal is gone.
    pub(super) fn put(&mut self, signal: Signal<P>, bytes: usize, ledger: Option<&Ledger>) -> Result<(), Lost> {
        self.forget_lost();
        let is_description = signal.is_description();
        if !is_description && (self.candidates.len() >= MAX_CANDIDATES || self.candidate_bytes + bytes > MAX_CANDIDATE_BYTES) {
            return Err(Lost::TooMany);
        }
        if is_description {
            if self.open && matches!(signal, Signal::Offer(_)) {
                // Waiting candidates belong to an offer that has been delivered and is now obsolete.
                self.candidates.clear();
                self.candidate_bytes = 0;
            }
            self.open = false;
            // What it replaces makes room for it.
            self.description = None;
        }
        let entry = match ledger {
            Some(ledger) => {
                let account = self.account.get_or_insert_with(|| ledger.open(None));
                Entry::Waiting(account.keep(signal, bytes).ok_or(Lost::NoSpace)?)
            }
            None => Entry::Passing(signal, bytes),
        };
        if is_description {
            self.description = Some(entry);
        } else {
            self.candidate_bytes += bytes;
            self.candidates.push_back(entry);
        }
        Ok(())
    }

    /// Whatever waited is gone where the server held too much.
    fn forget_lost(&mut self) {
        if self.account.as_ref().is_some_and(Account::is_closed) {
            *self = Self { open: self.open, ..Self::default() };
        }
    }

    /// Whether a signal passes at once where the other side is there.
    pub(super) const fn passes(&self, signal: &Signal<P>) -> bool {
        self.open || signal.is_description()
    }

    /// The next signal that may go to the other side now.
    pub(super) fn take(&mut self) -> Option<Signal<P>> {
        self.forget_lost();
        if let Some(description) = self.description.take() {
            self.open = true;
            return description.take();
        }
        let candidate = if self.open { self.candidates.pop_front()? } else { return None };
        self.candidate_bytes -= candidate.bytes();
        candidate.take()
    }

    /// The receiving side is new: candidates for the one before mean nothing to it, nor do later ones before an offer.
    pub(super) fn expect_offer(&mut self) {
        if self.description.is_none() {
            *self = Self::default();
        }
    }

    #[cfg(test)]
    pub(super) fn waits(&mut self) -> bool {
        self.forget_lost();
        self.description.is_some()
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
        assert!(mailbox.put(Signal::Candidate(1), 10, None).is_ok());
        assert!(mailbox.put(Signal::Candidate(2), 10, None).is_ok());
        assert!(drain(&mut mailbox).is_empty());
        assert!(mailbox.put(Signal::Offer(0), 10, None).is_ok());
        assert_eq!(drain(&mut mailbox), [0, 1, 2]);
        assert!(mailbox.put(Signal::Candidate(3), 10, None).is_ok());
        assert_eq!(drain(&mut mailbox), [3]);
    }

    #[test]
    fn a_newer_description_replaces_one_that_waits_and_keeps_its_early_candidates() {
        let mut mailbox = Mailbox::default();
        assert!(mailbox.put(Signal::Candidate(1), 10, None).is_ok());
        assert!(mailbox.put(Signal::Offer(2), 10, None).is_ok());
        assert!(mailbox.put(Signal::Offer(3), 10, None).is_ok());
        assert_eq!(drain(&mut mailbox), [3, 1]);
        assert_eq!(mailbox.candidate_bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded_in_count_and_bytes() {
        let (mut mailbox, ledger) = (Mailbox::default(), Ledger::default());
        let taken = (0..1000).filter(|&n| mailbox.put(Signal::Candidate(n), 10, Some(&ledger)).is_ok()).count();
        assert_eq!(taken, MAX_CANDIDATES);
        let mut mailbox = Mailbox::default();
        let taken = (0..1000).filter(|&n| mailbox.put(Signal::Candidate(n), 64 * 1024, Some(&ledger)).is_ok()).count();
        assert_eq!(taken, 4);
    }

    #[test]
    fn the_largest_description_waits_with_its_candidates() {
        let mut mailbox = Mailbox::default();
        for candidate in 0..200 {
            assert!(mailbox.put(Signal::Candidate(candidate), 300, None).is_ok());
        }
        assert!(mailbox.put(Signal::Offer(1000), 512 * 1024, None).is_ok());
        for candidate in 200..250 {
            assert!(mailbox.put(Signal::Candidate(candidate), 300, None).is_ok());
        }
        assert_eq!(drain(&mut mailbox).len(), 251);
        assert_eq!(mailbox.candidate_bytes, 0);
    }

    #[test]
    fn what_is_dropped_for_want_of_space_does_not_block_what_comes_after() {
        let ledger = Ledger::new(100_000, 0);
        let (mut mailbox, mut other) = (Mailbox::default(), Mailbox::default());
        assert!(mailbox.put(Signal::Offer(1), 60_000, Some(&ledger)).is_ok());
        assert!(other.put(Signal::Offer(2), 50_000, Some(&ledger)).is_ok(), "the largest goes");
        assert_eq!(ledger.bytes(), 50_000);
        assert!(drain(&mut mailbox).is_empty());
        assert!(mailbox.put(Signal::Candidate(3), 10, Some(&ledger)).is_ok());
        assert!(drain(&mut mailbox).is_empty(), "the offer that it belongs to is gone");
        assert_eq!(mailbox.put(Signal::Offer(4), 90_000, Some(&ledger)), Err(Lost::NoSpace));
        assert!(mailbox.put(Signal::Offer(5), 10_000, Some(&ledger)).is_ok());
        assert_eq!((drain(&mut mailbox), drain(&mut other)), (vec![5], vec![2]));
        assert_eq!(ledger.bytes(), 0);
    }
}
