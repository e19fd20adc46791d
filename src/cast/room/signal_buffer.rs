//! What one side of a room sends the other: a description (offer or answer), then candidates. PURE.
//!
//! Nothing is delivered to a side that is away. No candidate is delivered before the description that waits, or before there is an offer:
//! front ends call `addIceCandidate` when a candidate arrives, and that throws without a remote description. What waits keeps its order
//! and is bounded.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::VecDeque;

use crate::cast::model::Signal;
use crate::limits::waiting_bytes::{Account, KeptValue, Ledger};

/// Candidates that wait; a browser gathers a few dozen.
const MAX_CANDIDATES: usize = 256;
/// Bytes of the candidates that wait. Only one description waits: 512 KiB of JSON at most, and twice that if it waits in two forms.
const MAX_CANDIDATE_BYTES: usize = 256 * 1024;

pub(super) struct SignalBuffer<P> {
    /// Whether candidates may pass.
    open: bool,
    description: Option<BufferedSignal<P>>,
    candidates: VecDeque<BufferedSignal<P>>,
    candidate_bytes: usize,
    /// Counts what waits here in the server's ledger; `None`: nothing has waited yet.
    account: Option<Account>,
}

enum BufferedSignal<P> {
    Waiting(KeptValue<Signal<P>>),
    /// The signal is taken out before the input ends, so it is not counted in the ledger.
    Passing(Signal<P>, usize),
}

impl<P: Send + 'static> BufferedSignal<P> {
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

/// Why a signal is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotBuffered {
    /// Too many candidates wait here.
    TooMany,
    /// Too much waits on the whole server, and most of it here.
    NoSpace,
}

impl<P> Default for SignalBuffer<P> {
    fn default() -> Self {
        Self { open: false, description: None, candidates: VecDeque::new(), candidate_bytes: 0, account: None }
    }
}

