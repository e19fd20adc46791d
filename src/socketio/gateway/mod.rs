//! What the gateways of Socket.IO's clients have in common: connections, events and acknowledgements.
//!
//! - **Owner** of the table of a gateway's connected clients ([`connections`]), each with a [`client_id`] and a [`client_connection`].
//! - **Inputs**: connections, events and disconnections that socketioxide reports. Events that come before a gateway has taken the client
//!   wait in `early_events`, bounded in number and in bytes.
//! - **Outputs**: calls of the gateway ([`gateway_state`]) under the lock of its rooms, and events to clients ([`event_sender`]), which are
//!   queued under that lock and sent after it.
//! - Invariants: the events of one client are handled in the order in which they came. An event is charged to its sender
//!   ([`client_budget`]). Payloads that are only forwarded stay raw JSON ([`packet`]).

pub mod client_budget;
pub mod client_connection;
pub mod client_id;
pub mod connections;
mod early_events;
pub mod event_sender;
pub mod gateway_state;
pub mod packet;
