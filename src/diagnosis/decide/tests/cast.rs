use std::time::{Duration, Instant};

use super::*;
use crate::diagnosis::decide::cast;
use crate::diagnosis::observation::Path;
use crate::diagnosis::report::{CheckCounts, Route};
use crate::diagnosis::verdict::{Fault, Side, Verdict};
use crate::diagnosis::words::Reader;
use Seen::{Allocated, Dropped, Nothing, Refused, Rejected, Stun, Unanswered};

type Row = (&'static str, End, End, Facts, &'static str, Side);

fn caster(pages: [Option<u16>; 3], seen: [Seen; 3]) -> End {
    end(CASTER, pages, seen)
}

fn tv(pages: [Option<u16>; 3], seen: [Seen; 3]) -> End {
    end(TV, pages, seen)
}

fn blocked(address: &str) -> End {
    end(address, [NO, NO, NO], [Nothing, Nothing, Nothing])
}

fn fine(address: &str) -> End {
    end(address, [OK, OK, OK], [Allocated, Allocated, Allocated])
}

/// The server offers UDP alone.
fn udp_only() -> Facts {
    Facts { tcp_port: None, tls_port: None, certificate_trusted: None, ..facts() }
}

fn udp_end(address: &str, code: Option<u16>, seen: Seen) -> End {
    end(address, [code, None, None], [seen, Nothing, Nothing])
}

fn check(rows: Vec<Row>) {
    for (name, caster, tv, facts, code, side) in rows {
        let verdict = cast(&caster, &tv, &facts);
        let reply = VerdictReply::of(&verdict);
        assert_eq!((reply.code, reply.side), (code, side), "{name}: {verdict:?}");
        has_texts(&reply);
        for reader in Reader::ALL {
            has_texts(&VerdictReply::to(reader, &verdict));
        }
    }
}

