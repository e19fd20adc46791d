//! What this server asks of and tells other servers of its operator: webhooks, and who may cast.
//!
//! `event` has what is told. The rest comes with it.

pub mod authorize;
pub mod event;
