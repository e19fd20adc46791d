//! The descriptions of the APIs: OpenAPI 3.1 of the REST API, put together from what each router says of itself, and AsyncAPI 3 of the
//! events of Socket.IO and WebSockets, which is written by hand.
//!
//! `docs/api/openapi.json` is the same text; a test compares the two.

use serde_json::{Map, Value, json};
use utoipa::OpenApi as _;

use crate::api;
use crate::api::state::Descriptions;
use crate::apprtc::room_server;
use crate::check;
use crate::config::{BasePath, ProviderApis};
use crate::http::problem::{CodedProblem, PROBLEM_JSON, Problem};
use crate::http::redirect::NEVER_REDIRECTED;

/// AsyncAPI 3 of the events.
const ASYNCAPI: &str = include_str!("../../docs/api/asyncapi.json");

const ABOUT: &str = "The REST API of Castway: TURN credentials, facts about the server, usage, checks, and AppRTC's room server. \
                     docs/api.md says how to use it, and which parts stay as they are. Errors are problems (RFC 9457), except where clients \
                     that exist expect another form. Bodies are JSON in UTF-8, times are Unix seconds, and sizes are bytes.";

/// The groups of operations.
const TAGS: [(&str, &str); 6] = [
    ("credentials", "Time-limited credentials of the relay."),
    ("users", "The sign-in of casters, and what users have relayed."),
    ("server", "Facts about the server, for pages and monitors."),
    ("check", "The check of the ways from a device to this server, for the page `/check`."),
    ("apprtc", "The room server of AppRTC, whose clients fix the form of its answers."),
    (
        "providers",
        "The APIs of other providers of TURN servers, where `CASTWAY_PROVIDER_APIS` names them. Their errors have the provider's form; those \
         of the layers in front of all routes are problems here, too.",
    ),
];

/// What `/api/docs` serves.
pub(super) fn descriptions(base: &BasePath, providers: ProviderApis) -> Descriptions {
    let at = |path: &str| base.at(path).into_owned();
    let openapi = serde_json::to_string(&openapi(base, providers)).expect("a description is JSON");
    Descriptions {
        openapi: openapi.into(),
        asyncapi: ASYNCAPI,
        openapi_path: at("/api/docs/openapi.json"),
        asyncapi_path: at("/api/docs/asyncapi.json"),
    }
}

fn openapi(base: &BasePath, providers: ProviderApis) -> Value {
    let mut merged = api::openapi::Description::openapi();
    for part in [check::routes::Description::openapi(), room_server::Description::openapi(), api::providers::openapi(providers)] {
        merged.merge(part);
    }
    let mut document = serde_json::to_value(merged).expect("a description is JSON");
    document["info"] = json!({
        "title": "Castway",
        "version": env!("CARGO_PKG_VERSION"),
        "description": ABOUT,
        "license": {"name": "MIT or Apache 2.0", "identifier": env!("CARGO_PKG_LICENSE")},
    });
    document["servers"] = json!([{"url": base.at("/"), "description": "This server"}]);
    document["tags"] = TAGS.map(|(name, description)| json!({"name": name, "description": description})).to_vec().into();
    document["components"]["securitySchemes"] = json!({
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key of `CASTWAY_API_KEYS`; for a call, a token of `/api/sign-in`."},
        "password": {"type": "http", "scheme": "basic", "description": "The name and the password of a user."},
        "key": {"type": "apiKey", "in": "query", "name": "key", "description": "An API key. A query ends up in logs: prefer the bearer token."},
    });
    // utoipa requires a body that may have one of several kinds, and this one may also be left out.
    document["paths"]["/turn"]["post"]["requestBody"]["required"] = false.into();
    for (path, methods) in members(&mut document["paths"]) {
        give_own_ids(methods);
        for (method, operation) in members(methods) {
            add_common_answers(path, method, operation);
        }
    }
    document
}

/// One function that serves both methods describes both operations with the id of `GET`.
fn give_own_ids(methods: &mut Value) {
    let id = methods["get"]["operationId"].clone();
    if let Some(id) = id.as_str()
        && methods["post"]["operationId"] == id
    {
        methods["post"]["operationId"] = format!("{id}ByPost").into();
    }
}

