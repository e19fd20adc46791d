//! `/turn`, `/healthz` and `/readyz` over HTTP, and `castway credentials`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use axum::middleware;
use castway::addresses::external::ExternalAddresses;
use castway::addresses::ice_servers::{AdvertisedPort, IceServers, UrlTransport};
use castway::admission::Admission;
use castway::api;
use castway::api::keys::ApiKeys;
use castway::api::metric_families::MetricsSource;
use castway::api::state::{ApiState, PublicAddress, ReadinessCheck};
use castway::config::{Config, Settings};
use castway::hooks::authorize::Authorizer;
use castway::http::client_info;
use castway::limits::guesses::GuessReports;
use castway::limits::rate::ClientLimiter;
use castway::turn::Scope;
use castway::turn::codec::integrity::{LongTermKey, PasswordAlgorithm};
use castway::users::credentials::{h_a1_md5, verify};
use castway::users::{Directory, PasswordKeys, Store, UserName, UserPasswords, generate_password};
use reqwest::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::relay::{EVENT_TIMEOUT, until};
use crate::support::{castway, keep_certificate, ok, stderr};

const FORM: &str = "application/x-www-form-urlencoded";

/// The password of every user.
const PASSWORD: &str = "correct horse";

/// The REST API on a port of its own, with the users `alice` (enabled), `mallory` (disabled), `removed` (added and removed again), and
/// `kiosk`, who is of scope clients.
struct Server {
    url: String,
    directory: Directory,
    follower: JoinHandle<()>,
    relay: Arc<AtomicBool>,
    http: reqwest::Client,
    folder: TempDir,
}

impl Server {
    async fn start(settings: Settings) -> Self {
        let config = Config::read(&settings).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let store = Store::open(folder.path(), now).await.unwrap();
        let users = [("alice", Scope::Anyone), ("mallory", Scope::Anyone), ("removed", Scope::Anyone), ("kiosk", Scope::Clients)];
        for (name, scope) in users {
            let name: UserName = name.parse().unwrap();
            store.add(&name, &PasswordKeys::new(&name, "castway", PASSWORD).unwrap(), scope, now).await.unwrap();
        }
        store.set_enabled(&"mallory".parse().unwrap(), false, now).await.unwrap();
        store.remove(&"removed".parse().unwrap(), now).await.unwrap();
        let directory = Directory::open(&store, &config.credentials).await.unwrap();
        let follower = tokio::spawn(directory.clone().follow(store.clone()));

        let relay = Arc::new(AtomicBool::new(true));
        let alive = Arc::clone(&relay);
        let listeners = vec![AdvertisedPort { transport: UrlTransport::Udp, port: 3478 }];
        let bound = [Some(Ipv4Addr::new(192, 0, 2, 7).into()), None];
        let external = ExternalAddresses::new(&config.relay.external, bound, None);
        let state = ApiState {
            directory: directory.clone(),
            store,
            ice: IceServers::new(config.http.public_url.as_ref(), listeners, Ipv4Addr::UNSPECIFIED.into(), external),
            limiter: ClientLimiter::per_minute(config.credentials.rate),
            ice_limiter: ClientLimiter::per_minute(config.credentials.ice.rate),
            keys: ApiKeys::new(config.credentials.api_keys.clone(), &GuessReports::default()),
            admission: Admission::of_anyone(Authorizer::default()),
            passwords: UserPasswords::new(&GuessReports::default()),
            credentials: config.credentials,
            config: config.api,
            descriptions: None,
            public: PublicAddress {
                public_url: None,
                http: config.http.listen[0].addrs[0],
                https_port: None,
                alphabet: config.cast.alphabet,
                max_bitrate: config.cast.max_bitrate,
            },
            certificates: None,
            operator_networks: config.http.metrics_allow,
            readiness_checks: vec![ReadinessCheck {
                name: "relay".into(),
                check: Box::new(move || alive.load(Ordering::Relaxed).into()),
            }],
            metrics: MetricsSource(Box::new(Vec::new)),
        };
        let identify = middleware::from_fn_with_state(Arc::from(config.http.trusted_proxies), client_info::identify);
        let app = api::router::router(Arc::new(state)).layer(identify).into_make_service_with_connect_info::<SocketAddr>();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, directory, follower, relay, http: reqwest::Client::new(), folder }
    }

    async fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.url)).header(HOST, "tv.example:8080").send().await.unwrap()
    }

    /// Asks with a name and a password by HTTP Basic.
    async fn sign_in(&self, query: &str, user: &str, password: &str) -> Response {
        self.http.get(format!("{}/turn{query}", self.url)).basic_auth(user, Some(password)).send().await.unwrap()
    }

    async fn post(&self, path: &str, kind: Option<&str>, body: &str) -> Response {
        let request = self.http.post(format!("{}{path}", self.url)).body(body.to_owned());
        kind.into_iter().fold(request, |request, kind| request.header(CONTENT_TYPE, kind)).send().await.unwrap()
    }
}

