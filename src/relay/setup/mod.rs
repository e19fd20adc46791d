//! Turns settings into addresses, bound sockets and the engines' settings.
//!
//! Input: [`RelayConfig`](crate::config::RelayConfig). Outputs: [`client_sockets::ClientSockets`] for the clients, the addresses
//! of relayed sockets ([`relayed_addresses`]), the machine's own addresses ([`local_addresses`]) and the settings of the engines
//! ([`engine_settings`]).
//!
//! Errors are `anyhow` sentences that name the setting to change.

mod bind_error;
pub(super) mod client_sockets;
pub(super) mod engine_settings;
pub(super) mod local_addresses;
pub(super) mod relayed_addresses;
