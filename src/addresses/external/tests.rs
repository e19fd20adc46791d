use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use url::Host;

use super::{ExternalAddresses, Resolver};
use crate::config::{Config, Settings};

/// A resolver for these names.
struct Book(HashMap<&'static str, Vec<&'static str>>);

impl Resolver for Book {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let addresses = self.0.get(name).ok_or_else(|| io::Error::other("no such name"))?;
        Ok(addresses.iter().map(|ip| ip.parse().unwrap()).collect())
    }
}

fn book<const N: usize>(names: [(&'static str, &[&'static str]); N]) -> Book {
    Book(names.into_iter().map(|(name, ips)| (name, ips.to_vec())).collect())
}

/// An external address whose listeners are bound to 10.0.0.5 and 2001:db8::5, or to the given addresses.
fn external(setting: &str, public_url: &str, bound: &[&str]) -> ExternalAddresses {
    let settings = Settings {
        external_ip: Some(setting.into()),
        stun_servers: Some("127.0.0.1:1".into()),
        public_url: Some(public_url.into()),
        ..Settings::default()
    };
    let config = Config::read(&settings).unwrap();
    let mut both = [None; 2];
    for ip in bound.iter().map(|ip| ip.parse::<IpAddr>().unwrap()) {
        both[usize::from(ip.is_ipv6())] = Some(ip);
    }
    ExternalAddresses::new(&config.relay.external, both, config.http.public_url)
}

const BOTH: [&str; 2] = ["10.0.0.5", "2001:db8::5"];

fn advertised(external: &ExternalAddresses) -> Vec<String> {
    external.relayed_ips().iter().flatten().map(|relay| relay.advertised.to_string()).collect()
}

#[test]
fn what_is_not_set_is_what_is_bound() {
    assert_eq!(advertised(&external("", "", &BOTH)), BOTH);
    assert_eq!(advertised(&external("203.0.114.7", "", &BOTH)), ["203.0.114.7", "2001:db8::5"]);
    assert_eq!(advertised(&external("2606:4700::7,203.0.114.7", "", &BOTH)), ["203.0.114.7", "2606:4700::7"]);
}

#[test]
fn a_pair_is_for_its_private_address_and_wins_there() {
    let setting = "203.0.114.9,203.0.114.7/10.0.0.5,203.0.114.8/10.0.0.6";
    for (bound, public) in [("10.0.0.5", "203.0.114.7"), ("10.0.0.6", "203.0.114.8"), ("10.0.0.7", "203.0.114.9")] {
        assert_eq!(advertised(&external(setting, "", &[bound])), [public]);
    }
    assert_eq!(advertised(&external("203.0.114.7/10.0.0.6", "", &["10.0.0.5"])), ["10.0.0.5"]);
}

#[tokio::test]
async fn a_name_is_resolved_again_and_a_failure_changes_nothing() {
    let external = external("relay.example.org", "", &BOTH);
    assert_eq!(advertised(&external), BOTH);
    external.look_up(&book([("relay.example.org", &["2606:4700::7", "203.0.114.7"])])).await;
    assert_eq!(advertised(&external), ["203.0.114.7", "2606:4700::7"]);
    // A different order of the same addresses is not a change.
    external.look_up(&book([("relay.example.org", &["203.0.114.9", "203.0.114.7", "2606:4700::7"])])).await;
    assert_eq!(advertised(&external)[0], "203.0.114.7");
    external.look_up(&book([("relay.example.org", &["203.0.114.8"])])).await;
    assert_eq!(advertised(&external), ["203.0.114.8", "2001:db8::5"]);
    for broken in [book([]), book([("relay.example.org", &[])])] {
        external.look_up(&broken).await;
        assert_eq!(advertised(&external)[0], "203.0.114.8");
        assert!(external.problems()[0].en.contains("relay.example.org can't be resolved"), "{:?}", external.problems());
    }
    assert_eq!(external.host().map(|host| host.to_string()).as_deref(), Some("relay.example.org"));
}

#[test]
fn urls_name_what_is_of_use() {
    let host = |setting: &str| external(setting, "", &["10.0.0.5"]).host().map(|host| host.to_string());
    assert_eq!(host("2606:4700::7,203.0.114.7").as_deref(), Some("203.0.114.7"));
    assert_eq!(host("relay.example.org/10.0.0.5").as_deref(), Some("relay.example.org"));
    for nothing in ["", "auto", "2606:4700::7", "203.0.114.7/10.0.0.6"] {
        assert_eq!(host(nothing), None, "{nothing}");
    }
}

