//! Rules as nft and iptables list them, and what becomes of a stranger's packets.

use super::check::{Outside, check};
use super::lines::lines;
use super::needed::{Need, Needed, Report};
use super::ruleset::{Program, Ruleset};
use super::{iptables, nft};
use crate::cli::doctor::line::State;
use crate::control::facts::Transport;

fn udp(first: u16, last: u16) -> Needed {
    Needed { transport: Transport::Udp, ports: (first, last), need: Need::Required, v4: true, v6: false }
}

fn tcp(port: u16) -> Needed {
    Needed { transport: Transport::Tcp, ports: (port, port), need: Need::Required, v4: true, v6: false }
}

fn outside() -> Outside {
    let addresses = vec!["203.0.113.7".parse().unwrap(), "2a11::1".parse().unwrap()];
    Outside { interfaces: vec!["eth0".to_owned()], addresses, v4: true, v6: true }
}

/// The chain `input` of `inet filter` with these rules, each the inside of `"expr": […]`.
fn nft_rules(policy: &str, rules: &[&str]) -> Ruleset {
    nft_tables(policy, rules, "")
}

fn nft_tables(policy: &str, rules: &[&str], more: &str) -> Ruleset {
    let rules = rules.iter().enumerate().map(|(index, rule)| {
        let handle = index + 10;
        format!(r#",{{"rule":{{"family":"inet","table":"filter","chain":"input","handle":{handle},"expr":[{rule}]}}}}"#)
    });
    let json = format!(
        r#"{{"nftables":[{{"metainfo":{{"json_schema_version":1}}}},{{"table":{{"family":"inet","name":"filter","handle":1}}}},
        {{"chain":{{"family":"inet","table":"filter","name":"input","type":"filter","hook":"input","prio":0,"policy":"{policy}"}}}},
        {{"chain":{{"family":"inet","table":"filter","name":"other"}}}}{more}{}]}}"#,
        rules.collect::<String>()
    );
    nft::read(&json, &|_, _| false).unwrap()
}

fn asked(ruleset: &Ruleset, needed: Needed) -> Report {
    check(ruleset, &[needed], &outside())
}

/// `open`, `closed` or `unknown`.
fn state(ruleset: &Ruleset, needed: Needed) -> &'static str {
    let report = asked(ruleset, needed);
    match (report.closed.is_empty(), report.unknown.is_empty()) {
        (true, true) => "open",
        (false, _) => "closed",
        (true, false) => "unknown",
    }
}

fn command(ruleset: &Ruleset, needed: Needed) -> String {
    let report = asked(ruleset, needed);
    report.closed.into_iter().filter_map(|closed| closed.command).collect::<Vec<_>>().join("\n")
}

const LOOPBACK: &str = r#"{"match":{"op":"==","left":{"meta":{"key":"iif"}},"right":"lo"}},{"accept":null}"#;
const ESTABLISHED: &str =
    r#"{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}},{"accept":null}"#;
const BAN: &str =
    r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":"198.51.100.7"}},{"drop":null}"#;

fn port(protocol: &str, port: &str, verdict: &str) -> String {
    format!(
        r#"{{"match":{{"op":"==","left":{{"payload":{{"protocol":"{protocol}","field":"dport"}}}},"right":{port}}}}},{{"{verdict}":null}}"#
    )
}

