//! Ranges of addresses, as coturn writes them, as networks.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

/// Reads `ADDRESS`, `FIRST-LAST`, or a network, which turnserver itself does not take.
pub(super) fn networks(text: &str) -> Option<Vec<IpNet>> {
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(vec![network.trunc()]);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (IpAddr, IpAddr) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Some(Ipv4Subnets::new(first, last, 0).map(IpNet::from).collect())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Some(Ipv6Subnets::new(first, last, 0).map(IpNet::from).collect())
        }
        _ => None,
    }
}

/// Whether a network is one of IPv4-mapped addresses: turnserver takes them for addresses of IPv6, and the relay for those of IPv4.
pub(super) fn is_mapped(network: &IpNet) -> bool {
    matches!(network, IpNet::V6(network) if network.prefix_len() >= 96 && network.addr().to_ipv4_mapped().is_some())
}

/// The networks as a setting lists them; a network of one address is that address.
pub(super) fn listed(networks: &[IpNet]) -> Vec<String> {
    let text = |network: &IpNet| match network.prefix_len() == network.max_prefix_len() {
        true => network.addr().to_string(),
        false => network.to_string(),
    };
    networks.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_becomes_the_fewest_networks() {
        for (range, expected) in [
            ("10.0.0.0-10.255.255.255", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7"),
            (
                "172.17.13.133-172.17.14.2",
                "172.17.13.133,172.17.13.134/31,172.17.13.136/29,172.17.13.144/28,172.17.13.160/27,\
              172.17.13.192/26,172.17.14.0/31,172.17.14.2",
            ),
            ("0.0.0.0-255.255.255.255", "0.0.0.0/0"),
            ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"),
            ("fc00:: - fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::/7"),
            ("::ffff:0.0.0.0-::ffff:255.255.255.255", "::ffff:0.0.0.0/96"),
            ("10.1.2.3/8", "10.0.0.0/8"),
        ] {
            assert_eq!(networks(range).map(|networks| listed(&networks).join(",")).as_deref(), Some(expected), "{range}");
        }
        assert!(networks("::ffff:10.0.0.0-::ffff:10.0.0.255").unwrap().iter().all(is_mapped));
        assert!(!networks("10.0.0.0-10.0.0.255").unwrap().iter().chain(&networks("::/0").unwrap()).any(is_mapped));
        for bad in ["", "x", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "10.0.0.0/33", "10.0.0.1-", "host.example"] {
            assert_eq!(networks(bad), None, "{bad}");
        }
    }
}
