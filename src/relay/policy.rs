//! Whom the relay may reach. Pure: no socket, no clock.
//!
//! Input: the operator's allow and deny networks, the machine's own addresses, a peer. Output: a verdict.
//!
//! Invariants:
//! - An IPv4 peer written as IPv4-mapped IPv6 is judged by the IPv4 rules and by nothing else.
//! - An IPv6 peer that carries an IPv4 address in another way (NAT64, 6to4, Teredo, SIIT, IPv4-compatible) needs a yes for
//!   **both**: allowing a NAT64 prefix does not open `64:ff9b::127.0.0.1`.
//! - The machine's own addresses are closed, except the live relay ports of this server, so that two relayed peers can talk.
//!   Permissions are per address (RFC 8656 section 9), so that one is judged by [`PeerPolicy::permits_at`] for each datagram.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Why a peer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("in {network} ({purpose}), which is denied by default")]
    BuiltIn { network: IpNet, purpose: &'static str },
    #[error("in {0}, which is denied by the settings")]
    Configured(IpNet),
    #[error("an address of this server")]
    Own,
}

/// The networks and addresses that peers are judged by.
#[derive(Debug, Clone, Default)]
pub struct PeerPolicy {
    allowed: Vec<IpNet>,
    denied: Vec<IpNet>,
    own: Vec<IpAddr>,
    relayed: Vec<IpAddr>,
}

impl PeerPolicy {
    /// The built-in list, less what is `allowed`, plus what is `denied`. A network in both is allowed.
    #[must_use]
    pub fn new(allowed: &[IpNet], denied: &[IpNet]) -> Self {
        let canonical = |networks: &[IpNet]| networks.iter().copied().map(canonical_network).collect();
        Self { allowed: canonical(allowed), denied: canonical(denied), ..Self::default() }
    }

    /// Closes the machine's `own` interface addresses.
    #[must_use]
    pub fn with_own(self, own: impl IntoIterator<Item = IpAddr>) -> Self {
        Self { own: own.into_iter().map(|ip| ip.to_canonical()).collect(), ..self }
    }

    /// Closes the addresses that relayed transport addresses are bound to and advertised under, all but their live ports.
    #[must_use]
    pub fn with_relayed(self, relayed: impl IntoIterator<Item = IpAddr>) -> Self {
        Self { relayed: relayed.into_iter().map(|ip| ip.to_canonical()).collect(), ..self }
    }

    /// Whether every port of `peer` may be reached.
    ///
    /// # Errors
    /// [`Denied`] with the first rule that closes the address.
    pub fn permits(&self, peer: IpAddr) -> Result<(), Denied> {
        let peer = peer.to_canonical();
        if !self.allows(peer) {
            self.refusal(peer).map_or(Ok(()), Err)?;
        }
        let IpAddr::V6(peer) = peer else { return Ok(()) };
        for inner in embedded(peer).into_iter().flatten().map(IpAddr::V4) {
            if !self.allows(inner) {
                self.refusal(inner).map_or(Ok(()), Err)?;
            }
        }
        Ok(())
    }

    /// Whether `peer` may be sent to or heard now; `live` tells whether a port is a live relay port of this server.
    ///
    /// # Errors
    /// [`Denied`] as for [`PeerPolicy::permits`].
    pub fn permits_at(&self, peer: SocketAddr, live: impl FnOnce(u16) -> bool) -> Result<(), Denied> {
        if self.is_relayed(peer.ip()) && live(peer.port()) { Ok(()) } else { self.permits(peer.ip()) }
    }

    /// Whether relayed transport addresses of this server are under `ip`, so that some port of it may be permitted.
    #[must_use]
    pub fn is_relayed(&self, ip: IpAddr) -> bool {
        self.relayed.contains(&ip.to_canonical())
    }

    fn allows(&self, ip: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(&ip))
    }

    fn refusal(&self, ip: IpAddr) -> Option<Denied> {
        if self.own.contains(&ip) || self.relayed.contains(&ip) {
            return Some(Denied::Own);
        }
        let configured = self.denied.iter().find(|network| network.contains(&ip));
        configured.map(|network| Denied::Configured(*network)).or_else(|| built_in(ip))
    }
}

fn built_in(ip: IpAddr) -> Option<Denied> {
    let (network, purpose) = match ip {
        IpAddr::V4(ip) => {
            let (network, purpose) = DENIED_V4.iter().find(|(network, _)| network.contains(&ip))?;
            (IpNet::V4(*network), purpose)
        }
        IpAddr::V6(ip) => {
            let (network, purpose) = DENIED_V6.iter().find(|(network, _)| network.contains(&ip))?;
            (IpNet::V6(*network), purpose)
        }
    };
    Some(Denied::BuiltIn { network, purpose })
}

