//! Whatever the evidence is, there is a verdict with texts, and its code is one that the metrics know.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::diagnosis::decide::{cast, check};
use crate::diagnosis::report::{CheckCounts, CheckReport, LinkResult, PathKind, PathResult, RangeResult, Route};
use crate::diagnosis::verdict::{ALL_CODES, Side, Verdict};
use crate::diagnosis::words::Reader;
use crate::turn::OpenError;
use crate::turn::codec::attribute::AddressFamily;

fn seen() -> impl Strategy<Value = Seen> {
    let refused = prop::sample::select(vec![
        WRONG,
        RefusalReason::Credentials(CredentialRefusal::Expired { ago: Duration::from_secs(25_200) }),
        RefusalReason::Credentials(CredentialRefusal::TooFarAhead { ahead: Duration::MAX, most: Duration::ZERO }),
        RefusalReason::Credentials(CredentialRefusal::Milliseconds),
        RefusalReason::UserQuota,
        RefusalReason::TrafficQuota,
        RefusalReason::TotalQuota,
        RefusalReason::NoPort,
        RefusalReason::Socket(OpenError::NoDescriptors),
        RefusalReason::NoAddressOfFamily(AddressFamily::V6),
        RefusalReason::NoAllocation,
        RefusalReason::BadRequest,
    ]);
    prop_oneof![
        Just(Seen::Nothing),
        Just(Seen::Stun),
        Just(Seen::Unanswered),
        Just(Seen::Dropped),
        Just(Seen::Allocated),
        Just(Seen::Rejected),
        refused.prop_map(Seen::Refused),
    ]
}

fn address() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![CASTER, TV, "10.0.0.9", "2001:db8:1::9", "::ffff:198.51.100.9", "127.0.0.1", SERVER])
}

fn addresses() -> impl Strategy<Value = Vec<IpAddr>> {
    let own = prop::sample::select(vec![SERVER, "10.0.0.5", "2001:db8::7", "fd00::1", "127.0.0.1", "100.64.0.1"]);
    vec(own.prop_map(ip), 0..3)
}

fn code() -> impl Strategy<Value = Option<u16>> {
    option::of(prop::sample::select(vec![0, 1, 300, 401, 440, 486, 508, 600, 701, 799]))
}

fn any_end() -> impl Strategy<Value = End> {
    let outcome = prop::sample::select(vec![Outcome::Gathered, Outcome::Connected, Outcome::Failed, Outcome::Ended]);
    let report = (any::<bool>(), outcome, option::of(0u64..3), 0u32..2, any::<bool>());
    let counts = (0u64..2, 0u64..2, any::<bool>());
    (address(), [code(), code(), code()], [seen(), seen(), seen()], report, counts).prop_map(
        |(address, pages, seen, (reports, outcome, checks, relay, shown), (relayed_in, relayed_out, unwatched))| {
            let mut end = end(address, pages, seen);
            let report = end.report.as_mut().unwrap();
            report.outcome = outcome;
            report.route = shown.then_some(Route::Relay);
            report.local.relay = relay;
            report.checks = checks.map(|received| CheckCounts { sent: 1, received, answered: received });
            end.witness = Witness { relayed_in, relayed_out, unwatched, ..end.witness };
            if reports { end } else { without_report(end) }
        },
    )
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let port = || option::of(Just(3478u16));
    let host = option::of(Just("cast.example.org".to_owned()));
    let last = || option::of(prop::sample::select(vec![at_two(), UNIX_EPOCH, at_two() + Duration::from_secs(86_400)]));
    (
        (port(), port(), port(), option::of(Just((49_152, 65_535))), any::<bool>()),
        (addresses(), addresses(), addresses(), addresses(), host),
        (option::of(address()), any::<bool>(), option::of(any::<bool>()), last(), last()),
        (option::of(Just(at_two())), any::<bool>(), option::of(address())),
    )
        .prop_map(|(ports, own, seen, (now, static_secret, client))| Facts {
            client: client.map(ip),
            udp_port: ports.0,
            tcp_port: ports.1,
            tls_port: ports.2,
            relayed_ports: ports.3,
            range_needed: ports.4,
            advertised: own.0,
            bound: own.1,
            host_addresses: own.2,
            asked_addresses: own.3,
            host: own.4,
            reached: seen.0.map(ip),
            proxied: seen.1,
            certificate_trusted: seen.2,
            last_udp_elsewhere: seen.3,
            last_tcp_elsewhere: seen.4,
            static_secret,
            second_device: seen.0.map(|second| (ip(second), witness([Seen::Nothing, Seen::Allocated, Seen::Nothing]))),
            now,
        })
}