#[tokio::test]
async fn all_hosts_are_told_the_one_of_urls_first() {
    let hosts = async |setting: &str| {
        let external = external(setting, "", &BOTH);
        external.look_up(&book([("relay.example.org", &["203.0.114.7", "2606:4700::7"])])).await;
        external.hosts().iter().map(Host::to_string).collect::<Vec<_>>()
    };
    assert_eq!(hosts("203.0.114.7,2606:4700::7").await, ["203.0.114.7", "[2606:4700::7]"]);
    assert_eq!(hosts("203.0.114.7/10.0.0.5,203.0.114.8/10.0.0.6").await, ["203.0.114.7"]);
    assert_eq!(hosts("relay.example.org").await, ["relay.example.org"]);
    assert_eq!(hosts("203.0.114.9,relay.example.org").await, ["203.0.114.9", "relay.example.org"]);
    assert_eq!(hosts("").await, [""; 0]);
}

#[test]
fn new_addresses_of_the_machine_apply_at_once() {
    let external = external("203.0.114.7/10.0.0.5,203.0.114.8/10.0.0.6", "", &["10.0.0.5"]);
    let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
    for (bound, is_new, shown, host) in [
        ([ip("10.0.0.5"), None], false, "203.0.114.7", Some("203.0.114.7")),
        ([ip("10.0.0.6"), None], true, "203.0.114.8", Some("203.0.114.8")),
        ([None, ip("2001:db8::5")], true, "2001:db8::5", None),
    ] {
        assert_eq!(external.set_bound(bound), is_new);
        assert_eq!((external.bound(), advertised(&external)), (bound, vec![shown.to_owned()]));
        assert_eq!(external.host().map(|host| host.to_string()).as_deref(), host);
    }
}

/// The only problem, or "" if no problem exists.
async fn problem(setting: &str, public_url: &str, bound: &[&str], book: Book) -> String {
    let external = external(setting, public_url, bound);
    external.look_up(&book).await;
    let problems = external.problems();
    assert!(problems.len() <= 1, "one sentence each: {problems:#?}");
    problems.into_iter().map(|problem| problem.en).collect()
}

#[tokio::test]
async fn each_wrong_address_gives_one_sentence_that_says_what_to_set() {
    let own = ["10.0.0.5"];
    let pages = "https://cast.example.org";
    let at = |ip: &'static [&'static str]| book([("cast.example.org", ip)]);
    let cases = [
        (
            "",
            "",
            &own[..],
            book([]),
            "10.0.0.5 is reachable in its own network only. Casts and calls don't need it; for users and API keys whose peers",
        ),
        (
            "",
            pages,
            &own,
            at(&["203.0.114.7"]),
            "while the pages are at cast.example.org. Casts and calls don't need it; for users and API keys",
        ),
        ("127.0.0.1", pages, &own, at(&["203.0.114.7"]), "127.0.0.1, which on each machine is that machine itself"),
        (
            "203.0.114.7",
            pages,
            &own,
            at(&["203.0.114.8"]),
            "cast.example.org of CASTWAY_PUBLIC_URL is 203.0.114.8, but the relay is advertised as 203.0.114.7",
        ),
        ("203.0.114.7", pages, &own, book([]), "cast.example.org of CASTWAY_PUBLIC_URL can't be resolved here"),
        ("203.0.114.7,2606:4700::7", "", &own, book([]), "2606:4700::7 is IPv6, but relayed sockets are bound to 10.0.0.5 alone"),
        ("203.0.114.7,203.0.114.8/10.0.0.9", "", &own, book([]), "bound to 10.0.0.5, not to 10.0.0.9"),
        (
            "cast.example.org,203.0.114.7",
            "",
            &own,
            at(&["0.0.0.0"]),
            "cast.example.org resolves to 0.0.0.0, which reaches nobody",
        ),
        ("cast.example.org,203.0.114.7", "", &own, at(&["2606:4700::7"]), "bound to 10.0.0.5 alone"),
        (
            "cast.example.org,203.0.114.7",
            "",
            &own,
            book([]),
            "can't be resolved now (no such name), and the relay is advertised as 203.0.114.7",
        ),
        ("auto", pages, &["127.0.0.1"], at(&["203.0.114.7"]), "No server of CASTWAY_STUN_SERVERS answers"),
        ("auto,203.0.114.7", "", &["127.0.0.1"], book([]), "No server of CASTWAY_STUN_SERVERS answers"),
    ];
    for (setting, public_url, bound, book, expected) in cases {
        let problem = problem(setting, public_url, bound, book).await;
        assert!(problem.contains(expected), "{setting} {public_url}: {problem:?}");
        assert!(["set ", "remove it", "check ", "correct ", "add "].iter().any(|word| problem.contains(word)), "{problem}");
    }
}

