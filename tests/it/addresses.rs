//! Several addresses: those of HTTP, those of STUN and TURN, and external ones; and what the start-up report says about them.

use std::net::{SocketAddr, TcpListener as StdListener, UdpSocket as StdSocket};
use std::time::{Duration, SystemTime};

use castway::app::App;
use castway::config::{Config, Settings};
use castway::turn::Scope;
use castway::users::credentials::issue;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::port::{announced, http_get, relays, settings, some, turn};
use super::relay::{LOCALHOST, client, own_ip, received, until};
use super::relay_streams::Connection;
use super::support::{Server, castway, ok, rest_client, stderr};

async fn json(at: SocketAddr, path: &str) -> Value {
    serde_json::from_str(&http_get(&mut TcpStream::connect(at).await.unwrap(), path).await.2).unwrap()
}

async fn built(settings: Settings) -> anyhow::Result<(App, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        data_dir: some(folder.path().to_str().unwrap()),
        http_addr: settings.http_addr.or(some("127.0.0.1:0")),
        turn_addr: settings.turn_addr.or(some("127.0.0.1:0")),
        ..settings
    };
    Ok((App::build(Config::read(&settings).unwrap()).await?, folder))
}

#[tokio::test]
async fn all_addresses_of_http_serve_the_same() {
    let addrs = some("127.0.0.1:0,127.0.0.1:0,127.0.0.1:0");
    let server = Server::start(Settings { http_addr: addrs, turn_access: some("open"), ..settings() }).await;
    assert_eq!(server.more_http.len(), 2);
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    for at in [&[server.http], &server.more_http[..]].concat() {
        for path in ["/", "/tv", "/cast", "/r", "/healthz", "/socket.io/?EIO=4&transport=polling", "/v1alpha/iceconfig"] {
            assert_eq!(http_get(&mut TcpStream::connect(at).await.unwrap(), path).await.0, 200, "{at}{path}");
        }
        assert_eq!(json(at, "/turn?username=x").await["uris"].as_array().unwrap().len(), 2, "{at}");
        let mut casting = turn(TcpStream::connect(at).await.unwrap(), 10_000);
        let relayed = casting.allocate().await;
        casting.bind_channel(peer.local_addr().unwrap()).await;
        relays(&mut casting, &peer, relayed).await;
    }
    let also: Vec<String> = server.more_http.iter().map(SocketAddr::to_string).collect();
    assert!(server.greeting.contains(&format!("  Also at       {}\n", also.join(", "))), "{}", server.greeting);
    assert!(server.greeting.contains(&format!("http://localhost:{}/tv", server.http.port())), "{}", server.greeting);
    server.stop().await;
}

#[tokio::test]
async fn no_port_is_to_be_opened_for_loopback_addresses() {
    let report = async |http_addr: &str| {
        let (app, _folder) = built(Settings { http_addr: some(http_addr), no_tls: some("true"), ..settings() }).await.unwrap();
        (app.startup_report().to_string(), app.http_addr().port())
    };
    let (here, _) = report("127.0.0.1:0,127.0.0.1:0").await;
    assert!(here.contains("  Ports to open none: all addresses are loopback ones, which only this machine reaches\n"), "{here}");
    let (everywhere, port) = report("0.0.0.0:0").await;
    assert!(everywhere.contains(&format!("  Ports to open TCP {port} and UDP ")), "{everywhere}");
}

