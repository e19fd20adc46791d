//! `params`: the room server's description of a call, built from the query of the client's request. PURE.
//!
//! Some values are plain, and some are strings that contain JSON, because the original server inserted them into a page: clients
//! parse those a second time.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::model::Joined;

/// The route of the ICE servers.
pub const ICE_CONFIG_PATH: &str = "/v1alpha/iceconfig";
/// The route of the TURN servers for clients of 2014 to 2016.
pub const TURN_PATH: &str = "/v1alpha/turn";

/// A client's query, the server's address, and the client's `User-Agent`.
#[derive(Debug)]
pub struct Query<'a> {
    /// An origin and the base path, without a slash at the end, such as `https://call.example.org` or `https://example.org/castway`.
    server: Cow<'a, str>,
    user_agent: &'a str,
    raw: &'a str,
    fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// `user_agent` is empty if the client sent none.
    pub fn new(server: &'a str, raw: &'a str, user_agent: &'a str) -> Self {
        // The original's parser splits at both characters.
        let pairs = raw.split(['&', ';']);
        let fields = pairs.flat_map(|pair| form_urlencoded::parse(pair.as_bytes())).collect();
        let mut query = Self { server: server.into(), user_agent, raw, fields };
        // The client states that a proxy terminates TLS.
        if query.text("wstls") == "true"
            && let Some(host) = server.strip_prefix("http://")
        {
            query.server = format!("https://{host}").into();
        }
        query
    }

    pub fn is_loopback(&self) -> bool {
        self.text("debug") == "loopback"
    }

    /// `params` without a room.
    pub fn params(&self) -> Map<String, Value> {
        let (wss_url, wss_post_url) = self.collider();
        let loopback_script = if self.is_loopback() { "<script src=\"/js/loopback.js\"></script>" } else { "" };
        let params = json!({
            "header_message": null,
            "error_messages": [],
            "warning_messages": self.warnings(),
            "is_loopback": json!(self.is_loopback()).to_string(),
            "pc_config": self.pc_config().to_string(),
            "pc_constraints": self.pc_constraints().to_string(),
            "offer_options": json!({}).to_string(),
            "media_constraints": self.media_constraints().to_string(),
            "ice_server_url": self.ice_server_url(),
            "ice_server_transports": self.text("tt"),
            // Clients of 2014 to 2016 use these two instead.
            "turn_url": self.service(&self.server, TURN_PATH),
            "turn_transports": self.text("tt"),
            "include_loopback_js": loopback_script,
            "wss_url": wss_url,
            "wss_post_url": wss_post_url,
            "bypass_join_confirmation": json!(false).to_string(),
            "version_info": json!(null).to_string(),
        });
        match params {
            Value::Object(params) => params,
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                unreachable!("an object was built, not {other}")
            }
        }
    }

    /// `params` for a client that has joined `room`.
    pub fn joined(&self, room: &str, joined: &Joined) -> Map<String, Value> {
        let mut params = self.params();
        let link = match &*without_token(self.raw) {
            "" => format!("{}/r/{room}", self.server),
            query => format!("{}/r/{room}?{query}", self.server),
        };
        params.insert("room_id".into(), room.into());
        params.insert("room_link".into(), link.into());
        params.insert("client_id".into(), joined.client.as_str().into());
        // The web client compares with 'true'.
        params.insert("is_initiator".into(), json!(joined.initiator).to_string().into());
        params.insert("messages".into(), json!(joined.messages));
        params
    }

    /// The first value of a parameter.
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    fn text(&self, name: &str) -> &str {
        self.field(name).unwrap_or_default()
    }

    /// `iceServers` stays empty: the Android client expects a string in `urls`, and ignores `username`.
    fn pc_config(&self) -> Value {
        let mut config = json!({"iceServers": [], "bundlePolicy": "max-bundle", "rtcpMuxPolicy": "require"});
        match self.text("it") {
            "" => {}
            transports => config["iceTransports"] = transports.into(),
        }
        config
    }

    fn pc_constraints(&self) -> Value {
        // A client can't speak DTLS with itself.
        let dtls = if self.is_loopback() { "false" } else { self.text("dtls") };
        let switches = [(dtls, "DtlsSrtpKeyAgreement"), (self.text("dscp"), "googDscp"), (self.text("ipv6"), "googIPv6")];
        let optional = switches.into_iter().filter_map(|(switch, constraint)| {
            let switch: bool = switch.to_lowercase().parse().ok()?;
            Some(json!({constraint: switch}))
        });
        json!({"optional": optional.collect::<Vec<_>>()})
    }

    fn warnings(&self) -> Vec<String> {
        let (hd, video) = (self.text("hd"), self.text("video"));
        let overridden =
            (!hd.is_empty() && !video.is_empty()).then(|| format!("The \"hd\" parameter has overridden video={video}"));
        let unsupported = !self.text("minre").is_empty() || !self.text("maxre").is_empty();
        let unsupported = unsupported
            .then(|| "The \"minre\" and \"maxre\" parameters are no longer supported. Use \"video\" instead.".to_owned());
        overridden.into_iter().chain(unsupported).collect()
    }

    fn media_constraints(&self) -> Value {
        let (hd, video) = (self.text("hd").to_lowercase(), self.text("video"));
        let video = match hd.as_str() {
            "true" => "mandatory:minWidth=1280,mandatory:minHeight=720",
            "" if video.is_empty() && self.has_hd_by_default() => "optional:minWidth=1280,optional:minHeight=720",
            _ => video,
        };
        let mut constraints = json!({"audio": track(self.text("audio")), "video": track(video)});
        if !self.text("firefox_fake_device").is_empty() {
            constraints["fake"] = true.into();
        }
        constraints
    }

    /// Desktop Chrome, and browsers with its user agent.
    fn has_hd_by_default(&self) -> bool {
        self.user_agent.contains("Chrome") && !self.user_agent.contains("Android")
    }

    /// `ts` names another server; an empty `ts` disables it.
    fn ice_server_url(&self) -> String {
        match self.field("ts").unwrap_or(&self.server) {
            "" => String::new(),
            base => self.service(base, ICE_CONFIG_PATH),
        }
    }

    /// The URL of a route that lists ICE servers. For this server it contains the transport: clients filter the URLs by `tt`
    /// themselves, and append it to URLs without a transport, which makes a `stun:` URL unusable.
    fn service(&self, base: &str, route: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("key", self.text("apikey"));
        if base == self.server && !self.text("tt").is_empty() {
            query.append_pair("tt", self.text("tt"));
        }
        format!("{base}{route}?{}", query.finish())
    }

    /// Collider's URL for WebSockets and its address for HTTP. `wshpp`, which names another host, is ignored: the original posted
    /// messages to any host that a client named.
    fn collider(&self) -> (String, String) {
        let (scheme, host_and_path) = self.server.split_once("://").unwrap_or(("http", &self.server));
        let tls = scheme == "https" && self.text("wstls") != "false";
        match tls {
            true => (format!("wss://{host_and_path}/ws"), format!("https://{host_and_path}")),
            false => (format!("ws://{host_and_path}/ws"), format!("http://{host_and_path}")),
        }
    }
}

