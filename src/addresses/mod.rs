//! Addresses: the ones that this machine has, the ones that the relay advertises, and the URLs that clients get.
//!
//! - Owner: `interfaces`, `on_link` and `port_holder` own nothing, and ask the kernel anew at each call; `changes` says when that may give another
//!   answer. `external` is the one owner of the addresses that relayed sockets are bound to and advertised under. Each user of
//!   `ice_servers` has a clone.
//! - Inputs: the kernel's interfaces and routes; the settings; the results of look-ups by DNS and STUN; the host of a request.
//! - Outputs: the address that relayed sockets are bound to, the advertised addresses, sentences about settings that can't be
//!   right, and ICE servers.
//! - Invariants: only `external`'s look-ups wait for the network. A failed look-up leaves the last results in force.
//!
//! `ice_servers` needs certificates and credentials, so its layer is above `tls` and `users`, while the layer of the other files
//! is below both.

pub mod changes;
pub mod external;
pub mod ice_servers;
pub mod interfaces;
pub mod on_link;
pub mod port_holder;
