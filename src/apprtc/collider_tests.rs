//! Which server answers each request on the main port and on Collider's own port.

use std::net::Ipv4Addr;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::Value;

use super::*;
use crate::admission::Admission;
use crate::apprtc::room_server::{RoomServer, router};
use crate::config::{Config, Settings};
use crate::hooks::authorize::Authorizer;
use crate::http::client_info::Scheme;
use crate::http::pages::Pages;
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::waiting_bytes::Ledger;
use crate::outcomes::unknown;

/// The first segments of routes, of pages and of files, and names that are not in use.
const NAMES: [&str; 31] = [
    "a",
    "api",
    "assets",
    "bye",
    "cast",
    "css",
    "favicon.ico",
    "healthz",
    "images",
    "index.html",
    "join",
    "js",
    "leave",
    "message",
    "metrics",
    "params",
    "r",
    "readyz",
    "report",
    "robots.txt",
    "room",
    "socket.io",
    "status",
    "turn",
    "tv",
    "v1alpha",
    "ws",
    ".well-known",
    "..",
    "%2E%2E",
    "r%C3%A4um",
];
/// Routes for POST with two segments.
const POSTED: [&str; 3] = ["/join/c", "/v1alpha/iceconfig", "/v1alpha/turn"];

fn anyone() -> Admission {
    Admission::of_anyone(Authorizer::default())
}

fn gateway() -> AppRtcGateway {
    let settings = Settings { call_rate: Some("1000000".into()), ..Settings::default() };
    let config = Config::read(&settings).unwrap().apprtc;
    AppRtcGateway::new(&config, Ledger::default(), KeptBuffers::default(), unknown::sources(), unknown::reporter(), anyone())
}

/// All routes of the main port; those of the REST API answer "REST".
fn main_port(gateway: &AppRtcGateway) -> Router {
    let rooms = RoomServer { gateway: gateway.clone(), public_url: None, http: (Ipv4Addr::LOCALHOST, 8080).into() };
    let api = ["/api/info", "/healthz", "/readyz", "/metrics", "/.well-known/acme-challenge/{token}"];
    let api = api.into_iter().fold(Router::new(), |api, path| api.route(path, get(|| async { "REST" })));
    let both = ["/turn", "/v1alpha/iceconfig", "/v1alpha/turn"];
    let api = both.into_iter().fold(api, |api, path| api.route(path, get(|| async { "REST" }).post(|| async { "REST" })));
    on_the_main_port(gateway, api.merge(router(rooms)).merge(Pages::default().calls()), Pages::default().router())
}

/// Returns status, body and `Allow`.
async fn ask(router: &Router, method: &str, path: &str) -> (u16, String, Option<String>) {
    let request = Request::builder().method(method).uri(path).body(Body::from(if method == "POST" { "text" } else { "" }));
    let mut request = request.unwrap();
    let address = Ipv4Addr::LOCALHOST.into();
    request.extensions_mut().insert(ClientInfo { address, scheme: Scheme::Http, host: Some("cast.example".into()) });
    let response = router.clone().oneshot(request).await.unwrap();
    let allow = response.headers().get(header::ALLOW).map(|allow| allow.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned(), allow)
}

const OK: fn() -> (u16, String, Option<String>) = || (200, "OK\n".to_owned(), None);

#[tokio::test]
async fn rooms_may_be_named_like_routes() {
    let gateway = gateway();
    let router = main_port(&gateway);
    for name in NAMES {
        for path in [format!("/{name}/c"), format!("//{name}//c"), format!("/{name}/")] {
            let plain = path_slashes::plain(&path).unwrap_or_else(|| path.clone());
            let (whole, part) = (plain == "/turn" || plain == "/a", POSTED.contains(&plain.as_str()));
            let posted = ask(&router, "POST", &path).await;
            if whole || part {
                assert_ne!(posted.1, "OK\n", "POST {path}")
            } else {
                assert_eq!(posted, OK(), "POST {path}")
            }
            assert_eq!(ask(&router, "DELETE", &path).await, OK(), "DELETE {path}");
        }
    }
    for path in ["/api/other", "/r/room", "/v1alpha/x", "/message/r", "/leave/r", "/bye/r", "/.well-known/acme-challenge"] {
        assert_eq!(ask(&router, "POST", path).await, OK(), "{path}");
    }
    assert_eq!(ask(&router, "DELETE", "/join/c").await, OK());
}

