//! What the benches of the relay and of signaling share: the measured processes, the table, and the clients.
#![allow(dead_code, reason = "each bench uses a part of it")]

pub(crate) mod certificate;
pub(crate) mod percentile;
pub(crate) mod process;
pub(crate) mod report;
pub(crate) mod signaling;
pub(crate) mod turn_client;
