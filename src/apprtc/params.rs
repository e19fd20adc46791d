//! `params`: what the room server tells a client about a call, from the query of its request. PURE.
//!
//! Some values are plain, and some are strings that hold JSON, because the original pasted them into a page: clients parse
//! those a second time.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::room::Joined;

/// A client's query, and the origin that it used.
#[derive(Debug)]
pub struct Query<'a> {
    /// Such as `https://call.example.org`, without a slash at the end.
    origin: &'a str,
    raw: &'a str,
    fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    pub fn new(origin: &'a str, raw: &'a str) -> Self {
        Self { origin, raw, fields: form_urlencoded::parse(raw.as_bytes()).collect() }
    }

    pub fn is_loopback(&self) -> bool {
        self.text("debug") == "loopback"
    }

    /// `params` of no room in particular.
    pub fn params(&self) -> Map<String, Value> {
        let mut warnings = Vec::new();
        let mut video = self.text("video").to_owned();
        let hd = self.text("hd");
        if !hd.is_empty() && !video.is_empty() {
            warnings.push(format!("The \"hd\" parameter has overridden video={video}"));
        }
        if hd.eq_ignore_ascii_case("true") {
            video = "mandatory:minWidth=1280,mandatory:minHeight=720".to_owned();
        }
        let (wss_url, wss_post_url) = self.collider();
        let params = json!({
            "header_message": null,
            "error_messages": [],
            "warning_messages": warnings,
            "is_loopback": json!(self.is_loopback()).to_string(),
            "pc_config": self.pc_config().to_string(),
            "pc_constraints": self.pc_constraints().to_string(),
            "offer_options": json!({}).to_string(),
            "media_constraints": json!({"audio": track(self.text("audio")), "video": track(&video)}).to_string(),
            "ice_server_url": self.ice_server_url(),
            "ice_server_transports": self.text("tt"),
            "include_loopback_js": "",
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

    /// `params` of the one who joined `room`.
    pub fn joined(&self, room: &str, joined: &Joined) -> Map<String, Value> {
        let mut params = self.params();
        let link = match self.raw {
            "" => format!("{}/r/{room}", self.origin),
            query => format!("{}/r/{room}?{query}", self.origin),
        };
        params.insert("room_id".into(), room.into());
        params.insert("room_link".into(), link.into());
        params.insert("client_id".into(), joined.client.as_str().into());
        // The web client compares with 'true'.
        params.insert("is_initiator".into(), json!(joined.initiator).to_string().into());
        params.insert("messages".into(), json!(joined.messages));
        params
    }

    /// The first value of a parameter, `None` where there is none.
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    fn text(&self, name: &str) -> &str {
        self.field(name).unwrap_or_default()
    }

    /// `iceServers` stays empty: Android takes `urls` there for a string and overlooks `username`.
    fn pc_config(&self) -> Value {
        let mut config = json!({"iceServers": [], "bundlePolicy": "max-bundle", "rtcpMuxPolicy": "require"});
        match self.text("it") {
            "" => {}
            transports => config["iceTransports"] = transports.into(),
        }
        config
    }

    fn pc_constraints(&self) -> Value {
        let names = [("dtls", "DtlsSrtpKeyAgreement"), ("dscp", "googDscp"), ("ipv6", "googIPv6")];
        let optional = names.iter().filter_map(|(parameter, constraint)| {
            let wish: bool = self.text(parameter).to_ascii_lowercase().parse().ok()?;
            Some(json!({*constraint: wish}))
        });
        json!({"optional": optional.collect::<Vec<_>>()})
    }

    /// `ts` names another server; empty, none.
    fn ice_server_url(&self) -> String {
        match self.field("ts").unwrap_or(self.origin) {
            "" => String::new(),
            base => {
                let key = form_urlencoded::byte_serialize(self.text("apikey").as_bytes()).collect::<String>();
                format!("{base}/v1alpha/iceconfig?key={key}")
            }
        }
    }

    /// Collider's URL for WebSockets and its origin for HTTP. `wshpp`, another host for them, is ignored: the original posted
    /// messages to whatever it named.
    fn collider(&self) -> (String, String) {
        let (scheme, host) = self.origin.split_once("://").unwrap_or(("http", self.origin));
        let tls = scheme == "https" && self.text("wstls") != "false";
        match tls {
            true => (format!("wss://{host}/ws"), format!("https://{host}")),
            false => (format!("ws://{host}/ws"), format!("http://{host}")),
        }
    }
}

/// Constraints of a track: `true`, `false`, or a comma list of `[mandatory:|optional:]key=value`, where `goog*` keys are optional
/// by themselves. What is malformed is dropped.
fn track(text: &str) -> Value {
    if text.is_empty() || text.eq_ignore_ascii_case("true") {
        return true.into();
    }
    if text.eq_ignore_ascii_case("false") {
        return false.into();
    }
    let (mut mandatory, mut optional) = (Map::new(), Vec::new());
    for item in text.split(',') {
        let (kind, constraint) = match item.split_once(':') {
            Some((kind, constraint)) => (Some(kind), constraint),
            None => (None, item),
        };
        let Some((key, value)) = constraint.split_once('=').filter(|(key, value)| !key.is_empty() && !value.contains('=')) else {
            continue;
        };
        match kind {
            Some("mandatory") => drop(mandatory.insert(key.into(), value.into())),
            Some("optional") => optional.push(json!({key: value})),
            Some(_) => {}
            None if key.starts_with("goog") => optional.push(json!({key: value})),
            None => drop(mandatory.insert(key.into(), value.into())),
        }
    }
    json!({"mandatory": mandatory, "optional": optional})
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://call.example.org";

    fn params(query: &str) -> Map<String, Value> {
        Query::new(ORIGIN, query).params()
    }

    /// A string that holds JSON.
    fn held(params: &Map<String, Value>, key: &str) -> Value {
        serde_json::from_str(params[key].as_str().expect("a string")).expect("JSON")
    }

    #[test]
    fn some_are_arrays_some_plain_and_some_hold_json() {
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
        assert_eq!(held(&params, "pc_config"), config);
        assert_eq!(held(&params, "pc_constraints"), json!({"optional": []}));
        assert_eq!(held(&params, "offer_options"), json!({}));
        assert_eq!(held(&params, "media_constraints"), json!({"audio": true, "video": true}));
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
        let params = Query::new(ORIGIN, "hd=true&x=a%20b").joined("room", &joined);
        assert_eq!(params["is_initiator"], "true");
        assert_eq!(params["room_id"], "room");
        assert_eq!(params["client_id"], "01234567");
        assert_eq!(params["room_link"], "https://call.example.org/r/room?hd=true&x=a%20b");
        assert_eq!(params["messages"], json!(["{\"type\":\"offer\"}"]));
        let second =
            Query::new("http://192.0.2.1:8080", "").joined("room", &Joined { initiator: false, messages: vec![], ..joined });
        assert_eq!((&second["is_initiator"], &second["messages"]), (&json!("false"), &json!([])));
        assert_eq!(second["room_link"], "http://192.0.2.1:8080/r/room");
    }

    #[test]
    fn plain_http_has_plain_websockets_and_wstls_false_asks_for_them() {
        let plain = Query::new("http://192.0.2.1:8080", "").params();
        assert_eq!(
            (&plain["wss_url"], &plain["wss_post_url"]),
            (&json!("ws://192.0.2.1:8080/ws"), &json!("http://192.0.2.1:8080"))
        );
        assert_eq!(params("wstls=false")["wss_url"], "ws://call.example.org/ws");
        assert_eq!(params("wstls=true")["wss_url"], "wss://call.example.org/ws");
    }

    #[test]
    fn wshpp_is_ignored() {
        assert_eq!(params("wshpp=evil.example:80")["wss_url"], "wss://call.example.org/ws");
        assert_eq!(params("wshpp=evil.example:80")["wss_post_url"], ORIGIN);
    }

    #[test]
    fn it_and_tt_choose_transports() {
        let params = params("it=relay&tt=udp");
        assert_eq!(held(&params, "pc_config")["iceTransports"], "relay");
        assert_eq!(params["ice_server_transports"], "udp");
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

    #[test]
    fn audio_and_video_are_true_false_or_constraints() {
        let media = |query: &str| held(&params(query), "media_constraints");
        assert_eq!(media("audio=&video=TRUE"), json!({"audio": true, "video": true}));
        assert_eq!(media("audio=False"), json!({"audio": false, "video": true}));
        let video = "video=minWidth=640,optional:maxHeight=480,googNoise=false,mandatory:googX=1,broken,a=b=c,=x";
        let expected = json!({
            "mandatory": {"minWidth": "640", "googX": "1"},
            "optional": [{"maxHeight": "480"}, {"googNoise": "false"}],
        });
        assert_eq!(media(&video.replace("minWidth=", "minWidth%3D"))["video"], expected);
        assert_eq!(media("audio=broken")["audio"], json!({"mandatory": {}, "optional": []}));
    }

    #[test]
    fn hd_overrides_video_with_a_warning() {
        let with = params("hd=true&video=false");
        let hd = json!({"mandatory": {"minWidth": "1280", "minHeight": "720"}, "optional": []});
        assert_eq!(held(&with, "media_constraints")["video"], hd);
        assert_eq!(with["warning_messages"].as_array().map(Vec::len), Some(1));
        let alone = params("hd=TRUE");
        assert_eq!(held(&alone, "media_constraints")["video"], hd);
        assert_eq!(alone["warning_messages"], json!([]));
    }

    #[test]
    fn dtls_dscp_and_ipv6_are_optional_constraints_in_any_case() {
        let constraints = held(&params("dtls=FALSE&dscp=True&ipv6=maybe"), "pc_constraints");
        assert_eq!(constraints, json!({"optional": [{"DtlsSrtpKeyAgreement": false}, {"googDscp": true}]}));
    }

    #[test]
    fn debug_loopback_is_told() {
        assert_eq!(params("debug=loopback")["is_loopback"], "true");
        assert_eq!(params("debug=other")["is_loopback"], "false");
    }
}
