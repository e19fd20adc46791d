//! The ports of relayed addresses that have no socket. Their packets never leave the process, so that such a port is only a number
//! that clients and their peers exchange.

use std::ops::RangeInclusive;

/// The first choice: user ports (RFC 6335 §6) below the ports that Linux gives to programs that ask for any port.
const PREFERRED: RangeInclusive<u16> = 1024..=32_767;
/// The other user ports.
const USER_PORTS: RangeInclusive<u16> = 32_768..=49_151;
const DYNAMIC_PORTS: RangeInclusive<u16> = 49_152..=u16::MAX;
/// With fewer ports than this, the next group of ports is added.
const MIN_PORTS: usize = 8192;

/// Ports that browsers refuse to contact, because other protocols use them (WHATWG Fetch, "port blocking").
const BLOCKED_BY_BROWSERS: [u16; 19] =
    [1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10_080];

/// The ports from 1024 to 49151, without the range of relayed sockets and the ports that this server listens on. Where too few are
/// left, the dynamic ports outside the range follow, and where that is not enough either, the range itself.
pub fn internal_ports(relayed: &RangeInclusive<u16>, listening: &[u16]) -> Vec<RangeInclusive<u16>> {
    let is_free = |port: u16| !listening.contains(&port) && !BLOCKED_BY_BROWSERS.contains(&port);
    let outside = |port: u16| is_free(port) && !relayed.contains(&port);
    let mut ports = ranges(PREFERRED, outside);
    ports.extend(ranges(USER_PORTS, outside));
    if count(&ports) < MIN_PORTS {
        ports.extend(ranges(DYNAMIC_PORTS, outside));
    }
    if count(&ports) < MIN_PORTS {
        ports.extend(ranges(*relayed.start()..=*relayed.end(), is_free));
    }
    ports
}

/// The ports of `within` that `accepts` accepts, as few ranges.
fn ranges(within: RangeInclusive<u16>, accepts: impl Fn(u16) -> bool) -> Vec<RangeInclusive<u16>> {
    let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
    for port in within.filter(|port| accepts(*port)) {
        match ranges.last_mut() {
            Some(range) if *range.end() + 1 == port => *range = *range.start()..=port,
            Some(_) | None => ranges.push(port..=port),
        }
    }
    // An engine tries the ranges in this order, so the largest one comes first.
    ranges.sort_by_key(|range| std::cmp::Reverse(range.len()));
    ranges
}

fn count(ranges: &[RangeInclusive<u16>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(relayed: RangeInclusive<u16>, listening: &[u16]) -> Vec<u16> {
        let mut ports: Vec<u16> = internal_ports(&relayed, listening).into_iter().flatten().collect();
        let count = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), count, "no port is there twice");
        ports
    }

    #[test]
    fn r70_no_listening_port_and_none_of_the_range() {
        let ports = all(30_000..=40_000, &[3478, 8080, 8443]);
        assert_eq!((ports.first(), ports.last()), (Some(&1024), Some(&49_151)));
        assert!(![3478, 8080, 8443, 5060, 30_000, 40_000].iter().any(|port| ports.contains(port)));
        assert!([3477, 3479, 29_999, 40_001].iter().all(|port| ports.contains(port)));
    }

    #[test]
    fn where_few_are_left_the_dynamic_ports_and_then_the_range_follow() {
        assert_eq!(all(2000..=49_151, &[]).last(), Some(&u16::MAX));
        assert!(!all(2000..=49_151, &[]).contains(&2000));
        let ports = all(1024..=u16::MAX, &[3478]);
        assert!(ports.len() > 60_000 && !ports.contains(&3478));
    }
}
