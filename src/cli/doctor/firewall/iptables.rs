//! Reads what `iptables-save` and `ip6tables-save` print.

use ipnet::IpNet;

use super::ruleset::{Action, Base, Chain, Condition, Families, Program, Rule, Ruleset, TCP, Table, UDP};

/// Built-in chains that packets to this machine pass.
const BASE_CHAINS: [&str; 2] = ["PREROUTING", "INPUT"];
/// Characters of a rule that are shown.
const MAX_TEXT_CHARS: usize = 120;
/// Targets after which the next rule follows.
const NEUTRAL: [&str; 19] = [
    "LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "NOTRACK", "CT", "SET", "TTL", "HL", "TCPMSS", "DSCP", "TOS", "ECN", "CLASSIFY",
    "CHECKSUM", "TRACE", "AUDIT", "LED",
];
const FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

pub(super) fn read(text: &str, program: Program) -> Ruleset {
    let mut ruleset = Ruleset::default();
    let marks = text.lines().any(|line| line.contains("-j MARK") || line.contains("-j CONNMARK"));
    let v6 = matches!(program, Program::Ip6tables | Program::Ip6tablesLegacy);
    let families = if v6 { Families::V6 } else { Families::V4 };
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            ruleset.tables.push(Table { program, families, name: name.trim().to_owned(), chains: Vec::new() });
            continue;
        }
        let Some(table) = ruleset.tables.last_mut() else { continue };
        if let Some(chain) = line.strip_prefix(':') {
            table.chains.push(read_chain(chain, &table.name));
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let (name, rule) = rule.split_once(' ').unwrap_or((rule, ""));
            let Some(chain) = table.chains.iter_mut().find(|chain| chain.name == name) else { continue };
            chain.rules.push(read_rule(rule, marks));
        }
    }
    ruleset
}

fn read_chain(text: &str, table: &str) -> Chain {
    let mut words = text.split_whitespace();
    let (name, policy) = (words.next().unwrap_or_default(), words.next());
    let base = BASE_CHAINS.contains(&name).then(|| Base { translates: table == "nat", drops: policy == Some("DROP") });
    Chain { name: name.to_owned(), base, rules: Vec::new() }
}

fn read_rule(text: &str, marks: bool) -> Rule {
    let words = words(text);
    let mut options = Options { words: words.iter().map(String::as_str).peekable(), marks };
    let (mut conditions, mut action) = (Vec::new(), None);
    while let Some((negated, option)) = options.next_option() {
        if option == "-j" || option == "-g" {
            let target = options.words.next().unwrap_or_default();
            action = if option == "-g" { Some(Action::Goto(target.to_owned())) } else { jump(target) };
            // The rest belongs to the target.
            break;
        }
        conditions.extend(options.condition(option).map(|condition| condition.negated(negated)));
    }
    Rule { text: text.chars().take(MAX_TEXT_CHARS).collect(), ..Rule::new(conditions, action) }
}

fn jump(target: &str) -> Option<Action> {
    Some(match target {
        "ACCEPT" | "SNAT" | "MASQUERADE" => Action::Accept,
        "DROP" | "REJECT" | "TARPIT" => Action::Drop,
        "RETURN" => Action::Return,
        "DNAT" | "REDIRECT" | "NETMAP" | "TPROXY" => Action::Translate,
        "QUEUE" | "NFQUEUE" | "SYNPROXY" => Action::Unknown,
        _ if NEUTRAL.contains(&target) => return None,
        _ => Action::Jump(target.to_owned()),
    })
}

/// The words of a line; quoted ones may have spaces.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut characters) = (Vec::new(), None::<String>, false, text.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(characters.next()),
            _ if character.is_whitespace() && !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

struct Options<'a, I: Iterator<Item = &'a str>> {
    words: std::iter::Peekable<I>,
    /// Some rule sets marks.
    marks: bool,
}

