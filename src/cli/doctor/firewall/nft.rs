//! Reads what `nft -j list ruleset` prints (libnftables-json(5)).

use serde_json::{Map, Value};

use super::nft_match::Sets;
use super::ruleset::{Action, Base, Branch, Chain, Condition, Families, Program, Rule, Ruleset, Table};

/// Characters of a rule that are shown.
const MAX_TEXT_CHARS: usize = 120;
/// Hooks that packets to this machine pass.
const HOOKS: [&str; 3] = ["ingress", "prerouting", "input"];
/// Statements that change nothing about a packet's fate.
const NEUTRAL: [&str; 12] = [
    "counter",
    "log",
    "comment",
    "continue",
    "mangle",
    "notrack",
    "flow",
    "secmark",
    "ct helper",
    "ct timeout",
    "ct expectation",
    "last",
];

/// The tables whose packets come to this machine. `skipped` tells, by family and name, which tables another reader has read.
///
/// # Errors
/// A sentence that says why the text can't be read.
pub(super) fn read(json: &str, skipped: &dyn Fn(&str, &str) -> bool) -> Result<Ruleset, String> {
    let root: Value = serde_json::from_str(json).map_err(|error| format!("nft's rules can't be read: {error}"))?;
    let objects = root.get("nftables").and_then(Value::as_array).ok_or("nft's rules can't be read: there is no list")?;
    let named = |kind: &'static str| objects.iter().filter_map(move |object| object.get(kind).and_then(Value::as_object));
    let sets: Vec<_> = named("set").chain(named("map")).collect();
    let marks = named("rule").any(|rule| sets_marks(rule));
    let mut ruleset = Ruleset::default();
    for table in named("table") {
        let (family, name) = (text(table, "family"), text(table, "name"));
        let Some(families) = families(family).filter(|_| !skipped(family, name)) else { continue };
        let here = |object: &Map<String, Value>| text(object, "family") == family && text(object, "table") == name;
        let sets = Sets::new(sets.iter().copied().filter(|set| here(set)), marks);
        let rules: Vec<_> = named("rule").filter(|rule| here(rule)).collect();
        let chains = named("chain").filter(|chain| here(chain)).map(|chain| {
            let name = text(chain, "name");
            let rules = rules.iter().filter(|rule| text(rule, "chain") == name).map(|rule| read_rule(rule, &sets)).collect();
            Chain { name: name.to_owned(), base: base(chain), rules }
        });
        let chains = chains.collect();
        ruleset.tables.push(Table { program: Program::Nft, families, name: format!("{family} {name}"), chains });
    }
    Ok(ruleset)
}

fn sets_marks(rule: &Map<String, Value>) -> bool {
    let statements = rule.get("expr").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let foreign = |statement: &Value| {
        let target = statement.pointer("/xt/name").and_then(Value::as_str).unwrap_or_default();
        ["MARK", "CONNMARK"].contains(&target)
    };
    let own = |statement: &Value| {
        let key = |kind| statement.pointer(kind).and_then(Value::as_str) == Some("mark");
        key("/mangle/key/meta/key") || key("/mangle/key/ct/key")
    };
    statements.iter().any(|statement| own(statement) || foreign(statement))
}

fn families(family: &str) -> Option<Families> {
    match family {
        "inet" | "netdev" => Some(Families::BOTH),
        "ip" => Some(Families::V4),
        "ip6" => Some(Families::V6),
        _ => None,
    }
}

fn base(chain: &Map<String, Value>) -> Option<Base> {
    let hook = HOOKS.contains(&text(chain, "hook"));
    hook.then(|| Base { translates: text(chain, "type") == "nat", drops: text(chain, "policy") == "drop" })
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn read_rule(rule: &Map<String, Value>, sets: &Sets<'_>) -> Rule {
    let mut read = Rule { handle: rule.get("handle").and_then(Value::as_u64), ..Rule::default() };
    let statements = rule.get("expr").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for statement in statements.iter().filter_map(Value::as_object).flat_map(Map::iter) {
        read_statement(statement.0, statement.1, sets, &mut read);
        if !read.branches.is_empty() {
            break;
        }
    }
    read.text = super::nft_words::rule(statements).chars().take(MAX_TEXT_CHARS).collect();
    read
}

fn read_statement(name: &str, value: &Value, sets: &Sets<'_>, rule: &mut Rule) {
    if let Some(action) = verdict(name, value) {
        rule.branches.push(Branch { conditions: Vec::new(), action });
        return;
    }
    match name {
        "match" => rule.conditions.push(sets.matches(value)),
        "vmap" => rule.branches = verdict_map(value, sets),
        "limit" | "ct count" => rule.conditions.push(rate(value)),
        // An element is added, while a rate is kept or exceeded.
        "set" | "map" | "meter" => rule.conditions.extend(nested_rate(value)),
        _ if NEUTRAL.contains(&name) => {}
        _ => rule.conditions.push(Condition::Unknown),
    }
}

/// A rate that is kept; with `inv`, one that is exceeded.
fn rate(value: &Value) -> Condition {
    Condition::Known(!value.get("inv").and_then(Value::as_bool).unwrap_or(false))
}

fn nested_rate(value: &Value) -> Option<Condition> {
    let statements = match value.get("stmt")? {
        Value::Array(statements) => statements.as_slice(),
        one => std::slice::from_ref(one),
    };
    statements.iter().find_map(|statement| statement.get("limit").or_else(|| statement.get("ct count"))).map(rate)
}

fn verdict(name: &str, value: &Value) -> Option<Action> {
    let target = || value.get("target").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(match name {
        "accept" | "masquerade" | "snat" => Action::Accept,
        "drop" | "reject" => Action::Drop,
        "return" => Action::Return,
        "jump" => Action::Jump(target()),
        "goto" => Action::Goto(target()),
        "dnat" | "redirect" | "tproxy" | "fwd" => Action::Translate,
        "queue" => Action::Unknown,
        _ => return None,
    })
}

fn verdict_map(value: &Value, sets: &Sets<'_>) -> Vec<Branch> {
    let unknown = || vec![Branch { conditions: vec![Condition::Unknown], action: Action::Unknown }];
    let Some((key, entries)) = value.get("key").zip(value.get("data").and_then(|data| sets.elements(data))) else {
        return unknown();
    };
    let mut branches = Vec::new();
    for entry in entries {
        let Some([element, action]) = entry.as_array().map(Vec::as_slice) else { return unknown() };
        let action = action.as_object().and_then(|action| action.iter().next());
        let Some((name, value)) = action else { return unknown() };
        if name == "continue" {
            continue;
        }
        let Some(action) = verdict(name, value) else { return unknown() };
        branches.push(Branch { conditions: vec![sets.equals(key, element)], action });
    }
    branches
}

#[cfg(test)]
#[path = "nft_tests.rs"]
mod tests;
