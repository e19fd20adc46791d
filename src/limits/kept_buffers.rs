//! What the buffers keep that tungstenite sends from: each has the size of the most that was ever in it, as long as its WebSocket
//! lives, and nobody but tungstenite can make it smaller. Whoever wraps a WebSocket's stream sees what is in it at each write.
//!
//! A WebSocket keeps [`FREE_BYTES`] without being counted. What all keep beyond that is bounded by [`MAX_TOTAL_BYTES`]; where that is
//! met those that keep most end, of equals the oldest. Their clients reconnect, and have small buffers again.

use std::net::IpAddr;

use crate::limits::waiting_bytes::{Account, Ledger, WaitingBytes};

/// Bytes that one buffer keeps and that are not counted: more than most offers of browsers have.
pub const FREE_BYTES: usize = 16 << 10;
/// Bytes beyond those that all buffers keep together.
pub const MAX_TOTAL_BYTES: usize = 24 << 20;

/// The count; clones share it.
#[derive(Debug, Clone)]
pub struct KeptBuffers(Ledger);

impl Default for KeptBuffers {
    fn default() -> Self {
        Self(Ledger::new(MAX_TOTAL_BYTES, 0))
    }
}

impl KeptBuffers {
    /// For the WebSocket of a client at this address.
    #[must_use]
    pub fn of(&self, owner: IpAddr) -> KeptBuffer {
        KeptBuffer { ledger: self.0.clone(), owner, most: 0, counted: None }
    }

    /// Bytes that are counted now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// WebSockets that were ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.0.closed()
    }
}

/// What one WebSocket keeps; it counts until this is dropped.
#[derive(Debug)]
pub struct KeptBuffer {
    ledger: Ledger,
    owner: IpAddr,
    /// Bytes that were in the buffer at most.
    most: usize,
    /// Few keep anything that counts.
    counted: Option<Box<Counted>>,
}

#[derive(Debug)]
struct Counted {
    account: Account,
    bytes: Option<WaitingBytes>,
}

impl KeptBuffer {
    /// There are so many bytes in the buffer now. `on_end` makes what is to be done when the WebSocket has to end; that must do no
    /// more than wake somebody.
    pub fn note<F: FnOnce() + Send + 'static>(&mut self, bytes: usize, on_end: impl FnOnce() -> F) {
        if bytes <= self.most {
            return;
        }
        self.most = bytes;
        let beyond = bytes.saturating_sub(FREE_BYTES);
        if beyond == 0 {
            return;
        }
        let counted = self.counted.get_or_insert_with(|| {
            let account = self.ledger.open(Some(self.owner));
            account.on_close(on_end());
            Box::new(Counted { account, bytes: None })
        });
        counted.bytes = None;
        counted.bytes = counted.account.add(beyond);
    }

    /// Whether the WebSocket has to end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.counted.as_ref().is_some_and(|counted| counted.account.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const OWNER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_most_that_was_ever_in_a_buffer_counts_beyond_what_is_free_until_it_is_dropped() {
        let buffers = KeptBuffers::default();
        let mut buffer = buffers.of(OWNER);
        for (bytes, counted) in [(100, 0), (FREE_BYTES, 0), (FREE_BYTES + 5000, 5000), (200, 5000), (FREE_BYTES + 7000, 7000)] {
            buffer.note(bytes, || || panic!("nobody has to end"));
            assert_eq!(buffers.bytes(), counted, "{bytes}");
        }
        assert!(!buffer.is_over());
        drop(buffer);
        assert_eq!((buffers.bytes(), buffers.ended()), (0, 0));
    }

    #[test]
    fn those_that_keep_most_end_the_oldest_first_and_small_ones_stay() {
        let (buffers, woken) = (KeptBuffers::default(), Arc::new(AtomicUsize::new(0)));
        let open = |bytes| {
            let mut buffer = buffers.of(OWNER);
            let woken = Arc::clone(&woken);
            buffer.note(bytes, || move || _ = woken.fetch_add(1, Ordering::Relaxed));
            assert!(buffers.bytes() <= MAX_TOTAL_BYTES);
            buffer
        };
        let (honest, small) = (open(FREE_BYTES - 1), open(FREE_BYTES + 8000));
        let large: Vec<_> = (0..200).map(|_| open(FREE_BYTES + (256 << 10))).collect();
        assert!(!honest.is_over() && !small.is_over());
        // 95 of 256 KiB fit beside the small one.
        let over: Vec<_> = large.iter().map(KeptBuffer::is_over).collect();
        assert_eq!(over, (0..200).map(|at| at < 105).collect::<Vec<_>>());
        assert_eq!((woken.load(Ordering::Relaxed), buffers.ended()), (105, 105));
    }
}
