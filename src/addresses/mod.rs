//! Addresses: the ones that this machine has, the ones that the relay advertises, and the URLs that clients get.
//!
//! `interfaces` and `on_link` ask the kernel anew at each call and own nothing. `external` is the one owner of the advertised addresses,
//! and `ice_servers` makes URLs of them. `ice_servers` needs certificates and credentials, so its layer is above `tls` and `users`, while
//! the layer of the other files is below both.

pub mod external;
pub mod ice_servers;
pub mod interfaces;
pub mod on_link;
