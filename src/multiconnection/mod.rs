//! A drop-in server for unmodified RTCMultiConnection clients: rooms, messages between users, scalable broadcasts, the admin
//! protocol.
//!
//! `room` decides (pure, with its tables in `users` and `broadcast`), `event` is the wire, `gateway` is the Socket.IO shell
//! around them.

mod broadcast;
pub mod event;
pub mod gateway;
pub mod room;
mod users;
