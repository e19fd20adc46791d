//! From observations to a verdict.
//!
//! `evidence` brings what a page and the relay have seen of one client into one form. `missing` says why a client has no relayed
//! address, `server` what the server's own addresses say about it. [`cast()`] and [`check()`] combine both.

mod cast;
mod check;
mod evidence;
mod missing;
mod server;

pub use cast::cast;
pub use check::check;

#[cfg(test)]
mod tests;
