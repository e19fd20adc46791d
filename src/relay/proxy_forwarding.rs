//! TCP connections that the relay accepts for the ingress.

use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

use ipnet::IpNet;

/// Forwards connections from trusted proxies to the ingress, which reads the PROXY header that such a connection may begin with.
#[derive(Debug, Clone)]
pub struct ProxyForwarding {
    /// Networks of the trusted proxies.
    pub networks: Arc<[IpNet]>,
    pub to: tokio::sync::mpsc::Sender<TcpStream>,
}

impl ProxyForwarding {
    pub(super) fn applies_to(&self, client: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&client))
    }
}
