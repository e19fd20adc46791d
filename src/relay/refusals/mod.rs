//! Tells the operator which requests the relay refuses, and why.
//!
//! Owner: the relay owns one [`RefusalReports`]; its shards share it, and take its lock for a refusal, never for a payload. Inputs: the
//! refusals that the engines report, whose senders have proved their addresses. Outputs: lines in the log, which whoever calls
//! [`RefusalReports::log`] every second writes, so that no shard waits for the log.
//!
//! Invariants: a client's address has one line a minute for each reason, and all clients together have a hundred; one more line counts
//! the rest. What waits is bounded: `limits::line_limit` bounds the lines, and a line has a bounded username. No username forges a line, because
//! both formats of the log escape control characters and quotes.

mod line;
mod reports;
mod words;

pub use reports::RefusalReports;
