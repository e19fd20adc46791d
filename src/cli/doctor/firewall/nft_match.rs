//! Matches of nft's rules as conditions. What is not understood is [`Condition::Unknown`].

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::packet::SYN;
use super::ruleset::{Condition, TCP, UDP};

/// Elements of a set that are read; of a larger one nothing is known.
const MAX_ELEMENTS: usize = 65_536;
/// Elements of a named set of sources that are looked at one by one.
const MAX_NAMED: usize = 1024;
/// The flags of TCP, from the lowest bit.
const FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];

/// The named sets and maps of one table.
pub(super) struct Sets<'a> {
    named: HashMap<&'a str, &'a Map<String, Value>>,
    /// Some rule sets marks.
    marks: bool,
}

impl<'a> Sets<'a> {
    pub(super) fn new(sets: impl Iterator<Item = &'a Map<String, Value>>, marks: bool) -> Self {
        Self { named: sets.filter_map(|set| Some((set.get("name")?.as_str()?, set))).collect(), marks }
    }

    /// The elements of a set that stands here, or that is named here.
    pub(super) fn elements<'b>(&self, value: &'b Value) -> Option<&'b [Value]>
    where
        'a: 'b,
    {
        let elements = match value.as_str().and_then(|name| name.strip_prefix('@')) {
            Some(name) => self.named.get(name)?.get("elem").map_or(Some(&[][..]), |elem| elem.as_array().map(Vec::as_slice))?,
            None => value.get("set")?.as_array()?,
        };
        (elements.len() <= MAX_ELEMENTS).then_some(elements)
    }

    /// The condition of `{"op": …, "left": …, "right": …}`.
    pub(super) fn matches(&self, value: &Value) -> Condition {
        let (Some(left), Some(right)) = (value.get("left"), value.get("right")) else { return Condition::Unknown };
        match value.get("op").and_then(Value::as_str).unwrap_or_default() {
            "==" | "in" => self.equals(left, right),
            "!=" => Condition::All(vec![carrier(left), self.equals(left, right).negated(true)]),
            order @ ("<" | ">" | "<=" | ">=") => compared(left, order, right),
            _ => Condition::Unknown,
        }
    }

    /// The condition that `left` is `right`, or among its elements.
    pub(super) fn equals(&self, left: &Value, right: &Value) -> Condition {
        if let Some(name) = right.as_str().and_then(|name| name.strip_prefix('@'))
            && is_source(left)
            && self.elements(right).is_none_or(|elements| elements.len() > MAX_NAMED)
        {
            return Condition::SourceSet(name.to_owned());
        }
        if right.as_str().is_some_and(|name| name.starts_with('@')) || right.get("set").is_some() {
            let Some(elements) = self.elements(right) else { return Condition::Unknown };
            return Condition::Any(elements.iter().map(|element| self.equals(left, element)).collect());
        }
        let right = right.pointer("/elem/val").unwrap_or(right);
        if let Some(parts) = left.get("concat").and_then(Value::as_array) {
            let Some(values) = right.get("concat").and_then(Value::as_array) else { return Condition::Unknown };
            return Condition::All(parts.iter().zip(values).map(|(part, value)| self.equals(part, value)).collect());
        }
        if let Some(values) = right.as_array() {
            let any = || Condition::Any(values.iter().map(|value| self.single(left, value)).collect());
            return if is_flags(left) { flags(left, right) } else { any() };
        }
        self.single(left, right)
    }

    /// The condition that `left` is the one value (or range, or network) `right`.
    fn single(&self, left: &Value, right: &Value) -> Condition {
        let key = |kind: &str| left.pointer(kind).and_then(Value::as_str);
        if key("/meta/key") == Some("mark") || key("/ct/key") == Some("mark") {
            return if self.marks { Condition::Unknown } else { Condition::Known(right == 0) };
        }
        single(left, right)
    }
}

fn is_source(left: &Value) -> bool {
    left.pointer("/payload/field").and_then(Value::as_str) == Some("saddr")
}

fn is_flags(left: &Value) -> bool {
    let field = left.get("&").and_then(|parts| parts.get(0)).unwrap_or(left);
    field.pointer("/payload/field").and_then(Value::as_str) == Some("flags")
}

