//! The wire of the cast flow: event names and argument shapes of both dialects.
//!
//! Dialect A is the projection-code flow of the Socket.IO tutorials (`TV_INIT`, `JOIN_ROOM`, bare payloads); dialect B is that of the
//! published front ends (`TV_GETINFO`, `CONNECT_TO_TV`, payloads wrapped as `{offer}` and `{answer}`). Everything that Castway adds is
//! additive: events that old front ends don't listen to, and acks that they don't ask for.
//!
//! Input of [`read()`]: an event's name, its JSON and its attachments; output: a [`Request`], or the [`Failure`] that names what was
//! expected. Input of [`delivery`], [`notice_events`], [`welcome`] and [`refusal`]: what the rooms decided; output: the events that tell a
//! client of it in its dialect. Nothing here keeps state.
//!
//! **The files.** `request` has the requests, `read` finds the reader of an event, `arguments` gives it the event's arguments, `dialect_a`
//! and `dialect_b` have the events of one dialect in both directions, `entering` reads what both have in common of opening and joining, `auth` who
//! the user is,
//! `description` what crosses a room, and `report` what pages report. `tv_details` has what a TV says of itself in both directions, with
//! `shown_name` for names and `small_object` for the size of objects. `outgoing` writes signals and the answers to entries, `notice`
//! notices, `failure` errors; `event` is an event that the server sends.

mod arguments;
mod auth;
mod description;
mod dialect_a;
mod dialect_b;
mod entering;
mod event;
mod failure;
mod notice;
mod outgoing;
mod read;
mod report;
mod request;
mod shown_name;
mod small_object;
mod tv_details;
#[cfg(test)]
mod wire_tests;

pub use description::Content;
pub use dialect_b::refusal;
pub use event::WireEvent;
pub use failure::Failure;
pub use notice::notice_events;
pub use outgoing::{Delivery, Wrapped, accepted, cast_state, checked, delivery, joined, welcome};
pub use read::read;
pub use report::{cast_verdict, report_answer};
pub use request::{CheckArguments, EntryEvent, JoinArguments, OpenArguments, Request};
