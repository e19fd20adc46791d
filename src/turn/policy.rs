//! The peers that a relayed address may exchange data with (RFC 8656 §10.2, §11.2, §12.2, §21.2.2).
//!
//! A built-in list denies every network that is not the public internet. The operator's list is added to it, and so is every
//! network that this machine is in, because the machines there trust their neighbours. The operator's allowed networks override
//! all of these. An IPv6 address that contains an IPv4 address must be permitted as both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

use super::codec::attribute::AddressFamily;
use super::credentials::Scope;
use super::settings::EngineSettings;

/// Networks that are denied unless the operator allows them.
const DENIED_NETWORKS: [&str; 33] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

static BUILT_IN: LazyLock<Vec<IpNet>> =
    LazyLock::new(|| DENIED_NETWORKS.iter().map(|network| network.parse().expect("a test parses each of them")).collect());

/// The networks that peers may be in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerPolicy {
    /// Permitted, even where another list denies it.
    pub allowed: Vec<IpNet>,
    /// Denied in addition to the built-in list.
    pub denied: Vec<IpNet>,
    /// The networks that this machine is in; denied too.
    pub neighbours: Vec<IpNet>,
    /// The peers of allocations of [`Scope::Clients`], besides live relayed addresses of this server. The lists above do not count
    /// for them.
    pub clients_peers: Vec<IpNet>,
}

impl PeerPolicy {
    /// Whether every address of a network is denied unless the operator allows it.
    pub fn denies_by_default(network: &IpNet) -> bool {
        BUILT_IN.iter().any(|denied| denied.contains(network))
    }

    /// Whether the lists permit this address. They do not know the addresses of this machine.
    pub fn permits(&self, ip: IpAddr, scope: Scope) -> bool {
        match scope {
            Scope::Anyone => self.lists_permit(ip) && !self.is_neighbour(ip),
            Scope::OwnAddress => !ip.to_canonical().is_loopback() && self.permits(ip, Scope::Anyone),
            Scope::Clients => {
                let embedded = embedded(ip.to_canonical()).map(IpAddr::V4);
                self.allows_explicitly(ip, scope)
                    && embedded.is_none_or(|ip| self.allows_explicitly(ip, scope))
                    && !is_impossible(ip.to_canonical())
            }
        }
    }

    /// Whether a permission for this address may exist. A permission covers all ports, so the addresses of our relayed addresses
    /// are permitted here; which of their ports are live is checked for each packet.
    pub(super) fn permits_permission(&self, ip: IpAddr, scope: Scope, settings: &EngineSettings) -> bool {
        let relayed = settings.relayed_ip(AddressFamily::of(ip)).is_some_and(|relayed| relayed.is(ip));
        if relayed || settings.former_addresses.contains(&ip) {
            return scope != Scope::OwnAddress;
        }
        if settings.own_addresses.contains(&ip) { self.allows_explicitly(ip, scope) } else { self.permits(ip, scope) }
    }

    /// Whether the address is denied only because it is in a network of this machine.
    pub fn denies_as_neighbour(&self, ip: IpAddr) -> bool {
        self.is_neighbour(ip) && self.lists_permit(ip)
    }

    /// The networks of this machine that no other list denies.
    pub fn closed_neighbours(&self) -> Vec<IpNet> {
        let inside = |network: &IpNet| network.hosts().nth(1).unwrap_or(network.addr());
        self.neighbours.iter().filter(|network| self.denies_as_neighbour(inside(network))).copied().collect()
    }

    fn is_neighbour(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let near = |ip: IpAddr| {
            !self.allows_explicitly(ip, Scope::Anyone) && self.neighbours.iter().any(|network| network.contains(&ip))
        };
        near(ip) || embedded(ip).is_some_and(|ip| near(IpAddr::V4(ip)))
    }

    fn lists_permit(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.permits_as_written(ip) && embedded(ip).is_none_or(|ip| self.permits_as_written(IpAddr::V4(ip))) && !is_impossible(ip)
    }

    /// Whether the operator has allowed this address to allocations of `scope`.
    pub fn allows_explicitly(&self, ip: IpAddr, scope: Scope) -> bool {
        let ip = ip.to_canonical();
        let allowed = match scope {
            Scope::Anyone => &self.allowed,
            Scope::Clients => &self.clients_peers,
            Scope::OwnAddress => return false,
        };
        allowed.iter().any(|network| network.contains(&ip))
    }

    /// Whether allocations of `scope` reach peers outside this server, so that their relayed addresses need sockets.
    pub fn reaches_outside(&self, scope: Scope) -> bool {
        scope != Scope::Clients || !self.clients_peers.is_empty()
    }

    fn permits_as_written(&self, ip: IpAddr) -> bool {
        self.allows_explicitly(ip, Scope::Anyone) || !BUILT_IN.iter().chain(&self.denied).any(|network| network.contains(&ip))
    }
}

/// The IPv4 address inside an IPv6 address: IPv4-compatible, IPv4-translated (SIIT), NAT64, 6to4, and for Teredo that of its
/// server.
fn embedded(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let last = |ip: Ipv6Addr| Ipv4Addr::from(u128::from(ip) as u32);
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => Some(last(ip)),
        [0, 0, 0, 0, 0xFFFF, 0, _, _] | [0x64, 0xFF9B, 0, 0, 0, 0, _, _] => Some(last(ip)),
        [0x2002, high, low, ..] | [0x2001, 0, high, low, ..] => Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))),
        _ => None,
    }
}

