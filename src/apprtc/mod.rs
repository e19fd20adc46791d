//! AppRTC: its room server and Collider, its WebSocket signaling server, for their clients as they are. Both look at the same
//! rooms, so that a message never leaves the process.

pub mod api;
pub mod collider;
pub mod hub;
pub mod message;
pub mod params;
mod queue;
pub mod quota;
pub mod room;
pub mod rooms;
mod shares;
mod slots;
mod usage;
mod websocket;
