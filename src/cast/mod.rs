//! The cast flow: a TV shows a projection code, a caster types the code, and their offers, answers and candidates cross here.
//!
//! - [`model`]: what goes into the rooms and what comes out; [`code`] and [`resume_token`] belong to it.
//! - [`room`]: all rooms as one state machine, pure.
//! - [`wire`]: event names and argument shapes of both dialects.
//! - `reports`: what pages report of their casts, and what becomes of each cast.
//! - `operated`: what an operator sees of the casts, and does to them.
//! - [`gateway`]: the Socket.IO shell, which owns the rooms and the table of connected clients (`client`, with
//!   `entries` and `pending` for those who ask for a seat, and `casting_users` for who casts where); [`issuer`] signs their credentials.
//!
//! **The path of an event.** `gateway` gets it from a client and has `wire` read it into a [`wire::Request`]; the request goes to
//! [`room::Rooms`], whose return value becomes the ack; then the gateway drains the rooms' [`model::Output`]s, has `wire` write each one
//! in its receiver's dialect and emits it.

mod casting_users;
mod client;
pub mod code;
mod entries;
pub mod gateway;
pub mod issuer;
pub mod model;
mod operated;
mod pending;
mod reports;
pub mod resume_token;
pub mod room;
pub mod wire;
