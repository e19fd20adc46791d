//! Which notes belong to which client.

use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn open(watch: &Watch, address: &str, user: &str) -> WatchHandle {
    watch.open(address.parse().unwrap(), Some(user.to_owned()))
}

#[test]
fn nothing_is_noted_of_others_and_nothing_is_watched_after_the_end() {
    let (watch, now) = (Watch::default(), Instant::now());
    assert!(!watch.is_open());
    watch.note(at("198.51.100.1:1"), None, Path::Udp, Seen::Request, now);
    let handle = open(&watch, "198.51.100.1", "alice");
    assert!(watch.is_open());
    assert_eq!(handle.witness(), Witness::default());
    watch.note(at("198.51.100.2:1"), Some("bob"), Path::Udp, Seen::Request, now);
    assert!(!handle.witness().has_seen());
    let later = now + Duration::from_secs(7);
    watch.note(at("[::ffff:198.51.100.1]:2"), None, Path::Tcp, Seen::Request, later);
    watch.note(at("198.51.100.1:2"), None, Path::Tcp, Seen::Refused(RefusalReason::UserQuota), later);
    let seen = handle.witness();
    let tcp = seen.path(Path::Tcp);
    assert_eq!((tcp.requests, tcp.refused, tcp.last), (1, Some(RefusalReason::UserQuota), Some(later)));
    assert_eq!(seen.path(Path::Udp), &PathWitness::default());
    drop(handle);
    assert!(!watch.is_open());
    assert_eq!((watch.0.by_client.len(), watch.0.by_user.len()), (0, 0));
}

#[test]
fn credentials_lead_to_a_client_that_has_another_address_for_udp() {
    let (watch, now) = (Watch::default(), Instant::now());
    let handle = open(&watch, "198.51.100.1", "alice");
    watch.note(at("[2001:db8::1]:5"), None, Path::Udp, Seen::Request, now);
    assert!(!handle.witness().has_seen(), "nobody knows yet whose request this is");
    watch.note(at("[2001:db8::1]:5"), Some("alice"), Path::Udp, Seen::Authenticated, now);
    watch.note(at("[2001:db8::2]:6"), None, Path::Udp, Seen::Request, now);
    watch.note(at("[2001:db8::1]:5"), None, Path::Udp, Seen::RelayedIn, now);
    let seen = handle.witness();
    assert_eq!((seen.path(Path::Udp).authenticated, seen.path(Path::Udp).requests), (1, 1), "a /64 is one client");
    assert_eq!((seen.relayed_in, seen.last_relayed_in), (1, Some(now)));
    assert_eq!(seen.other_addresses, ["2001:db8::1".parse::<IpAddr>().unwrap()]);
    for n in 1..20 {
        watch.note(at(&format!("203.0.113.{n}:5")), Some("alice"), Path::Udp, Seen::Authenticated, now);
    }
    assert_eq!(handle.witness().other_addresses.len(), MAX_OTHER_ADDRESSES);
}

#[test]
fn two_clients_behind_one_address_are_told_apart_by_their_credentials() {
    let (watch, now) = (Watch::default(), Instant::now());
    let (caster, tv) = (open(&watch, "198.51.100.1", "caster"), open(&watch, "198.51.100.1", "tv"));
    watch.note(at("198.51.100.1:1"), Some("caster"), Path::Udp, Seen::Authenticated, now);
    watch.note(at("198.51.100.1:2"), Some("tv"), Path::Tcp, Seen::Authenticated, now);
    watch.note(at("198.51.100.1:1"), None, Path::Udp, Seen::RelayedOut, now);
    watch.note(at("198.51.100.1:2"), None, Path::Tcp, Seen::RelayedIn, now);
    assert_eq!((caster.witness().relayed_out, caster.witness().relayed_in), (1, 0));
    assert_eq!((tv.witness().relayed_out, tv.witness().relayed_in), (0, 1));
    watch.note(at("198.51.100.1:9"), None, Path::Udp, Seen::Request, now);
    watch.note(at("198.51.100.1:9"), Some("other"), Path::Udp, Seen::Allocated, now);
    for witness in [caster.witness(), tv.witness()] {
        assert_eq!((witness.path(Path::Udp).requests, witness.path(Path::Udp).allocated), (1, 1), "it may be either's");
    }
}