#[test]
fn a_policy_that_drops_closes_what_no_rule_accepts() {
    let web = port("tcp", r#"{"set":[22,{"range":[80,90]},443]}"#, "accept");
    let ruleset = nft_rules("drop", &[LOOPBACK, ESTABLISHED, &web]);
    assert_eq!((state(&ruleset, tcp(85)), state(&ruleset, tcp(443)), state(&ruleset, tcp(91))), ("open", "open", "closed"));
    assert_eq!(command(&ruleset, udp(3478, 3478)), "sudo nft insert rule inet filter input udp dport 3478 accept");
    assert_eq!(command(&ruleset, udp(49152, 65535)), "sudo nft insert rule inet filter input udp dport 49152-65535 accept");
    let report = asked(&ruleset, udp(3478, 3478));
    assert_eq!(report.closed[0].text, "nftables drops UDP 3478 (table inet filter, chain input: its policy)");
    assert_eq!(report.filters, ["nftables"]);
}

#[test]
fn the_rule_stands_in_front_of_what_drops_and_behind_bans() {
    let last = r#"{"counter":{"packets":0,"bytes":0}},{"reject":{"type":"icmpx","expr":"port-unreachable"}}"#;
    let ruleset = nft_rules("accept", &[LOOPBACK, ESTABLISHED, BAN, last]);
    assert_eq!(command(&ruleset, udp(3478, 3478)), "sudo nft insert rule inet filter input handle 13 udp dport 3478 accept");
    let by_policy = nft_rules("drop", &[BAN]);
    assert_eq!(command(&by_policy, udp(3478, 3478)), "sudo nft add rule inet filter input udp dport 3478 accept");
}

#[test]
fn a_rule_of_another_protocol_or_port_says_nothing_about_this_one() {
    for rule in [
        port("udp", "53", "drop"),
        port("tcp", "3478", "drop"),
        port("udp", r#"{"range":[1,3477]}"#, "drop"),
        r#"{"match":{"op":"!=","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":22}},{"drop":null}"#.to_owned(),
        r#"{"match":{"op":"==","left":{"payload":{"protocol":"icmp","field":"type"}},"right":"echo-request"}},{"drop":null}"#.to_owned(),
        r#"{"match":{"op":"==","left":{"meta":{"key":"pkttype"}},"right":"broadcast"}},{"drop":null}"#.to_owned(),
        r#"{"match":{"op":"==","left":{"fib":{"result":"oif","flags":["saddr","mark","iif"]}},"right":false}},{"drop":null}"#.to_owned(),
        r#"{"match":{"op":"!=","left":{"fib":{"result":"type","flags":["daddr"]}},"right":"local"}},{"drop":null}"#.to_owned(),
        r#"{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":"invalid"}},{"drop":null}"#.to_owned(),
        r#"{"limit":{"rate":9,"per":"second","inv":true}},{"drop":null}"#.to_owned(),
        r#"{"set":{"op":"add","elem":{"payload":{"protocol":"ip","field":"saddr"}},"set":"@m","stmt":[{"limit":{"rate":9,"inv":true}}]}},{"drop":null}"#.to_owned(),
        r#"{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"docker*"}},{"drop":null}"#.to_owned(),
        r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip6","field":"saddr"}},"right":{"prefix":{"addr":"::","len":0}}}},{"drop":null}"#.to_owned(),
        r#"{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"sport"}},"right":53}},{"drop":null}"#.to_owned(),
        r#"{"match":{"op":"==","left":{"meta":{"key":"mark"}},"right":1}},{"drop":null}"#.to_owned(),
        BAN.to_owned(),
    ] {
        assert_eq!(state(&nft_rules("accept", &[&rule]), udp(3478, 3478)), "open", "{rule}");
    }
}

#[test]
fn what_is_not_understood_is_unknown_and_never_closed() {
    for rule in [
        r#"{"xt":{"type":"match","name":"bpf"}},{"accept":null}"#,
        r#"{"match":{"op":"==","left":{"meta":{"key":"cgroup"}},"right":1}},{"accept":null}"#,
        r#"{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":"@gone"}},{"accept":null}"#,
        r#"{"queue":{"num":1}}"#,
        r#"{"jump":{"target":"nowhere"}}"#,
        r#"{"match":{"op":"==","left":{"new":{"key":"x"}},"right":1}},{"accept":null}"#,
        r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"0.0.0.0","len":1}}}},{"accept":null}"#,
    ] {
        assert_eq!(state(&nft_rules("drop", &[rule]), udp(3478, 3478)), "unknown", "{rule}");
    }
    // It is dropped whatever the other rule does.
    let rule = r#"{"xt":{"type":"match","name":"bpf"}},{"drop":null}"#;
    assert_eq!(state(&nft_rules("drop", &[rule]), udp(3478, 3478)), "closed");
}

