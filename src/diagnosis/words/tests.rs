use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::diagnosis::observation::Path;
use crate::diagnosis::verdict::{ALL_CODES, Fault, NotTested};
use crate::turn::{CredentialRefusal, RefusalReason};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// 14:02 UTC.
fn at_two() -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + 14 * 3600 + 2 * 60)
}

fn of_server(fault: Fault) -> Finding {
    Finding::of_server(fault, Side::Caster)
}

fn of_visitor(fault: Fault) -> Finding {
    Finding::new(fault, Side::Caster, Side::Caster)
}

fn udp_closed() -> Finding {
    of_server(Fault::UdpClosed { port: 3478, tcp: None })
}

fn blocks_udp(instead: Option<(Path, u16)>, last_elsewhere: Option<std::time::SystemTime>) -> Finding {
    of_visitor(Fault::VisitorBlocksUdp { port: 3478, last_elsewhere, instead })
}

fn wrong_address(reached: &str, advertised: &str) -> Finding {
    of_server(Fault::WrongExternalAddress { reached: Some(ip(reached)), advertised: ip(advertised) })
}

fn credentials(reason: Option<CredentialRefusal>) -> Finding {
    of_server(Fault::CredentialsRefused { reason, static_secret: true })
}

/// One finding of each code.
fn findings() -> Vec<Finding> {
    let paths = vec![(Path::Udp, 3478), (Path::Tcp, 3478), (Path::Tls, 443)];
    vec![
        udp_closed(),
        of_server(Fault::TcpClosed { port: 3478, tls: false }),
        of_server(Fault::RangeClosed { ports: (49_152, 65_535), sent: 5 }),
        wrong_address("203.0.113.7", "10.0.0.5"),
        of_server(Fault::AnswersLost { from: Some(ip("198.51.100.9")), path: Path::Udp }),
        of_server(Fault::ProxyBeforeName { name: "cast.example.org".to_owned() }),
        of_server(Fault::UntrustedCertificate { known: true, others_work: true }),
        blocks_udp(Some((Path::Tls, 443)), Some(at_two())),
        of_visitor(Fault::VisitorBlocksAll { paths, last_elsewhere: Some(at_two()), tried: true }),
        credentials(Some(CredentialRefusal::WrongSignature)),
        of_server(Fault::RelayRefused { reason: Some(RefusalReason::AddressQuota), code: 486 }),
        Finding::new(Fault::NoPairWorked { last: Some(Side::Tv), path: Some(Path::Tcp) }, Side::Caster, Side::Both),
    ]
}

fn reply(finding: Finding) -> VerdictReply {
    VerdictReply::of(&Verdict::Fault(finding))
}

#[test]
fn texts_are_those_of_the_design() {
    let texts: Vec<String> = findings().into_iter().map(|finding| reply(finding).en.text).collect();
    let expected = [
        "Nothing from you reached UDP 3478; TCP did.",
        "Nothing from you reached the relay at TCP 3478.",
        "The relay answers, but none of 5 packets reached its ports 49152–65535/UDP.",
        "You reached this server at 203.0.113.7 but it advertises 10.0.0.5.",
        "Your packets arrived (from 198.51.100.9), but our answers did not reach you: they leave over a second address or route, or something on the way back drops them.",
        "cast.example.org leads to a proxy that carries no UDP.",
        "TURN over TLS needs a certificate that devices trust. The other paths work; networks where only TLS is open won't.",
        "UDP 3478 works for others (last at 14:02 UTC), not for you; TLS on 443 does. Casts will use it.",
        "Nothing from you reached the relay over UDP 3478, TCP 3478 or TLS 443, but others reach it (last at 14:02 UTC).",
        "The relay does not know the secret that signed these (401): CASTWAY_STATIC_AUTH_SECRET differs between this server and their issuer, or the secret was replaced.",
        "The relay refused you with the error 486: this address has as many allocations as allowed.",
        "You and the TV have relayed addresses, and no connection came about between them. The last packets for the other end reached the relay from the TV over TCP.",
    ];
    assert_eq!(texts, expected);
    let fix = |finding| reply(finding).en.fix.unwrap();
    assert_eq!(fix(udp_closed()), "Open UDP 3478 in the machine's firewall and in the cloud's security group.");
    assert_eq!(fix(wrong_address("203.0.113.7", "10.0.0.5")), "Set CASTWAY_EXTERNAL_IP=203.0.113.7.");
    let late = reply(credentials(Some(CredentialRefusal::Expired { ago: Duration::from_secs(7 * 3600) })));
    assert!(late.en.text.contains("this machine is 7 h off") && late.zh.text.contains("偏差了 7 h"), "{late:?}");
}

