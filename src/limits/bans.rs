//! The addresses that are not served.
//!
//! - Owner: the user directory makes one [`BannedAddresses`] and keeps it up to date; clones share it.
//! - Inputs: networks, in any order; they may overlap.
//! - Outputs: whether an address is banned; a wake for those who end what a newly banned address has here.
//! - Invariants: without a ban, the question costs one relaxed load. Loopback and the exempt networks (trusted proxies, which bring many
//!   clients) are never banned. An IPv4-mapped address counts as IPv4.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::watch;

/// A handle; clones share the addresses.
#[derive(Debug, Clone)]
pub struct BannedAddresses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    has_any: AtomicBool,
    ranges: ArcSwap<Ranges>,
    exempt: ArcSwap<Vec<IpNet>>,
    changes: watch::Sender<()>,
}

/// The first and the last address of each range, in order; ranges don't overlap.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ranges {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Default for BannedAddresses {
    fn default() -> Self {
        Self(Arc::new(Inner {
            has_any: AtomicBool::new(false),
            ranges: ArcSwap::default(),
            exempt: ArcSwap::default(),
            changes: watch::Sender::new(()),
        }))
    }
}

impl BannedAddresses {
    /// Replaces the banned networks.
    pub fn replace(&self, networks: &[IpNet]) {
        let ranges = Ranges::new(networks);
        if *self.0.ranges.load_full() == ranges {
            return;
        }
        let has_any = !ranges.v4.is_empty() || !ranges.v6.is_empty();
        self.0.ranges.store(Arc::new(ranges));
        self.0.has_any.store(has_any, Ordering::Relaxed);
        self.0.changes.send_replace(());
    }

    /// The networks whose addresses are served whatever the bans say.
    pub fn exempt(&self, networks: Vec<IpNet>) {
        self.0.exempt.store(Arc::new(networks));
    }

    /// Whether nothing is to be served to this address.
    #[must_use]
    pub fn contain(&self, ip: IpAddr) -> bool {
        self.0.has_any.load(Ordering::Relaxed) && self.look_up(ip)
    }

    #[cold]
    fn look_up(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.ranges.load().contain(ip) && !ip.is_loopback() && !self.0.exempt.load().iter().any(|network| network.contains(&ip))
    }

    /// Whether no address is banned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.0.has_any.load(Ordering::Relaxed)
    }

    /// Is told of each change from now on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }
}

impl Ranges {
    fn new(networks: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(network) => v4.push((network.network().to_bits(), network.broadcast().to_bits())),
                IpNet::V6(network) => v6.push((network.network().to_bits(), network.broadcast().to_bits())),
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    fn contain(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => is_in(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => is_in(&self.v6, ip.to_bits()),
        }
    }
}

/// Sorts, and joins what overlaps.
fn merged<N: Copy + Ord>(mut ranges: Vec<(N, N)>) -> Vec<(N, N)> {
    ranges.sort_unstable();
    let mut merged: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn is_in<N: Copy + Ord>(ranges: &[(N, N)], address: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after > 0 && address <= ranges[after - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(networks: &[&str]) -> BannedAddresses {
        let banned = BannedAddresses::default();
        banned.replace(&networks.iter().map(|network| network.parse().unwrap()).collect::<Vec<_>>());
        banned
    }

    fn contains(banned: &BannedAddresses, ip: &str) -> bool {
        banned.contain(ip.parse().unwrap())
    }

    #[test]
    fn an_address_is_banned_by_any_network_in_whatever_order_they_come() {
        let networks =
            ["198.51.100.7/32", "10.0.0.0/8", "10.1.0.0/16", "10.255.255.255/32", "2001:db8:1::/48", "2001:db8:1:2::/64"];
        for turn in 0..networks.len() {
            let mut turned = networks.to_vec();
            turned.rotate_left(turn);
            let banned = of(&turned);
            for ip in
                ["198.51.100.7", "10.0.0.0", "10.1.2.3", "10.2.0.1", "10.255.255.255", "2001:db8:1:2::9", "2001:db8:1:ffff::"]
            {
                assert!(contains(&banned, ip), "{ip}, {turn}");
            }
            for ip in
                ["198.51.100.6", "198.51.100.8", "9.255.255.255", "11.0.0.0", "2001:db8:0:ffff::", "2001:db8:2::", "::a00:1"]
            {
                assert!(!contains(&banned, ip), "{ip}, {turn}");
            }
        }
    }

    #[test]
    fn every_address_of_a_small_range_is_as_the_networks_say() {
        let networks: Vec<IpNet> = ["192.0.2.0/30", "192.0.2.2/31", "192.0.2.6/32", "192.0.2.8/29", "192.0.2.255/32"]
            .map(|text| text.parse().unwrap())
            .into();
        let banned = BannedAddresses::default();
        banned.replace(&networks);
        for host in 0..=255 {
            let ip = IpAddr::from([192, 0, 2, host]);
            assert_eq!(banned.contain(ip), networks.iter().any(|network| network.contains(&ip)), "{ip}");
        }
    }

    #[test]
    fn a_mapped_address_counts_as_ipv4_and_some_are_never_banned() {
        let banned = of(&["0.0.0.0/0", "::/0"]);
        assert!(contains(&banned, "::ffff:203.0.113.9") && contains(&banned, "203.0.113.9"));
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(!contains(&banned, loopback), "{loopback}");
        }
        banned.exempt(vec!["10.0.0.0/24".parse().unwrap()]);
        assert!(!contains(&banned, "10.0.0.9") && !contains(&banned, "::ffff:10.0.0.9") && contains(&banned, "10.0.1.9"));
    }

    #[test]
    fn changes_are_told_once_and_no_ban_is_no_look() {
        let banned = BannedAddresses::default();
        let mut changes = banned.changes();
        assert!(banned.is_empty() && !contains(&banned, "192.0.2.1"));
        banned.replace(&["192.0.2.1/32".parse().unwrap()]);
        assert!(changes.has_changed().unwrap() && !banned.is_empty());
        changes.mark_unchanged();
        banned.replace(&["192.0.2.1/32".parse().unwrap()]);
        assert!(!changes.has_changed().unwrap(), "nothing has changed");
        banned.replace(&[]);
        assert!(changes.has_changed().unwrap() && banned.is_empty() && !contains(&banned, "192.0.2.1"));
    }
}
