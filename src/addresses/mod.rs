//! Addresses: which ones this machine has, which of them the relay advertises, and the URLs that clients are given.

pub mod external;
pub mod ice_servers;
pub mod interfaces;
pub mod on_link;