#[test]
fn each_fault_has_its_verdict() {
    let elsewhere = Facts { last_udp_elsewhere: Some(at_two()), last_tcp_elsewhere: Some(at_two()), ..facts() };
    let udp_elsewhere = Facts { last_udp_elsewhere: Some(at_two()), ..udp_only() };
    let untrusted = Facts { tls_port: None, certificate_trusted: Some(false), ..facts() };
    let tls_alone = Facts { tls_port: Some(443), ..untrusted.clone() };
    let no_tls = |address| end(address, [NO, NO, None], [Nothing, Nothing, Nothing]);
    let proxied = Facts {
        host_addresses: vec![ip("192.0.2.80")],
        asked_addresses: vec![ip("192.0.2.80")],
        proxied: true,
        reached: None,
        ..facts()
    };
    let wrong = Facts {
        host: Some("10.0.0.5".to_owned()),
        host_addresses: vec![ip("10.0.0.5")],
        advertised: vec![ip("10.0.0.5")],
        ..facts()
    };
    let quota = Refused(RefusalReason::AddressQuota);
    check(vec![
        (
            "UDP closed: two networks show it",
            udp_end(CASTER, NO, Nothing),
            udp_end(TV, NO, Nothing),
            udp_only(),
            "udp_closed",
            Side::Server,
        ),
        ("UDP and TCP closed", blocked(CASTER), blocked(TV), facts(), "udp_closed", Side::Server),
        (
            "UDP closed or blocked: one network shows it",
            blocked(CASTER),
            blocked(CASTER),
            facts(),
            "udp_closed_or_visitor_blocks_all",
            Side::Unknown,
        ),
        (
            "UDP closed, and browsers without codes",
            udp_end(CASTER, PENDING, Nothing),
            udp_end(TV, PENDING, Nothing),
            udp_only(),
            "udp_closed",
            Side::Server,
        ),
        (
            "TCP closed: UDP is not offered",
            end(CASTER, [None, NO, None], [Nothing; 3]),
            end(TV, [None, NO, None], [Nothing; 3]),
            Facts { udp_port: None, tls_port: None, ..facts() },
            "tcp_closed",
            Side::Server,
        ),
        ("the caster's network lets nothing out", blocked(CASTER), fine(TV), facts(), "visitor_blocks_all", Side::Caster),
        ("the TV's network lets nothing out", fine(CASTER), blocked(TV), facts(), "visitor_blocks_all", Side::Tv),
        ("others have used UDP and TCP", blocked(CASTER), blocked(CASTER), elsewhere.clone(), "visitor_blocks_all", Side::Caster),
        (
            "UDP alone is offered, and others use it",
            udp_end(CASTER, NO, Nothing),
            udp_end(TV, OK, Allocated),
            udp_elsewhere,
            "visitor_blocks_all",
            Side::Caster,
        ),
        (
            "others use UDP, nobody TCP",
            blocked(CASTER),
            udp_end(TV, OK, Allocated),
            facts(),
            "tcp_closed_or_visitor_blocks_all",
            Side::Unknown,
        ),
        (
            "an untrusted certificate leaves no path",
            no_tls(CASTER),
            fine(TV),
            untrusted.clone(),
            "untrusted_certificate",
            Side::Server,
        ),
        ("TLS was tried in vain", blocked(CASTER), fine(TV), tls_alone, "untrusted_certificate", Side::Server),
        (
            "both ends don't trust the certificate that the settings call trusted",
            end(CASTER, [NO; 3], [Nothing, Nothing, Rejected]),
            end(TV, [NO; 3], [Nothing, Nothing, Rejected]),
            facts(),
            "untrusted_certificate",
            Side::Server,
        ),
        (
            "UDP is closed, or TLS is needed",
            no_tls(CASTER),
            no_tls(CASTER),
            untrusted,
            "udp_closed_or_untrusted_certificate",
            Side::Server,
        ),
        (
            "answers get lost",
            caster([NO, NO, NO], [Unanswered, Nothing, Nothing]),
            udp_end(TV, NO, Unanswered),
            facts(),
            "answers_lost",
            Side::Server,
        ),
        (
            "answers get lost for one",
            caster([NO, NO, NO], [Unanswered, Nothing, Nothing]),
            fine(TV),
            facts(),
            "answers_lost_or_visitor_blocks_udp",
            Side::Unknown,
        ),
        (
            "answers get lost, and browsers without codes",
            udp_end(CASTER, PENDING, Unanswered),
            udp_end(TV, PENDING, Unanswered),
            udp_only(),
            "answers_lost",
            Side::Server,
        ),
        ("a proxy before the name", blocked(CASTER), blocked(TV), proxied.clone(), "proxy_before_name", Side::Server),
        (
            "a proxy or a router before the name",
            blocked(CASTER),
            blocked(CASTER),
            Facts { bound: vec![ip("10.0.0.5")], advertised: vec![ip("10.0.0.5")], ..proxied },
            "proxy_before_name_or_udp_closed",
            Side::Server,
        ),
        ("URLs name another address", blocked(CASTER), blocked(TV), wrong, "wrong_external_address", Side::Server),
        ("a wrong secret", caster([Some(401); 3], [Refused(WRONG); 3]), fine(TV), facts(), "credentials_refused", Side::Server),
        (
            "a wrong secret for both",
            caster([Some(401); 3], [Refused(WRONG); 3]),
            tv([Some(401); 3], [Refused(WRONG); 3]),
            facts(),
            "credentials_refused",
            Side::Server,
        ),
        (
            "401 that only the page has seen",
            caster([Some(401), None, None], [Nothing; 3]),
            fine(TV),
            facts(),
            "credentials_refused",
            Side::Server,
        ),
        (
            "a wrong secret and closed UDP",
            caster([NO, Some(401), NO], [Nothing, Refused(WRONG), Nothing]),
            fine(TV),
            facts(),
            "credentials_refused",
            Side::Server,
        ),
        ("a quota", caster([Some(486); 3], [quota; 3]), fine(TV), facts(), "relay_refused", Side::Server),
        (
            "508 that only the page has seen",
            caster([Some(508), None, None], [Nothing; 3]),
            fine(TV),
            facts(),
            "relay_refused",
            Side::Server,
        ),
    ]);
}

