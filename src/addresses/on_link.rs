//! The networks that this machine itself is on, read from the kernel at each call: those of its interfaces' addresses, the other ends
//! of point-to-point links, and those that a route names as on-link (DHCPv6 gives only an address, and the router names the network).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{fs, iter};

use if_addrs::{IfAddr, Interface};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Routes by an interface, as proc(5) and Linux's `route.h` and `ipv6_route.h` have them.
const IPV4_ROUTES: &str = "/proc/self/net/route";
const IPV6_ROUTES: &str = "/proc/self/net/ipv6_route";
const ROUTE_UP: u32 = 0x1;
/// Flags of routes by a gateway, rejecting routes, and routes to our own and to anycast addresses.
const ROUTE_NOT_ON_LINK: u32 = 0x2 | 0x200 | 0x8000_0000 | 0x10_0000;

/// Networks with a shorter prefix are not a single link: a tunnel's route to half of the internet has no gateway either.
const MIN_IPV4_PREFIX_LEN: u8 = 8;
const MIN_IPV6_PREFIX_LEN: u8 = 32;

/// A route without a gateway.
#[derive(Debug, PartialEq, Eq)]
struct Route<'a> {
    interface: &'a str,
    network: IpNet,
}

/// Every network that this machine is on, sorted and without duplicates; loopback is left out.
pub fn networks() -> Vec<IpNet> {
    let interfaces = super::interfaces::interfaces();
    let tables = [IPV4_ROUTES, IPV6_ROUTES].map(|path| fs::read_to_string(path).unwrap_or_default());
    let routes = tables[0].lines().filter_map(ipv4_route).chain(tables[1].lines().filter_map(ipv6_route));
    let routed = routes.filter(|route| names_a_link(route, &interfaces)).map(|route| route.network);
    let mut networks: Vec<IpNet> = interfaces.iter().filter_map(network_of).chain(routed).filter(is_one_link).collect();
    networks.sort_unstable();
    networks.dedup();
    networks
}

/// The subnet-router anycast addresses of networks (RFC 4291 §2.6.1): `PREFIX::` reaches whoever routes there, perhaps us.
pub fn anycast(networks: &[IpNet]) -> impl Iterator<Item = IpAddr> {
    let routed = networks.iter().filter(|network| matches!(network, IpNet::V6(network) if network.prefix_len() < 127));
    routed.map(IpNet::network)
}

fn network_of(interface: &Interface) -> Option<IpNet> {
    let network = match &interface.addr {
        IfAddr::V4(address) => IpNet::new(address.ip.into(), address.prefixlen),
        IfAddr::V6(address) => IpNet::new(address.ip.into(), address.prefixlen),
    };
    network.ok().map(|network| network.trunc())
}

fn is_one_link(network: &IpNet) -> bool {
    let widest = if matches!(network, IpNet::V4(_)) { MIN_IPV4_PREFIX_LEN } else { MIN_IPV6_PREFIX_LEN };
    let ip = network.network();
    network.prefix_len() >= widest && !ip.is_loopback() && !ip.is_multicast()
}

/// Networks that are routed into a tunnel are behind its other end: of those routes, only that to the other end itself counts.
fn names_a_link(route: &Route<'_>, interfaces: &[Interface]) -> bool {
    let tunnel = interfaces.iter().any(|interface| interface.is_p2p && interface.name == route.interface);
    !tunnel || route.network.prefix_len() == route.network.max_prefix_len()
}

/// Interface, destination, gateway, flags, three numbers, mask: hexadecimal, in the byte order of this machine.
fn ipv4_route(line: &str) -> Option<Route<'_>> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [interface, destination, _gateway, flags, _, _, _, mask, ..] = fields[..] else { return None };
    let address = |hex: &str| u32::from_str_radix(hex, 16).ok().map(|bytes| Ipv4Addr::from(bytes.to_ne_bytes()));
    let network = Ipv4Net::with_netmask(address(destination)?, address(mask)?).ok()?;
    is_on_link(flags).then_some(Route { interface, network: network.into() })
}

