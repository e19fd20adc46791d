//! What a device is to test: the ways to the relay with credentials, and its relayed ports where they are used.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use utoipa::ToSchema;

use super::sessions::SESSION_LIFETIME;
use crate::addresses::ice_servers::IceServers;
use crate::addresses::interfaces;
use crate::diagnosis::report::PathKind;
use crate::turn::{PeerPolicy, Scope};
use crate::users::credentials::OWN_ADDRESS_USER_PREFIX;
use crate::users::{Credentials, Directory};

/// The lifetime of the credentials of the range test.
const RANGE_CREDENTIALS_TTL: Duration = Duration::from_secs(300);

/// One way to the relay.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PathTest {
    kind: PathKind,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    credential: Option<String>,
}

/// The test of the relayed ports: the device sends from its own address to its relayed one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum RangeOffer {
    /// The relay refuses the device's address as a peer.
    Denied { denied: bool },
    Allowed {
        username: String,
        credential: String,
        #[schema(value_type = String, example = "203.0.113.7")]
        address: IpAddr,
    },
}

/// When the relayed ports are tested.
#[derive(Debug, Clone)]
pub struct RangeTest {
    /// Whether anybody may have allocations with relayed sockets, whatever users the directory has.
    pub is_used: bool,
    /// Whether users and API keys may.
    pub is_used_by_users: bool,
    pub policy: PeerPolicy,
}

impl RangeTest {
    pub(super) fn is_due(&self, directory: &Directory) -> bool {
        self.is_used || self.is_used_by_users && directory.has_user_of(Scope::Anyone)
    }

    fn permits(&self, device: IpAddr) -> bool {
        let device = device.to_canonical();
        self.policy.permits(device, Scope::OwnAddress) && !interfaces::addresses().contains(&device)
    }

    pub(super) fn offer(&self, directory: &Directory, user: &str, device: IpAddr, now: SystemTime) -> Option<RangeOffer> {
        if !self.is_due(directory) {
            return None;
        }
        if !self.permits(device) {
            return Some(RangeOffer::Denied { denied: true });
        }
        let Credentials { username, password, .. } = directory.issue(user, Scope::OwnAddress, Some(RANGE_CREDENTIALS_TTL), now);
        Some(RangeOffer::Allowed { username, credential: password.expose().clone(), address: device.to_canonical() })
    }
}

/// A name that nobody else has, for the credentials of one device.
pub(super) fn new_user() -> String {
    format!("{OWN_ADDRESS_USER_PREFIX}{:016x}", rand::random::<u64>())
}

/// The ways to the relay for a client that has reached this server at `host`.
pub(super) fn paths(directory: &Directory, ice: &IceServers, user: &str, host: Option<&str>, now: SystemTime) -> Vec<PathTest> {
    let credentials = directory.issue(user, Scope::Clients, Some(SESSION_LIFETIME), now);
    let servers = ice.ice_servers(&credentials, host).into_iter();
    let mut paths: Vec<PathTest> = servers
        .map(|server| PathTest {
            kind: kind(&server.urls),
            url: server.urls,
            username: server.username,
            credential: server.credential.map(|credential| credential.expose().clone()),
        })
        .collect();
    paths.sort_by_key(|path| path.kind as u8);
    paths
}

fn kind(url: &str) -> PathKind {
    if url.starts_with("stun:") {
        PathKind::Stun
    } else if url.starts_with("turns:") {
        PathKind::Tls
    } else if url.ends_with("transport=tcp") {
        PathKind::Tcp
    } else {
        PathKind::Udp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_tested_from_addresses_that_the_relay_permits() {
        let test = RangeTest { is_used: true, is_used_by_users: false, policy: PeerPolicy::default() };
        assert!(test.permits("8.8.8.8".parse().unwrap()));
        for denied in ["127.0.0.1", "::1", "192.168.1.5", "10.0.0.1", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(!test.permits(denied.parse().unwrap()), "{denied}");
        }
        let allowed = RangeTest { policy: PeerPolicy { allowed: vec!["10.0.0.0/8".parse().unwrap()], ..test.policy }, ..test };
        assert!(allowed.permits("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn urls_have_kinds() {
        let kinds = [
            ("stun:a:3478", PathKind::Stun),
            ("turn:a:3478?transport=udp", PathKind::Udp),
            ("turn:a:3478?transport=tcp", PathKind::Tcp),
            ("turns:a:443?transport=tcp", PathKind::Tls),
        ];
        assert!(kinds.into_iter().all(|(url, expected)| kind(url) == expected));
    }
}