#[test]
fn evidence_without_a_cause_has_no_verdict() {
    let unwatched = |mut end: End| {
        end.witness = Witness { unwatched: true, ..Witness::default() };
        end
    };
    let nothing_offered = Facts { udp_port: None, tcp_port: None, tls_port: None, ..facts() };
    let no_turn = |address| end(address, [None, None, None], [Nothing, Nothing, Nothing]);
    check(vec![
        ("the server could not watch", unwatched(blocked(CASTER)), fine(TV), facts(), "unknown", Side::Unknown),
        (
            "STUN arrived, TURN was not tried",
            caster([PENDING, None, None], [Stun, Nothing, Nothing]),
            fine(TV),
            facts(),
            "unknown",
            Side::Unknown,
        ),
        (
            "requests that were throttled",
            caster([NO, None, None], [Dropped, Nothing, Nothing]),
            fine(TV),
            facts(),
            "unknown",
            Side::Unknown,
        ),
        ("no relay is offered", no_turn(CASTER), no_turn(TV), nothing_offered, "unknown", Side::Unknown),
        ("neither page uses the relay", no_turn(CASTER), no_turn(TV), facts(), "unknown", Side::Unknown),
        (
            "nothing is known at all",
            without_report(no_turn(CASTER)),
            without_report(no_turn(TV)),
            Facts::default(),
            "unknown",
            Side::Unknown,
        ),
        (
            "another program of the address has a wrong password",
            caster([NO, None, None], [Refused(WRONG), Nothing, Nothing]),
            fine(TV),
            facts(),
            "unknown",
            Side::Unknown,
        ),
        (
            "a front end without reports, seen by nobody",
            fine(CASTER),
            without_report(blocked(TV)),
            facts(),
            "visitor_blocks_all",
            Side::Tv,
        ),
        (
            "neither end has a report, both have addresses",
            without_report(fine(CASTER)),
            without_report(fine(TV)),
            facts(),
            "no_pair_worked",
            Side::Both,
        ),
        (
            "a front end without reports, with a wrong secret",
            fine(CASTER),
            without_report(tv([None; 3], [Refused(WRONG), Nothing, Nothing])),
            facts(),
            "credentials_refused",
            Side::Server,
        ),
        (
            "a front end without reports, whose answers get lost",
            udp_end(CASTER, NO, Unanswered),
            without_report(tv([None; 3], [Unanswered, Nothing, Nothing])),
            facts(),
            "answers_lost",
            Side::Server,
        ),
    ]);
    assert_eq!(cast(&connected(fine(CASTER)), &connected(fine(TV)), &facts()), Verdict::Fine);
}

#[test]
fn what_others_did_an_hour_ago_says_nothing() {
    let hour_ago = facts().now.unwrap() - Duration::from_secs(3601);
    let old = Facts { last_udp_elsewhere: Some(hour_ago), ..udp_only() };
    check(vec![(
        "an old success",
        udp_end(CASTER, NO, Nothing),
        udp_end(CASTER, NO, Nothing),
        old,
        "udp_closed_or_visitor_blocks_all",
        Side::Unknown,
    )]);
}

