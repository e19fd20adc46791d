//! How much the WebSockets of Socket.IO carry in each direction, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::websocket::frame_counts::FrameCounts;

/// What all WebSockets of Socket.IO have carried.
#[derive(Debug, Default)]
pub struct Traffic {
    pub received: TrafficTotals,
    pub sent: TrafficTotals,
}

/// The sum of the [`FrameCounts`] of many WebSockets.
#[derive(Debug, Default)]
pub struct TrafficTotals {
    bytes: AtomicU64,
    messages: AtomicU64,
    incomplete: AtomicU64,
}

impl TrafficTotals {
    pub fn counts(&self) -> FrameCounts {
        let [bytes, messages, incomplete] =
            [&self.bytes, &self.messages, &self.incomplete].map(|number| number.load(Ordering::Relaxed));
        FrameCounts { bytes, messages, incomplete }
    }

    /// Replaces the counts of one stream.
    pub(in crate::socketio) fn replace(&self, old: FrameCounts, new: FrameCounts) {
        for (total, old, new) in [
            (&self.bytes, old.bytes, new.bytes),
            (&self.messages, old.messages, new.messages),
            (&self.incomplete, old.incomplete, new.incomplete),
        ] {
            if old != new {
                total.fetch_add(new.wrapping_sub(old), Ordering::Relaxed);
            }
        }
    }
}
