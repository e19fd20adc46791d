//! Times calls in batches, and draws numbers in an order that no cache foresees.

use std::time::Instant;

/// Calls that are timed together, so that reading the clock does not count.
const CALLS_A_BATCH: u32 = 64;

/// How long one path is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) batches: usize,
}

impl Effort {
    /// Calls a path and returns the nanoseconds of a call in each batch. The first tenth warms the caches up and does not count.
    pub(crate) fn time(self, mut call: impl FnMut()) -> Vec<f64> {
        self.time_batches(|| (0..CALLS_A_BATCH).for_each(|_| call()))
    }

    /// The same for a batch of 64 calls.
    pub(crate) fn time_batches(self, mut batch: impl FnMut()) -> Vec<f64> {
        (0..self.batches / 10).for_each(|_| batch());
        let nanos = (0..self.batches).map(|_| millis(&mut batch) * 1e6 / f64::from(CALLS_A_BATCH));
        nanos.collect()
    }
}

/// The milliseconds of one call.
pub(crate) fn millis(call: impl FnOnce()) -> f64 {
    let start = Instant::now();
    call();
    start.elapsed().as_secs_f64() * 1e3
}

/// Numbers below a bound, in a pseudo-random order (xorshift).
#[derive(Debug)]
pub(crate) struct Order {
    state: u64,
    bound: u32,
    step: u32,
}

impl Order {
    /// All numbers below `count`.
    pub(crate) fn all(count: u32) -> Self {
        Self { state: 0x9E37_79B9_7F4A_7C15, bound: count, step: 1 }
    }

    /// Ten numbers below `count`, which is 10 at least.
    pub(crate) fn ten(count: u32) -> Self {
        Self { bound: 10, step: count / 10, ..Self::all(count) }
    }

    pub(crate) fn draw(&mut self) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let drawn = ((self.state >> 32) * u64::from(self.bound)) >> 32;
        // It is smaller than the bound.
        drawn as u32 * self.step
    }
}

/// The value below which this part of the samples is.
pub(crate) fn percentile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (part * sorted.len() as f64) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