impl<'a, I: Iterator<Item = &'a str>> Options<'a, I> {
    /// The next option, and whether `!` stands before it.
    fn next_option(&mut self) -> Option<(bool, &'a str)> {
        let first = self.words.next()?;
        if first == "!" { Some((true, self.words.next()?)) } else { Some((false, first)) }
    }

    fn value(&mut self) -> &'a str {
        self.words.next().unwrap_or_default()
    }

    /// The condition of an option, whose values are taken; `None`: it is none, but says how another is meant.
    fn condition(&mut self, option: &str) -> Option<Condition> {
        Some(match option {
            "-m" | "--match" => {
                // Modules without an option of their own.
                return match self.value() {
                    "addrtype" | "comment" | "conntrack" | "state" | "limit" | "hashlimit" | "multiport" | "tcp" | "udp"
                    | "set" | "mark" | "connmark" | "pkttype" | "icmp" | "icmp6" | "iprange" | "recent" | "connlimit" | "mac"
                    | "rpfilter" => None,
                    "socket" => Some(Condition::Known(false)),
                    _ => Some(Condition::Unknown),
                };
            }
            "-s" => network(self.value()).map_or(Condition::Unknown, Condition::Source),
            "-d" => network(self.value()).map_or(Condition::Unknown, Condition::Destination),
            "-i" => Condition::Interface(self.value().replace('+', "*")),
            // Packets to this machine have no way out.
            "-o" => {
                self.value();
                Condition::Known(false)
            }
            "-p" => protocol(self.value()),
            "--dport" | "--dports" => ports(self.value(), Condition::DestinationPort),
            "--sport" | "--sports" => ports(self.value(), Condition::SourcePort),
            "--ports" => {
                let value = self.value();
                Condition::Any(vec![ports(value, Condition::DestinationPort), ports(value, Condition::SourcePort)])
            }
            "--ctstate" | "--state" => Condition::Known(self.value().split(',').any(|state| state == "NEW")),
            "--ctstatus" | "--ctproto" => self.status(option),
            "--ctdir" => Condition::Known(self.value() == "ORIGINAL"),
            "--tcp-flags" => flags(self.value(), self.value()),
            "--syn" => flags("FIN,SYN,RST,ACK", "SYN"),
            "--dst-type" => Condition::Known(self.value().split(',').any(|kind| kind == "LOCAL")),
            "--src-type" => Condition::Known(self.value().split(',').any(|kind| kind == "UNICAST")),
            "--match-set" => self.set(),
            "--src-range" | "--dst-range" => self.range(option),
            "--mark" => self.mark(),
            "--pkt-type" => Condition::Known(self.value() == "unicast"),
            // Rates that are not exceeded, and those that are.
            "--limit" | "--hashlimit-upto" | "--hashlimit" | "--connlimit-upto" => self.known(true),
            "--hashlimit-above" | "--connlimit-above" => self.known(false),
            // Nobody who asks for the first time is in the list.
            "--update" | "--rcheck" | "--remove" => Condition::Known(false),
            // Answers to the packet leave by the way it came (rpfilter).
            "--invert" => Condition::Known(false),
            "--loose" | "--validmark" | "--accept-local" | "--set" | "--limit-iface-in" | "--rsource" | "--rdest" | "--rttl"
            | "--reap" | "--connlimit-saddr" | "--connlimit-daddr" => {
                return None;
            }
            "--comment"
            | "--limit-burst"
            | "--hashlimit-burst"
            | "--hashlimit-mode"
            | "--hashlimit-name"
            | "--hashlimit-htable-size"
            | "--hashlimit-htable-max"
            | "--hashlimit-htable-expire"
            | "--hashlimit-htable-gcinterval"
            | "--hashlimit-srcmask"
            | "--hashlimit-dstmask"
            | "--connlimit-mask"
            | "--name"
            | "--seconds"
            | "--hitcount"
            | "--mask" => {
                self.value();
                return None;
            }
            _ => self.unknown(),
        })
    }

    fn known(&mut self, known: bool) -> Condition {
        self.value();
        Condition::Known(known)
    }

    fn status(&mut self, option: &str) -> Condition {
        let value = self.value();
        let later = ["DNAT", "SNAT", "ASSURED", "SEEN_REPLY", "EXPECTED"];
        let known = option == "--ctstatus" && value.split(',').all(|status| later.contains(&status));
        if known { Condition::Known(false) } else { Condition::Unknown }
    }

    /// An ipset, whose elements are elsewhere.
    fn set(&mut self) -> Condition {
        let (name, direction) = (self.value(), self.value());
        if direction == "src" { Condition::SourceSet(name.to_owned()) } else { Condition::Unknown }
    }

    fn range(&mut self, option: &str) -> Condition {
        let range = self.value().split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        let networks: Vec<IpNet> = match range {
            Some((std::net::IpAddr::V4(first), std::net::IpAddr::V4(last))) => {
                ipnet::Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect()
            }
            Some((std::net::IpAddr::V6(first), std::net::IpAddr::V6(last))) => {
                ipnet::Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect()
            }
            _ => return Condition::Unknown,
        };
        let one = |network| if option == "--src-range" { Condition::Source(network) } else { Condition::Destination(network) };
        Condition::Any(networks.into_iter().map(one).collect())
    }

    fn mark(&mut self) -> Condition {
        let value = self.value();
        let (value, mask) = value.split_once('/').unwrap_or((value, "0xffffffff"));
        let read = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        match read(value).zip(read(mask)) {
            Some((value, _)) if !self.marks => Condition::Known(value == 0),
            _ => Condition::Unknown,
        }
    }

    /// Takes what belongs to an option that is not known.
    fn unknown(&mut self) -> Condition {
        while self.words.next_if(|word| *word != "!" && !word.starts_with('-')).is_some() {}
        Condition::Unknown
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

fn protocol(name: &str) -> Condition {
    match name {
        "tcp" => Condition::Protocol(TCP),
        "udp" => Condition::Protocol(UDP),
        "all" | "0" => Condition::Known(true),
        _ => name.parse().map_or(Condition::Known(false), Condition::Protocol),
    }
}

fn ports(list: &str, condition: impl Fn(u16, u16) -> Condition) -> Condition {
    let one = |text: &str| {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        let (first, last) = (if first.is_empty() { "0" } else { first }, if last.is_empty() { "65535" } else { last });
        first.parse().ok().zip(last.parse().ok()).map_or(Condition::Unknown, |(first, last)| condition(first, last))
    };
    Condition::Any(list.split(',').map(one).collect())
}

fn flags(mask: &str, set: &str) -> Condition {
    let bits = |names: &str| {
        names.split(',').try_fold(0_u8, |all, name| match name {
            "NONE" => Some(all),
            "ALL" => Some(0x3f),
            _ => Some(all | 1 << FLAGS.iter().position(|flag| *flag == name)?),
        })
    };
    bits(mask).zip(bits(set)).map_or(Condition::Unknown, |(mask, set)| Condition::TcpFlags(mask, set))
}

#[cfg(test)]
#[path = "iptables_tests.rs"]
mod tests;