#[test]
fn chains_maps_and_sets_are_followed() {
    let more = r#",{"map":{"family":"inet","name":"ports","table":"filter","type":["inet_proto","inet_service"],"map":"verdict",
        "elem":[[{"concat":["udp",3478]},{"accept":null}],[{"concat":["tcp",443]},{"jump":{"target":"other"}}]]}}
        ,{"set":{"family":"inet","name":"open","table":"filter","type":"inet_service","elem":[5000,{"range":[6000,6009]}]}}
        ,{"rule":{"family":"inet","table":"filter","chain":"other","handle":90,"expr":[{"return":null}]}}"#;
    let map = r#"{"vmap":{"key":{"concat":[{"meta":{"key":"l4proto"}},{"payload":{"protocol":"th","field":"dport"}}]},"data":"@ports"}}"#;
    let states =
        r#"{"vmap":{"key":{"ct":{"key":"state"}},"data":{"set":[["invalid",{"drop":null}],["established",{"accept":null}]]}}}"#;
    let set = port("udp", r#""@open""#, "accept");
    let ruleset = nft_tables("drop", &[states, map, &set], more);
    assert_eq!((state(&ruleset, udp(3478, 3478)), state(&ruleset, tcp(443))), ("open", "closed"));
    assert_eq!((state(&ruleset, udp(6004, 6004)), state(&ruleset, udp(5001, 5001))), ("open", "closed"));
    // A part of a range is closed, and only that is named.
    let report = asked(&ruleset, udp(6000, 6020));
    assert_eq!(report.closed.iter().map(|closed| closed.ports).collect::<Vec<_>>(), [(6010, 6020)]);
}

#[test]
fn a_network_that_is_let_in_is_named() {
    let lan = r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"10.0.0.0","len":8}}}},{"accept":null}"#;
    let report = asked(&nft_rules("drop", &[lan]), udp(3478, 3478));
    assert_eq!(report.closed[0].admitted, ["10.0.0.0/8"]);
    let others = r#"{"match":{"op":"!=","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"10.0.0.0","len":8}}}},{"drop":null}"#;
    let report = asked(&nft_rules("accept", &[others]), udp(3478, 3478));
    assert_eq!(report.closed[0].admitted, ["10.0.0.0/8"]);
}

#[test]
fn the_rules_of_a_family_count_for_it() {
    let rules = ":INPUT DROP [0:0]\n-A INPUT -p udp -m udp --dport 3478 -j ACCEPT\nCOMMIT";
    let v4 = iptables::read(&format!("*filter\n{rules}"), Program::Iptables);
    let v6 = iptables::read("*filter\n:INPUT DROP [0:0]\nCOMMIT", Program::Ip6tables);
    let ruleset = Ruleset { tables: [v4.tables, v6.tables].concat() };
    assert_eq!(state(&ruleset, udp(3478, 3478)), "open");
    let needed = Needed { v6: true, ..udp(3478, 3478) };
    assert_eq!(command(&ruleset, needed.clone()), "sudo ip6tables -I INPUT -p udp --dport 3478 -j ACCEPT");
    assert!(asked(&ruleset, needed).closed[0].text.contains("over IPv6"));
}

fn saved(rules: &str) -> Ruleset {
    iptables::read(&format!("*filter\n:INPUT ACCEPT [0:0]\n:own - [0:0]\n{rules}\nCOMMIT\n"), Program::Iptables)
}