fn any_check() -> impl Strategy<Value = CheckReport> {
    let kind = prop::sample::select(vec![PathKind::Stun, PathKind::Udp, PathKind::Tcp, PathKind::Tls]);
    let path = (kind, option::of(Just(41.0)), code(), any::<bool>()).prop_map(|(kind, ms, code, unsupported)| PathResult {
        kind,
        url: "turn:a:3478".to_owned(),
        ms,
        code,
        text: None,
        unsupported,
    });
    let range =
        option::of((0u32..3, 0u32..3, any::<bool>()).prop_map(|(sent, arrived, denied)| RangeResult { sent, arrived, denied }));
    let route = prop::sample::select(vec![Route::Direct, Route::Relay]);
    let link = (route, any::<bool>()).prop_map(|(route, connected)| LinkResult {
        route,
        protocol: None,
        connected,
        rtt_ms: None,
        loss: None,
        mbits: None,
    });
    (vec(path, 0..6), range, vec(link, 0..4)).prop_map(|(paths, range, links)| CheckReport { paths, range, links })
}

fn is_whole(verdict: &Verdict) {
    for reader in Reader::ALL {
        let reply = VerdictReply::to(reader, verdict);
        has_texts(&reply);
        assert!(ALL_CODES.contains(&reply.code), "{reply:?}");
        assert_eq!(reply.code.contains("_or_"), matches!(verdict, Verdict::Either(..)), "{verdict:?}");
        assert!(!reply.en.text.chars().any(|character| ('\u{4e00}'..'\u{a000}').contains(&character)));
        assert!(serde_json::to_string(&reply).unwrap().len() < 4096, "{reply:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_pair_of_ends_has_a_verdict(caster in any_end(), tv in any_end(), facts in any_facts()) {
        is_whole(&cast(&caster, &tv, &facts));
    }

    #[test]
    fn every_check_has_a_verdict(report in any_check(), seen in [seen(), seen(), seen()], facts in any_facts()) {
        is_whole(&check(&report, &witness(seen), &facts));
    }

    /// Nobody is blamed for a path that works.
    #[test]
    fn a_check_whose_paths_all_work_blames_nobody(facts in any_facts(), seen in [seen(), seen(), seen()]) {
        let result = |kind| PathResult { kind, url: String::new(), ms: Some(1.0), code: None, text: None, unsupported: false };
        let paths = [PathKind::Stun, PathKind::Udp, PathKind::Tcp, PathKind::Tls].map(result).to_vec();
        let report = CheckReport { paths, range: None, links: Vec::new() };
        prop_assert_eq!(check(&report, &witness(seen), &facts), Verdict::Fine);
    }

    /// A machine of somebody else can't be blamed on the word of one page alone: where the server has seen all paths of an end work,
    /// nothing that this end reports makes the network of the other end the cause.
    #[test]
    fn a_report_blames_no_other_network(liar in any_end(), facts in any_facts()) {
        let honest = end(TV, [OK; 3], [Seen::Allocated; 3]);
        let verdict = cast(&End { address: ip(CASTER), ..liar }, &honest, &facts);
        let blames = |fault: &str| verdict.side() == Side::Tv && verdict.code() == fault;
        prop_assert!(!blames("visitor_blocks_all") && !blames("visitor_blocks_udp"), "{:?}", verdict);
    }
}