/// Destination and its length, source and its length, gateway, three numbers, flags, interface: hexadecimal.
fn ipv6_route(line: &str) -> Option<Route<'_>> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [destination, len, _, _, _gateway, _, _, _, flags, interface] = fields[..] else { return None };
    let ip = Ipv6Addr::from(u128::from_str_radix(destination, 16).ok()?);
    let network = Ipv6Net::new(ip, u8::from_str_radix(len, 16).ok()?).ok()?;
    is_on_link(flags).then_some(Route { interface, network: network.into() })
}

fn is_on_link(flags: &str) -> bool {
    u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & ROUTE_UP != 0 && flags & ROUTE_NOT_ON_LINK == 0)
}

/// Joins networks for a sentence.
pub fn listed(networks: &[IpNet]) -> String {
    const MAX_LISTED: usize = 4;
    let more = networks.len().checked_sub(MAX_LISTED).filter(|more| *more > 0).map(|more| format!("{more} more"));
    let named = networks.iter().take(MAX_LISTED).map(ToString::to_string);
    let all: Vec<String> = named.chain(iter::once(more).flatten()).collect();
    match &all[..] {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        all => all.join(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    /// As `/proc/net/route` shows them on a machine of little-endian byte order.
    fn ipv4(destination: [u8; 4], gateway: [u8; 4], flags: u32, mask: [u8; 4]) -> String {
        let hex = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        format!("eth0\t{}\t{}\t{flags:04X}\t0\t0\t0\t{}\t0\t0\t0", hex(destination), hex(gateway), hex(mask))
    }

    #[test]
    fn a_route_without_a_gateway_names_a_network() {
        let line = ipv4([11, 0, 0, 0], [0; 4], 1, [255, 255, 255, 0]);
        assert_eq!(ipv4_route(&line), Some(Route { interface: "eth0", network: network("11.0.0.0/24") }));
        let line = "2a0100000000000100000000000000\
                    00 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0";
        assert_eq!(ipv6_route(line), Some(Route { interface: "eth0", network: network("2a01:0:0:1::/64") }));
    }

    #[test]
    fn gateways_refusals_and_own_addresses_name_none() {
        for flags in [0x3, 0x0, 0x201] {
            assert_eq!(ipv4_route(&ipv4([11, 0, 0, 0], [12, 0, 0, 1], flags, [255, 255, 255, 0])), None, "{flags:#x}");
        }
        let line = |flags: &str| {
            let zero = "0".repeat(32);
            format!("2a010000000000010000000000000001 80 {zero} 00 {zero} 00000000 00000001 00000000 {flags} lo")
        };
        for flags in ["80200001", "00000003", "00000201", "00100001"] {
            assert_eq!(ipv6_route(&line(flags)), None, "{flags}");
        }
        for line in ["", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT", "eth0 zz zz zz"] {
            assert_eq!((ipv4_route(line), ipv6_route(line)), (None, None), "{line}");
        }
    }

    #[test]
    fn half_of_the_internet_is_no_link() {
        for wide in ["0.0.0.0/0", "128.0.0.0/1", "::/0", "2000::/3", "127.0.0.0/8", "ff00::/64"] {
            assert!(!is_one_link(&network(wide)), "{wide}");
        }
        for link in ["11.0.0.0/24", "11.0.16.0/20", "12.0.0.0/8", "203.0.114.9/32", "2a01::/64", "2a01::/48"] {
            assert!(is_one_link(&network(link)), "{link}");
        }
    }

    #[test]
    fn subnet_routers_have_an_address_in_each_ipv6_network() {
        let networks = ["2a01:0:0:1::/64", "2a01::7/128", "2a01::/127", "11.0.0.0/24"].map(network);
        assert_eq!(anycast(&networks).collect::<Vec<_>>(), ["2a01:0:0:1::".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_sentence_names_a_few() {
        let networks: Vec<IpNet> = (1..=7).map(|n| network(&format!("11.0.{n}.0/24"))).collect();
        assert_eq!(listed(&networks[..1]), "11.0.1.0/24");
        assert_eq!(listed(&networks[..2]), "11.0.1.0/24 and 11.0.2.0/24");
        assert_eq!(listed(&networks), "11.0.1.0/24, 11.0.2.0/24, 11.0.3.0/24, 11.0.4.0/24 and 3 more");
    }
}
