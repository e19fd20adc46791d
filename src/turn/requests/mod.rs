//! Requests and their responses (RFC 8489 §6.3.1, §9.2.4, §12; RFC 8656 §5, §7.2, §8.2, §10.2, §12.2; RFC 5780 §6; RFC 6062 §5;
//! RFC 8016 §3).
//!
//! **Inputs.** A parsed request and the five-tuple it came from. **Outputs.** A verdict, and for Allocate and Connect an answer
//! that comes later as an output. **Invariants.** Nothing is remembered before authentication succeeds. A handler checks
//! everything before it changes anything, so that a refused request has no effect.
//!
//! A request passes `dispatch` (method, size) → `authentication` (the requester; refusals of unauthenticated requests are in
//! `challenge`) → the file of its method → `response` (success, error, integrity). `request` holds the types that these have in
//! common. The methods: `binding`; `allocate`, which `allocate_request` reads and `opening` answers; `refresh`; `permission` for
//! CreatePermission and ChannelBind; `connect` for Connect and ConnectionBind. `lifetime` is common to Allocate and Refresh;
//! `capacity` admits new allocations.

mod allocate;
mod allocate_request;
mod authentication;
mod binding;
mod capacity;
mod challenge;
mod connect;
mod dispatch;
mod lifetime;
mod opening;
mod permission;
mod refresh;
mod request;
mod response;
