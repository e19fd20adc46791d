//! The frames of WebSockets (RFC 6455 §5) between a connection and the reader of its messages.
//!
//! - **Owner** of the state of one direction of a WebSocket: [`received_frames`] for what a client sends, [`frame_filter`] for either
//!   direction.
//! - **Inputs**: the bytes of a connection, in pieces of any size.
//! - **Outputs**: the bytes that the reader gets, and how many of them belong to unfinished messages.
//! - Invariants: a message that no [`rewrite_rule`] applies to keeps its payload. An unfinished message is bounded in bytes and in time.
//!
//! An event of Socket.IO with attachments is several messages, and it is unfinished until the last of them has come; [`message_start`]
//! recognizes such events. The messages of other protocols announce no attachments.

pub mod frame;
pub mod frame_counts;
pub mod frame_filter;
pub mod message_start;
pub mod received_frames;
pub mod rewrite_rule;