#[tokio::test]
async fn collider_serves_only_paths_of_two_parts_and_its_own_methods() {
    let router = main_port(&gateway());
    for (method, path, status, allow) in [
        ("POST", "/api/info", 405, Some("GET,HEAD")),
        ("DELETE", "/api/info", 405, Some("GET,HEAD")),
        ("DELETE", "/v1alpha/iceconfig", 405, Some("GET,HEAD,POST")),
        ("DELETE", "/v1alpha/turn", 405, Some("GET,HEAD,POST")),
        ("POST", "/params", 405, Some("GET,HEAD")),
        ("DELETE", "/params", 405, Some("GET,HEAD")),
        ("PUT", "/params/", 405, Some("GET,HEAD")),
        ("POST", "/healthz", 405, Some("GET,HEAD")),
        ("DELETE", "/turn", 405, Some("GET,HEAD,POST")),
        ("PATCH", "/v1alpha/turn", 405, Some("GET,HEAD,POST")),
        ("GET", "/join/r", 405, Some("POST")),
        ("HEAD", "/join/r/", 405, Some("POST")),
        ("PUT", "/join/r", 405, Some("POST")),
        ("DELETE", "/message/r/c", 405, Some("POST")),
        ("GET", "/a/", 405, Some("POST")),
        ("PUT", "/r/room", 405, Some("GET,HEAD")),
        ("GET", "/room/client", 404, None),
        ("PUT", "/room/client", 404, None),
        ("POST", "/room", 404, None),
        ("DELETE", "/nothing", 404, None),
        ("POST", "/room/client/", 404, None),
        ("POST", "/message/r/c/d", 404, None),
        ("POST", "/join/a.b", 404, None),
        ("POST", "/join/..", 404, None),
        ("POST", "/join/r%2F", 404, None),
        ("GET", "/r/a.b", 404, None),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404, None),
        ("GET", "/r/..%2F..", 404, None),
        ("GET", "/.vite/manifest.json", 404, None),
        ("POST", "/ws", 405, Some("GET,HEAD")),
        ("GET", "//ws", 400, None),
    ] {
        let answer = ask(&router, method, path).await;
        assert_eq!((answer.0, answer.2.as_deref()), (status, allow), "{method} {path}");
    }
    // Like the original, Collider serves its own routes only without a last slash.
    assert_eq!(ask(&router, "POST", "/status/").await, OK());
    for method in ["GET", "POST", "DELETE", "PUT"] {
        let (status, body, _) = ask(&router, method, "/status").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, body["openws"].as_u64()), (200, Some(0)), "{method}");
    }
}

#[tokio::test]
async fn slashes_too_many_are_taken_for_one() {
    let router = main_port(&gateway());
    for path in ["/api/info", "/healthz", "/readyz", "/metrics", "/turn", "/v1alpha/iceconfig", "/v1alpha/turn"] {
        for path in [format!("{path}/"), format!("/{path}"), format!("{path}//?username=//a/")] {
            assert_eq!(ask(&router, "GET", &path).await, (200, "REST".into(), None), "{path}");
        }
    }
    for path in ["/params/", "//params", "/params//?hd=true"] {
        let (status, body, _) = ask(&router, "GET", path).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["header_message"]), (200, &Value::Null), "{path}");
    }
    let join = async |path: &str| serde_json::from_str::<Value>(&ask(&router, "POST", path).await.1).unwrap();
    let first = join("//join/room/?hd=true").await;
    assert_eq!(first["params"]["room_link"], "http://cast.example/r/room?hd=true");
    let client = first["params"]["client_id"].as_str().unwrap();
    let said = ask(&router, "POST", &format!("//message//room/{client}/")).await;
    assert_eq!((said.0, said.1.as_str()), (200, r#"{"result":"SUCCESS"}"#));
    assert_eq!(join("/join//room").await["params"]["messages"], json!(["text"]));
    assert_eq!(join("/join/room//").await["result"], "FULL");
    assert_eq!(ask(&router, "POST", &format!("//leave/room/{client}/")).await, (200, String::new(), None));
    assert_eq!(join("/join/room/").await["result"], "SUCCESS");
    for path in ["/a", "//a/", "/a//"] {
        assert_eq!(ask(&router, "POST", path).await.1, r#"{"result":"INVALID_REQUEST"}"#, "{path}");
    }
}

#[tokio::test]
async fn a_rooms_page_carries_its_name() {
    let router = main_port(&gateway());
    for path in ["/r/testRoom", "//r/testRoom", "/r/testRoom/?hd=true", "/r//testRoom"] {
        let (status, body, _) = ask(&router, "GET", path).await;
        assert_eq!(status, 200, "{path}");
        assert_eq!(body.matches(r#"<link rel="canonical" href="/r/testRoom" /></head>"#).count(), 1, "{path}");
    }
    for path in ["/r", "/r/", "/"] {
        let (status, body, _) = ask(&router, "GET", path).await;
        assert_eq!((status, body.contains("canonical")), (200, false), "{path}");
    }
}

#[tokio::test]
async fn on_a_port_of_its_own_doubled_slashes_are_one_and_the_last_one_counts() {
    let router = on_a_port_of_its_own(gateway());
    for path in ["/room/c", "//room/c", "/room//c", "/room/", "//room//", "/r%C3%A4um/c"] {
        assert_eq!(ask(&router, "POST", path).await, OK(), "{path}");
        assert_eq!(ask(&router, "DELETE", path).await, OK(), "{path}");
        assert_eq!(ask(&router, "GET", path).await, (200, String::new(), None), "{path}");
    }
    for path in ["/", "/room", "/room/c/", "/a/b/c", "/a%2Fb/c", "/%FF/c"] {
        let answer = ask(&router, "POST", path).await;
        assert_eq!((answer.0, answer.1), (500, format!("Invalid path: {path}\n")), "{path}");
    }
}

#[test]
fn a_path_is_read_as_the_names_that_clients_register_by() {
    assert_eq!(room_and_client("/r%C3%A4um/a%20b+c"), Some(("r\u{e4}um".into(), "a b+c".into())));
    assert_eq!(room_and_client("/room/"), Some(("room".into(), String::new())));
    for bad in ["/room", "room/c", "//c", "/a/b/c", "/a/b%2Fc", "/%2F/c", ""] {
        assert_eq!(room_and_client(bad), None, "{bad}");
    }
}