#[tokio::test]
async fn each_address_of_http_is_needed() {
    let taken = StdListener::bind((own_ip(), 0)).unwrap().local_addr().unwrap();
    let held = TcpListener::bind(taken).await.unwrap();
    let addrs = format!("127.0.0.1:0,{taken}");
    let Err(error) = built(Settings { http_addr: some(&addrs), ..settings() }).await else { panic!("one is taken") };
    let error = format!("{error:#}");
    assert!(error.contains(&taken.to_string()) && error.contains("CASTWAY_HTTP_ADDR"), "{error}");
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn castway_health_asks_until_one_answers() {
    let server = Server::start(settings()).await;
    let folder = tempfile::tempdir().unwrap();
    let nobody = StdListener::bind((own_ip(), 0)).unwrap().local_addr().unwrap();
    let health = |addrs: &str| castway(folder.path()).args(["health", "--http-addr", addrs]).output().unwrap();
    for addrs in [format!("{nobody},{}", server.http), format!("{},{nobody}", server.http)] {
        let output = health(&addrs);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let other = StdListener::bind((own_ip(), 0)).unwrap().local_addr().unwrap();
    let output = health(&format!("{nobody},{other}"));
    assert!(output.status.code() == Some(1) && stderr(&output).contains("no server answers"), "{}", stderr(&output));
    server.stop().await;
}

/// The tutorials' coturn has the ports 3478 and 3479 (`listening-port`, `alt-listening-port`).
#[tokio::test(flavor = "multi_thread")]
async fn the_second_port_of_turn_is_named_and_serves_udp_and_tcp() {
    let ip = own_ip();
    let addr = format!("{ip}:23478");
    let wanted = Settings { turn_addr: some(&addr), alt_listening_port: some("23479"), turn_access: some("open"), ..settings() };
    let server = Server::start(Settings { external_ip: None, ..wanted }).await;
    let uris = json!([
        format!("turn:{ip}:23478?transport=udp"),
        format!("turn:{ip}:23478?transport=tcp"),
        format!("turn:{ip}:23479?transport=udp"),
        format!("turn:{ip}:23479?transport=tcp"),
    ]);
    assert_eq!(json(server.http, "/turn?username=x").await["uris"], uris);
    let ice = json(server.http, "/v1alpha/iceconfig").await["iceServers"].clone();
    let named: Vec<&Value> = ice.as_array().unwrap().iter().flat_map(|server| server["urls"].as_array().unwrap()).collect();
    assert!(uris.as_array().unwrap().iter().all(|uri| named.contains(&uri)), "{ice}");
    assert_eq!(named.iter().filter(|url| url.as_str().unwrap().starts_with("stun:")).count(), 1, "{ice}");
    assert!(server.greeting.contains(&format!("{addr} and port 23479 UDP and TCP")), "{}", server.greeting);
    let printed: Value =
        serde_json::from_str(&ok(castway(server.folder.as_ref().unwrap().path()).args(["credentials", "x"]))).unwrap();
    assert_eq!(printed["uris"], uris);

    let second = SocketAddr::new(ip, 23_479);
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    // This client first asks for a permission and sends indications, and then binds a channel.
    let udp = rest_client(second).await;
    let relayed = udp.allocate().await.unwrap();
    let at = webrtc_util::Conn::local_addr(&relayed).unwrap();
    for round in 0..20_u8 {
        webrtc_util::Conn::send_to(&relayed, &[round; 700], peer.local_addr().unwrap()).await.unwrap();
        assert_eq!(received(&peer).await, (vec![round; 700], at));
        peer.send_to(&[round; 900], at).await.unwrap();
        assert_eq!(received(&relayed).await.0, vec![round; 900]);
    }
    // Eight clients are more than the kernel is likely to give to one shard.
    for _ in 0..8 {
        let mut tcp = turn(TcpStream::connect(second).await.unwrap(), 10_000);
        let relayed = tcp.allocate().await;
        tcp.bind_channel(peer.local_addr().unwrap()).await;
        relays(&mut tcp, &peer, relayed).await;
    }
    server.stop().await;
    until(|| StdSocket::bind(second).is_ok()).await;
}

#[tokio::test]
async fn the_second_port_of_turn_is_no_peer_and_hears_proxies() {
    let ip = own_ip();
    let addr = format!("{ip}:23478");
    let wanted =
        Settings { turn_addr: some(&addr), alt_listening_port: some("23479"), trusted_proxies: some("127.0.0.1"), ..settings() };
    let server = Server::start(Settings { external_ip: None, ..wanted }).await;
    let header = b"PROXY TCP4 192.0.2.9 192.0.2.1 5 23479\r\n";
    let issued = issue("north", Scope::Anyone, "alice", Duration::from_secs(600), SystemTime::now());
    for second in [SocketAddr::new(ip, 23_479), SocketAddr::new(ip, 23_478)] {
        let stream = announced(second, header).await;
        let mut tcp = Connection::over(stream, 10_000, &issued.username, issued.password.expose());
        tcp.allocate().await;
        let refused = tcp.ask(&tcp.signed(stun::message::METHOD_CHANNEL_BIND, channel_to(second))).await;
        assert_eq!(refused.get(stun::attributes::ATTR_ERROR_CODE).unwrap()[2..4], [4, 3], "{second}: {refused}");
    }
    server.stop().await;
}

fn channel_to(peer: SocketAddr) -> Vec<Box<dyn stun::message::Setter>> {
    vec![
        Box::new(::turn::proto::channum::ChannelNumber(0x4000)),
        Box::new(::turn::proto::peeraddr::PeerAddress { ip: peer.ip(), port: peer.port() }),
    ]
}

#[tokio::test]
async fn without_the_setting_there_is_no_second_port() {
    let ip = own_ip();
    let addr = format!("{ip}:23478");
    let server = Server::start(Settings { turn_addr: some(&addr), turn_access: some("open"), ..settings() }).await;
    assert_eq!(json(server.http, "/turn?username=x").await["uris"].as_array().unwrap().len(), 2);
    let second = SocketAddr::new(ip, 23_479);
    assert!(TcpStream::connect(second).await.is_err() && StdSocket::bind(second).is_ok());
    server.stop().await;
}

#[tokio::test]
async fn the_report_names_the_external_address_first() {
    let report = async |settings: Settings| {
        let everywhere = Settings { http_addr: some("0.0.0.0:0"), ..settings };
        let (app, _folder) = built(everywhere).await.unwrap();
        let certificates = app.certificates().cloned();
        (app.startup_report().to_string(), app.http_addr().port(), app.https_addr().map_or(0, |addr| addr.port()), certificates)
    };
    let external = |text: &str| Settings { external_ip: some(text), ..settings() };
    // No resolver looks up such a long label.
    let name = format!("{}.invalid", "no".repeat(32));
    let ip = own_ip();
    for (settings, host) in [
        (external("203.0.113.7"), "203.0.113.7"),
        (external(&name), &name),
        (Settings { turn_addr: some(&format!("{ip}:0")), ..external(&format!("203.0.113.7/{ip},203.0.113.8")) }, "203.0.113.7"),
    ] {
        let (report, http, https, certificates) = report(settings).await;
        assert!(report.contains(&format!("  On the TV     http://{host}:{http}/tv\n")), "{report}");
        assert!(report.contains(&format!("  To cast       https://{host}:{https}/cast\n")), "{report}");
        assert!(report.contains(&format!("  To call       https://{host}:{https}/r\n")), "{report}");
        let certificate = certificates.unwrap().for_client(Some(host), host.parse().ok(), ip);
        assert_eq!(certificate.names, [host], "its own certificate is for it");
        assert!(report.contains(&certificate.fingerprint), "{report}");
    }
    let (report, http, ..) = report(Settings { no_tls: some("true"), ..external("203.0.113.7") }).await;
    assert!(report.contains(&format!("  To cast       http://203.0.113.7:{http}/cast\n")), "{report}");
}

#[tokio::test]
async fn the_report_names_external_addresses_only_where_they_lead_here() {
    let report = async |settings: Settings| built(settings).await.unwrap().0.startup_report().to_string();
    let external = Settings { external_ip: some("203.0.113.7"), ..settings() };
    let local = report(external.clone()).await;
    assert!(local.contains("  On the TV     http://localhost:") && !local.contains("203.0.113.7:"), "{local}");
    let public =
        report(Settings { public_url: some("https://cast.example.org"), http_addr: some("0.0.0.0:0"), ..external }).await;
    assert!(public.contains("  On the TV     https://cast.example.org/tv\n") && !public.contains("203.0.113.7:"), "{public}");
    // Skipped on a machine without IPv6.
    if TcpListener::bind("[::1]:0").await.is_err() {
        return;
    }
    let both = Settings { relay_ip: some("127.0.0.1,::1"), external_ip: some("203.0.113.7,2001:db8::7"), ..settings() };
    let (app, _folder) = built(Settings { http_addr: some("[::]:0"), ..both.clone() }).await.unwrap();
    let (report, port) = (app.startup_report().to_string(), app.https_addr().unwrap().port());
    assert!(report.contains(&format!("  To cast       https://203.0.113.7:{port}/cast\n")), "{report}");
    assert!(report.contains(&format!("or https://[2001:db8::7]:{port}\n")), "{report}");
    let certificate = |ip: &str| app.certificates().unwrap().for_client(None, ip.parse().ok(), own_ip());
    for ip in ["203.0.113.7", "2001:db8::7"] {
        assert_eq!(certificate(ip).names, [ip]);
        assert!(report.contains(&format!("{} for {ip}\n", certificate(ip).fingerprint)), "{report}");
    }
    let (app, _folder) = built(Settings { http_addr: some("0.0.0.0:0"), ..both }).await.unwrap();
    assert!(!app.startup_report().to_string().contains("[2001:db8::7]:"), "{}", app.startup_report());
}

#[tokio::test]
async fn a_client_may_use_either_port_with_the_same_relay() {
    let ip = own_ip();
    let addr = format!("{ip}:23478");
    let server =
        Server::start(Settings { turn_addr: some(&addr), alt_listening_port: some("23479"), external_ip: None, ..settings() })
            .await;
    for port in [23_478, 23_479] {
        let unknown = client(SocketAddr::new(ip, port), "tv", "newest").await;
        assert!(unknown.allocate().await.err().unwrap().to_string().contains("401"), "wrong credentials are wrong at {port}");
    }
    let (one, two) = (rest_client((ip, 23_478).into()).await, rest_client((ip, 23_479).into()).await);
    let (one, two) = (one.allocate().await.unwrap(), two.allocate().await.unwrap());
    let (at_one, at_two) = (webrtc_util::Conn::local_addr(&one).unwrap(), webrtc_util::Conn::local_addr(&two).unwrap());
    super::relay::greet(&one, &two).await;
    webrtc_util::Conn::send_to(&one, b"across", at_two).await.unwrap();
    assert_eq!(super::relay::received_after_greeting(&two).await, (b"across".to_vec(), at_one));
    server.stop().await;
}