#[test]
fn a_relay_on_loopback_is_told_where_to_listen() {
    let problems = |turn_addr: &str, relay_ip: &str, external_ip: &str, bound: &str| {
        let some = |text: &str| Some(text.to_owned());
        let settings = Settings {
            turn_addr: some(turn_addr),
            relay_ip: some(relay_ip),
            external_ip: some(external_ip),
            ..Settings::default()
        };
        let bound = bound.parse::<IpAddr>().unwrap();
        let both = if bound.is_ipv4() { [Some(bound), None] } else { [None, Some(bound)] };
        let problems = ExternalAddresses::new(&Config::read(&settings).unwrap().relay.external, both, None).problems();
        problems.into_iter().map(|problem| problem.en).collect::<Vec<_>>()
    };
    let listens = |ip: &str, port: u16| {
        [format!("The relay listens on {ip} only: set CASTWAY_TURN_ADDR=[::]:{port} if other devices should use it")]
    };
    assert_eq!(problems("127.0.0.1:3478", "", "", "127.0.0.1"), listens("127.0.0.1", 3478));
    assert_eq!(problems("[::1]:5000", "", "", "::1"), listens("::1", 5000));
    assert_eq!(problems("127.0.0.1:0", "", "127.0.0.1", "127.0.0.1"), listens("127.0.0.1", 3478));
    for (turn_addr, relay_ip, external_ip, bound, setting) in [
        ("[::]:3478", "127.0.0.1", "", "127.0.0.1", "from CASTWAY_RELAY_IP"),
        ("[::]:3478", "", "127.0.0.1", "10.0.0.5", "set CASTWAY_EXTERNAL_IP"),
    ] {
        let problems = problems(turn_addr, relay_ip, external_ip, bound);
        assert!(problems.len() == 1 && problems[0].contains(setting), "{problems:?}");
        assert!(!problems[0].contains("CASTWAY_TURN_ADDR"), "{problems:?}");
    }
}

#[tokio::test]
async fn correct_settings_report_no_problem() {
    let cases = [
        ("203.0.114.7", "https://cast.example.org", book([("cast.example.org", &["203.0.114.7"])])),
        ("cast.example.org", "https://cast.example.org", book([("cast.example.org", &["203.0.114.7", "2606:4700::7"])])),
        ("203.0.114.7/10.0.0.5", "", book([])),
        ("203.0.114.7", "http://localhost:8080", book([])),
        ("203.0.114.7", "http://tv.lan", book([("tv.lan", &["10.0.0.5"])])),
        ("203.0.114.7", "http://203.0.114.7:8080", book([])),
    ];
    for (setting, public_url, book) in cases {
        assert_eq!(problem(setting, public_url, &["10.0.0.5"], book).await, "", "{setting} {public_url}");
    }
    // The address of the second family was detected, and is optional.
    assert_eq!(problem("203.0.114.7", "", &["10.0.0.5", "fd00::5"], book([])).await, "");
}

#[test]
fn a_machine_without_an_address_waits_for_one() {
    for setting in ["", "203.0.113.7", "203.0.113.7/10.0.0.5", "2001:db8::7", "relay.example.org"] {
        let external = external(setting, "", &["127.0.0.1"]);
        let loopback = external.bound();
        assert!(!external.is_without_address(), "a setting may name loopback");
        external.set_bound(loopback);
        let problems = external.problems();
        assert!(external.is_without_address() && problems.len() == 1, "{problems:?}");
        assert!(problems[0].en.contains("no address") && !problems[0].en.contains("CASTWAY_"), "{problems:?}");
        external.set_bound([Some("10.0.0.5".parse().unwrap()), None]);
        assert!(!external.is_without_address() && !external.problems().contains(&problems[0]));
    }
}
