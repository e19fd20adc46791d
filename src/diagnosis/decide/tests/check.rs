use super::*;
use crate::diagnosis::decide::check;
use crate::diagnosis::report::{CheckReport, LinkResult, PathKind, PathResult, Protocol, RangeResult, Route};
use crate::diagnosis::verdict::{Side, Verdict};
use Seen::{Allocated, Dropped, Nothing, Refused, Rejected, Stun, Unanswered};

const UNSUPPORTED: Option<u16> = Some(2);

/// Of STUN, UDP, TCP and TLS; `None`: there is no such row.
fn report(codes: [Option<u16>; 4]) -> CheckReport {
    let kinds = [PathKind::Stun, PathKind::Udp, PathKind::Tcp, PathKind::Tls];
    let result = |(kind, code): (PathKind, Option<u16>)| {
        let code = code?;
        let url = "turn:cast.example.org:3478".to_owned();
        let ms = (code == 0).then_some(41.0);
        Some(PathResult { kind, url, ms, code: (code > 2).then_some(code), text: None, unsupported: Some(code) == UNSUPPORTED })
    };
    CheckReport { paths: kinds.into_iter().zip(codes).filter_map(result).collect(), range: None, links: Vec::new() }
}

fn range(sent: u32, arrived: u32, denied: bool) -> CheckReport {
    CheckReport { range: Some(RangeResult { sent, arrived, denied }), ..report([OK; 4]) }
}

fn links(connected: [bool; 4]) -> CheckReport {
    let kinds = [
        (Route::Direct, None),
        (Route::Relay, Some(Protocol::Udp)),
        (Route::Relay, Some(Protocol::Tcp)),
        (Route::Relay, Some(Protocol::Tls)),
    ];
    let link = |((route, protocol), connected)| LinkResult { route, protocol, connected, rtt_ms: None, loss: None, mbits: None };
    CheckReport { links: kinds.into_iter().zip(connected).map(link).collect(), ..report([OK; 4]) }
}

fn all() -> Witness {
    witness([Allocated; 3])
}

fn run(rows: Vec<(&str, CheckReport, Witness, Facts, &str, Side)>) {
    for (name, report, witness, facts, code, side) in rows {
        let verdict = check(&report, &witness, &facts);
        let reply = VerdictReply::of(&verdict);
        assert_eq!((reply.code, reply.side), (code, side), "{name}: {verdict:?}");
        has_texts(&reply);
    }
}

fn lan() -> Facts {
    let own = vec![ip("192.168.1.10")];
    Facts {
        client: Some(ip("192.168.1.50")),
        advertised: own.clone(),
        bound: own.clone(),
        host: Some("192.168.1.10".to_owned()),
        host_addresses: own.clone(),
        asked_addresses: own,
        reached: Some(ip("192.168.1.10")),
        certificate_trusted: Some(false),
        tls_port: None,
        ..facts()
    }
}

