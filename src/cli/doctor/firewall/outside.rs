//! By which interfaces and to which addresses strangers' packets come.

use std::fs;
use std::net::IpAddr;

use super::check::Outside;

/// `addresses`: those that clients reach, as far as they are known.
pub(super) fn outside(addresses: &[IpAddr]) -> Outside {
    let all: Vec<_> = if_addrs::get_if_addrs().unwrap_or_default().into_iter().filter(|own| !own.is_loopback()).collect();
    let routes = default_routes(
        &fs::read_to_string("/proc/net/route").unwrap_or_default(),
        &fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default(),
    );
    let holds = |own: &if_addrs::Interface| routes.contains(&own.name) || addresses.contains(&own.ip());
    let mut chosen: Vec<_> = all.iter().filter(|own| holds(own)).collect();
    if chosen.is_empty() {
        chosen = all.iter().collect();
    }
    let mut interfaces: Vec<_> = chosen.iter().map(|own| own.name.clone()).collect();
    interfaces.sort();
    interfaces.dedup();
    let addresses: Vec<_> = chosen.iter().map(|own| own.ip()).filter(|ip| !is_link_local(*ip)).collect();
    let v4 = addresses.iter().any(IpAddr::is_ipv4);
    // Strangers reach only addresses of the internet over IPv6.
    let v6 = addresses.iter().any(|ip| matches!(ip, IpAddr::V6(ip) if ip.segments()[0] & 0xe000 == 0x2000));
    Outside { interfaces, addresses, v4, v6 }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The interfaces of routes to everywhere, from the tables of `/proc/net`.
fn default_routes(v4: &str, v6: &str) -> Vec<String> {
    // Interface, destination, gateway, flags, …, mask.
    let v4 = v4.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        (fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")).then(|| fields[0].to_owned())
    });
    // Destination, its prefix length, source, its prefix length, gateway, metric, …, interface.
    let v6 = v6.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let everywhere = fields.first().is_some_and(|to| to.bytes().all(|digit| digit == b'0')) && fields.get(1) == Some(&"00");
        everywhere.then(|| fields.last().map(|name| (*name).to_owned())).flatten()
    });
    v4.chain(v6).filter(|name| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_of_the_default_route_is_outside() {
        let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                  docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                  eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        let v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 \
                  00000001 00000000 00000003     wan\n\
                  00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff \
                  00000001 00000000 00200200       lo\n";
        assert_eq!(default_routes(v4, v6), ["eth0", "wan"]);
        assert!(default_routes("", "").is_empty());
    }
}
