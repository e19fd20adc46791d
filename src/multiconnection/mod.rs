//! A drop-in server for unmodified RTCMultiConnection clients: rooms, messages between users, scalable broadcasts, the admin protocol.
//!
//! - [`model`]: what goes into the rooms and what comes out.
//! - [`room`]: all rooms and users as one state machine, pure.
//! - [`wire`]: the handshake, event names, argument shapes and acks.
//! - `operated`: what an operator sees of the rooms, and does to them.
//! - [`gateway`]: the Socket.IO shell, which owns the rooms.
//!
//! **The path of an event.** `gateway` gets it from a client and has `wire` read it into a [`wire::Request`]; the request goes to
//! [`room::Rooms`], whose return value becomes the ack; then the gateway drains the rooms' [`model::Output`]s, has `wire` write each event
//! and emits it.

pub mod gateway;
pub mod model;
mod operated;
pub mod room;
pub mod wire;
