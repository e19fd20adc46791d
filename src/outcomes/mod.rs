//! What becomes of each cast and call: the reports of its pages, the verdict where it fails, its line in the log, and the counts.
//!
//! - **Owner**: each gateway owns the [`table::Outcomes`] of its casts or calls, behind the lock of its rooms; `app` owns one
//!   [`reporter::Reporter`], whose clones share it.
//! - **Inputs**: the begin and the end of a cast, clients that come back, offers, reports of pages, time-outs.
//! - **Outputs**: answers to reports, verdicts for TVs, and what the reporter logs, counts and keeps.
//!
//! A cast has one or more *attempts*: each offer after a result begins a new one. An attempt has one verdict, which both ends are told,
//! whoever asks first. Both clients are watched (see [`crate::diagnosis::watch`]) while an attempt goes on.
//!
//! Nothing that a page says is trusted for more than display. Invariants: the reports that are kept are bounded in bytes; a report is
//! answered within [`record::MAX_WAIT`]; what is logged is bounded by `limits::line_limit`.
//!
//! **The files.** `party` is one end of a cast, `record` is one cast, `table` has all of them with their timers, `output` is what comes out.
//! `reporter` performs it, with `counts` for the metrics and `line` for the log.

pub mod counts;
mod line;
pub mod output;
pub mod party;
pub mod record;
pub mod reporter;
pub mod table;