/// Adds what the layers in front of all routes answer, and what all answers of a kind have.
fn add_common_answers(path: &str, method: &str, operation: &mut Value) {
    let tag = operation["tags"][0].as_str().unwrap_or_default().to_owned();
    // With a scheme of HTTP's own, and not with a key in the query alone.
    let by_http = operation["security"].is_array();
    let problem =
        |description: &str| json!({"description": description, "content": {PROBLEM_JSON: {"schema": reference::<Problem>()}}});
    let mut common = vec![("403", "`Forbidden`: the operator has blocked this address.")];
    if !NEVER_REDIRECTED.contains(&path) {
        common.push(("308", "`HttpsRequired`: the operator wants HTTPS; `Location` and `url` say where."));
    }
    if matches!(method, "post" | "put") {
        common.push(("408", "`RequestTimeout`: the body came too slowly."));
        common.push(("503", "`TooMuchUnfinished`: too many requests are unfinished."));
    }
    if path == "/api/usage" || matches!(&*tag, "credentials" | "check") {
        common.push((
            "429",
            "`TooManyRequests`: there were too many requests, or too many wrong keys or passwords, from this address.",
        ));
    }
    let answers = &mut operation["responses"];
    for (status, description) in common {
        let answer = &mut answers[status];
        if !answer["content"].is_object() {
            *answer = problem(description);
            continue;
        }
        answer["content"][PROBLEM_JSON] = json!({"schema": reference::<Problem>()});
        if tag == "providers" {
            let own = answer["description"].as_str().unwrap_or_default();
            answer["description"] = format!("{own} As a problem: {description}").into();
        }
    }
    for (status, answer) in members(answers) {
        if matches!(&**status, "408" | "429" | "503") && path != "/readyz" {
            answer["headers"]["Retry-After"] = json!({"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}});
        }
        if status == "308" {
            answer["headers"]["Location"] = json!({"schema": {"type": "string", "format": "uri"}});
        }
        if status == "401" && by_http {
            answer["headers"]["WWW-Authenticate"] = json!({"schema": {"type": "string"}});
        }
        let content = answer.get_mut("content").and_then(Value::as_object_mut);
        if let Some(content) = content
            && let Some(schema) = content.get("application/json")
            && [reference::<Problem>(), reference::<CodedProblem>()].contains(&schema["schema"])
            && let Some(schema) = content.remove("application/json")
        {
            content.insert(PROBLEM_JSON.to_owned(), schema);
        }
    }
}

fn reference<T: utoipa::ToSchema>() -> Value {
    json!({"$ref": format!("#/components/schemas/{}", T::name())})
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().map(Map::iter_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The committed description has them all; a server's has those that it speaks.
    const ALL: ProviderApis = ProviderApis { cloudflare: true, twilio: true, metered: true, xirsys: true };

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn the_committed_description_is_the_one_of_the_code() {
        let path = root().join("docs/api/openapi.json");
        let text = format!("{:#}\n", openapi(&BasePath::default(), ALL));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "docs/api/openapi.json is old: UPDATE_DOCS=1 cargo test --lib description writes it");
    }

    fn references(value: &Value) -> Vec<&str> {
        match value {
            Value::Object(fields) => {
                let own = fields.get("$ref").and_then(Value::as_str);
                own.into_iter().chain(fields.values().flat_map(references)).collect()
            }
            Value::Array(values) => values.iter().flat_map(references).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }

    /// Whichever providers a server speaks the APIs of.
    #[test]
    fn every_reference_leads_to_a_part_of_the_description() {
        for bits in 0..16_u8 {
            let has = |bit: u8| bits & (1 << bit) != 0;
            let providers = ProviderApis { cloudflare: has(0), twilio: has(1), metered: has(2), xirsys: has(3) };
            let document = openapi(&BasePath::default(), providers);
            let references = references(&document);
            assert!(references.len() > 50, "{references:?}");
            for reference in references {
                let found = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
                assert!(found.is_some(), "{reference} of {providers:?}");
            }
        }
        let asyncapi: Value = serde_json::from_str(ASYNCAPI).unwrap();
        for reference in references(&asyncapi) {
            assert!(reference.strip_prefix('#').is_some_and(|pointer| asyncapi.pointer(pointer).is_some()), "{reference}");
        }
    }

    /// The fields may come in the query as well, and `null` is no body.
    #[test]
    fn the_body_of_turn_may_be_left_out() {
        let document = openapi(&BasePath::default(), ALL);
        let post = &document["paths"]["/turn"]["post"];
        assert_eq!(post["requestBody"]["required"], false);
        let kinds = post["requestBody"]["content"].as_object().unwrap();
        assert_eq!(kinds.len(), 2);
        for kind in kinds.values() {
            let name = kind["schema"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            assert_eq!(document["components"]["schemas"][name].get("required"), None, "{name}");
        }
        let parameters = |method: &str| -> BTreeSet<String> {
            let all = document["paths"]["/turn"][method]["parameters"].as_array().unwrap();
            all.iter().map(|parameter| parameter["name"].to_string()).collect()
        };
        assert_eq!(parameters("post"), parameters("get"));
        assert!(post["parameters"].as_array().unwrap().iter().all(|parameter| parameter["required"] == false));
    }

    #[test]
    fn every_route_is_described_and_every_operation_is_a_route() {
        let mut routes = BTreeSet::new();
        for file in ["src/api/router.rs", "src/api/providers/mod.rs", "src/apprtc/room_server.rs", "src/check/routes.rs"] {
            let text = std::fs::read_to_string(root().join(file)).unwrap();
            let text = text
                .replace("&of_key(\"", "\"/v1/turn/keys/{id}/credentials/")
                .replace("{*", "{")
                .replace("params::ICE_CONFIG_PATH", &format!("{:?}", crate::apprtc::params::ICE_CONFIG_PATH))
                .replace("params::TURN_PATH", &format!("{:?}", crate::apprtc::params::TURN_PATH));
            routes.extend(text.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
        // Certificate authorities alone request it, as RFC 8555 says.
        assert!(routes.remove("/.well-known/acme-challenge/{token}"));
        let document = openapi(&BasePath::default(), ALL);
        let described: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(described, routes);
    }

    /// The event names in the text of a file of `src/`: its string literals that `is_event` takes, with the text before and behind.
    fn literals(file: &str, is_event: impl Fn(&str, &str, &str) -> bool) -> BTreeSet<String> {
        let text = std::fs::read_to_string(root().join("src").join(file)).unwrap();
        let code = text.split("\n#[cfg(test)]").next().unwrap();
        let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let pieces: Vec<&str> = code.split('"').collect();
        let literals = pieces.windows(3).step_by(2).filter(|piece| is_event(piece[0], piece[1], piece[2]));
        literals.map(|piece| piece[1].to_owned()).collect()
    }

    fn described_events(channel: &str) -> BTreeSet<String> {
        let document: Value = serde_json::from_str(ASYNCAPI).unwrap();
        let messages = document["channels"][channel]["messages"].as_object().unwrap();
        let names = messages.keys().map(|key| document["components"]["messages"][key]["name"].as_str().unwrap().to_owned());
        names.filter(|name| name != "acknowledgement").collect()
    }

    #[test]
    fn every_event_of_the_cast_flow_is_described_and_no_other() {
        let is_event = |_: &str, name: &str, _: &str| {
            let (first, rest) = name.split_once('_').unwrap_or((name, ""));
            first.len() > 1
                && first.bytes().all(|byte| byte.is_ascii_uppercase())
                && rest.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
                && (!rest.is_empty() || matches!(first, "CONFIG" | "VERIFY"))
        };
        let wire = std::fs::read_dir(root().join("src/cast/wire")).unwrap();
        let wire = wire.map(|file| format!("cast/wire/{}", file.unwrap().file_name().into_string().unwrap()));
        let files = wire.filter(|file| !file.ends_with("_tests.rs")).chain(["cast/gateway.rs".into(), "cast/entries.rs".into()]);
        let written: BTreeSet<String> = files.flat_map(|file| literals(&file, is_event)).collect();
        assert_eq!(described_events("cast"), written);
    }

    #[test]
    fn every_event_of_rtcmulticonnection_is_described_and_no_other() {
        let is_named = |name: &str| name.contains('-') && !name.contains(' ') || matches!(name, "admin" | "logs");
        let read = literals("multiconnection/wire/read.rs", |before, name, behind| {
            is_named(name) && (behind.starts_with(" =>") || before.ends_with("event == "))
        });
        let write = literals("multiconnection/wire/write.rs", |_, name, _| is_named(name) || name == "set-isInitiator-true");
        // The name that clients choose for messages, if they choose none.
        let message = literals("multiconnection/wire/handshake.rs", |_, name, _| name == "RTCMultiConnection-Message");
        assert_eq!(described_events("multiconnection"), [read, write, message].into_iter().flatten().collect());
    }

    #[test]
    fn every_command_of_collider_is_described_and_no_other() {
        let commands = literals("apprtc/wire.rs", |_, _, behind| behind.starts_with(" => Self::"));
        let delivered = ["delivery".to_owned()];
        assert_eq!(described_events("collider"), commands.into_iter().chain(delivered).collect());
    }

    #[test]
    fn what_both_descriptions_describe_is_the_same() {
        let openapi = openapi(&BasePath::default(), ALL);
        let mut asyncapi: Value = serde_json::from_str(ASYNCAPI).unwrap();
        let report = asyncapi["components"]["schemas"]["Report"]["properties"].as_object_mut().unwrap();
        assert!(report.remove("send").is_some(), "an event has it in the report, and the REST API in the query");
        let asyncapi = asyncapi["components"]["schemas"].as_object().unwrap();
        let common: Vec<&str> = asyncapi
            .iter()
            .filter(|(name, _)| !openapi["components"]["schemas"][name].is_null())
            .map(|(name, _)| &**name)
            .collect();
        assert!(common.contains(&"Report") && common.contains(&"VerdictReply"), "{common:?}");
        for name in common {
            assert_eq!(asyncapi[name], openapi["components"]["schemas"][name], "{name} in docs/api/asyncapi.json");
        }
    }

    #[test]
    fn both_descriptions_have_the_version_of_the_server() {
        let version = |json: &str| serde_json::from_str::<Value>(json).unwrap()["info"]["version"].clone();
        let docs = descriptions(&BasePath::default(), ALL);
        assert_eq!(version(&String::from_utf8_lossy(&docs.openapi)), env!("CARGO_PKG_VERSION"));
        assert_eq!(version(docs.asyncapi), env!("CARGO_PKG_VERSION"), "set info.version in docs/api/asyncapi.json");
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_says_what_it_does() {
        let document = openapi(&BasePath::default(), ALL);
        let mut ids = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id}");
                assert!(operation["summary"].is_string(), "{method} {path}");
                let tag = operation["tags"][0].as_str().unwrap();
                assert!(TAGS.iter().any(|(name, _)| *name == tag), "{method} {path}: {tag}");
            }
        }
    }
}