#[test]
fn iptables_rules_are_read() {
    for (rules, expected) in [
        ("-A INPUT -j DROP", "closed"),
        ("-A INPUT -p udp -m udp --dport 3478 -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-port-unreachable", "open"),
        (
            "-A INPUT -p udp -m multiport --dports 80,3470:3480 -m comment --comment \"TURN, and \\\"more\\\" -j DROP\" -j ACCEPT\n-A INPUT -j DROP",
            "open",
        ),
        ("-A INPUT -p tcp -m multiport --dports 3478 -j DROP", "open"),
        ("-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -j DROP", "closed"),
        ("-A INPUT -m conntrack --ctstate INVALID -j DROP", "open"),
        ("-A INPUT ! -i docker+ -j own\n-A own -p udp -j RETURN\n-A own -j DROP", "open"),
        ("-A INPUT -g own\n-A INPUT -j DROP\n-A own -s 10.0.0.0/8 -j DROP", "open"),
        ("-A INPUT -m set --match-set f2b-sshd src -j REJECT --reject-with icmp-port-unreachable", "open"),
        ("-A INPUT -m rpfilter --loose --validmark --invert -j DROP", "open"),
        ("-A INPUT -m recent --update --seconds 60 --hitcount 4 --name SSH --mask 255.255.255.255 --rsource -j DROP", "open"),
        (
            "-A INPUT -p udp -m hashlimit --hashlimit-above 5/sec --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name a -j DROP",
            "open",
        ),
        ("-A INPUT -m addrtype --dst-type LOCAL -j own\n-A own -p udp -j DROP", "closed"),
        ("-A INPUT -m mark --mark 0x8000/0x8000 -j DROP", "open"),
        ("-A INPUT -m bpf --bytecode \"4,48 0 0 9\" -j DROP", "unknown"),
        ("-A INPUT -p udp -j NFQUEUE --queue-num 1", "unknown"),
        ("-A INPUT -d 203.0.113.7/32 -p udp -j DROP", "unknown"),
        ("-A INPUT -d 198.51.100.1/32 -p udp -j DROP", "open"),
        ("-A INPUT -p udp -j LOG --log-prefix \"a b \"\n-A INPUT -p udp -m udp --sport 53 -j DROP", "open"),
    ] {
        let outside = if expected == "unknown" {
            Outside { addresses: vec!["203.0.113.7".parse().unwrap(), "203.0.113.8".parse().unwrap()], ..outside() }
        } else {
            outside()
        };
        let report = check(&saved(rules), &[udp(3478, 3478)], &outside);
        let found = match (report.closed.is_empty(), report.unknown.is_empty()) {
            (true, true) => "open",
            (false, _) => "closed",
            (true, false) => "unknown",
        };
        assert_eq!(found, expected, "{rules}");
    }
    let ruleset = saved(
        "-A INPUT -s 198.51.100.7/32 -j DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-port-unreachable",
    );
    assert_eq!(command(&ruleset, tcp(443)), "sudo iptables -I INPUT 3 -p tcp --dport 443 -j ACCEPT");
    assert_eq!(command(&ruleset, udp(49152, 65535)), "sudo iptables -I INPUT 3 -p udp --dport 49152:65535 -j ACCEPT");
}

#[test]
fn a_packet_that_is_sent_elsewhere_is_unknown() {
    let text = "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n\
                -A DOCKER ! -i docker0 -p udp -m udp --dport 3478 -j DNAT --to-destination 172.17.0.2:3478\nCOMMIT\n";
    let ruleset = iptables::read(text, Program::Iptables);
    assert_eq!((state(&ruleset, udp(3478, 3478)), state(&ruleset, tcp(3478))), ("unknown", "open"));
}

#[test]
fn chains_that_lead_into_each_other_end() {
    let ruleset = saved(":a - [0:0]\n:b - [0:0]\n-A INPUT -j a\n-A a -j b\n-A b -j a\n");
    assert_eq!(state(&ruleset, udp(3478, 3478)), "unknown");
}

