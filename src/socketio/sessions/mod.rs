//! The sessions of Engine.IO: which ones may begin, which one has to end for another, and what waits for each.
//!
//! - **Owner** of the table of sessions ([`Sessions`]) and of the bytes that wait for each session ([`outgoing`]).
//! - **Inputs**: handshakes, polls, POSTs, moves to a WebSocket, and the packets that gateways send.
//! - **Outputs**: a slot or a `session_refusal`, the end of sessions that are evicted (`eviction`), idle or over their bound of bytes, and
//!   handles with which a `session` is found and ended by its id (`engine_io_query`).
//! - Invariants: no session begins without a slot. A slot is freed exactly when socketioxide frees the session.

pub(super) mod engine_io_query;
mod eviction;
pub mod outgoing;
pub(super) mod session;
pub(super) mod session_refusal;
pub(super) mod session_table;

pub use session_refusal::RefusalReason;
pub use session_table::{SessionCounts, Sessions};
