//! The bytes of Socket.IO's WebSockets, between hyper and socketioxide.
//!
//! - **Owner** of each WebSocket's stream, from its handshake on.
//! - **Inputs**: requests for a WebSocket (`handshake`), and the bytes of both directions.
//! - **Outputs**: the answer to the handshake, the filtered bytes (`filtered_stream`), and the totals of [`Traffic`].
//! - Invariants: a session moves to its WebSocket only after the client has probed it (`probe`). Bytes that wait for the client count until
//!   they are written (`sent_packets`).

mod filtered_stream;
pub(super) mod handshake;
pub(super) mod probe;
pub(super) mod sent_packets;
mod traffic;

pub use traffic::Traffic;
