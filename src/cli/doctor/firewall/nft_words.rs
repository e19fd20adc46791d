//! A rule of nft's JSON in the words that nft uses, as far as they matter to a reader.

use serde_json::Value;

/// The statements, for example `udp dport 3478 counter drop`.
pub(super) fn rule(statements: &[Value]) -> String {
    let words = statements.iter().filter_map(Value::as_object).flat_map(|statement| statement.iter());
    words.map(|(name, value)| statement(name, value)).filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" ")
}

fn statement(name: &str, value: &Value) -> String {
    match name {
        "match" => {
            let op = value["op"].as_str().filter(|op| !["==", "in"].contains(op)).map(|op| format!("{op} ")).unwrap_or_default();
            format!("{} {op}{}", expression(&value["left"]), expression(&value["right"]))
        }
        "jump" | "goto" => format!("{name} {}", value["target"].as_str().unwrap_or_default()),
        "vmap" => format!("{} vmap …", expression(&value["key"])),
        "dnat" | "redirect" | "snat" => format!("{name} to {}", endpoint(value)),
        "counter" | "comment" | "log" => String::new(),
        "xt" => value["name"].as_str().unwrap_or(name).to_owned(),
        _ => name.to_owned(),
    }
}

fn endpoint(value: &Value) -> String {
    let port = value.get("port").map(|port| format!(":{}", expression(port))).unwrap_or_default();
    format!("{}{port}", value.get("addr").map(expression).unwrap_or_default())
}

fn expression(value: &Value) -> String {
    let list = |values: &Value, between: &str| {
        values.as_array().map(|values| values.iter().map(expression).collect::<Vec<_>>().join(between)).unwrap_or_default()
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let Some(object) = value.as_object() else {
        return match value {
            Value::String(text) => text.clone(),
            Value::Array(_) => list(value, ","),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
        };
    };
    let Some((kind, value)) = object.iter().next() else { return String::new() };
    match kind.as_str() {
        "payload" => format!("{} {}", text(&value["protocol"]), text(&value["field"])),
        "meta" if ["iif", "iifname", "oif", "oifname"].contains(&text(&value["key"]).as_str()) => text(&value["key"]),
        "meta" | "ct" => format!("{kind} {}", text(&value["key"])),
        "fib" => format!("fib {} {}", list(&value["flags"], " . "), text(&value["result"])),
        "set" => format!("{{ {} }}", list(value, ", ")),
        "range" => list(value, "-"),
        "prefix" => format!("{}/{}", text(&value["addr"]), value["len"]),
        "concat" => list(value, " . "),
        "&" => list(value, " & "),
        "|" => list(value, "|"),
        "elem" => expression(&value["val"]),
        _ => kind.clone(),
    }
}