#[test]
fn both_languages_name_the_same_ports_addresses_and_settings() {
    let figures = |text: &Text| {
        let whole = format!("{} {} {}", text.title, text.text, text.fix.clone().unwrap_or_default());
        let is_part = |character: char| character.is_ascii_alphanumeric() || "._".contains(character);
        let words = whole.split(|character| !is_part(character)).map(|word| word.trim_matches('.').to_owned());
        words
            .filter(|word| word.contains(|c: char| c.is_ascii_digit()) || word.starts_with("CASTWAY_"))
            .collect::<std::collections::BTreeSet<_>>()
    };
    for finding in findings() {
        let reply = reply(finding);
        assert_eq!(figures(&reply.en), figures(&reply.zh), "{reply:?}");
        assert!(reply.zh.text.contains(|character| ('\u{4e00}'..'\u{a000}').contains(&character)), "{reply:?}");
    }
}

#[test]
fn a_text_speaks_to_its_reader() {
    let of_tv =
        Finding::new(Fault::VisitorBlocksUdp { port: 3478, last_elsewhere: Some(at_two()), instead: None }, Side::Tv, Side::Tv);
    let verdict = Verdict::Fault(of_tv);
    let titles = |reply: VerdictReply| (reply.en.title, reply.zh.title, reply.side);
    let expected = |en: &str, zh: &str| (en.to_owned(), zh.to_owned(), Side::Tv);
    assert_eq!(titles(VerdictReply::of(&verdict)), expected("The TV's network blocks UDP", "电视所在的网络阻止 UDP"));
    let caller = VerdictReply::to(Reader::Caller, &verdict);
    assert_eq!(titles(caller), expected("The other side's network blocks UDP", "对方所在的网络阻止 UDP"));
    for reader in [Reader::Tv, Reader::Callee] {
        let reply = VerdictReply::to(reader, &verdict);
        assert_eq!(titles(reply), expected("Your network blocks UDP", "您所在的网络阻止 UDP"));
    }
    let of_caster = Verdict::Fault(of_visitor(Fault::VisitorBlocksUdp { port: 3478, last_elsewhere: None, instead: None }));
    assert_eq!(VerdictReply::to(Reader::Tv, &of_caster).en.title, "The caster's network blocks UDP");
}

/// One reader is the caster; nobody in a call is a caster or a TV.
#[test]
fn no_text_names_an_end_that_is_not_there() {
    let ends = |fault: Fault| {
        let sides = [Side::Caster, Side::Tv, Side::Both, Side::Server, Side::Unknown];
        sides.into_iter().flat_map(move |side| sides.map(|seen_by| Finding::new(fault.clone(), side, seen_by)))
    };
    let verdicts: Vec<Verdict> = findings()
        .into_iter()
        .flat_map(|finding| ends(finding.fault))
        .flat_map(|finding| [Verdict::Fault(finding.clone()), Verdict::Either(finding, udp_closed())])
        .collect();
    let absent: [(Reader, &[&str]); 7] = [
        (Reader::Caster, &["the caster", "the other side", "投屏设备", "对方"]),
        (Reader::Tv, &["the TV", "the other side", "电视", "对方"]),
        (Reader::Caller, &["the caster", "the TV", "cast ", "Casts", "电视", "投屏"]),
        (Reader::Callee, &["the caster", "the TV", "cast ", "Casts", "电视", "投屏"]),
        (Reader::Operator(Subject::Check), &["you", "You", "the caster", "the TV", "您", "电视", "device's device"]),
        (Reader::Operator(Subject::Cast), &["you", "You", "您", "the device", "the other side", "对方"]),
        (Reader::Operator(Subject::Call), &["you", "You", "您", "the TV", "Casts", "the caster", "对方"]),
    ];
    for verdict in &verdicts {
        for (reader, words) in absent {
            let reply = VerdictReply::to(reader, verdict);
            let text = |text: &Text| format!("{} {} {}", text.title, text.text, text.fix.clone().unwrap_or_default());
            let both = format!("{} {}", text(&reply.en), text(&reply.zh)).replace("The ", "the ");
            for word in words {
                assert!(!both.contains(word), "{reader:?} reads {word:?} in: {both}");
            }
        }
    }
}

