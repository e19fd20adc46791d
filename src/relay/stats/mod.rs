//! The counters of the shards, and a reader that adds them up.
//!
//! Owner: each shard owns one `counters::ShardCounters` and is its only writer; any thread may read, and no lock is taken.
//! Inputs: what a shard has forwarded, dropped, answered and closed. Output: [`RelayStats`], the sum of all shards, from a
//! [`StatsReader`].
//!
//! Every kind of drop, closing and direction is a variant of one enum in [`labels`], with the label that `/metrics` shows; the
//! counters are arrays with one place for each variant.

pub(super) mod counters;
pub mod labels;
mod reader;

pub use counters::RelayStats;
pub use reader::StatsReader;