/// The condition that `left` is the one value (or range, or network) `right`.
fn single(left: &Value, right: &Value) -> Condition {
    if is_flags(left) {
        return flags(left, right);
    }
    if let Some(field) = left.pointer("/payload/field").and_then(Value::as_str) {
        return payload(left.pointer("/payload/protocol").and_then(Value::as_str).unwrap_or_default(), field, right);
    }
    if let Some(key) = left.pointer("/meta/key").and_then(Value::as_str) {
        return meta(key, right);
    }
    if let Some(key) = left.pointer("/ct/key").and_then(Value::as_str) {
        return connection(key, right);
    }
    left.get("fib").map_or(Condition::Unknown, |fib| route(fib, right))
}

/// What a packet must be to have the field `left` at all.
fn carrier(left: &Value) -> Condition {
    if let Some(parts) = left.get("concat").and_then(Value::as_array) {
        return Condition::All(parts.iter().map(carrier).collect());
    }
    let field = left.get("&").and_then(|parts| parts.get(0)).unwrap_or(left);
    match field.pointer("/payload/protocol").and_then(Value::as_str) {
        Some("tcp") => Condition::Protocol(TCP),
        Some("udp") => Condition::Protocol(UDP),
        Some("ip") => Condition::V6(false),
        Some("ip6") => Condition::V6(true),
        Some("th") | None => Condition::Known(true),
        Some(_) => Condition::Known(false),
    }
}

fn payload(protocol: &str, field: &str, right: &Value) -> Condition {
    let of = |number: u8, condition: Condition| Condition::All(vec![Condition::Protocol(number), condition]);
    let family = |v6: bool, condition: Condition| Condition::All(vec![Condition::V6(v6), condition]);
    match (protocol, field) {
        ("tcp", "dport" | "sport") => of(TCP, port(field, right)),
        ("udp", "dport" | "sport") => of(UDP, port(field, right)),
        ("th", "dport" | "sport") => port(field, right),
        ("ip" | "ip6", "saddr" | "daddr") => family(protocol == "ip6", address(field, right)),
        ("ip", "protocol") => family(false, transport(right)),
        ("ip6", "nexthdr") => family(true, transport(right)),
        ("tcp", _) => of(TCP, Condition::Unknown),
        ("udp", _) => of(UDP, Condition::Unknown),
        ("ip" | "ip6", _) => family(protocol == "ip6", Condition::Unknown),
        ("icmp" | "icmpv6" | "sctp" | "dccp" | "esp" | "ah" | "comp" | "udplite" | "igmp" | "arp", _) => Condition::Known(false),
        _ => Condition::Unknown,
    }
}

fn port(field: &str, right: &Value) -> Condition {
    let range = match right.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        Some([first, last]) => number(first).zip(number(last)),
        Some(_) => None,
        None => number(right).map(|port| (port, port)),
    };
    match range {
        Some((first, last)) if field == "dport" => Condition::DestinationPort(first, last),
        Some((first, last)) => Condition::SourcePort(first, last),
        None => Condition::Unknown,
    }
}

fn number(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok()
}

fn compared(left: &Value, order: &str, right: &Value) -> Condition {
    let Some(limit) = number(right).filter(|_| left.pointer("/payload/field").is_some()) else { return Condition::Unknown };
    let range = match order {
        "<" => limit.checked_sub(1).map(|last| (0, last)),
        "<=" => Some((0, limit)),
        ">" => limit.checked_add(1).map(|first| (first, u16::MAX)),
        _ => Some((limit, u16::MAX)),
    };
    match range {
        Some((first, last)) => single(left, &serde_json::json!({ "range": [first, last] })),
        None => Condition::Known(false),
    }
}

fn address(field: &str, right: &Value) -> Condition {
    let networks = networks(right);
    if networks.is_empty() {
        return Condition::Unknown;
    }
    let one = |network| if field == "saddr" { Condition::Source(network) } else { Condition::Destination(network) };
    Condition::Any(networks.into_iter().map(one).collect())
}