#[test]
fn each_fault_has_its_verdict() {
    let udp_elsewhere = Facts { last_udp_elsewhere: Some(at_two()), ..facts() };
    let elsewhere = Facts { last_tcp_elsewhere: Some(at_two()), ..udp_elsewhere.clone() };
    let no_udp = witness([Nothing, Allocated, Allocated]);
    let nothing = || witness([Nothing; 3]);
    let proxied = Facts { host_addresses: vec![ip("192.0.2.80")], proxied: true, reached: None, ..facts() };
    let untrusted = Facts { certificate_trusted: Some(false), ..facts() };
    let ranged = Facts { range_needed: true, ..facts() };
    let private = Facts { advertised: vec![ip("10.0.0.5")], ..ranged.clone() };
    let expired = Refused(RefusalReason::Credentials(CredentialRefusal::Expired { ago: Duration::from_secs(25_200) }));
    let seven_hours = "credentials_refused";
    run(vec![
        (
            "UDP closed or blocked",
            report([NO, NO, OK, OK]),
            no_udp.clone(),
            facts(),
            "udp_closed_or_visitor_blocks_udp",
            Side::Unknown,
        ),
        (
            "the visitor's network blocks UDP",
            report([NO, NO, OK, OK]),
            no_udp.clone(),
            udp_elsewhere.clone(),
            "visitor_blocks_udp",
            Side::Caster,
        ),
        (
            "only TLS gets out, and others use UDP",
            report([NO, NO, NO, OK]),
            witness([Nothing, Nothing, Allocated]),
            udp_elsewhere.clone(),
            "visitor_blocks_udp",
            Side::Caster,
        ),
        (
            "nothing gets out, and others use both",
            report([NO; 4]),
            nothing(),
            elsewhere.clone(),
            "visitor_blocks_all",
            Side::Caster,
        ),
        ("nothing arrives", report([NO; 4]), nothing(), facts(), "udp_closed_or_visitor_blocks_all", Side::Unknown),
        (
            "nothing arrives, and others use UDP",
            report([NO; 4]),
            nothing(),
            udp_elsewhere,
            "tcp_closed_or_visitor_blocks_all",
            Side::Unknown,
        ),
        ("TCP closed", report([OK, OK, NO, OK]), witness([Allocated, Nothing, Allocated]), facts(), "tcp_closed", Side::Server),
        (
            "the visitor's network blocks TCP 3478",
            report([OK, OK, NO, OK]),
            witness([Allocated, Nothing, Allocated]),
            elsewhere,
            "tcp_closed",
            Side::Caster,
        ),
        (
            "TLS does not work",
            report([OK, OK, OK, NO]),
            witness([Allocated, Allocated, Nothing]),
            facts(),
            "untrusted_certificate_or_tcp_closed",
            Side::Server,
        ),
        (
            "a certificate that the settings call trusted",
            report([OK, OK, OK, NO]),
            witness([Allocated, Allocated, Rejected]),
            facts(),
            "untrusted_certificate",
            Side::Server,
        ),
        (
            "URLs name another address, TLS has its own name",
            report([NO, NO, NO, OK]),
            witness([Nothing, Nothing, Allocated]),
            Facts {
                host: Some("203.0.113.99".to_owned()),
                host_addresses: vec![ip("203.0.113.99")],
                advertised: vec![ip("203.0.113.99")],
                ..facts()
            },
            "wrong_external_address",
            Side::Server,
        ),
        (
            "an untrusted certificate",
            report([OK, OK, OK, NO]),
            witness([Allocated, Allocated, Nothing]),
            untrusted,
            "untrusted_certificate",
            Side::Server,
        ),
        (
            "answers get lost",
            report([NO, NO, OK, OK]),
            witness([Unanswered, Allocated, Allocated]),
            facts(),
            "answers_lost",
            Side::Server,
        ),
        (
            "answers get lost over the only path",
            report([NO, NO, None, None]),
            witness([Unanswered, Nothing, Nothing]),
            facts(),
            "answers_lost",
            Side::Server,
        ),
        ("a proxy before the name", report([NO, NO, NO, NO]), nothing(), proxied.clone(), "proxy_before_name", Side::Server),
        ("a proxy that carries TCP", report([NO, NO, OK, OK]), no_udp, proxied, "proxy_before_name", Side::Server),
        (
            "a wrong secret",
            report([OK, Some(401), Some(401), Some(401)]),
            witness([Refused(WRONG); 3]),
            facts(),
            "credentials_refused",
            Side::Server,
        ),
        (
            "a clock that is 7 h off",
            report([OK, Some(401), Some(401), Some(401)]),
            witness([expired; 3]),
            facts(),
            seven_hours,
            Side::Server,
        ),
        (
            "a quota over one path",
            report([OK, OK, Some(486), OK]),
            witness([Allocated, Refused(RefusalReason::AddressQuota), Allocated]),
            facts(),
            "relay_refused",
            Side::Server,
        ),
        ("the range is closed", range(5, 0, false), all(), ranged, "range_closed", Side::Server),
        ("relayed addresses are private", range(5, 0, false), all(), private, "wrong_external_address", Side::Server),
        ("no relayed link works", links([false; 4]), all(), facts(), "no_pair_worked", Side::Unknown),
    ]);
}

