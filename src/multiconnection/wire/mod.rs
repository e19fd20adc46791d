//! The wire of RTCMultiConnection: the handshake, event names, argument shapes and acks.
//!
//! Input of [`read_handshake`]: the query of a client's first request; output: a [`Handshake`]. Input of [`read()`]: an event's name, its JSON
//! and its attachments; output: a [`Request`], or the error ack of an event that can't be read, in the event's own shape. `write` turns the
//! rooms' events into names and arguments, [`ack`] their verdicts into acks. Nothing here keeps state; lengths are bounded in `json_text`.
//! JSON that clients pass to each other stays the text that it is.
//!
//! **The files.** `handshake`, `read` with `request`, `event_names` and `json_text`, `write` with `room_list`, `ack`, and `arguments`, which all
//! of them write.

pub mod ack;
mod arguments;
mod event_names;
mod handshake;
mod json_text;
mod read;
mod request;
mod room_list;
#[cfg(test)]
mod wire_tests;
mod write;

pub use arguments::{Arguments, Json};
pub use handshake::{Handshake, is_rtcmulticonnection, read_handshake};
pub use read::read;
pub use request::{AdminRequest, Request};
pub use write::write;
