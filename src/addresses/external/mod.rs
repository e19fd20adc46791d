//! The addresses under which the world reaches the relay, while the server runs.
//!
//! - Owner: one [`ExternalAddresses`], which the relay, the ICE URLs, the certificates and the start-up report share.
//! - Inputs: the settings, the addresses that relayed sockets are bound to (the relay's watcher follows the machine's), the
//!   addresses of host names ([`Resolver`]), and the addresses that STUN servers see.
//! - Outputs: [`ExternalAddresses::relayed_ips`], [`ExternalAddresses::host`], and [`ExternalAddresses::problems`] in sentences.
//! - Invariants: a failed look-up leaves the last results in force. Nothing but [`ExternalAddresses::look_up`] waits for a look-up.
//!
//! `live` looks up with `resolver` and `stun`, and stores the results in `state`; `problems` compares the results with the settings.

mod live;
mod problems;
mod resolver;
mod state;
mod stun;

pub use live::ExternalAddresses;
pub use resolver::{Resolver, SystemResolver};

#[cfg(test)]
mod tests;