#[test]
fn healthy_set_ups_give_no_alarm() {
    let ranged = Facts { range_needed: true, ..facts() };
    let nat = Facts { bound: vec![ip("10.0.0.5")], reached: Some(ip("10.0.0.5")), ..facts() };
    let nginx = Facts { proxied: true, reached: None, ..facts() };
    let haproxy = Facts { reached: Some(ip("127.0.0.1")), ..facts() };
    let six = vec![ip("2001:db8::7")];
    let ipv6 = Facts {
        client: Some(ip("2001:db8:1::9")),
        advertised: six.clone(),
        bound: six.clone(),
        host_addresses: six.clone(),
        asked_addresses: six,
        reached: None,
        ..facts()
    };
    let dual = Facts { host_addresses: vec![ip(SERVER), ip("2001:db8::7")], ..facts() };
    let docker =
        Facts { bound: vec![ip("172.17.0.2")], advertised: vec![ip("172.17.0.2")], reached: Some(ip("172.17.0.2")), ..facts() };
    let udp_only = Facts { tcp_port: None, tls_port: None, certificate_trusted: None, ..facts() };
    let one_port = Facts { udp_port: Some(443), tcp_port: Some(443), ..facts() };
    let second = Facts { advertised: vec![ip(SERVER), ip("203.0.113.8")], bound: vec![ip(SERVER), ip("203.0.113.8")], ..facts() };
    let lan_denied = CheckReport { range: Some(RangeResult { sent: 5, arrived: 0, denied: true }), ..report([OK, OK, OK, None]) };
    let fine = "fine";
    run(vec![
        ("a name and all paths", report([OK; 4]), all(), facts(), fine, Side::Unknown),
        (
            "a LAN without a name",
            report([OK, OK, OK, None]),
            witness([Allocated, Allocated, Nothing]),
            lan(),
            fine,
            Side::Unknown,
        ),
        ("a LAN whose range policy does not let test", lan_denied.clone(), all(), lan(), fine, Side::Unknown),
        (
            "the same where the range is needed",
            lan_denied,
            all(),
            Facts { range_needed: true, ..lan() },
            "not_tested",
            Side::Unknown,
        ),
        ("NAT", report([OK; 4]), all(), nat, fine, Side::Unknown),
        ("behind nginx", report([OK; 4]), all(), nginx, fine, Side::Unknown),
        ("behind HAProxy with PROXY", report([OK; 4]), all(), haproxy, fine, Side::Unknown),
        ("IPv6 only", report([OK; 4]), all(), ipv6, fine, Side::Unknown),
        ("dual stack", report([OK; 4]), all(), dual.clone(), fine, Side::Unknown),
        ("dual stack, and the witness is at another address", report([OK; 4]), witness([Nothing; 3]), dual, fine, Side::Unknown),
        ("Docker's bridge", report([OK; 4]), all(), docker, fine, Side::Unknown),
        ("UDP alone", report([OK, OK, None, None]), witness([Allocated, Nothing, Nothing]), udp_only, fine, Side::Unknown),
        ("one port", report([OK; 4]), all(), one_port, fine, Side::Unknown),
        ("two addresses", report([OK; 4]), all(), second, fine, Side::Unknown),
        ("a browser whose STUN is blocked", report([NO, OK, OK, OK]), all(), facts(), fine, Side::Unknown),
        ("an old TV without TURN over TLS", report([OK, OK, OK, UNSUPPORTED]), all(), facts(), fine, Side::Unknown),
        ("a browser without WebRTC", report([UNSUPPORTED; 4]), witness([Nothing; 3]), facts(), "not_tested", Side::Unknown),
        ("no rows at all", report([None; 4]), witness([Nothing; 3]), facts(), "not_tested", Side::Unknown),
        ("the range is open", range(5, 4, false), all(), ranged.clone(), fine, Side::Unknown),
        ("nothing could be sent to the range", range(0, 0, false), all(), ranged, fine, Side::Unknown),
        ("the range is closed and not needed", range(5, 0, false), all(), facts(), fine, Side::Unknown),
        ("no direct link, but relayed ones", links([false, true, true, true]), all(), facts(), fine, Side::Unknown),
        ("one relayed link", links([false, false, false, true]), all(), facts(), fine, Side::Unknown),
        (
            "the server could not watch, and all works",
            report([OK; 4]),
            Witness { unwatched: true, ..Witness::default() },
            facts(),
            fine,
            Side::Unknown,
        ),
    ]);
}

