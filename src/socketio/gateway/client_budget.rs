//! The bytes that one client of a gateway may send, and have the server send for it.

use std::time::{Duration, Instant};

use crate::limits::byte_budget::{ByteBudget, ByteRate};
use crate::limits::message_size::EVENT_KIB;

/// Three events of the largest size in a row, or fifteen of the largest descriptions, each sent on to one other client.
const CLIENT_LIMIT: ByteRate = ByteRate { rate: 512 << 10, burst: 4 << 20 };
/// What even the smallest event costs.
const MIN_EVENT_COST_BYTES: usize = 100;
/// A larger event is paid in full for each of its receivers, so that only a few of them get it without waiting.
const LARGE_EVENT_BYTES: usize = 2 * EVENT_KIB * 1024;

pub struct ClientBudget(ByteBudget);

impl Default for ClientBudget {
    fn default() -> Self {
        Self(ByteBudget::new(CLIENT_LIMIT, Instant::now()))
    }
}

impl ClientBudget {
    /// Pays for an event of `bytes` that goes to so many others; returns what it costs.
    ///
    /// # Errors
    /// The client may not send so much now: how long it has to wait.
    pub fn spend(&mut self, bytes: usize, copies: usize) -> Result<usize, Duration> {
        let (cost, most) = (bytes.max(MIN_EVENT_COST_BYTES).saturating_mul(copies), CLIENT_LIMIT.burst as usize);
        // A small event to very many costs the whole budget; a large one would be more than any client may send.
        let price = if bytes > LARGE_EVENT_BYTES { cost } else { cost.min(most) };
        self.0.spend(price, Instant::now()).map(|()| cost)
    }

    /// After the event: charges what the server has sent for it beyond what was paid.
    pub fn charge_excess(&mut self, paid: usize, sent_bytes: usize) {
        if sent_bytes > paid {
            self.0.charge(sent_bytes - paid, Instant::now());
        }
    }
}
