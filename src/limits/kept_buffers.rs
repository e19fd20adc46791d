//! Bounds the memory of the buffers that tungstenite sends from. Such a buffer never shrinks as long as its WebSocket lives, and
//! only tungstenite could shrink it. The wrapper of a WebSocket's stream sees at each write how many bytes are in the buffer.
//!
//! [`UNCOUNTED_BYTES`] of each buffer are not counted. The bytes of all buffers beyond these are bounded by [`MAX_TOTAL_BYTES`].
//! When that bound is reached, the WebSockets with the largest buffers are ended, the oldest first. Their clients reconnect and
//! have small buffers again.

use std::net::IpAddr;

use super::waiting_bytes::{Account, Ledger, WaitingBytes};

/// Bytes of each buffer that are not counted: more than the offers of most browsers have.
pub const UNCOUNTED_BYTES: usize = 16 << 10;
/// Counted bytes of all buffers together.
pub const MAX_TOTAL_BYTES: usize = 24 << 20;

/// The count of all buffers; clones share it.
#[derive(Debug, Clone)]
pub struct KeptBuffers(Ledger);

impl Default for KeptBuffers {
    fn default() -> Self {
        Self(Ledger::new(MAX_TOTAL_BYTES, 0))
    }
}

impl KeptBuffers {
    /// Counts the buffer of one WebSocket of the client at this address.
    #[must_use]
    pub fn of(&self, owner: IpAddr) -> KeptBuffer {
        KeptBuffer { ledger: self.0.clone(), owner, max_seen: 0, counted: None }
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

/// The buffer of one WebSocket; it counts until this is dropped.
#[derive(Debug)]
pub struct KeptBuffer {
    ledger: Ledger,
    owner: IpAddr,
    /// The largest number of bytes that the buffer ever had.
    max_seen: usize,
    /// Boxed, because few buffers have counted bytes.
    counted: Option<Box<Counted>>,
}

#[derive(Debug)]
struct Counted {
    account: Account,
    bytes: Option<WaitingBytes>,
}

impl KeptBuffer {
    /// Notes that the buffer has so many bytes now. `on_end` makes the function that is called when the WebSocket has to end; it
    /// may only wake tasks.
    pub fn note<F: FnOnce() + Send + 'static>(&mut self, bytes: usize, on_end: impl FnOnce() -> F) {
        if bytes <= self.max_seen {
            return;
        }
        self.max_seen = bytes;
        let beyond = bytes.saturating_sub(UNCOUNTED_BYTES);
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
        for (bytes, counted) in
            [(100, 0), (UNCOUNTED_BYTES, 0), (UNCOUNTED_BYTES + 5000, 5000), (200, 5000), (UNCOUNTED_BYTES + 7000, 7000)]
        {
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
        let (honest, small) = (open(UNCOUNTED_BYTES - 1), open(UNCOUNTED_BYTES + 8000));
        let large: Vec<_> = (0..200).map(|_| open(UNCOUNTED_BYTES + (256 << 10))).collect();
        assert!(!honest.is_over() && !small.is_over());
        // 95 buffers of 256 KiB fit beside the small one.
        let over: Vec<_> = large.iter().map(KeptBuffer::is_over).collect();
        assert_eq!(over, (0..200).map(|at| at < 105).collect::<Vec<_>>());
        assert_eq!((woken.load(Ordering::Relaxed), buffers.ended()), (105, 105));
    }
}