#[test]
fn one_address_can_t_take_the_table_from_others() {
    let watch = Watch::default();
    let few: Vec<_> = (0..100).map(|n| open(&watch, "198.51.100.1", &n.to_string())).collect();
    let unwatched = |handles: &[WatchHandle]| handles.iter().filter(|handle| handle.witness().unwatched).count();
    assert_eq!(unwatched(&few), 100 - MAX_WATCHED_OF_ADDRESS);
    let site: Vec<_> = (0..400).map(|n| open(&watch, &format!("2001:db8:0:{n:x}::1"), "x")).collect();
    assert_eq!(watch.table().watched.len(), MAX_WATCHED);
    let new: Vec<_> = (0..100).map(|n| open(&watch, &format!("203.0.113.{n}"), "new")).collect();
    assert_eq!(unwatched(&new), 0, "the site with the most entries loses them");
    assert_eq!(unwatched(&few), 100 - MAX_WATCHED_OF_ADDRESS);
    assert_eq!(400 - unwatched(&site), MAX_WATCHED - 100 - MAX_WATCHED_OF_ADDRESS);
    assert_eq!(watch.0.by_client.len(), MAX_WATCHED);
    drop((few, site, new));
    assert!(!watch.is_open() && watch.table().watched.is_empty() && watch.table().may_yield.holds_no_address());
}

#[test]
fn of_sites_with_as_many_entries_the_oldest_yields() {
    let watch = Watch::default();
    let pair = |n: usize| [(); 2].map(|()| open(&watch, &format!("198.51.{n}.1"), "x"));
    let sites: Vec<_> = (0..MAX_WATCHED / 2).map(pair).collect();
    let new: Vec<_> = (0..10).map(|n| open(&watch, &format!("203.0.113.{n}"), "new")).collect();
    let unwatched: Vec<_> = sites.iter().flatten().map(|handle| handle.witness().unwatched).collect();
    let expected = |at: usize| at.is_multiple_of(2) && at < 2 * new.len();
    assert!(unwatched.into_iter().enumerate().all(|(at, unwatched)| unwatched == expected(at)));
    assert!(new.iter().all(|handle| !handle.witness().unwatched));
}

#[test]
fn strangers_can_t_take_the_place_of_a_check() {
    let watch = Watch::default();
    let stranger = |n: usize| open(&watch, &format!("198.51.{}.{}", n / 256, n % 256), "x");
    let early: Vec<_> = (0..MAX_WATCHED).map(stranger).collect();
    let check = |host: u8| watch.open_check([203, 0, 113, host].into(), Some(format!("check-{host}")));
    let same_address: Vec<_> = (0..40).map(|_| check(1)).collect();
    let late: Vec<_> = (MAX_WATCHED..3 * MAX_WATCHED).map(stranger).collect();
    assert!(same_address.iter().chain([&check(2)]).all(|handle| !handle.witness().unwatched));
    assert!(late.iter().all(|handle| handle.witness().unwatched));
    assert_eq!(early.iter().filter(|handle| handle.witness().unwatched).count(), 41);
    assert_eq!(watch.table().watched.len(), MAX_WATCHED - 1, "the second device's has ended");
    let behind_the_same_address = open(&watch, "203.0.113.1", "caster");
    assert!(!behind_the_same_address.witness().unwatched, "checks do not count for casts");
}

#[test]
fn what_is_known_of_a_client_is_bounded() {
    let (watch, now) = (Watch::default(), Instant::now());
    let handle = open(&watch, "198.51.100.1", "alice");
    for port in 1..1000 {
        watch.note(SocketAddr::new([198, 51, 100, 1].into(), port), Some("alice"), Path::Udp, Seen::Authenticated, now);
    }
    let entry = handle.entry.as_ref().unwrap();
    let ports = entry.ports.load();
    assert_eq!((ports.len(), ports.last().unwrap().0.port()), (MAX_KNOWN_PORTS, 999));
    assert_eq!(handle.witness().path(Path::Udp).authenticated, 999);
}

/// What a flood can cause, and what forwarding does.
#[test]
fn counting_waits_for_no_lock() {
    let (watch, now) = (Watch::default(), Instant::now());
    let handle = open(&watch, "198.51.100.1", "alice");
    let entry = handle.entry.as_ref().unwrap();
    let (table, rare) = (watch.table(), entry.rare());
    let (done, counted) = std::sync::mpsc::channel();
    let noting = watch.clone();
    let thread = std::thread::spawn(move || {
        for from in ["198.51.100.1:1", "198.51.100.2:1"] {
            for seen in [Seen::Request, Seen::Answer, Seen::Challenge, Seen::Allocated, Seen::RelayedIn, Seen::RelayedOut] {
                noting.note(at(from), None, Path::Udp, seen, now);
                noting.note(at(from), Some("alice"), Path::Udp, seen, now);
            }
        }
        done.send(()).unwrap();
    });
    let finished = counted.recv_timeout(Duration::from_secs(60));
    drop((table, rare));
    thread.join().unwrap();
    assert!(finished.is_ok());
    assert_eq!((handle.witness().relayed_in, handle.witness().path(Path::Udp).requests), (3, 3));
}