fn access(mode: &str) -> Settings {
    Settings { turn_access: Some(mode.into()), api_keys: Some("first-key, second-key".into()), ..Settings::default() }
}

/// The scope of issued credentials; each of them is signed by the secret `north`.
async fn granted(response: Response) -> Scope {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    let reply: Value = serde_json::from_str(&text).unwrap();
    let (username, password) = (reply["username"].as_str().unwrap(), reply["password"].as_str().unwrap());
    let signed = [Scope::Clients, Scope::Anyone].into_iter().filter(|scope| verify("north", *scope, username, password));
    match signed.collect::<Vec<_>>()[..] {
        [scope] => scope,
        _ => panic!("{text}"),
    }
}

/// What a client could compare: the status, the headers and the body, without the time and the credentials.
async fn look(response: Response) -> (StatusCode, HeaderMap, String) {
    let mut headers = response.headers().clone();
    headers.remove("date");
    let (status, text) = status_and_text(response).await;
    let Ok(mut reply) = serde_json::from_str::<Value>(&text) else { return (status, headers, text) };
    for field in ["username", "password"].into_iter().filter(|_| status == StatusCode::OK) {
        assert!(reply[field].is_string());
        reply[field] = json!("…");
    }
    headers.remove(CONTENT_LENGTH);
    (status, headers, reply.to_string())
}

fn signed_by_north(settings: Settings) -> Settings {
    Settings { static_auth_secret: Some("north".into()), ..settings }
}