/// Addresses that no list may allow: broadcast, and the unspecified address.
fn is_impossible(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(policy: &PeerPolicy, ip: &str) -> bool {
        policy.permits(ip.parse().expect("an address"), Scope::Anyone)
    }

    #[test]
    fn r29_both_ends_of_every_denied_network_are_denied() {
        let policy = PeerPolicy::default();
        for network in BUILT_IN.iter() {
            assert!(
                !policy.permits(network.network(), Scope::Anyone) && !policy.permits(network.broadcast(), Scope::Anyone),
                "{network}"
            );
        }
        for ip in ["1.1.1.1", "9.255.255.255", "11.0.0.0", "172.32.0.0", "223.255.255.255", "2606:4700::1111", "2400::1"] {
            assert!(permits(&policy, ip), "{ip}");
        }
    }

    #[test]
    fn r29_ipv4_in_ipv6_is_judged_as_ipv4() {
        let policy = PeerPolicy { allowed: vec!["::/0".parse().expect("a network")], ..PeerPolicy::default() };
        for ip in [
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "2001:0:a00:1::1",
            "::",
        ] {
            assert!(!permits(&policy, ip), "{ip}");
        }
        for ip in ["::1", "64:ff9b::101:101", "2002:101:101::1", "fd00::1"] {
            assert!(permits(&policy, ip), "{ip}");
        }
        assert!(permits(&PeerPolicy::default(), "::ffff:1.1.1.1"));
    }

    #[test]
    fn r32_an_explicit_allow_overrides() {
        let network = |network: &str| network.parse::<IpNet>().expect("a network");
        let denied = vec![network("10.1.2.0/24"), network("1.0.0.0/8")];
        let policy = PeerPolicy { allowed: vec![network("10.1.0.0/16")], denied, ..PeerPolicy::default() };
        assert!(permits(&policy, "10.1.2.3") && permits(&policy, "::ffff:10.1.2.3"));
        assert!(!permits(&policy, "10.2.0.1") && !permits(&policy, "1.1.1.1"));
        assert!(!permits(&PeerPolicy { allowed: vec![network("0.0.0.0/0")], ..PeerPolicy::default() }, "255.255.255.255"));
    }

    #[test]
    fn networks_of_this_machine_are_denied_unless_they_are_allowed() {
        let networks =
            |networks: &[&str]| networks.iter().map(|network| network.parse().expect("a network")).collect::<Vec<IpNet>>();
        let neighbours = networks(&["11.0.0.0/24", "2a01:0:0:1::/64", "192.168.1.0/24"]);
        let policy = PeerPolicy { neighbours: neighbours.clone(), ..PeerPolicy::default() };
        for near in ["11.0.0.1", "11.0.0.255", "::ffff:11.0.0.9", "2a01:0:0:1::", "2a01:0:0:1:f::9"] {
            assert!(!permits(&policy, near) && permits(&PeerPolicy::default(), near), "{near}");
        }
        let translating = PeerPolicy { allowed: networks(&["64:ff9b::/96"]), ..policy.clone() };
        assert!(!permits(&translating, "64:ff9b::b00:9") && permits(&translating, "64:ff9b::c00:9"));
        for far in ["11.0.1.1", "2a01:0:0:2::1"] {
            assert!(permits(&policy, far), "{far}");
        }
        assert!(policy.denies_as_neighbour("11.0.0.9".parse().expect("an address")));
        assert!(!policy.denies_as_neighbour("192.168.1.9".parse().expect("an address")), "it is denied anyway");
        assert_eq!(policy.closed_neighbours(), networks(&["11.0.0.0/24", "2a01:0:0:1::/64"]));
        let allowing = PeerPolicy { allowed: networks(&["11.0.0.0/24"]), ..policy };
        assert!(permits(&allowing, "11.0.0.9") && !permits(&allowing, "2a01:0:0:1::9"));
        assert_eq!(allowing.closed_neighbours(), networks(&["2a01:0:0:1::/64"]));
    }

    #[test]
    fn r69_the_other_lists_do_not_count_for_scope_clients() {
        let network = |network: &str| network.parse::<IpNet>().expect("a network");
        let policy = PeerPolicy {
            allowed: vec![network("0.0.0.0/0"), network("::/0")],
            clients_peers: vec![network("198.51.100.0/24"), network("10.0.0.0/8"), network("64:ff9b::/96")],
            ..PeerPolicy::default()
        };
        let permits = |ip: &str| policy.permits(ip.parse().expect("an address"), Scope::Clients);
        for ip in ["198.51.100.7", "::ffff:198.51.100.7", "10.1.2.3", "64:ff9b::a00:1"] {
            assert!(permits(ip), "{ip}");
        }
        for ip in ["1.1.1.1", "192.168.0.1", "2606:4700::1111", "64:ff9b::101:101", "127.0.0.1", "255.255.255.255"] {
            assert!(!permits(ip), "{ip}");
        }
        assert!(policy.reaches_outside(Scope::Clients) && !PeerPolicy::default().reaches_outside(Scope::Clients));
    }
}
