//! What an operator sees of a running server, and does to it: over the control socket (`castway sessions`, `castway end`) and at `/admin`.
//!
//! - Owner: the app makes one [`Operator`] of handles to all parts; clones share it.
//! - Inputs: what an operator asks for, with the operator's name.
//! - Outputs: [`rows`], in which no secret and no whole code is; sentences that say what was done, or why not.
//! - Invariants: a look at a list stops no packet and no event for longer than it takes to copy one part of it; what is done leaves a line in
//!   the log with the name of the operator.

pub mod accounts;
mod allocations;
pub mod asks;
pub mod bans;
mod end;
mod error;
mod handle;
mod ids;
pub mod log;
pub mod overview;
mod overview_parts;
pub mod pages;
mod relayed_rate;
pub mod rows;
mod sessions;

pub use error::ActError;
pub use handle::{Operator, OperatorParts};
pub use overview_parts::{LastCheck, OverviewParts};
pub use relayed_rate::RelayedRate;