/// The IPv4 addresses that an IPv6 address leads to: compatible (RFC 4291 section 2.5.5.1), translated (RFC 2765 section 2.1),
/// NAT64 (RFC 6052 section 2.1), 6to4 (RFC 3056 section 2), Teredo's server and client (RFC 4380 section 4).
fn embedded(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        // `::` and `::1` are addresses of their own, not 0.0.0.0 and 0.0.0.1.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            [Some(join(high, low)), None]
        }
        [0x2002, high, low, ..] => [Some(join(high, low)), None],
        [0x2001, 0, server_high, server_low, _, _, client_high, client_low] => {
            [Some(join(server_high, server_low)), Some(join(!client_high, !client_low))]
        }
        _ => [None, None],
    }
}

/// A network of IPv4-mapped addresses as the IPv4 network that it means.
fn canonical_network(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let inner = mapped.addr().to_ipv4_mapped().zip(mapped.prefix_len().checked_sub(96));
    inner.and_then(|(ip, prefix)| Ipv4Net::new(ip, prefix).ok()).map_or(network, IpNet::V4)
}

/// IPv4 networks that no peer may be in, after the IANA IPv4 Special-Purpose Address Registry (RFC 6890 and its updates) and
/// the IPv4 Multicast Address Space Registry; the Azure platform address besides.
const DENIED_V4: [(Ipv4Net, &str); 16] = [
    (v4([0, 0, 0, 0], 8), "this network"),
    (v4([10, 0, 0, 0], 8), "private use"),
    (v4([100, 64, 0, 0], 10), "shared address space"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([168, 63, 129, 16], 32), "a cloud's platform address"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([172, 16, 0, 0], 12), "private use"),
    (v4([192, 0, 0, 0], 24), "IETF protocol assignments"),
    (v4([192, 0, 2, 0], 24), "documentation"),
    (v4([192, 88, 99, 0], 24), "6to4 relay anycast"),
    (v4([192, 168, 0, 0], 16), "private use"),
    (v4([198, 18, 0, 0], 15), "benchmarking"),
    (v4([198, 51, 100, 0], 24), "documentation"),
    (v4([203, 0, 113, 0], 24), "documentation"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([240, 0, 0, 0], 4), "reserved"),
];