#[test]
fn two_ends_with_relayed_addresses_name_who_was_heard_last() {
    let start = Instant::now();
    let sending = |address: &str, sent: u64, received: u64, at: u64| {
        let mut end = fine(address);
        end.witness.relayed_out = sent;
        end.witness.relayed_in = received;
        end.witness.last_relayed_out = (sent > 0).then(|| start + Duration::from_secs(at));
        end.witness.path_mut(Path::Tcp).last = Some(start);
        end
    };
    let deaf = |mut end: End| {
        end.report.as_mut().unwrap().checks = Some(CheckCounts { sent: 9, received: 0, answered: 0 });
        end
    };
    let rows = [
        (sending(CASTER, 9, 0, 1), sending(TV, 0, 0, 0), Side::Tv, Some(Side::Caster)),
        (sending(CASTER, 0, 0, 0), sending(TV, 9, 0, 2), Side::Caster, Some(Side::Tv)),
        (sending(CASTER, 0, 0, 0), sending(TV, 0, 0, 0), Side::Both, None),
        (sending(CASTER, 9, 9, 1), deaf(sending(TV, 9, 9, 2)), Side::Tv, Some(Side::Tv)),
        (deaf(sending(CASTER, 9, 9, 3)), sending(TV, 9, 9, 2), Side::Caster, Some(Side::Caster)),
        (sending(CASTER, 9, 9, 1), sending(TV, 9, 9, 2), Side::Unknown, Some(Side::Tv)),
    ];
    for (caster, tv, side, heard) in rows {
        let verdict = cast(&caster, &tv, &facts());
        let Verdict::Fault(finding) = &verdict else { panic!("{verdict:?}") };
        let Fault::NoPairWorked { last, path } = finding.fault else { panic!("{verdict:?}") };
        assert_eq!((finding.side, last, path), (side, heard, heard.map(|_| Path::Tcp)));
        has_texts(&VerdictReply::of(&verdict));
    }
}

/// Packets between relayed addresses stay within the server, so the range matters to an end without one only.
#[test]
fn the_range_of_ports_matters_where_one_end_does_not_use_the_relay() {
    let range = Facts { range_needed: true, ..facts() };
    let mut sending = fine(CASTER);
    sending.witness.relayed_out = 5;
    let no_turn = end(TV, [None; 3], [Nothing; 3]);
    let private = Facts { advertised: vec![ip("10.0.0.5")], ..range.clone() };
    let mut answered = sending.clone();
    answered.witness.relayed_in = 5;
    check(vec![
        (
            "closed or blocked",
            sending.clone(),
            no_turn.clone(),
            range.clone(),
            "range_closed_or_visitor_blocks_all",
            Side::Unknown,
        ),
        ("the TV casts", no_turn.clone(), sending.clone(), range.clone(), "range_closed_or_visitor_blocks_all", Side::Unknown),
        ("relayed addresses are private", sending.clone(), no_turn.clone(), private, "wrong_external_address", Side::Server),
        ("packets came back", answered, no_turn.clone(), range, "unknown", Side::Unknown),
        ("the range is not needed", sending, no_turn, facts(), "unknown", Side::Unknown),
        (
            "both ends use the relay",
            fine(CASTER),
            fine(TV),
            Facts { advertised: vec![ip("10.0.0.5")], ..facts() },
            "no_pair_worked",
            Side::Both,
        ),
    ]);
}

#[test]
fn doubt_is_said_where_udp_may_come_from_another_address() {
    let both = vec![ip(SERVER), ip("2001:db8::7")];
    let dual = Facts { host_addresses: both.clone(), bound: both, ..facts() };
    let verdict = cast(&blocked("2001:db8:1::9"), &blocked(TV), &dual);
    let reply = VerdictReply::of(&verdict);
    assert!(reply.doubt && reply.en.text.contains("may have missed packets"), "{reply:?}");
    assert!(!VerdictReply::of(&cast(&blocked(CASTER), &blocked(TV), &facts())).doubt);

    let mut moved = blocked(CASTER);
    moved.witness.other_addresses = vec![ip("198.51.100.77")];
    assert!(cast(&moved, &blocked(TV), &facts()).doubt());
}

#[test]
fn an_end_that_has_connected_is_not_at_fault() {
    let mut ended = fine(TV);
    let report = ended.report.as_mut().unwrap();
    (report.outcome, report.route) = (Outcome::Ended, Some(Route::Relay));
    assert_eq!(cast(&connected(fine(CASTER)), &ended, &facts()), Verdict::Fine);
    let mut direct = connected(blocked(TV));
    direct.report.as_mut().unwrap().local.relay = 0;
    assert_eq!(cast(&blocked(CASTER), &direct, &facts()).code(), "udp_closed_or_visitor_blocks_all");
}
