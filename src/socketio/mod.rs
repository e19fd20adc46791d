//! The Socket.IO server: everything between HTTP and the gateways' namespaces.
//!
//! socketioxide does the protocol. This folder sits on both sides of it, because socketioxide does not bound what clients may ask for:
//!
//! - **Owner** of the count of sessions, of the bytes and attachments that are unfinished, of the packets that wait for each session, and
//!   of the rewrite rules for clients of Engine.IO 3.
//! - **Inputs**: HTTP requests below `/socket.io`, the bytes of their WebSockets, and the events that gateways emit.
//! - **Outputs**: HTTP answers, WebSocket bytes, and the clients' events, which go to the gateways.
//!
//! A request passes `answer_fixes` (corrects engineioxide's answers), `poll_answers` (counts answers until they are written), `server`
//! (a POST without a session is answered before its body is read), `jsonp` (unwraps scripts and forms) and `prepare` (takes a slot of
//! [`sessions`], counts and rewrites payloads, whose packets `payload` and `poll_body` divide). A request for a WebSocket ends in
//! [`stream`], which waits for the probe of an upgrade and puts [`crate::websocket`]'s filters between hyper and engineioxide. Then
//! socketioxide calls the handlers of [`gateway`], which every gateway shares; [`crate::room_driver`] drives the gateways' pure cores.
//! `engine_io_3` has the rewrite rules for old clients, `request` and `path` read a request's head, and `state` is what the layers share.
//!
//! Invariants:
//! - No session begins without a slot, and a session's slot is freed exactly when socketioxide frees the session.
//! - Every byte that waits for a client is in an account of the [`Ledger`](crate::limits::waiting_bytes::Ledger) until it is written.
//! - A payload or a stream that no rule applies to passes unchanged.

mod answer_fixes;
pub mod engine_io_3;
pub mod gateway;
pub mod jsonp;
mod path;
pub mod payload;
mod poll_answers;
mod poll_body;
mod prepare;
mod request;
mod server;
pub mod sessions;
mod state;
pub mod stream;

pub use path::serves;
pub use server::{Server, server};