async fn status_and_text(response: Response) -> (StatusCode, String) {
    (response.status(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn castway_health_says_what_readyz_says() {
    let server = Server::start(Settings::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let health = |at: &str| castway(folder.path()).args(["health", "--http-addr", at]).output().unwrap();
    let address = server.url.strip_prefix("http://").unwrap();
    let ready = health(address);
    assert!(ready.status.success() && String::from_utf8_lossy(&ready.stdout).contains("\"ready\":true"), "{ready:?}");
    let everywhere = address.replace("127.0.0.1", "0.0.0.0");
    assert!(health(&everywhere).status.success());
    server.relay.store(false, Ordering::Relaxed);
    let output = health(address);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("not ready"), "{output:?}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = health(&nobody.to_string());
    assert!(output.status.code() == Some(1) && stderr(&output).contains("no server answers"), "{output:?}");
    assert!(folder.path().read_dir().unwrap().next().is_none(), "it only asks");
}

#[tokio::test]
async fn credentials_have_the_shape_of_the_contract_and_the_relay_takes_them() {
    let server = Server::start(Settings::default()).await;
    let response = server.get("/turn?service=turn&username=alice").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let reply: Value = response.json().await.unwrap();
    assert_eq!(reply["ttl"], json!(86_400));
    assert_eq!(reply["uris"], json!(["turn:tv.example:3478?transport=udp"]));
    let (username, password) = (reply["username"].as_str().unwrap(), reply["password"].as_str().unwrap());
    let (expiry, user) = username.split_once(':').unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(user, "alice");
    assert!((now + 86_395..=now + 86_400).contains(&expiry.parse().unwrap()));
    let key = (Scope::Clients, LongTermKey::Md5(h_a1_md5(username, "castway", password)));
    let login = server.directory.login(username, "castway", PasswordAlgorithm::Md5, SystemTime::now()).unwrap();
    assert!(login.keys.contains(&key));
    assert_eq!(login.user, "alice");
}

/// The secret that other servers share signs nothing for strangers, unless the operator has opened both by name; and then not the names of
/// users, whose quotas are not for strangers.
#[tokio::test]
async fn strangers_get_scope_clients_where_a_static_secret_is_set() {
    for (mode, user, scope) in [
        (None, "alice", Scope::Clients),
        (None, "nobody", Scope::Clients),
        (Some("open"), "alice", Scope::Clients),
        (Some("open"), "nobody", Scope::Anyone),
        (Some("open"), "mallory", Scope::Clients),
        (Some("open"), "kiosk", Scope::Clients),
    ] {
        let settings = Settings { turn_access: mode.map(str::to_owned), ..Settings::default() };
        let server = Server::start(signed_by_north(settings)).await;
        assert_eq!(granted(server.get(&format!("/turn?username={user}")).await).await, scope, "{mode:?} {user}");
        let warned = Config::read(&signed_by_north(Settings { turn_access: mode.map(str::to_owned), ..Settings::default() }));
        let warnings = warned.unwrap().credentials.warnings();
        assert_eq!(warnings.iter().any(|text| text.en.contains("strangers")), mode.is_some(), "{warnings:?}");
    }
}

#[tokio::test]
async fn the_ice_service_gives_scope_clients_for_a_day() {
    for settings in [Settings::default(), access("open")] {
        let server = Server::start(signed_by_north(settings)).await;
        let reply: Value = server.get("/v1alpha/iceconfig").await.json().await.unwrap();
        assert_eq!(reply["lifetimeDuration"], "86400s");
        let turn = reply["iceServers"].as_array().unwrap().iter().find(|server| server["credential"].is_string()).unwrap();
        assert!(verify("north", Scope::Clients, turn["username"].as_str().unwrap(), turn["credential"].as_str().unwrap()));
        assert_eq!(granted(server.get("/v1alpha/turn").await).await, Scope::Clients);
    }
}

/// Open access, as the front ends of the tutorials use it.
#[tokio::test]
async fn a_stranger_learns_nothing_about_a_name() {
    let server = Server::start(Settings { api_keys: Some("first-key".into()), ..signed_by_north(Settings::default()) }).await;
    let mut answers = Vec::new();
    for user in ["alice", "mallory", "removed", "kiosk", "nobody", "1900000000"] {
        for query in ["", "&key=4080218913&service=turn", "&api=4080218913&key="] {
            let path = format!("/turn?username={user}{query}");
            assert_eq!(granted(server.get(&path).await).await, Scope::Clients, "{path}");
            answers.push(look(server.get(&path).await).await);
        }
        let wrong = server.sign_in("", user, "wrong").await;
        answers.push(look(wrong).await);
    }
    assert!(answers.iter().all(|(status, headers, _)| (*status, headers) == (answers[0].0, &answers[0].1)), "{answers:#?}");
}

#[tokio::test]
async fn a_key_or_a_password_gives_a_callers_own_scope_where_access_is_open() {
    let server = Server::start(Settings { api_keys: Some("first-key".into()), ..signed_by_north(Settings::default()) }).await;
    for (user, scope) in [("alice", Scope::Anyone), ("janus-17", Scope::Anyone), ("kiosk", Scope::Clients)] {
        let response = server.get(&format!("/turn?username={user}&key=4080218913&key=first-key")).await;
        assert_eq!(granted(response).await, scope, "{user}");
    }
    for (user, scope) in
        [("alice", Scope::Anyone), ("kiosk", Scope::Clients), ("mallory", Scope::Clients), ("nobody", Scope::Clients)]
    {
        assert_eq!(granted(server.sign_in("", user, PASSWORD).await).await, scope, "{user}");
        let form = server.post("/turn", Some(FORM), &format!("username={user}&password=correct+horse")).await;
        assert_eq!(granted(form).await, scope, "{user}");
    }
    assert_eq!(granted(server.sign_in("", "alice", "wrong").await).await, Scope::Clients);
    assert_eq!(server.get("/turn?username=mallory&key=first-key").await.status(), StatusCode::FORBIDDEN);
}

/// Wrong passwords count where access is open, too; the credentials only don't say so.
#[tokio::test]
async fn open_access_is_no_way_to_guess_passwords() {
    let settings = Settings { credentials_rate: Some("1000".into()), ..signed_by_north(Settings::default()) };
    let server = Server::start(settings).await;
    for n in 0..20 {
        assert_eq!(granted(server.sign_in("", "alice", &format!("wrong-{n}")).await).await, Scope::Clients);
    }
    assert_eq!(granted(server.sign_in("", "alice", PASSWORD).await).await, Scope::Clients);
    assert_eq!(granted(server.sign_in("", "kiosk", PASSWORD).await).await, Scope::Clients);
}

#[tokio::test]
async fn a_user_signs_in_with_a_password() {
    let server = Server::start(signed_by_north(access("users"))).await;
    let json = "application/json";
    for (user, scope) in [("alice", Scope::Anyone), ("kiosk", Scope::Clients)] {
        for query in [String::new(), format!("?username={user}"), format!("?username={user}&key=4080218913")] {
            assert_eq!(granted(server.sign_in(&query, user, PASSWORD).await).await, scope, "{query}");
        }
        let posts = [
            ("/turn".to_owned(), FORM, format!("username={user}&password=correct%20horse")),
            (format!("/turn?username={user}"), FORM, "password=correct+horse".to_owned()),
            ("/turn".to_owned(), json, format!(r#"{{"username":"{user}","password":"correct horse"}}"#)),
            // SASLprep removes the soft hyphen.
            ("/turn".to_owned(), json, format!(r#"{{"username":"{user}","password":"cor\u00adrect horse"}}"#)),
        ];
        for (path, kind, body) in posts {
            assert_eq!(granted(server.post(&path, Some(kind), &body).await).await, scope, "{body}");
        }
        assert_eq!(granted(server.get(&format!("/turn?username={user}&key=first-key")).await).await, scope);
    }
    assert_eq!(granted(server.get("/turn?username=janus-17&key=first-key").await).await, Scope::Anyone);
    assert_eq!(server.get("/turn?username=mallory&key=first-key").await.status(), StatusCode::FORBIDDEN);
    for response in [
        server.sign_in("?username=kiosk", "alice", PASSWORD).await,
        server.get("/turn?username=alice&password=correct+horse").await,
        server.sign_in("?password=correct+horse", "alice", PASSWORD).await,
    ] {
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(!response.text().await.unwrap().contains("correct"), "an answer repeats no password");
    }
}

#[tokio::test]
async fn who_is_not_signed_in_gets_the_same_answer_for_every_name() {
    let server = Server::start(access("users")).await;
    let mut answers = Vec::new();
    for user in ["alice", "mallory", "removed", "kiosk", "nobody", "1800000000:alice"] {
        answers.push(look(server.get(&format!("/turn?username={user}")).await).await);
        answers.push(look(server.get(&format!("/turn?username={user}&key=4080218913")).await).await);
        answers.push(look(server.sign_in("", user, "wrong").await).await);
        answers.push(look(server.post("/turn", Some(FORM), &format!("username={user}&password=wrong")).await).await);
    }
    for user in ["mallory", "removed", "nobody"] {
        answers.push(look(server.sign_in("", user, PASSWORD).await).await);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let (status, headers, _) = &answers[0];
    assert_eq!(*status, StatusCode::UNAUTHORIZED);
    let challenges: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().collect();
    assert_eq!(challenges, ["Basic realm=\"castway\", charset=\"UTF-8\"", "Bearer"]);
}

#[tokio::test]
async fn wrong_passwords_are_limited_and_a_generated_one_passes() {
    let settings = Settings { credentials_rate: Some("1000".into()), ..access("users") };
    let server = Server::start(settings).await;
    let mut refused = 0;
    let limited = loop {
        let response = server.sign_in("", "alice", &format!("wrong-{refused}")).await;
        if response.status() != StatusCode::UNAUTHORIZED {
            break response;
        }
        refused += 1;
    };
    assert_eq!((refused, limited.status()), (20, StatusCode::TOO_MANY_REQUESTS));
    let wait: u64 = limited.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // Neither another user's password nor an unknown name has limits of its own.
    for (user, password) in [("alice", PASSWORD), ("kiosk", PASSWORD), ("nobody", "wrong")] {
        assert_eq!(server.sign_in("", user, password).await.status(), StatusCode::TOO_MANY_REQUESTS, "{user}");
    }
    let (name, password): (UserName, _) = ("dave".parse().unwrap(), generate_password());
    let store = Store::open(server.folder.path(), SystemTime::now()).await.unwrap();
    let keys = PasswordKeys::new(&name, "castway", &password).unwrap();
    store.add(&name, &keys, Scope::Anyone, SystemTime::now()).await.unwrap();
    until(|| server.directory.is_allowed("dave")).await;
    assert_eq!(server.sign_in("", "dave", &password).await.status(), StatusCode::OK);
    assert_eq!(server.get("/turn?username=alice&key=first-key").await.status(), StatusCode::OK, "a key has a limit of its own");
}

#[tokio::test]
async fn without_a_username_the_answer_is_the_contracts() {
    let server = Server::start(access("key")).await;
    for path in ["/turn", "/turn?username=", "/turn?service=turn&key=first-key"] {
        let (status, body) = status_and_text(server.get(path).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(body, r#"{"error":"AppError","message":"Must provide username."}"#);
    }
}

#[tokio::test]
async fn a_key_suffices_for_any_name_but_those_that_were_shut_out() {
    let server = Server::start(signed_by_north(access("key"))).await;
    for (user, scope) in
        [("alice", Scope::Anyone), ("7391653", Scope::Anyone), ("Alice", Scope::Anyone), ("kiosk", Scope::Clients)]
    {
        assert_eq!(granted(server.get(&format!("/turn?username={user}&api=first-key")).await).await, scope, "{user}");
    }
    let mut answers = Vec::new();
    for user in ["mallory", "removed"] {
        answers.push(look(server.get(&format!("/turn?username={user}&key=first-key")).await).await);
    }
    assert_eq!(answers[0].0, StatusCode::FORBIDDEN);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(server.sign_in("", "alice", PASSWORD).await.status(), StatusCode::UNAUTHORIZED, "a password is no key");
}

#[tokio::test]
async fn post_takes_a_form_json_or_the_query() {
    let server = Server::start(access("key")).await;
    let json = "application/json; charset=utf-8";
    let posts = [
        ("/turn", Some(FORM), "ttl=60&key=first-key&username=alice&service=turn"),
        ("/turn", Some(json), r#"{"username":"alice","ttl":60,"key":"second-key"}"#),
        ("/turn", Some(json), r#"{"username":"alice","ttl":"60","api":["wrong","second-key"]}"#),
        ("/turn?username=alice&ttl=60&api=first-key", None, ""),
        ("/turn?username=alice&key=first-key", Some(FORM), "ttl=60"),
        ("/turn?api=wrong&username=alice&key=first-key&ttl=60&key=other", Some(FORM), ""),
    ];
    for (path, kind, body) in posts {
        let response = server.post(path, kind, body).await;
        assert_eq!(response.status(), StatusCode::OK, "{path} {body}");
        let reply: Value = response.json().await.unwrap();
        assert_eq!(reply["ttl"], 60, "{path} {body}");
        assert!(reply["username"].as_str().unwrap().ends_with(":alice"));
        assert!(!reply["uris"].as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_missing_or_wrong_key_is_401() {
    let server = Server::start(access("key")).await;
    let mut bodies = Vec::new();
    for query in ["", "&key=", "&key=wrong", "&key=first-key2", "&api=first", "&key=first-key,%20second-key"] {
        for user in ["alice", "nobody"] {
            let response = server.get(&format!("/turn?username={user}{query}")).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{query}");
            assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
            bodies.push(response.text().await.unwrap());
        }
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(server.get("/turn?username=nobody&key=first-key").await.status(), StatusCode::OK);
    assert_eq!(server.get("/turn?username=alice&key=first-key").await.status(), StatusCode::OK);
    let bearer = server.http.get(format!("{}/turn?username=alice", server.url)).bearer_auth("second-key");
    assert_eq!(bearer.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn open_access_takes_any_name() {
    let server = Server::start(access("open")).await;
    for user in ["alice", "anybody", "1800000000:x", "%E6%9D%8E", "mallory", "removed"] {
        assert_eq!(server.get(&format!("/turn?username={user}")).await.status(), StatusCode::OK, "{user}");
    }
}

/// Requirement 62.
#[tokio::test]
async fn a_wished_ttl_is_clamped_and_garbage_is_refused() {
    let server = Server::start(Settings { ttl: Some("600".into()), ..Settings::default() }).await;
    for (wish, ttl) in [("60", 60), ("600", 600), ("601", 600), ("999999999999999999999", 600), ("0", 1), ("-3", 1), ("", 600)] {
        let reply: Value = server.get(&format!("/turn?username=alice&ttl={wish}")).await.json().await.unwrap();
        assert_eq!(reply["ttl"], ttl, "{wish}");
    }
    for wish in ["soon", "1.5", "1e3", "60s"] {
        assert_eq!(server.get(&format!("/turn?username=alice&ttl={wish}")).await.status(), StatusCode::BAD_REQUEST, "{wish}");
    }
}

#[tokio::test]
async fn what_is_too_long_or_not_understood_is_refused_as_json() {
    let server = Server::start(Settings::default()).await;
    let long = "x".repeat(129);
    let answers = [
        (server.get("/turn?username=alice&service=stun").await, StatusCode::BAD_REQUEST),
        (server.get(&format!("/turn?username={long}")).await, StatusCode::BAD_REQUEST),
        (server.get("/turn?username=a%0d%0ab").await, StatusCode::BAD_REQUEST),
        (server.get("/turn?username=alice&username=bob").await, StatusCode::BAD_REQUEST),
        (server.get(&format!("/turn?username=alice&x={}", "x".repeat(5000))).await, StatusCode::PAYLOAD_TOO_LARGE),
        (server.post("/turn", Some(FORM), &"x".repeat(10_000)).await, StatusCode::PAYLOAD_TOO_LARGE),
        (server.post("/turn", Some("text/plain"), "username=alice").await, StatusCode::BAD_REQUEST),
        (server.post("/turn", Some("application/json"), "{\"username\":").await, StatusCode::BAD_REQUEST),
        (server.post("/turn", Some("application/json"), "[]").await, StatusCode::BAD_REQUEST),
    ];
    for (response, status) in answers {
        assert_eq!(response.status(), status);
        let body: Value = response.json().await.unwrap();
        assert!(body["error"].is_string() && body["message"].is_string(), "{body}");
    }
}

/// Requirement 60.
#[tokio::test]
async fn too_many_requests_are_429_with_a_time_to_wait() {
    let server = Server::start(Settings { credentials_rate: Some("5".into()), ..Settings::default() }).await;
    for _ in 0..5 {
        assert_eq!(server.get("/turn?username=nobody").await.status(), StatusCode::OK);
    }
    let response = server.get("/turn?username=alice").await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = response.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"], "TooManyRequests");
    assert_eq!(server.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn health_is_that_it_runs_and_readiness_that_it_works() {
    let server = Server::start(Settings::default()).await;
    assert_eq!(server.get("/healthz").await.status(), StatusCode::OK);
    let response = server.get("/readyz").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.json::<Value>().await.unwrap(), json!({"ready": true, "not_ready": []}), "as strangers see it");
    let local = server.http.get(format!("{}/readyz", server.url)).send().await.unwrap();
    assert_eq!(local.json::<Value>().await.unwrap(), json!({"ready": true, "not_ready": [], "certificate": null}));
    server.relay.store(false, Ordering::Relaxed);
    let response = server.get("/readyz").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.json::<Value>().await.unwrap(), json!({"ready": false, "not_ready": ["relay"]}));
    // Without its follower the directory becomes stale, as if the database could not be read.
    server.follower.abort();
    let stale = timeout(EVENT_TIMEOUT, async {
        while server.get("/readyz").await.json::<Value>().await.unwrap()["not_ready"] != json!(["database", "relay"]) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    stale.await.unwrap();
}

#[tokio::test]
async fn the_command_line_names_turn_over_tls_where_a_certificate_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path(), SystemTime::now()).await.unwrap().close().await;
    let uris = |arguments: &[&str]| {
        let mut command = castway(folder.path());
        command.args(["credentials", "alice", "--turn-access", "open", "--external-ip", "192.0.2.9"]).args(arguments);
        let output = command.output().unwrap();
        let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
        let uris: Vec<String> = serde_json::from_value(reply["uris"].clone()).unwrap();
        (uris.into_iter().filter(|uri| uri.starts_with("turns:")).collect::<Vec<_>>(), stderr(&output))
    };
    let made = rcgen::generate_simple_self_signed(["cast.example.org".to_owned()]).unwrap();
    let [cert, key] = [("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())].map(|(name, pem)| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let turns = |port: u16| vec![format!("turns:cast.example.org:{port}?transport=tcp")];
    let files = ["--cert", &cert, "--pkey", &key, "--cert-trusted", "true"];
    let with = |more: &[&str]| uris(&[&files[..], more].concat());
    assert_eq!(with(&[]).0, turns(8443));
    assert_eq!(with(&["--https-addr", "0.0.0.0:444"]).0, turns(444));
    assert!(with(&["--no-tls", "true"]).0.is_empty());
    let (none, said) = uris(&files[..4]);
    assert!(none.is_empty() && said.contains("CASTWAY_CERT_TRUSTED=true"), "it signed itself: {said}");
    let (none, said) = uris(&["--cert", &key, "--pkey", &key]);
    assert!(none.is_empty() && said.contains("cert"), "{said}");

    let directory = "https://ca.example.org/directory";
    let domain = ["--domain", "cast.example.org", "--acme-directory", directory];
    assert!(uris(&domain).0.is_empty(), "none has come yet");
    assert!(!folder.path().join("tls").exists(), "it only asks");
    keep_certificate(folder.path(), "cast.example.org", directory, &(made.cert.pem() + &made.signing_key.serialize_pem()));
    assert_eq!(uris(&domain).0, turns(443));
    assert!(uris(&[]).0.is_empty(), "nobody trusts a self-signed one");
}

#[tokio::test]
async fn the_command_line_prints_what_turn_would() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path(), SystemTime::now()).await.unwrap().close().await;
    ok(castway(folder.path()).args(["user", "add", "alice", "--generate"]));
    let mut command = castway(folder.path());
    command.args(["credentials", "alice", "--ttl", "60", "--external-ip", "192.0.2.9", "--static-auth-secret", "north"]);
    let reply: Value = serde_json::from_str(&ok(&mut command)).unwrap();
    assert_eq!(reply["ttl"], 60);
    let uris = json!(["turn:192.0.2.9:3478?transport=udp", "turn:192.0.2.9:3478?transport=tcp"]);
    assert_eq!(reply["uris"], uris);
    assert!(verify("north", Scope::Anyone, reply["username"].as_str().unwrap(), reply["password"].as_str().unwrap()));

    let output =
        castway(folder.path()).args(["credentials", "alice", "--ttl", "600"]).env("CASTWAY_TTL", "300").output().unwrap();
    assert!(stderr(&output).contains("CASTWAY_TTL=300"), "{}", stderr(&output));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["ttl"], 300);

    let output = castway(folder.path()).args(["credentials", "bob", "--turn-access", "users"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("castway user add bob"), "{}", stderr(&output));
    ok(castway(folder.path()).args(["credentials", "bob"]));
}

#[tokio::test]
async fn the_command_line_issues_credentials_of_the_users_scope() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path(), SystemTime::now()).await.unwrap().close().await;
    ok(castway(folder.path()).args(["user", "add", "alice", "--generate"]));
    ok(castway(folder.path()).args(["user", "add", "kiosk", "--generate", "--scope", "clients"]));
    ok(castway(folder.path()).args(["user", "add", "mallory", "--generate"]));
    ok(castway(folder.path()).args(["user", "disable", "mallory"]));
    let run = |arguments: &[&str]| {
        let mut command = castway(folder.path());
        command.args(["credentials", "--static-auth-secret", "north"]).args(arguments);
        command.output().unwrap()
    };
    for (arguments, scope) in [
        (&["alice"][..], Scope::Anyone),
        (&["bob"], Scope::Anyone),
        (&["kiosk"], Scope::Clients),
        (&["alice", "--scope", "clients"], Scope::Clients),
        (&["alice", "--scope", "anyone"], Scope::Anyone),
        (&["kiosk", "--scope", "clients"], Scope::Clients),
    ] {
        let reply: Value = serde_json::from_slice(&run(arguments).stdout).unwrap();
        assert!(
            verify("north", scope, reply["username"].as_str().unwrap(), reply["password"].as_str().unwrap()),
            "{arguments:?}"
        );
    }
    for (arguments, text) in [
        (&["kiosk", "--scope", "anyone"][..], "castway user scope kiosk anyone"),
        (&["mallory"], "castway user enable mallory"),
        (&["mallory", "--scope", "clients"], "castway user enable mallory"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(text), "{arguments:?}: {}", stderr(&output));
    }
}
