//! The addresses and networks that are this machine's own.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::addresses::{interfaces, on_link};
use crate::turn::RelayedIp;

/// The addresses of this machine, and the networks that it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::relay) struct LocalAddresses {
    /// The addresses of its interfaces, the anycast addresses of routers, and the relayed ones.
    pub(in crate::relay) own: Arc<[IpAddr]>,
    pub(in crate::relay) neighbours: Arc<[IpNet]>,
}

impl LocalAddresses {
    pub(in crate::relay) fn read(relayed: &[Option<RelayedIp>; 2]) -> Self {
        let relayed = relayed.iter().flatten().flat_map(|relayed| [relayed.bound, relayed.advertised]);
        let neighbours = on_link::networks();
        let own = interfaces::addresses().into_iter().chain(relayed).chain(on_link::anycast(&neighbours));
        let mut own: Vec<IpAddr> = own.map(|ip| ip.to_canonical()).collect();
        own.sort_unstable();
        own.dedup();
        Self { own: own.into(), neighbours: neighbours.into() }
    }
}

/// Logs the networks that are closed only because this machine is in them.
pub(in crate::relay) fn log_closed_networks(neighbours: &[IpNet]) {
    if !neighbours.is_empty() {
        let networks = on_link::listed(neighbours);
        tracing::info!(networks, "peers in this machine's own networks are denied; CASTWAY_ALLOWED_PEER_IP allows them");
    }
}
