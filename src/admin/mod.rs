//! `/admin`: the operator's page, its API and its events.
//!
//! - Owner: the app makes one [`Admin`] and puts [`routes::first`] in front of all other routes.
//! - Inputs: requests with their [`ClientInfo`](crate::http::client_info::ClientInfo); the operators of the directory; what
//!   [`Operator`](crate::operator::Operator) shows and does.
//! - Outputs: the page, JSON, and server-sent events.
//! - Invariants: nothing is served over plain HTTP, nor to networks that `CASTWAY_ADMIN_ALLOW` leaves out, for which `/admin` does not
//!   exist. Every route but `state` and `sign-in` passes `session`, which demands a session, and of each change that it comes from a page
//!   of this server. No route answers with a header that lets another origin read it. Wrong passwords are throttled before a password is
//!   checked. Sessions, streams and the bytes that wait for a reader are bounded.
//!
//! `gate` decides whether `/admin` is served to a client, `cookie` and `csrf` read what a request proves, `sessions` remembers who is
//! signed in, `sign_in` checks passwords, `api` shows and `acts` does, `views` computes each list once for all readers, `events` streams
//! them.

mod acts;
mod answer;
mod api;
mod cookie;
mod csrf;
mod events;
mod gate;
mod handle;
pub mod routes;
mod session;
mod sessions;
mod sign_in;
mod views;

pub use handle::{Admin, AdminParts, SecureUrl};
