//! The Socket.IO server: everything between HTTP and the gateways' namespaces.
//!
//! socketioxide does the protocol. This folder sits on both sides of it, because socketioxide does not bound what clients may ask for:
//!
//! - **Owner** of the count of sessions, of the bytes and attachments that are unfinished, of the packets that wait for each session, and
//!   of the rewrite rules for clients of Engine.IO 3.
//! - **Inputs**: HTTP requests below `/socket.io`, the bytes of their WebSockets, and the events that gateways emit.
//! - **Outputs**: HTTP answers, WebSocket bytes, and the clients' events, which go to the gateways.
//!
//! A request passes `engine_answers` (corrects engineioxide's answers), `poll_answers` (counts answers until they are written), `server`
//! (a POST without a session is answered before its body is read), `jsonp` (unwraps scripts and forms) and `prepare` (takes a slot of
//! `sessions`, counts and rewrites payloads). A request for a WebSocket ends in `handshake`, which waits for the probe of an upgrade
//! (`probe`) and puts a `filtered_stream` between hyper and engineioxide: `received_frames` and `frame_filter` for what the client
//! sends, `sent_packets` for what it has been sent. Then socketioxide calls the handlers of `connections`, which every gateway
//! shares; `room_driver` drives the gateways' pure cores, and `outgoing` holds what waits for the client.
//!
//! Invariants:
//! - No session begins without a slot, and a session's slot is freed exactly when socketioxide frees the session.
//! - Every byte that waits for a client is in an account of the [`Ledger`](crate::limits::waiting_bytes::Ledger) until it is written.
//! - A payload or a stream that no rule applies to passes unchanged.

pub mod client_budget;
pub mod client_id;
pub mod connections;
mod early_events;
mod engine_answers;
pub mod engine_io_3;
mod engine_query;
pub mod event_sender;
mod eviction;
mod filtered_stream;
mod frame;
pub mod frame_filter;
pub mod gateway_state;
mod handshake;
pub mod jsonp;
mod message_start;
pub mod outgoing;
pub mod packet;
mod path;
pub mod payload;
mod poll_answers;
mod poll_body;
mod prepare;
mod probe;
pub mod received_frames;
mod request;
mod rewrite_rule;
pub mod room_driver;
mod sent_packets;
mod server;
mod session;
mod session_refusal;
mod sessions;
mod state;
mod traffic;

pub use message_start::ConnectPackets;
pub use path::serves;
pub use rewrite_rule::RewriteRule;
pub use server::{Server, server};
pub use session_refusal::REFUSAL_REASONS;
pub use sessions::{SessionCounts, Sessions};
pub use traffic::{FrameCounts, Traffic};