/// The networks of an address, a network or a range of addresses.
fn networks(value: &Value) -> Vec<IpNet> {
    let ip = |value: &Value| value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    if let Some([first, last]) = value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        return match (ip(first), ip(last)) {
            (Some(IpAddr::V4(first)), Some(IpAddr::V4(last))) => ipnet::Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect(),
            (Some(IpAddr::V6(first)), Some(IpAddr::V6(last))) => ipnet::Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect(),
            _ => Vec::new(),
        };
    }
    if let Some(prefix) = value.get("prefix") {
        let length = prefix.get("len").and_then(Value::as_u64).and_then(|length| u8::try_from(length).ok());
        let network = prefix.get("addr").and_then(ip).zip(length).and_then(|(ip, length)| IpNet::new(ip, length).ok());
        return network.into_iter().collect();
    }
    ip(value).map(IpNet::from).into_iter().collect()
}

fn transport(right: &Value) -> Condition {
    match right.as_str() {
        Some("tcp") => Condition::Protocol(TCP),
        Some("udp") => Condition::Protocol(UDP),
        Some(_) => Condition::Known(false),
        None => right.as_u64().and_then(|number| u8::try_from(number).ok()).map_or(Condition::Unknown, Condition::Protocol),
    }
}

fn meta(key: &str, right: &Value) -> Condition {
    let name = right.as_str().unwrap_or_default();
    match key {
        "l4proto" => transport(right),
        "nfproto" => Condition::V6(name == "ipv6"),
        "protocol" if ["ip", "ip6"].contains(&name) => Condition::V6(name == "ip6"),
        "protocol" => Condition::Known(false),
        "iif" | "iifname" if !name.is_empty() => Condition::Interface(name.to_owned()),
        "pkttype" => Condition::Known(["host", "unicast"].contains(&name)),
        "iiftype" if name == "loopback" => Condition::Known(false),
        // Packets to this machine have no way out.
        "oif" | "oifname" => Condition::Known(false),
        _ => Condition::Unknown,
    }
}

fn connection(key: &str, right: &Value) -> Condition {
    let name = right.as_str().unwrap_or_default();
    match key {
        "state" if !name.is_empty() => Condition::Known(name == "new"),
        "status" if ["dnat", "snat", "assured", "seen-reply", "expected", "dying"].contains(&name) => Condition::Known(false),
        "direction" if !name.is_empty() => Condition::Known(name == "original"),
        _ => Condition::Unknown,
    }
}

/// Lookups in the routing table, as they come out for an address that is answered the way the packet came.
fn route(fib: &Value, right: &Value) -> Condition {
    let flags = fib.get("flags").and_then(Value::as_array);
    let of = |name: &str| flags.is_some_and(|flags| flags.iter().any(|flag| flag == name));
    match fib.get("result").and_then(Value::as_str) {
        Some("type") if of("daddr") => Condition::Known(right == "local"),
        Some("type") if of("saddr") => Condition::Known(right == "unicast"),
        Some("oif" | "oifname") if of("saddr") && (right.is_boolean() || right == 0) => Condition::Known(right == true),
        _ => Condition::Unknown,
    }
}

/// `tcp flags syn`, `tcp flags & (fin|syn) == syn` and the like.
fn flags(left: &Value, right: &Value) -> Condition {
    let bits = |value: &Value| {
        let names = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        let bit = |name: &Value| FLAGS.iter().position(|flag| name == flag).map(|bit| 1_u8 << bit);
        let own = value.as_u64().and_then(|number| u8::try_from(number).ok());
        let listed = value.get("|").cloned().map(|names| names.as_array().cloned().unwrap_or_default());
        own.or_else(|| listed.unwrap_or(names).iter().try_fold(0, |all, name| Some(all | bit(name)?)))
    };
    let condition = match left.get("&").and_then(Value::as_array).map(Vec::as_slice) {
        Some([_, mask]) => bits(mask).zip(bits(right)).map(|(mask, set)| Condition::TcpFlags(mask, set)),
        Some(_) => None,
        // Without a mask, one common flag is enough.
        None => bits(right).map(|set| Condition::Known(set & SYN != 0)),
    };
    Condition::All(vec![Condition::Protocol(TCP), condition.unwrap_or(Condition::Unknown)])
}