#[test]
fn two_causes_are_both_named_with_what_tells_them_apart() {
    let reply = VerdictReply::of(&Verdict::Either(udp_closed(), blocks_udp(None, None)));
    assert_eq!((reply.code, reply.side), ("udp_closed_or_visitor_blocks_udp", Side::Unknown));
    assert_eq!(
        reply.en.text,
        "Nothing from you reached UDP 3478; TCP did. Either UDP 3478 is closed at the server, or your network lets no UDP through. A check \
         from another network, such as a phone with Wi-Fi off, tells them apart: if it passes, your network is the cause; if it shows the \
         same, the server is."
    );
    assert_eq!(
        reply.en.fix.as_deref(),
        Some(
            "In the first case: Open UDP 3478 in the machine's firewall and in the cloud's security group. In the second: Use another \
             network, or let UDP 3478 out in your network."
        )
    );
    assert_eq!(
        reply.zh.text,
        "您没有任何数据到达 UDP 3478，而 TCP 可以到达。原因有两种可能：服务器未开放 UDP 3478，或者您所在的网络不放行 UDP。\
         换一个网络（例如关闭 Wi-Fi 的手机）再检查即可区分：如果正常，原因在您所在的网络；如果结果相同，原因在服务器。"
    );
}

#[test]
fn a_command_is_given_only_where_it_is_certain_to_help() {
    let cases = [
        ("203.0.113.7", "10.0.0.5", Some("CASTWAY_EXTERNAL_IP=203.0.113.7")),
        ("203.0.113.7", "203.0.113.9", Some("CASTWAY_EXTERNAL_IP=203.0.113.7")),
        ("10.0.0.5", "192.168.1.2", Some("CASTWAY_EXTERNAL_IP=10.0.0.5")),
        ("2001:db8::7", "fd00::1", Some("CASTWAY_EXTERNAL_IP=2001:db8::7")),
        ("10.0.0.5", "203.0.113.7", None),
        ("100.64.0.1", "203.0.113.7", None),
        ("127.0.0.1", "10.0.0.5", None),
    ];
    for (reached, advertised, command) in cases {
        assert_eq!(reply(wrong_address(reached, advertised)).command.as_deref(), command, "{reached} {advertised}");
    }
    assert_eq!(reply(udp_closed()).command, None);
}

/// Rows of the table begin with the code and contain the title, as it is for the usual ports.
#[test]
fn the_document_explains_every_verdict() {
    let document = std::fs::read_to_string("docs/troubleshooting.md").unwrap();
    let is_code = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let code =
        |row: &'_ str| row.strip_prefix("| `").and_then(|rest| rest.split_once("` |")).is_some_and(|(code, _)| is_code(code));
    let rows: Vec<&str> = document.lines().filter(|line| code(line)).collect();
    let others = [Verdict::Fine, Verdict::Unknown, Verdict::NotTested(NotTested::DeniedPeer)];
    let verdicts: Vec<Verdict> = findings().into_iter().map(Verdict::Fault).chain(others).collect();
    for verdict in &verdicts {
        let reply = VerdictReply::of(verdict);
        let row = rows.iter().find(|row| row.starts_with(&format!("| `{}` |", reply.code))).expect(reply.code);
        assert!(row.contains(&reply.en.title), "{row} does not say: {}", reply.en.title);
    }
    assert_eq!(rows.len(), verdicts.len(), "the table has a row for each code");
    for code in ALL_CODES {
        let parts: Vec<&str> = code.split("_or_").collect();
        assert!(parts.iter().all(|part| verdicts.iter().any(|verdict| verdict.code() == *part)), "{code}");
    }
}