/// The query without the token of the client that sent it: whoever gets the link must not get that.
fn without_token(query: &str) -> String {
    let is_token = |part: &str| form_urlencoded::parse(part.as_bytes()).any(|(name, _)| name == "token");
    // The token itself may contain a semicolon.
    let pairs = query.split('&').filter(|pair| !is_token(pair));
    let kept = pairs.map(|pair| pair.split(';').filter(|part| !is_token(part)).collect::<Vec<_>>().join(";"));
    kept.collect::<Vec<_>>().join("&")
}

/// The constraints of a track: `true`, `false`, or a comma-separated list of `[KIND:]key=value`. The kind `mandatory` makes a
/// constraint mandatory; without a kind, every key except `goog*` is mandatory. An item without exactly one `=` is dropped.
fn track(text: &str) -> Value {
    match text.to_lowercase().as_str() {
        "" | "true" => return true.into(),
        "false" => return false.into(),
        _ => {}
    }
    let (mut mandatory, mut optional) = (Map::new(), Vec::new());
    for item in text.split(',') {
        let parts: Vec<&str> = item.split(':').collect();
        let is_mandatory = match parts[..] {
            [kind, _] => kind == "mandatory",
            _ => !item.starts_with("goog"),
        };
        let constraint: Vec<&str> = parts.last().unwrap_or(&item).split('=').collect();
        match constraint[..] {
            [key, value] if is_mandatory => drop(mandatory.insert(key.into(), value.into())),
            [key, value] => optional.push(json!({key: value})),
            _ => {}
        }
    }
    json!({"mandatory": mandatory, "optional": optional})
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://call.example.org";

    fn params(query: &str) -> Map<String, Value> {
        Query::new(ORIGIN, query, "").params()
    }

    /// A string that contains JSON.
    fn json_in(params: &Map<String, Value>, key: &str) -> Value {
        serde_json::from_str(params[key].as_str().expect("a string")).expect("JSON")
    }

    #[test]
    fn some_values_are_arrays_some_plain_and_some_contain_json() {
        let params = params("");
        assert_eq!((&params["error_messages"], &params["warning_messages"]), (&json!([]), &json!([])));
        assert_eq!(params["header_message"], Value::Null);
        for plain in ["ice_server_transports", "include_loopback_js"] {
            assert_eq!(params[plain], "", "{plain}");
        }
        assert_eq!(params["wss_url"], "wss://call.example.org/ws");
        assert_eq!(params["wss_post_url"], ORIGIN);
        assert_eq!(params["ice_server_url"], "https://call.example.org/v1alpha/iceconfig?key=");
        let config = json!({"iceServers": [], "bundlePolicy": "max-bundle", "rtcpMuxPolicy": "require"});
        assert_eq!(json_in(&params, "pc_config"), config);
        assert_eq!(json_in(&params, "pc_constraints"), json!({"optional": []}));
        assert_eq!(json_in(&params, "offer_options"), json!({}));
        assert_eq!(json_in(&params, "media_constraints"), json!({"audio": true, "video": true}));
        for (key, text) in [("is_loopback", "false"), ("bypass_join_confirmation", "false"), ("version_info", "null")] {
            assert_eq!(params[key], text, "{key}");
        }
        for absent in ["room_id", "room_link", "client_id", "is_initiator", "messages"] {
            assert!(!params.contains_key(absent), "{absent}");
        }
    }

    #[test]
    fn a_join_adds_the_room_and_is_initiator_is_a_string() {
        let joined = Joined { client: "01234567".into(), initiator: true, messages: vec!["{\"type\":\"offer\"}".into()] };
        let params = Query::new(ORIGIN, "hd=true&x=a%20b", "").joined("room", &joined);
        assert_eq!(params["is_initiator"], "true");
        assert_eq!(params["room_id"], "room");
        assert_eq!(params["client_id"], "01234567");
        assert_eq!(params["room_link"], "https://call.example.org/r/room?hd=true&x=a%20b");
        assert_eq!(params["messages"], json!(["{\"type\":\"offer\"}"]));
        let second =
            Query::new("http://192.0.2.1:8080", "", "").joined("room", &Joined { initiator: false, messages: vec![], ..joined });
        assert_eq!((&second["is_initiator"], &second["messages"]), (&json!("false"), &json!([])));
        assert_eq!(second["room_link"], "http://192.0.2.1:8080/r/room");
    }

    #[test]
    fn a_link_has_no_token() {
        for (query, link) in [
            ("hd=true&token=x", "?hd=true"),
            ("token=x&hd=true", "?hd=true"),
            ("token=x", ""),
            ("token", ""),
            ("to%6ben=x;y&a=1;b=2&token=z", "?a=1;b=2"),
            ("a=1;token=x;b=2", "?a=1;b=2"),
            ("mytoken=1&tokens=2&a=token", "?mytoken=1&tokens=2&a=token"),
        ] {
            let joined = Joined { client: "1".into(), initiator: true, messages: vec![] };
            let params = Query::new(ORIGIN, query, "").joined("room", &joined);
            assert_eq!(params["room_link"], format!("{ORIGIN}/r/room{link}"), "{query}");
        }
    }

    const DESKTOP_CHROMES: [&str; 2] = [
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
    ];
    const OTHERS: [&str; 6] = [
        "",
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0.0.0 Mobile/15E148",
        "Dalvik/2.1.0 (Linux; U; Android 12; Pixel 5 Build/SP1A)",
    ];
    const JSON: [&str; 7] = [
        "is_loopback",
        "pc_config",
        "pc_constraints",
        "offer_options",
        "media_constraints",
        "bypass_join_confirmation",
        "version_info",
    ];

    /// The original's answers: first the answer to an empty query, then for each query the differences from it, and the media
    /// constraints of desktop Chrome if they differ from those of other browsers. JSON in strings is parsed; Collider's host is ours.
    #[test]
    fn every_parameter_is_the_originals() {
        let observed: Vec<Value> = serde_json::from_str(include_str!("params_observed.json")).unwrap();
        let (base, rows) = observed.split_first().unwrap();
        let mut compared = 0;
        for row in rows {
            let query = row[0].as_str().unwrap();
            for user_agent in DESKTOP_CHROMES.into_iter().chain(OTHERS) {
                let mut expected = base.as_object().unwrap().clone();
                expected.extend(row[1].as_object().unwrap().clone());
                if DESKTOP_CHROMES.contains(&user_agent) && row[2].is_object() {
                    expected.insert("media_constraints".into(), row[2].clone());
                }
                let params = Query::new(ORIGIN, query, user_agent).params();
                for (key, expected) in expected {
                    let ours = if JSON.contains(&key.as_str()) { json_in(&params, &key) } else { params[&key].clone() };
                    assert_eq!(ours, expected, "{key} of {query} for {user_agent}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 15_000, "{compared}");
    }

    #[test]
    fn plain_http_has_plain_websockets_and_wstls_decides() {
        let urls = |origin, query| {
            let params = Query::new(origin, query, "").params();
            ["wss_url", "wss_post_url"].map(|key| params[key].as_str().unwrap().to_owned())
        };
        let plain = "http://192.0.2.1:8080";
        assert_eq!(urls(plain, ""), ["ws://192.0.2.1:8080/ws", plain]);
        assert_eq!(urls(plain, "wstls=false"), ["ws://192.0.2.1:8080/ws", plain]);
        assert_eq!(urls(ORIGIN, "wstls=false"), ["ws://call.example.org/ws", "http://call.example.org"]);
        assert_eq!(urls(ORIGIN, "wstls=true"), ["wss://call.example.org/ws", ORIGIN]);
        assert_eq!(urls(plain, "wstls=true"), ["wss://192.0.2.1:8080/ws", "https://192.0.2.1:8080"]);
        // Something ends TLS in front of this server, the original says then; the page's own origin has it, too.
        let joined = Joined { client: "1".into(), initiator: true, messages: vec![] };
        let joined = Query::new(plain, "wstls=true", "").joined("room", &joined);
        assert_eq!(joined["room_link"], "https://192.0.2.1:8080/r/room?wstls=true");
        assert_eq!(joined["ice_server_url"], "https://192.0.2.1:8080/v1alpha/iceconfig?key=");
    }

    #[test]
    fn every_url_has_the_base_path() {
        let at = |server| {
            let joined = Joined { client: "1".into(), initiator: true, messages: vec![] };
            let params = Query::new(server, "tt=tcp&wstls=true", "").joined("room", &joined);
            let urls = ["room_link", "ice_server_url", "turn_url", "wss_url", "wss_post_url"];
            urls.map(|key| params[key].as_str().unwrap().to_owned())
        };
        let expected = [
            "https://example.org/castway/r/room?tt=tcp&wstls=true",
            "https://example.org/castway/v1alpha/iceconfig?key=&tt=tcp",
            "https://example.org/castway/v1alpha/turn?key=&tt=tcp",
            "wss://example.org/castway/ws",
            "https://example.org/castway",
        ];
        for server in ["https://example.org/castway", "http://example.org/castway"] {
            assert_eq!(at(server), expected);
        }
        let plain = Query::new("http://example.org/castway", "", "").params();
        assert_eq!(
            (&plain["wss_url"], &plain["wss_post_url"]),
            (&json!("ws://example.org/castway/ws"), &json!("http://example.org/castway"))
        );
    }

    #[test]
    fn wshpp_is_ignored() {
        assert_eq!(params("wshpp=evil.example:80")["wss_url"], "wss://call.example.org/ws");
        assert_eq!(params("wshpp=evil.example:80")["wss_post_url"], ORIGIN);
    }

    #[test]
    fn urls_of_this_server_contain_the_transport_and_others_do_not() {
        let url = |query: &str, key: &str| params(query)[key].as_str().unwrap().to_owned();
        assert_eq!(url("tt=tcp", "ice_server_url"), "https://call.example.org/v1alpha/iceconfig?key=&tt=tcp");
        assert_eq!(url("tt=a%26b&apikey=k", "ice_server_url"), "https://call.example.org/v1alpha/iceconfig?key=k&tt=a%26b");
        assert_eq!(url("tt=", "ice_server_url"), "https://call.example.org/v1alpha/iceconfig?key=");
        assert_eq!(url("tt=tcp&ts=https://ice.example", "ice_server_url"), "https://ice.example/v1alpha/iceconfig?key=");
        assert_eq!(url("tt=tcp&ts=", "ice_server_url"), "");
        assert_eq!(url("tt=udp", "ice_server_transports"), "udp");
    }

    /// Android's clients of 2014 to 2016 end a call without `turn_url`, and take it for a URL.
    #[test]
    fn old_clients_get_their_names_for_the_same() {
        let own = |query: &str| (params(query)["turn_url"].clone(), params(query)["turn_transports"].clone());
        assert_eq!(own(""), (json!("https://call.example.org/v1alpha/turn?key="), json!("")));
        assert_eq!(own("tt=udp&apikey=k"), (json!("https://call.example.org/v1alpha/turn?key=k&tt=udp"), json!("udp")));
        assert_eq!(own("ts=").0, "https://call.example.org/v1alpha/turn?key=");
    }

    #[test]
    fn ts_is_the_base_of_the_ice_server_url_and_empty_none() {
        assert_eq!(
            params("ts=https://ice.example&apikey=a%26b")["ice_server_url"],
            "https://ice.example/v1alpha/iceconfig?key=a%26b"
        );
        assert_eq!(params("ts=")["ice_server_url"], "");
        assert_eq!(params("apikey=k")["ice_server_url"], "https://call.example.org/v1alpha/iceconfig?key=k");
    }
}
