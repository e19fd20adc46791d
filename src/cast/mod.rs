//! The cast flow: a TV shows a projection code, a caster types it, their offers, answers and candidates cross here.
//!
//! `room` decides (pure), `event` is the wire in both dialects, `gateway` is the Socket.IO shell around them.

pub mod code;
pub mod event;
pub mod gateway;
mod mailbox;
pub mod room;
