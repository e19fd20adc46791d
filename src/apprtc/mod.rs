//! Calls: AppRTC's room server and Collider, its WebSocket signaling server, for AppRTC's own clients.
//!
//! Owner: `app` owns one [`gateway::AppRtcGateway`], and the gateway owns the rooms. Inputs: HTTP requests and WebSocket frames. Outputs:
//! answers and frames. Both servers use the same rooms, so that a message never leaves the process.
//!
//! The pure core: [`rooms`] (all rooms) · `room` (one room) · `slots` (a room as Collider sees it) · `listing` (the rooms as an operator
//! sees them) · `queue` (messages that wait for a
//! client) · `eviction` and `shares` (which room or message is dropped at a bound) · [`model`] (inputs, verdicts and outputs) · [`room_name`] · [`wire`]
//! and [`params`] (texts). The shell: [`gateway`] · `calls` (what pages report) · `operated` (what an operator sees
//! and does) · [`room_server`] · [`collider`] (routes) · `collider_socket` (one WebSocket) ·
//! `websocket` · `frame_queue`.
//!
//! A frame passes through the files like this: `websocket` reads it within its bounds, `collider_socket` parses it with [`wire`] and
//! calls [`gateway::AppRtcGateway`], which locks the rooms, handles the event, drains the outputs into the `frame_queue` of each recipient,
//! and unlocks. The recipient's `collider_socket` writes the frame.
//!
//! Invariants: nothing is awaited while the rooms are locked; a client that reads too slowly is disconnected; at the bounds of the
//! server the address with the most loses first.
//!
//! ```
//! use std::time::Instant;
//!
//! use castway::apprtc::model::{EventContext, Output};
//! use castway::apprtc::rooms::Rooms;
//!
//! let mut rooms = Rooms::<u32>::new(10, [0; 32]);
//! let context = EventContext { from: "192.0.2.1".parse().unwrap(), now: Instant::now() };
//! let caller = rooms.handle_join("room", false, context).unwrap();
//! let callee = rooms.handle_join("room", false, context).unwrap();
//! assert!(caller.initiator && !callee.initiator);
//!
//! // Socket 7 registers as the callee, and the caller sends its offer over HTTP.
//! rooms.handle_register("room", &callee.client, &7, context).unwrap();
//! rooms.handle_message("room", &caller.client, "offer".into(), context).unwrap();
//! assert_eq!(rooms.poll_output(), Some(Output::Send { to: 7, message: "offer".into() }));
//! assert_eq!(rooms.poll_output(), None);
//!
//! let due = rooms.next_timeout().unwrap();
//! rooms.handle_timeout(due);
//! ```

mod answers;
mod calls;
pub mod collider;
mod collider_socket;
mod eviction;
mod frame_queue;
pub mod gateway;
mod listing;
pub mod model;
mod operated;
pub mod params;
mod paths;
mod queue;
mod room;
pub mod room_name;
pub mod room_server;
pub mod rooms;
mod shares;
mod slots;
mod websocket;
pub mod wire;
