//! The REST API: TURN credentials, facts about the server for the pages, health and metrics.
//!
//! Owner: `app` builds one [`state::ApiState`] and merges [`router::router`] into the routes of the HTTP port. Inputs: requests with
//! a [`crate::http::client_info::ClientInfo`] in their extensions. Outputs: JSON and text; every refusal is an [`error::ApiError`].
//!
//! A request for credentials (`GET` or `POST /turn`) passes through the files in this order: [`router`] bounds the body,
//! `turn_credentials` checks the rate limit and reads query, headers and body, [`keys`] checks the API key and
//! [`crate::users::UserPasswords`] the user's password, the user directory issues the credentials, and the answer lists the URLs of
//! [`crate::addresses::ice_servers`].
//!
//! Invariants: no handler awaits anything but the request's body, except that `usage` reads the disk for API keys; no response with a
//! secret is cached; an internal error is logged once and its cause never sent. CORS, compression and tracing are layers of the caller;
//! none of them may log the query, which can hold an API key.

mod acme_challenge;
mod described;
mod docs;
pub mod error;
mod health;
mod ice_config;
mod ice_server;
mod info;
pub mod keys;
pub mod metric_families;
mod metrics;
pub mod openapi;
mod operator;
pub mod providers;
pub mod router;
mod sign_in;
pub mod state;
pub mod turn_credentials;
mod usage;
