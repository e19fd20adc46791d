//! Reads the statistics of a relay, from any thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::relay::stats::counters::{RelayStats, ShardCounters};

/// A shard is stalled when one turn takes longer than this; a turn takes milliseconds.
const STALL_THRESHOLD: Duration = Duration::from_secs(5);

/// Reads the statistics of a relay; clones read the same ones.
#[derive(Debug, Clone)]
pub struct StatsReader {
    pub(in crate::relay) shards: Arc<[Arc<ShardCounters>]>,
    pub(in crate::relay) epoch: Instant,
}

impl StatsReader {
    /// The sums of all shards since the start.
    #[must_use]
    pub fn stats(&self) -> RelayStats {
        RelayStats::sum(self.shards.iter().map(|shard| &**shard))
    }

    /// The numbers of the shards whose current turn has not ended for seconds.
    #[must_use]
    pub fn stalled_shards(&self) -> Vec<usize> {
        let now = self.epoch.elapsed();
        let shards = self.shards.iter().enumerate();
        shards.filter(|(_, shard)| shard.turn_duration(now) >= STALL_THRESHOLD).map(|(index, _)| index).collect()
    }

    /// How many shards there are.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }
}
