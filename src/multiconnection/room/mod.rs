//! All rooms and users of RTCMultiConnection as one state machine. PURE: no socket, no clock, no lock.
//!
//! **Owner**: the gateway, by value behind its lock. **Inputs**: the `handle_*` methods; those that depend on time take `now`. The returned
//! verdict becomes the ack. **Outputs**: [`Rooms::poll_output`], drained after every input. [`Rooms::next_timeout`] says when
//! [`Rooms::handle_timeout`] is due. The other methods are questions.
//!
//! Invariants:
//! - An id belongs to one user, and everything that a user sends bears its id: what the client says about the sender is ignored.
//! - A user is in at most one room. A room has an owner, and ends with its last participant.
//! - A user whose connection drops stays for the grace period, and the others see no difference; events to it wait, within bounds. A client
//!   with the user's `ReconnectProof` takes the user's place, also while the old connection still seems to live. `succession` says what a new
//!   user with the same `Fingerprint` gets; no other client gets anything.
//! - Every table is bounded: users in all and by network, and so rooms too; participants; peers and custom events of a user, and peers of
//!   all users; bytes of what all users say about themselves and their rooms (`descriptions`).
//!
//! **The proof.** An unmodified client has no secret, but it repeats its handshake exactly when it reconnects from the same network. The
//! proof is therefore a hash of the client's network, `Origin`, `User-Agent` and the whole query (`userid`, `sessionid`, `extra`, …) without
//! Engine.IO's own parameters. Others in a room know the id and `extra`, and the `sessionid` if the page uses its room's name for it.
//! Somebody behind the same NAT, with the same browser on the same page, who knows these values can take the place: a second tab with the
//! same fixed id, or a malicious colleague. A client that comes back from another network is a stranger until its grace period is over;
//! then its id is free again. Cookies would prove more, but only to pages of the same site, and Castway sets none.
//!
//! **The files.** `rooms` owns the tables, and handles connecting, leaving and time-outs; `users` and `broadcast` are tables, `state` is one
//! room. `membership` opens, joins and lists rooms; `exchange` sends messages between users; `scalable_broadcast` tells the members of a
//! broadcast what `broadcast` decides; `succession` recognizes users that come back as new ones; `descriptions` bounds what users say about
//! themselves, which `description_bytes` counts; `admin` serves admins.
//!
//! The order of calls, for a user that opens a room:
//! ```
//! use std::time::{Duration, Instant};
//!
//! use castway::multiconnection::model::{OpaqueJson, RoomRequest, RoomsConfig, UserHandshake};
//! use castway::multiconnection::room::Rooms;
//! use castway::socketio::gateway::client_id::ClientId;
//!
//! #[derive(Debug, Clone)]
//! struct Json(&'static str);
//!
//! impl OpaqueJson for Json {
//!     fn bytes(&self) -> usize {
//!         self.0.len()
//!     }
//!
//!     fn empty() -> Self {
//!         Self("{}")
//!     }
//! }
//!
//! let config = RoomsConfig { grace: Duration::from_secs(20), max_users: 100, max_users_per_client: 10, max_wrong_passwords_per_minute: 5 };
//! let (mut rooms, now) = (Rooms::new(config, [1; 32]), Instant::now());
//!
//! let ada = ClientId::new(1);
//! let handshake = UserHandshake {
//!     id: Some("ada".into()),
//!     proof: None,
//!     from: [192, 0, 2, 1].into(),
//!     fingerprint: [0; 32],
//!     extra: Json("{}"),
//!     message_event: "message".into(),
//!     custom_event: "custom".into(),
//!     auto_close: false,
//!     max_participants: 8,
//!     max_viewers_per_member: None,
//! };
//! rooms.handle_connect(ada, handshake, now).expect("the server is empty");
//!
//! let request = RoomRequest {
//!     room: "lobby".into(),
//!     broadcast: None,
//!     session: Json("{}"),
//!     one_way: false,
//!     extra: Json("{}"),
//!     identifier: None,
//!     password: None,
//!     request_json: Json("{}"),
//! };
//! rooms.handle_open(ada, request, now).expect("the room is free");
//!
//! // After every input: send what comes out, then sleep until `next_timeout` and call `handle_timeout`.
//! while let Some(output) = rooms.poll_output() {
//!     println!("{output:?}");
//! }
//! if let Some(due) = rooms.next_timeout() {
//!     rooms.handle_timeout(due);
//! }
//! ```

mod admin;
mod broadcast;
mod description_bytes;
mod descriptions;
mod exchange;
mod listing;
mod membership;
mod rooms;
mod scalable_broadcast;
mod state;
mod succession;
mod users;

pub use rooms::Rooms;