impl<P: Send + 'static> SignalBuffer<P> {
    /// Adds a signal of so many bytes. `ledger` counts a signal that has to wait.
    ///
    /// # Errors
    /// Why the signal is lost.
    pub(super) fn push(&mut self, signal: Signal<P>, bytes: usize, ledger: Option<&Ledger>) -> Result<(), NotBuffered> {
        self.forget_lost();
        let is_description = signal.is_description();
        if !is_description && (self.candidates.len() >= MAX_CANDIDATES || self.candidate_bytes + bytes > MAX_CANDIDATE_BYTES) {
            return Err(NotBuffered::TooMany);
        }
        if is_description {
            if self.open && matches!(signal, Signal::Offer(_)) {
                // Waiting candidates belong to an offer that has been delivered and is now obsolete.
                self.candidates.clear();
                self.candidate_bytes = 0;
            }
            self.open = false;
            // The description that waits makes room for its replacement.
            self.description = None;
        }
        let buffered = match ledger {
            Some(ledger) => {
                let account = self.account.get_or_insert_with(|| ledger.open(None));
                BufferedSignal::Waiting(account.keep(signal, bytes).ok_or(NotBuffered::NoSpace)?)
            }
            None => BufferedSignal::Passing(signal, bytes),
        };
        if is_description {
            self.description = Some(buffered);
        } else {
            self.candidate_bytes += bytes;
            self.candidates.push_back(buffered);
        }
        Ok(())
    }

    /// Starts anew if the server held too much and dropped all that waited here.
    fn forget_lost(&mut self) {
        if self.account.as_ref().is_some_and(Account::is_closed) {
            *self = Self { open: self.open, ..Self::default() };
        }
    }

    /// Whether a signal can be delivered without waiting if the other side is connected.
    pub(super) const fn passes(&self, signal: &Signal<P>) -> bool {
        self.open || signal.is_description()
    }

    /// Whether a candidate of so many bytes would be the next one to be delivered, so that it need not be added before.
    pub(super) fn may_skip(&self, signal: &Signal<P>, bytes: usize) -> bool {
        let is_empty = self.description.is_none() && self.candidates.is_empty();
        self.open && is_empty && !signal.is_description() && bytes <= MAX_CANDIDATE_BYTES
    }

    /// The next signal that may be delivered now.
    pub(super) fn pop(&mut self) -> Option<Signal<P>> {
        self.forget_lost();
        if let Some(description) = self.description.take() {
            self.open = true;
            return description.take();
        }
        let candidate = if self.open { self.candidates.pop_front()? } else { return None };
        self.candidate_bytes -= candidate.bytes();
        candidate.take()
    }

    /// The receiving side is new: candidates for the previous one are dropped, and later candidates wait for an offer.
    pub(super) fn expect_offer(&mut self) {
        if self.description.is_none() {
            *self = Self::default();
        }
    }

    #[cfg(test)]
    pub(super) fn has_description(&mut self) -> bool {
        self.forget_lost();
        self.description.is_some()
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// An offer was delivered, so the answering side's candidates may pass.
    pub(super) const fn open(&mut self) {
        self.open = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(buffer: &mut SignalBuffer<u32>) -> Vec<u32> {
        std::iter::from_fn(|| buffer.pop())
            .map(|signal| match signal {
                Signal::Offer(n) | Signal::Answer(n) | Signal::Candidate(n) => n,
            })
            .collect()
    }

    #[test]
    fn candidates_wait_for_the_description() {
        let mut buffer = SignalBuffer::default();
        assert!(buffer.push(Signal::Candidate(1), 10, None).is_ok());
        assert!(buffer.push(Signal::Candidate(2), 10, None).is_ok());
        assert!(drain(&mut buffer).is_empty());
        assert!(buffer.push(Signal::Offer(0), 10, None).is_ok());
        assert_eq!(drain(&mut buffer), [0, 1, 2]);
        assert!(buffer.push(Signal::Candidate(3), 10, None).is_ok());
        assert_eq!(drain(&mut buffer), [3]);
    }

    #[test]
    fn a_newer_description_replaces_one_that_waits_and_keeps_its_early_candidates() {
        let mut buffer = SignalBuffer::default();
        assert!(buffer.push(Signal::Candidate(1), 10, None).is_ok());
        assert!(buffer.push(Signal::Offer(2), 10, None).is_ok());
        assert!(buffer.push(Signal::Offer(3), 10, None).is_ok());
        assert_eq!(drain(&mut buffer), [3, 1]);
        assert_eq!(buffer.candidate_bytes, 0);
    }

    #[test]
    fn waiting_signals_are_bounded_in_count_and_bytes() {
        let (mut buffer, ledger) = (SignalBuffer::default(), Ledger::default());
        let taken = (0..1000).filter(|&n| buffer.push(Signal::Candidate(n), 10, Some(&ledger)).is_ok()).count();
        assert_eq!(taken, MAX_CANDIDATES);
        let mut buffer = SignalBuffer::default();
        let taken = (0..1000).filter(|&n| buffer.push(Signal::Candidate(n), 64 * 1024, Some(&ledger)).is_ok()).count();
        assert_eq!(taken, 4);
    }

    #[test]
    fn the_largest_description_waits_with_its_candidates() {
        let mut buffer = SignalBuffer::default();
        for candidate in 0..200 {
            assert!(buffer.push(Signal::Candidate(candidate), 300, None).is_ok());
        }
        assert!(buffer.push(Signal::Offer(1000), 512 * 1024, None).is_ok());
        for candidate in 200..250 {
            assert!(buffer.push(Signal::Candidate(candidate), 300, None).is_ok());
        }
        assert_eq!(drain(&mut buffer).len(), 251);
        assert_eq!(buffer.candidate_bytes, 0);
    }

    #[test]
    fn signals_dropped_for_lack_of_space_do_not_block_later_ones() {
        let ledger = Ledger::new(100_000, 0);
        let (mut buffer, mut other) = (SignalBuffer::default(), SignalBuffer::default());
        assert!(buffer.push(Signal::Offer(1), 60_000, Some(&ledger)).is_ok());
        assert!(other.push(Signal::Offer(2), 50_000, Some(&ledger)).is_ok(), "the largest goes");
        assert_eq!(ledger.bytes(), 50_000);
        assert!(drain(&mut buffer).is_empty());
        assert!(buffer.push(Signal::Candidate(3), 10, Some(&ledger)).is_ok());
        assert!(drain(&mut buffer).is_empty(), "the offer that it belongs to is gone");
        assert_eq!(buffer.push(Signal::Offer(4), 90_000, Some(&ledger)), Err(NotBuffered::NoSpace));
        assert!(buffer.push(Signal::Offer(5), 10_000, Some(&ledger)).is_ok());
        assert_eq!((drain(&mut buffer), drain(&mut other)), (vec![5], vec![2]));
        assert_eq!(ledger.bytes(), 0);
    }
}
