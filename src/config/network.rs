//! Networks as settings write them.

use std::net::IpAddr;

use ipnet::IpNet;

/// What [`network`] reads, for the error of a setting.
pub(super) const NETWORKS: &str = "addresses or networks such as 10.1.2.3 or 10.0.0.0/8, separated by commas";

/// Prefix length of the IPv4-mapped addresses, `::ffff:0:0/96` (RFC 4291 §2.5.5.2).
const IPV4_MAPPED_PREFIX_LEN: u8 = 96;

/// Reads the address of one machine: neither a wildcard nor a multicast group. An IPv4-mapped address is IPv4.
pub(super) fn unicast_address(text: &str) -> Option<IpAddr> {
    let ip = text.trim().parse::<IpAddr>().ok()?.to_canonical();
    (!ip.is_unspecified() && !ip.is_multicast()).then_some(ip)
}

/// Reads a network, or a single address as a network of one. A network of IPv4-mapped addresses becomes the IPv4 network, because all
/// addresses are compared in that form.
pub(super) fn network(value: &str) -> Option<IpNet> {
    let network = value.parse().ok().or_else(|| value.parse::<IpAddr>().ok().map(IpNet::from))?;
    let mapped = network.prefix_len().checked_sub(IPV4_MAPPED_PREFIX_LEN).filter(|_| network.addr().is_ipv6());
    match (network.addr().to_canonical(), mapped) {
        (ip @ IpAddr::V4(_), Some(prefix)) => IpNet::new(ip, prefix).ok(),
        _ => Some(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_mapped_addresses_is_one_of_ipv4() {
        for (text, read) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:127.0.0.1", "127.0.0.1/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(network(text).expect(text).to_string(), read);
        }
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        assert_eq!(unicast_address(" ::ffff:192.0.2.7").map(|ip| ip.to_string()).as_deref(), Some("192.0.2.7"));
        for bad in ["0.0.0.0", "::", "::ffff:0.0.0.0", "::ffff:224.0.0.1", "ff02::1", "x"] {
            assert_eq!(unicast_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_address_is_a_network_of_one() {
        assert_eq!(network("10.1.2.3"), "10.1.2.3/32".parse().ok());
        assert_eq!(network("fd00::/8"), "fd00::/8".parse().ok());
        assert_eq!(network("10.0.0.0/33"), None);
    }
}
