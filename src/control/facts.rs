//! What a running server says about itself. It contains no secret.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The answer to `facts`. What a server of another version does not say has its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerFacts {
    pub version: String,
    pub pid: u32,
    /// The network namespace of the server, as `/proc/self/ns/net` names it. A container has its own.
    pub net_namespace: String,
    pub uptime_seconds: u64,
    pub data_dir: String,
    /// The settings that the server was started with, by variable; none that is a secret.
    pub settings: BTreeMap<String, String>,
    /// The variable that the secrets of credentials come from; `None`: from the database.
    pub secrets_variable: Option<String>,
    pub listeners: Vec<ListenerFacts>,
    /// Sentences about listeners that could not be made.
    pub missing_listeners: Vec<String>,
    pub relay: RelayFacts,
    /// The host of the pages' public URL.
    pub public_host: Option<String>,
    /// `None`: TLS is off.
    pub certificate: Option<CertificateFacts>,
    pub descriptors: DescriptorFacts,
    pub proxies: ProxyFacts,
    /// `None`: the server has not tested itself (yet).
    pub self_test: Option<Vec<SelfTestFacts>>,
    /// The server's clock, in seconds since 1970.
    pub now: u64,
}

/// The network namespace of this process, as the kernel names it.
#[must_use]
pub fn net_namespace() -> String {
    std::fs::read_link("/proc/self/ns/net").map(|name| name.display().to_string()).unwrap_or_default()
}

/// A socket on which clients reach the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerFacts {
    pub protocol: Transport,
    pub address: SocketAddr,
    pub serves: Service,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    Http,
    Https,
    Turn,
    Turns,
    Collider,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RelayFacts {
    pub realm: String,
    /// The URLs of ICE servers that clients are given.
    pub urls: Vec<String>,
    /// The addresses that relayed candidates have, and those that the relay's sockets are bound to, in the same order.
    pub advertised: Vec<IpAddr>,
    pub bound: Vec<IpAddr>,
    /// The hosts that the settings give to this machine.
    pub hosts: Vec<String>,
    /// The first and the last relayed port.
    pub ports: (u16, u16),
    /// Every client's relayed addresses have sockets, so that all casts need the ports. Otherwise only those of users and API keys do.
    pub clients_need_range: bool,
    /// Some credentials may reach peers through sockets.
    pub has_range: bool,
    /// Somebody has such credentials, or may issue them: a user, an API key, a static secret.
    pub range_in_use: bool,
    /// Sentences about addresses that can't be right.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateFacts {
    /// As `/readyz` names it.
    pub kind: String,
    pub names: Vec<String>,
    pub issuer: String,
    /// In seconds since 1970.
    pub not_before: u64,
    pub not_after: u64,
    /// Browsers accept it, as far as the server knows.
    pub trusted: bool,
    /// Why the last attempt to renew it failed.
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescriptorFacts {
    pub limit: u64,
    pub open: u64,
    /// How many casts over the relay are possible at the same time.
    pub casts: usize,
}

/// Requests that seem to come through a proxy that the settings don't trust.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxyFacts {
    /// Requests from addresses that are no trusted proxies.
    pub requests: u64,
    /// Those of them with a header that proxies write.
    pub with_headers: u64,
    pub last: Option<ProxySighting>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxySighting {
    pub address: IpAddr,
    pub header: String,
}

/// The server's test of one of its listeners.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfTestFacts {
    pub listener: String,
    pub ms: Option<f64>,
    /// What failed.
    pub problem: Option<String>,
}
