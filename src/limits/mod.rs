//! Bounds what clients may ask for. One rule says which addresses count as one client, one site and one provider: [`ip_prefix`].
//!
//! Which limiter for what:
//!
//! | question | limiter | used by |
//! |---|---|---|
//! | How often may a client ask? | [`rate`] (each address), [`token_bucket`] (one source) | API, handshakes, gateways |
//! | How many bytes a second may a client send, or cause? | [`byte_budget`] | Socket.IO connections |
//! | How many connections may a client have? | [`concurrency`] | ingress, Collider |
//! | How many items does a client or a site have? | [`network_counts`] | sessions, [`concurrency`] |
//! | Which connection is closed for a new one that has proved nothing? | [`unproven`] | ingress, relay |
//! | Which item of a client goes when a shared resource is exhausted? | [`fair_shares`] | sessions, TVs, users |
//! | How often may a client guess a secret? | [`guesses`] | codes, passwords, API keys, TURN |
//! | How large may one message be? | [`message_size`] | every gateway, HTTP |
//! | How many bytes may be begun and not finished? | [`unfinished`] | WebSockets, bodies |
//! | How many bytes may wait for a client? | [`waiting_bytes`] | everything that is sent |
//! | How large may send buffers stay? | [`kept_buffers`] | WebSockets |
//! | How many descriptors may each kind of connection have? | [`descriptors`], of the process's limit ([`descriptor_limit`]) | ingress, relay |
//! | Which addresses are not served at all? | [`bans`] | ingress, HTTP, relay |
//! | Which names may a client choose? | [`reserved_names`] | gateways |
//! | How often may clients cause a line in the log? | [`log_interval`] (one line), [`line_limit`] (one about each client) | descriptors, users, Collider, refusals |
//!
//! - **Owner** of the counts; each limiter is a handle that its users share.
//! - **Inputs**: an address, an amount, and in most limiters the time.
//! - **Outputs**: permission, or how long to wait ([`retry_after`]). A limiter that reserves something returns a guard that frees it on drop.
//!
//! Invariants:
//! - Nothing is remembered about a client without an open resource, except in tables of a fixed size.
//! - No limiter scans its clients to decide about one of them.

pub mod bans;
pub mod byte_budget;
pub mod concurrency;
pub mod descriptor_limit;
pub mod descriptors;
pub mod fair_shares;
mod guess_kind;
mod guess_reports;
mod guess_table;
pub mod guesses;
pub mod ip_prefix;
pub mod kept_buffers;
pub mod line_limit;
pub mod log_interval;
pub mod message_size;
pub mod network_counts;
pub mod rate;
pub mod reserved_names;
pub mod retry_after;
pub mod throttled;
pub mod token_bucket;
pub mod unfinished;
pub mod unproven;
pub mod waiting_bytes;