#[test]
fn ufw_and_firewalld_get_their_own_commands() {
    let ufw = |user: &str| {
        iptables::read(
            &format!(
                "*filter\n:INPUT DROP [0:0]\n:ufw-before-input - [0:0]\n:ufw-user-input - [0:0]\n-A INPUT -j ufw-before-input\n\
                 -A ufw-before-input -i lo -j ACCEPT\n-A ufw-before-input -j ufw-user-input\n{user}\nCOMMIT\n"
            ),
            Program::Iptables,
        )
    };
    assert_eq!(command(&ufw(""), udp(3478, 3478)), "sudo ufw allow 3478/udp");
    assert_eq!(command(&ufw(""), udp(49152, 65535)), "sudo ufw allow 49152:65535/udp");
    let denied = ufw("-A ufw-user-input -p udp -m udp --dport 3478 -j DROP");
    assert_eq!(command(&denied, udp(3478, 3478)), "sudo ufw delete deny 3478/udp; sudo ufw prepend allow 3478/udp");
    let json = r#"{"nftables":[{"table":{"family":"inet","name":"firewalld"}},
        {"chain":{"family":"inet","table":"firewalld","name":"filter_INPUT","type":"filter","hook":"input","prio":10,"policy":"accept"}},
        {"chain":{"family":"inet","table":"firewalld","name":"filter_INPUT_ZONES"}},
        {"chain":{"family":"inet","table":"firewalld","name":"filter_IN_public"}},
        {"chain":{"family":"inet","table":"firewalld","name":"filter_IN_policy_allow-host-ipv6"}},
        {"chain":{"family":"inet","table":"firewalld","name":"filter_IN_public_allow"}},
        {"rule":{"family":"inet","table":"firewalld","chain":"filter_INPUT","handle":1,"expr":[{"jump":{"target":"filter_INPUT_ZONES"}}]}},
        {"rule":{"family":"inet","table":"firewalld","chain":"filter_INPUT_ZONES","handle":2,"expr":[{"goto":{"target":"filter_IN_public"}}]}},
        {"rule":{"family":"inet","table":"firewalld","chain":"filter_IN_public","handle":3,"expr":[{"jump":{"target":"filter_IN_policy_allow-host-ipv6"}}]}},
        {"rule":{"family":"inet","table":"firewalld","chain":"filter_IN_public","handle":3,"expr":[{"jump":{"target":"filter_IN_public_allow"}}]}},
        {"rule":{"family":"inet","table":"firewalld","chain":"filter_IN_public","handle":4,"expr":[{"reject":{"type":"icmpx"}}]}}]}"#;
    let ruleset = nft::read(json, &|_, _| false).unwrap();
    assert_eq!(
        command(&ruleset, udp(3478, 3478)),
        "sudo firewall-cmd --permanent --zone=public --add-port=3478/udp && sudo firewall-cmd --reload"
    );
    assert_eq!(asked(&ruleset, udp(3478, 3478)).filters, ["firewalld"]);
}

#[test]
fn no_name_becomes_a_word_of_the_shells() {
    for name in ["in put", "input;reboot", "$(reboot)", "it's", "`id`", "-f", "a\u{1b}[2J", ""] {
        let chain = serde_json::json!({ "nftables": [
            { "table": { "family": "inet", "name": "filter" } },
            { "chain": { "family": "inet", "table": "filter", "name": name, "type": "filter", "hook": "input", "policy": "drop" } },
        ] });
        let table = serde_json::json!({ "nftables": [
            { "table": { "family": "inet", "name": name } },
            { "chain": { "family": "inet", "table": name, "name": "input", "type": "filter", "hook": "input", "policy": "drop" } },
        ] });
        for rules in [chain, table] {
            let report = asked(&nft::read(&rules.to_string(), &|_, _| false).unwrap(), udp(3478, 3478));
            let [closed] = report.closed.as_slice() else { panic!("{name:?}: {report:?}") };
            assert_eq!(closed.command, None, "{name:?}");
            assert!(closed.hint.as_ref().unwrap().contains("nft can't write"), "{closed:?}");
        }
    }
    let zone = "*filter\n:INPUT ACCEPT [0:0]\n:INPUT_ZONES - [0:0]\n:IN_a;b'c - [0:0]\n-A INPUT -j INPUT_ZONES\n-A INPUT -j DROP\n\
                -A INPUT_ZONES -g IN_a;b'c\nCOMMIT\n";
    let command = command(&iptables::read(zone, Program::Iptables), udp(3478, 3478));
    assert!(command.contains(r"--zone='a;b'\''c' --add-port"), "{command}");
}

#[test]
fn closed_relayed_ports_matter_where_somebody_uses_them() {
    let ruleset = saved("-A INPUT -p udp -m udp --dport 49152:65535 -j DROP");
    let state = |need: Need| {
        let found = lines(&asked(&ruleset, Needed { need, ..udp(49152, 65535) }), &[]);
        (found.len(), found[0].state, found[0].text.contains("49152–65535"), found[0].command.is_some())
    };
    assert_eq!(state(Need::Required), (1, State::Failed, true, true));
    assert_eq!(state(Need::Users), (1, State::Warning, true, true));
    assert_eq!(state(Need::Optional), (1, State::Ok, true, false));
}
