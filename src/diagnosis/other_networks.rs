//! When clients of other networks last reached the relay: what works for others is not the server's fault.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits::ip_prefix;

/// Two networks are enough to find one that is another than the client's.
const NETWORKS: usize = 2;

/// Networks, and when each one was noted last; the latest is first.
type Latest = [Option<(IpAddr, Instant)>; NETWORKS];

/// The last networks that reached the relay over one path. Private and public ones are apart, since a client of this server's LAN says
/// nothing about the firewall before the Internet.
#[derive(Debug, Default)]
pub(super) struct OtherNetworks {
    /// The second and the network of the last note, as far as they fit: that network is noted once a second.
    noted: AtomicU64,
    networks: Mutex<[Latest; 2]>,
}

impl OtherNetworks {
    /// `second` counts from any start. Never waits: where another shard notes something, this is left out.
    pub(super) fn note(&self, client: IpAddr, second: u64, now: Instant) {
        let network = ip_prefix::of_client(client);
        let mark = second << 32 | u64::from(digest(network));
        if self.noted.load(Ordering::Relaxed) == mark {
            return;
        }
        let Ok(mut networks) = self.networks.try_lock() else { return };
        self.noted.store(mark, Ordering::Relaxed);
        let last = &mut networks[usize::from(is_private(network))];
        let is_same = |known: &Option<(IpAddr, Instant)>| known.is_some_and(|(known, _)| known == network);
        let at = last.iter().position(is_same).unwrap_or(NETWORKS - 1);
        last[..=at].rotate_right(1);
        last[0] = Some((network, now));
    }

    pub(super) fn last(&self, client: IpAddr) -> Option<Instant> {
        let network = ip_prefix::of_client(client);
        let networks = *self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        let [public, private] = networks;
        let private = private.into_iter().filter(|_| is_private(network));
        let all = public.into_iter().chain(private).flatten();
        all.filter(|(other, _)| *other != network).map(|(_, at)| at).max()
    }
}

/// Addresses that no client on the Internet has.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xC0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unique_local(),
    }
}

fn digest(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => ip.octets().chunks(4).fold(0, |digest, four| {
            digest ^ four.iter().fold(0, |word, octet| word << 8 | u32::from(*octet)).rotate_left(digest & 7)
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clients_own_network_and_a_lan_say_nothing_about_the_internet() {
        let (networks, start) = (OtherNetworks::default(), Instant::now());
        let at = |second: u64| start + Duration::from_secs(second);
        let note = |ip: &str, second: u64| networks.note(ip.parse().unwrap(), second, at(second));
        let last = |ip: &str| networks.last(ip.parse().unwrap());
        note("198.51.100.9", 1);
        note("192.168.1.5", 2);
        assert_eq!((last("198.51.100.9"), last("203.0.113.1")), (None, Some(at(1))));
        assert_eq!(last("192.168.1.6"), Some(at(2)), "for a client of a LAN both count");
        assert_eq!(last("192.168.1.5"), Some(at(1)));
        note("203.0.113.1", 3);
        assert_eq!((last("198.51.100.9"), last("203.0.113.1")), (Some(at(3)), Some(at(1))));
        note("198.51.100.9", 4);
        note("203.0.113.2", 5);
        note("203.0.113.2", 6);
        assert_eq!((last("198.51.100.9"), last("203.0.113.2")), (Some(at(6)), Some(at(4))), "the last two networks are known");
        note("2001:db8:1:2::a", 7);
        assert_eq!(last("2001:db8:1:2::b"), Some(at(6)), "a /64 is one network");
    }

    #[test]
    fn a_network_is_noted_once_a_second() {
        let (networks, start) = (OtherNetworks::default(), Instant::now());
        let client = "198.51.100.9".parse().unwrap();
        (0..100).for_each(|millis| networks.note(client, 1, start + Duration::from_millis(millis)));
        assert_eq!(networks.last("203.0.113.1".parse().unwrap()), Some(start));
    }
}
