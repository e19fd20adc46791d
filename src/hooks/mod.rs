//! What this server asks of and tells other servers of its operator: webhooks, and who may cast.
//!
//! - **Owner**: the app makes one [`webhooks::Webhooks`] and one [`authorize::Authorizer`]; clones share them.
//! - **Inputs**: events of all parts of the server, and questions of seats that begin.
//! - **Outputs**: POST requests that are signed (`sign`), and the answers to questions.
//! - **Invariants**: a request goes only to a URL of the settings, at an address that was checked after its look-up (`resolve`), and never
//!   where a redirect leads. Whatever waits for a request is bounded in bytes. A server that hangs holds nothing up but what it was sent.
//!   Neither a token nor the path of a URL reaches the log.
//!
//! `client` sends requests. `queue` has the events that wait for one webhook, `webhooks` sends them. `questions` has the questions that wait and the
//! answers that are remembered, `authorize` asks them.

pub mod authorize;
pub mod client;
pub mod error;
pub mod event;
mod question;
mod questions;
mod queue;
pub mod resolve;
mod sign;
pub mod webhooks;