#[test]
fn evidence_without_a_cause_has_no_verdict() {
    let unwatched = Witness { unwatched: true, ..Witness::default() };
    let mut crossed = all();
    crossed.relayed_in = 5;
    let ranged = Facts { range_needed: true, ..facts() };
    run(vec![
        ("the server could not watch", report([NO, NO, OK, OK]), unwatched.clone(), facts(), "unknown", Side::Unknown),
        ("the server could not watch, and nothing works", report([NO; 4]), unwatched, facts(), "unknown", Side::Unknown),
        (
            "STUN works, TURN over UDP does not",
            report([OK, NO, OK, OK]),
            witness([Stun, Allocated, Allocated]),
            facts(),
            "unknown",
            Side::Unknown,
        ),
        (
            "the relay drops what it throttles",
            report([NO, NO, OK, OK]),
            witness([Dropped, Allocated, Allocated]),
            facts(),
            "unknown",
            Side::Unknown,
        ),
        ("TCP arrives and fails", report([OK, OK, NO, OK]), all(), facts(), "unknown", Side::Unknown),
        ("packets came to the range and not to the device", range(5, 0, false), crossed, ranged, "unknown", Side::Unknown),
    ]);
}

/// A client inside that finds no way back through the router says nothing about the public address.
#[test]
fn an_address_that_may_be_right_has_no_command() {
    let inside = Facts { host_addresses: vec![ip(SERVER)], host: Some(SERVER.to_owned()), ..lan() };
    let hairpin = Facts { advertised: vec![ip(SERVER)], ..inside };
    let verdict = check(&report([NO, NO, NO, None]), &witness([Nothing; 3]), &hairpin);
    let reply = VerdictReply::of(&verdict);
    assert_eq!((reply.code, reply.command), ("wrong_external_address", None));
    assert!(reply.en.fix.unwrap().starts_with("If 203.0.113.7 is not this server's public address"));

    let outside = Facts { host_addresses: vec![ip("10.0.0.5")], host: Some("10.0.0.5".to_owned()), ..facts() };
    let reply = VerdictReply::of(&check(&report([NO; 4]), &witness([Nothing; 3]), &outside));
    assert_eq!(reply.command.as_deref(), Some("CASTWAY_EXTERNAL_IP=203.0.113.7"));
    assert_eq!(reply.en.text, "You reached this server at 203.0.113.7 but it advertises 10.0.0.5.");

    let used = Facts { last_udp_elsewhere: Some(at_two()), ..outside };
    assert_eq!(check(&report([NO; 4]), &witness([Nothing; 3]), &used).code(), "tcp_closed_or_visitor_blocks_all");
    assert_ne!(check(&report([OK; 4]), &all(), &used), Verdict::Unknown);
}

#[test]
fn a_second_device_of_another_network_tells_the_server_from_a_network() {
    let no_udp = || witness([Nothing, Allocated, Allocated]);
    let closed = || CheckReport { links: links([false, false, true, true]).links, ..report([NO, NO, OK, OK]) };
    let told = |report: &CheckReport, second: &str, of_second: &Witness| {
        let facts = Facts { second_device: Some((ip(second), of_second.clone())), ..facts() };
        check(report, &no_udp(), &facts).code()
    };
    let own = facts().client.unwrap().to_string();
    assert_eq!(told(&closed(), "192.0.2.99", &no_udp()), "udp_closed");
    let either = "udp_closed_or_visitor_blocks_udp";
    assert_eq!(told(&closed(), &own, &no_udp()), either, "both are in one network");
    assert_eq!(told(&closed(), "192.0.2.99", &all()), either, "the second one gets through");
    assert_eq!(told(&closed(), "192.0.2.99", &witness([Nothing; 3])), either, "the second one has sent nothing at all");
    let without_links = CheckReport { links: Vec::new(), ..closed() };
    assert_eq!(told(&without_links, "192.0.2.99", &no_udp()), either, "the second one has not tried UDP");
}