/// IPv6 networks that no peer may be in, after the IANA IPv6 Special-Purpose Address Registry (RFC 6890 and its updates) and
/// the IPv6 Multicast Address Space Registry; the deprecated site-local, IPv4-compatible (RFC 4291) and SIIT (RFC 2765)
/// ranges besides. IPv4-mapped peers are absent: they are IPv4 peers by the time this is read.
const DENIED_V6: [(Ipv6Net, &str); 16] = [
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "IPv4-compatible"),
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), "IPv4-translated"),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), "NAT64"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "local-use NAT64"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discard-only"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "IETF protocol assignments"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "segment routing"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "unique local"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().expect("a network")).collect()
    }

    fn default_denies(text: &str) -> bool {
        PeerPolicy::new(&[], &[]).permits(ip(text)).is_err()
    }

    #[test]
    fn every_network_of_the_list_is_denied_from_its_first_to_its_last_address() {
        let list = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 \
                    192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 \
                    240.0.0.0/4 ::/128 ::1/128 ::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 \
                    2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8";
        let policy = PeerPolicy::new(&[], &[]);
        for network in list.split_whitespace() {
            let network: IpNet = network.parse().expect("a network");
            assert!(policy.permits(network.network()).is_err(), "first of {network}");
            assert!(policy.permits(network.broadcast()).is_err(), "last of {network}");
        }
        assert_eq!(list.split_whitespace().count(), DENIED_V4.len() + DENIED_V6.len());
    }

    #[test]
    fn neighbours_of_denied_networks_are_open() {
        for open in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "8.8.8.8",
            "2001:200::1",
            "2001:db7::1",
            "2003::1",
            "2606:4700::1111",
            "3fff:1000::1",
            "fbff::1",
        ] {
            assert!(!default_denies(open), "{open}");
        }
    }

    #[test]
    fn cloud_metadata_is_denied() {
        for metadata in ["169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"] {
            assert!(default_denies(metadata), "{metadata}");
        }
    }

    #[test]
    fn a_mapped_address_is_judged_as_ipv4() {
        assert!(default_denies("::ffff:127.0.0.1"));
        assert!(default_denies("::ffff:169.254.169.254"));
        assert!(!default_denies("::ffff:8.8.8.8"));
        let policy = PeerPolicy::new(&networks(&["10.0.0.0/8"]), &networks(&["8.8.8.0/24"]));
        assert_eq!(policy.permits(ip("::ffff:10.1.2.3")), Ok(()));
        assert_eq!(policy.permits(ip("::ffff:8.8.8.8")), Err(Denied::Configured("8.8.8.0/24".parse().expect("a network"))));
    }

    #[test]
    fn a_mapped_network_is_an_ipv4_network() {
        let policy = PeerPolicy::new(&networks(&["::ffff:10.0.0.0/104"]), &[]);
        assert_eq!(policy.permits(ip("10.1.2.3")), Ok(()));
        assert!(policy.permits(ip("11.1.2.3")).is_ok() && policy.permits(ip("192.168.0.1")).is_err());
    }

    #[test]
    fn an_allowed_translation_prefix_does_not_open_what_is_behind_it() {
        let policy = PeerPolicy::new(&networks(&["64:ff9b::/96", "2002::/16", "2001::/32", "::/96", "::ffff:0:0:0/96"]), &[]);
        for (open, closed) in [
            ("64:ff9b::8.8.8.8", "64:ff9b::127.0.0.1"),
            ("2002:808:808::1", "2002:7f00:1::1"),
            ("::8.8.8.8", "::127.0.0.1"),
            ("::ffff:0:8.8.8.8", "::ffff:0:10.0.0.1"),
            // Teredo: server 8.8.8.8; the client's address is written inverted.
            ("2001:0:808:808::f7f7:f7f7", "2001:0:808:808::80ff:fffe"),
            ("2001:0:808:808::f7f7:f7f7", "2001:0:7f00:1::f7f7:f7f7"),
        ] {
            assert_eq!(policy.permits(ip(open)), Ok(()), "{open}");
            assert!(policy.permits(ip(closed)).is_err(), "{closed}");
        }
    }

    #[test]
    fn an_allowed_ipv4_network_does_not_open_the_translations_to_it() {
        let policy = PeerPolicy::new(&networks(&["10.0.0.0/8"]), &[]);
        assert!(policy.permits(ip("10.0.0.1")).is_ok());
        for closed in ["64:ff9b::10.0.0.1", "2002:a00:1::1", "::10.0.0.1", "::ffff:0:10.0.0.1"] {
            assert!(policy.permits(ip(closed)).is_err(), "{closed}");
        }
    }

    #[test]
    fn explicit_allow_overrides_the_built_in_list_the_denied_networks_and_own_addresses() {
        let policy = PeerPolicy::new(&networks(&["192.168.7.0/24", "::1/128", "8.8.8.8/32"]), &networks(&["8.8.8.0/24"]))
            .with_own([ip("192.168.7.1")]);
        for open in ["192.168.7.9", "192.168.7.1", "::1", "8.8.8.8"] {
            assert_eq!(policy.permits(ip(open)), Ok(()), "{open}");
        }
        assert!(policy.permits(ip("192.168.8.9")).is_err());
        assert!(policy.permits(ip("8.8.8.9")).is_err());
    }

    #[test]
    fn own_addresses_are_denied_but_for_live_relay_ports() {
        let policy =
            PeerPolicy::new(&[], &[]).with_own([ip("9.9.9.1"), ip("9.9.9.2")]).with_relayed([ip("9.9.9.1"), ip("7.7.7.7")]);
        let live = |port| port == 50_000;
        let at = |text: &str| policy.permits_at(text.parse().expect("an address and a port"), live);
        assert_eq!(at("9.9.9.1:50000"), Ok(()));
        assert_eq!(at("7.7.7.7:50000"), Ok(()));
        assert_eq!(at("[::ffff:7.7.7.7]:50000"), Ok(()));
        assert_eq!(at("9.9.9.1:22"), Err(Denied::Own));
        assert_eq!(at("7.7.7.7:22"), Err(Denied::Own));
        // Another interface's port of the same number is another program's.
        assert_eq!(at("9.9.9.2:50000"), Err(Denied::Own));
        assert_eq!(policy.permits(ip("9.9.9.1")), Err(Denied::Own));
        assert!(policy.is_relayed(ip("::ffff:7.7.7.7")) && !policy.is_relayed(ip("9.9.9.2")));
    }

    #[test]
    fn a_refusal_says_why() {
        let refusal = PeerPolicy::new(&[], &[]).permits(ip("10.0.0.1")).expect_err("private");
        assert_eq!(refusal.to_string(), "in 10.0.0.0/8 (private use), which is denied by default");
    }
}
