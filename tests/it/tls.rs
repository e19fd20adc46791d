//! Certificates: self-signed ones, those from files, and changes while the server runs.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use castway::app::App;
use castway::config::{Config, Settings};
use castway::tls::CertificateKind;
use castway::users::Store;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::port::{announced, connector, http_get, local_get, relays, settings, some, tls, turn};
use super::relay::{EVENT_TIMEOUT, LOCALHOST, until};
use super::support::{Server, castway, ok};

/// A certificate authority of the tests.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Castway test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate chain and its key.
    fn sign(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let signed = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        (format!("{}{}", signed.pem(), self.0.pem()), key.serialize_pem())
    }
}

fn with_files(folder: &Path, (chain, key): &(String, String)) -> Settings {
    let (cert, pkey) = (folder.join("chain.pem"), folder.join("key.pem"));
    fs::write(&cert, chain).unwrap();
    fs::write(&pkey, key).unwrap();
    Settings { cert: some(cert.to_str().unwrap()), pkey: some(pkey.to_str().unwrap()), cert_trusted: some("true"), ..settings() }
}

async fn json(server: &Server, path: &str) -> serde_json::Value {
    let body = if path == "/readyz" {
        local_get(server, path).await
    } else {
        http_get(&mut TcpStream::connect(server.http).await.unwrap(), path).await.2
    };
    serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"))
}

#[tokio::test]
async fn a_self_signed_certificate_outlives_a_restart() {
    let server = Server::start(settings()).await;
    let first = server.certificates.as_ref().unwrap().current();
    assert_eq!(first.kind, CertificateKind::SelfSigned);
    assert!(first.covers("localhost") && first.covers("127.0.0.1"));
    let ready = json(&server, "/readyz").await;
    assert_eq!(ready["certificate"]["kind"], "self_signed");
    assert_eq!(ready["certificate"]["fingerprint"], first.fingerprint.as_str());
    let metrics = local_get(&server, "/metrics").await;
    assert!(metrics.contains("castway_certificate_expiry_timestamp_seconds{kind=\"self_signed\"}"), "{metrics}");
    assert_eq!(json(&server, "/api/info").await["https"]["selfSigned"], true);
    // Browsers could not use TURN over TLS with this certificate, so its URLs are left out.
    let server = Server::start_in(server.stop().await, Settings { turn_access: some("open"), ..settings() }).await;
    assert_eq!(server.certificates.as_ref().unwrap().current().fingerprint, first.fingerprint);
    let uris = json(&server, "/turn?username=x").await["uris"].clone();
    assert_eq!(uris.as_array().unwrap().len(), 2, "{uris}");
    server.stop().await;
}

/// Requirement 52.
#[tokio::test]
async fn files_are_read_again_when_they_change_and_connections_stay() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let at = folder.path().to_owned();
    let first = authority.sign(&["localhost", "first.example.org"]);
    let server = Server::start_in(folder, with_files(&at, &first)).await;
    let certificates = server.certificates.clone().unwrap();
    let old = certificates.current();
    assert!(old.covers("first.example.org") && old.is_trusted());
    let connector = connector(authority.0.pem().as_bytes(), &[]);

    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut casting = turn(tls(server.https, &connector).await, 10_000);
    let relayed = casting.allocate().await;
    casting.bind_channel(peer.local_addr().unwrap()).await;

    // A chain without its key is not used: the old certificate stays, and the problem is reported.
    let second = authority.sign(&["localhost", "second.example.org"]);
    fs::write(at.join("chain.pem"), &second.0).unwrap();
    until(|| certificates.failures() > 0).await;
    assert_eq!(certificates.current().fingerprint, old.fingerprint);
    assert!(certificates.problem().unwrap().en.contains("does not match"));
    assert_eq!(json(&server, "/readyz").await["certificate"]["failing"], true);
    tls(server.https, &connector).await;

    fs::write(at.join("key.pem"), &second.1).unwrap();
    until(|| certificates.current().covers("second.example.org")).await;
    assert_eq!(certificates.problem(), None);
    let fresh = tls(server.https, &connector).await;
    let seen = fresh.get_ref().1.peer_certificates().unwrap().len();
    assert_eq!(seen, 2, "the full chain");
    relays(&mut casting, &peer, relayed).await;
    server.stop().await;
}

#[tokio::test]
async fn sighup_has_them_read_at_once() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let at = folder.path().to_owned();
    let server = Server::start_in(folder, with_files(&at, &authority.sign(&["localhost"]))).await;
    let certificates = server.certificates.clone().unwrap();
    // The files keep their modification time, so only the signal can cause a reload.
    let keep = [at.join("chain.pem"), at.join("key.pem")].map(|path| fs::metadata(path).unwrap().modified().unwrap());
    let second = authority.sign(&["localhost", "second.example.org"]);
    let texts = [(at.join("chain.pem"), &second.0), (at.join("key.pem"), &second.1)];
    for ((path, text), time) in texts.into_iter().zip(keep) {
        fs::write(&path, text).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    // The test needs no process of its own: the signal reaches every server in this process, and does no harm.
    until(|| {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
        certificates.current().covers("second.example.org")
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn turn_over_tls_is_advertised_under_a_name_that_can_be_verified() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let at = folder.path().to_owned();
    let files = with_files(&at, &authority.sign(&["127.0.0.1", "*.example.org", "turn.example.net"]));
    // A trusted proxy is not redirected to HTTPS.
    let behind_proxy = Settings { turn_access: some("open"), trusted_proxies: some("127.0.0.1"), ..files };
    let server = Server::start_in(folder, behind_proxy).await;
    let port = server.https.port();
    let uris = json(&server, "/turn?username=x").await["uris"].clone();
    assert_eq!(uris[2], format!("turns:cast.example.org:{port}?transport=tcp"), "{uris}");
    let other = reqwest::get(format!("http://{}/turn?username=x", server.http)).await.unwrap().text().await.unwrap();
    assert!(other.contains(&format!("turns:turn.example.net:{port}?transport=tcp")), "{other}");
    let ice = reqwest::get(format!("http://{}/v1alpha/iceconfig", server.http)).await.unwrap().text().await.unwrap();
    assert!(ice.contains(&format!("turns:turn.example.net:{port}?transport=tcp")), "{ice}");
    assert!(!server.greeting.contains("Firefox"), "{}", server.greeting);
    server.stop().await;
}

#[tokio::test]
async fn turn_over_tls_is_advertised_at_an_ipv6_address() {
    // Skipped on a machine without IPv6.
    if TcpListener::bind("[::1]:0").await.is_err() {
        return;
    }
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = with_files(folder.path(), &authority.sign(&["::1"]));
    let at_v6 = Settings {
        http_addr: some("[::1]:0"),
        turn_addr: some("[::1]:0"),
        external_ip: some("::1"),
        turn_access: some("open"),
        ..files
    };
    let server = Server::start_in(folder, at_v6).await;
    let uris = reqwest::get(format!("http://{}/turn?username=x", server.http)).await.unwrap().text().await.unwrap();
    assert!(uris.contains(&format!("\"turns:[::1]:{}?transport=tcp\"", server.https.port())), "{uris}");
    assert!(uris.contains(&format!("\"turn:[::1]:{}?transport=udp\"", server.turn.port())), "{uris}");
    assert!(server.greeting.contains("Firefox sends nothing to them"), "{}", server.greeting);
    server.stop().await;
}

#[tokio::test]
async fn who_comes_without_tls_is_sent_to_https_if_the_certificate_is_trusted() {
    let header = b"PROXY TCP4 192.0.2.9 192.0.2.1 5 80\r\n";
    let answer = async |server: &Server, path: &str| http_get(&mut announced(server.http, header).await, path).await;
    let trusting = Settings { trusted_proxies: some("127.0.0.1"), ..settings() };
    let server = Server::start(trusting.clone()).await;
    assert_eq!(answer(&server, "/cast").await.0, 200);
    server.stop().await;

    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = with_files(folder.path(), &authority.sign(&["cast.example.org"]));
    let server = Server::start_in(folder, Settings { trusted_proxies: trusting.trusted_proxies, ..files }).await;
    let (status, head, _) = answer(&server, "/cast?code=1").await;
    let location = format!("location: https://cast.example.org:{}/cast?code=1\r\n", server.https.port());
    assert!(status == 308 && head.contains(&location), "{head}");
    // A page of another origin can follow the redirect only if CORS allows it.
    let lines = "/socket.io/?EIO=4&transport=polling HTTP/1.1\r\nOrigin: http://front.example.org\r\nX-Rest: ";
    let (status, head, _) = answer(&server, lines).await;
    assert!(status == 308 && head.contains("access-control-allow-origin: http://front.example.org\r\n"), "{head}");
    assert!(head.contains("access-control-allow-credentials: true\r\n"), "{head}");
    assert_eq!(answer(&server, "/healthz").await.0, 200);
    assert_eq!(answer(&server, "/.well-known/acme-challenge/x").await.0, 404);
    // Requests from this machine and from a trusted proxy are not redirected.
    assert_eq!(http_get(&mut TcpStream::connect(server.http).await.unwrap(), "/cast").await.0, 200);
    server.stop().await;
}

/// The same holds as for a self-signed certificate.
#[tokio::test]
async fn files_that_nobody_vouches_for_leave_plain_http_alone() {
    let header = b"PROXY TCP4 192.0.2.9 192.0.2.1 5 80\r\n";
    let authority = Authority::new();
    let made = rcgen::generate_simple_self_signed(["cast.example.org".to_owned()]).unwrap();
    let signed_itself = (made.cert.pem(), made.signing_key.serialize_pem());
    for (files, trusted) in [
        (&signed_itself, None),
        (&authority.sign(&["cast.example.org"]), None),
        (&authority.sign(&["cast.example.org"]), some("false")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let files = with_files(folder.path(), files);
        let open = Settings { turn_access: some("open"), trusted_proxies: some("127.0.0.1"), ..files };
        let server = Server::start_in(folder, Settings { cert_trusted: trusted, ..open }).await;
        for path in ["/", "/tv", "/cast", "/r", "/socket.io/?EIO=4&transport=polling", "/turn?username=x"] {
            let (status, head, _) = http_get(&mut announced(server.http, header).await, path).await;
            assert_eq!(status, 200, "{path}: {head}");
        }
        let current = server.certificates.as_ref().unwrap().current();
        let ready = json(&server, "/readyz").await["certificate"].clone();
        assert_eq!((&ready["kind"], &ready["trusted"]), (&"untrusted_files".into(), &false.into()), "{ready}");
        let metrics = local_get(&server, "/metrics").await;
        assert!(metrics.contains("castway_certificate_expiry_timestamp_seconds{kind=\"untrusted_files\"}"), "{metrics}");
        let https = json(&server, "/api/info").await["https"].clone();
        assert_eq!((&https["selfSigned"], &https["fingerprint"]), (&true.into(), &current.fingerprint.as_str().into()));
        let uris = json(&server, "/turn?username=x").await["uris"].to_string();
        assert!(!uris.contains("turns:"), "{uris}");
        for told in [&current.fingerprint, "CASTWAY_CERT_TRUSTED=true", "clients don't trust"] {
            assert!(server.greeting.contains(told), "{}", server.greeting);
        }
        server.stop().await;
    }
}

/// The check is repeated each time that the files are read.
#[tokio::test]
async fn whether_files_are_trusted_is_found_out_again() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let at = folder.path().to_owned();
    let files = with_files(&at, &authority.sign(&["localhost"]));
    let ca = at.join("ca.pem");
    fs::write(&ca, authority.0.pem()).unwrap();
    Store::open(&at, SystemTime::now()).await.unwrap().close().await;
    let trusted = |store: &str| {
        let mut command = castway(&at);
        command.args(["credentials", "alice", "--turn-access", "open", "--cert"]).arg(files.cert.as_ref().unwrap());
        command.arg("--pkey").arg(files.pkey.as_ref().unwrap()).env("SSL_CERT_FILE", store).env_remove("SSL_CERT_DIR");
        ok(&mut command).contains("turns:localhost:8443?transport=tcp")
    };
    assert!(trusted(ca.to_str().unwrap()), "the authority is in the machine's trust store");
    assert!(!trusted(at.join("nothing.pem").to_str().unwrap()));

    let server = Server::start_in(folder, Settings { cert_trusted: None, ..files }).await;
    let certificates = server.certificates.clone().unwrap();
    assert_eq!(certificates.current().kind, CertificateKind::UntrustedFiles);
    let second = authority.sign(&["localhost", "second.example.org"]);
    fs::write(at.join("chain.pem"), &second.0).unwrap();
    fs::write(at.join("key.pem"), &second.1).unwrap();
    until(|| certificates.current().covers("second.example.org")).await;
    assert!(!certificates.current().is_trusted());
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_stops_the_start() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let ((chain, _), (_, key)) = (authority.sign(&["a.example.org"]), authority.sign(&["a.example.org"]));
    let settings = Settings {
        data_dir: some(folder.path().to_str().unwrap()),
        http_addr: some("127.0.0.1:0"),
        turn_addr: some("127.0.0.1:0"),
        ..with_files(folder.path(), &(chain, key))
    };
    let Err(error) = App::build(Config::read(&settings).unwrap()).await else { panic!("it does not fit") };
    let error = format!("{error:#}");
    assert!(error.contains("CASTWAY_CERT") && error.contains("chain.pem") && error.contains("does not match"), "{error}");
}

#[tokio::test]
async fn without_tls_there_is_none() {
    let server = Server::start(Settings { no_tls: some("true"), ..settings() }).await;
    assert!(server.certificates.is_none());
    assert_eq!(json(&server, "/readyz").await["certificate"], serde_json::Value::Null);
    assert_eq!(http_get(&mut TcpStream::connect(server.http).await.unwrap(), "/cast").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn the_end_of_tls_is_the_end_of_the_allocation() {
    use tokio::io::AsyncWriteExt as _;
    let server = Server::start(settings()).await;
    let pem = fs::read(server.folder.as_ref().unwrap().path().join("tls/self-signed.pem")).unwrap();
    let allocations = async |count: &str| {
        let shown = format!("\ncastway_relay_allocations {count}\n");
        let waited = timeout(EVENT_TIMEOUT, async {
            while !local_get(&server, "/metrics").await.contains(&shown) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap();
    };
    let mut client = turn(tls(server.https, &connector(&pem, &[])).await, 10_000);
    client.allocate().await;
    allocations("1.0").await;
    // The client ends its side of TLS; the TCP connection stays open.
    client.stream.get_mut().1.send_close_notify();
    client.stream.flush().await.unwrap();
    allocations("0.0").await;
    server.stop().await;
}

/// Requirement 45, with the buffers of TLS.
#[tokio::test]
async fn a_client_over_tls_that_does_not_read_loses_media_and_then_its_connection() {
    let server = Server::start(settings()).await;
    let pem = fs::read(server.folder.as_ref().unwrap().path().join("tls/self-signed.pem")).unwrap();
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut client = turn(tls(server.https, &connector(&pem, &[])).await, 10_000);
    let relayed = client.allocate().await;
    client.bind_channel(peer.local_addr().unwrap()).await;
    let number = async |name: &str| {
        let metrics = local_get(&server, "/metrics").await;
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    // The media goes on, as that of a cast does: the kernel takes some more of it than when it first had no room.
    let media = async || {
        for _ in 0..500 {
            peer.send_to(&[7; 1200], relayed).await.unwrap();
        }
    };
    timeout(2 * EVENT_TIMEOUT, async {
        while number("castway_relay_drops_total{reason=\"stream_full\"}").await < 100.0 {
            media().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while number("castway_relay_closed_connections_total{reason=\"slow\"}").await == 0.0 {
            media().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_report_names_hosts_that_the_certificate_is_for() {
    let authority = Authority::new();
    let everywhere = Settings { http_addr: some("0.0.0.0:0"), external_ip: some("203.0.113.7"), ..Settings::default() };
    let public = Settings { public_url: some("https://tv.example.org"), ..everywhere.clone() };
    let inside = Settings { http_addr: some("127.0.0.1:0"), https_addr: some("0.0.0.0:0"), ..everywhere.clone() };
    let secure = |host: &'static str| ("https", host);
    for (names, trusted, settings, (tv_scheme, tv), host, warns) in [
        (&["cast.example.org"][..], "true", &everywhere, secure("cast.example.org"), "cast.example.org", false),
        (&["localhost", "127.0.0.1", "b.example.org"], "true", &everywhere, secure("b.example.org"), "b.example.org", false),
        (&["cast.example.org", "203.0.113.7"], "true", &everywhere, secure("203.0.113.7"), "203.0.113.7", false),
        (&["203.0.113.9"], "true", &everywhere, secure("203.0.113.9"), "203.0.113.9", false),
        (&["cast.example.org"], "false", &everywhere, ("http", "203.0.113.7"), "cast.example.org", false),
        (&["cast.example.org"], "true", &inside, secure("cast.example.org"), "cast.example.org", false),
        (&["*.example.org"], "true", &everywhere, secure("203.0.113.7"), "203.0.113.7", true),
        (&["localhost"], "true", &everywhere, secure("203.0.113.7"), "203.0.113.7", true),
        (&["*.example.org"], "true", &public, secure("tv.example.org"), "tv.example.org", false),
        (&["cast.example.org"], "true", &public, secure("tv.example.org"), "tv.example.org", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let files = with_files(folder.path(), &authority.sign(names));
        let Settings { http_addr, https_addr, external_ip, public_url, .. } = settings.clone();
        let listening = Settings { http_addr, https_addr, external_ip, ..files };
        let server = Server::start_in(folder, Settings { cert_trusted: some(trusted), public_url, ..listening }).await;
        let report = &server.greeting;
        let port = |scheme: &str| match (host, scheme) {
            ("tv.example.org", _) => String::new(),
            (_, "http") => format!(":{}", server.http.port()),
            _ => format!(":{}", server.https.port()),
        };
        for line in [
            format!("  On the TV     {tv_scheme}://{tv}{}/tv\n", port(tv_scheme)),
            format!("  To cast       https://{host}{}/cast\n", port("https")),
            format!("  To call       https://{host}{}/r\n", port("https")),
        ] {
            assert!(report.contains(&line), "{names:?}: {line}{report}");
        }
        assert_eq!(report.contains("Set CASTWAY_PUBLIC_URL to the address that people type"), warns, "{names:?}: {report}");
        assert!(warns || host.starts_with("203.") || !report.contains("https://203.0.113.7"), "{names:?}: {report}");
        server.stop().await;
    }
}

#[tokio::test]
async fn the_report_names_the_domain_while_its_certificate_has_not_come() {
    let domain = Settings { domain: some("cast.example.org,b.example.org"), ..settings() };
    // No server listens there.
    let nowhere = Settings { acme_directory: some("https://127.0.0.1:9/directory"), external_ip: some("203.0.113.7"), ..domain };
    let server =
        Server::start(Settings { http_addr: some("0.0.0.0:0,0.0.0.0:0"), https_addr: some("0.0.0.0:0"), ..nowhere }).await;
    let (report, origin) = (&server.greeting, format!("https://cast.example.org:{}", server.https.port()));
    assert!(report.contains(&format!("  On the TV     {origin}/tv\n  To cast       {origin}/cast\n")), "{report}");
    assert!(!report.contains("203.0.113.7:") && !report.contains("CASTWAY_PUBLIC_URL"), "{report}");
    let certificate =
        "  Certificate   not here yet: until the one for cast.example.org, b.example.org arrives, a self-signed one answers,\n";
    assert!(report.contains(certificate) && !report.contains("made by this server"), "{report}");
    assert!(report.contains("                of which browsers warn. Its SHA-256 fingerprint is\n"), "{report}");
    server.stop().await;
    let server = Server::start(settings()).await;
    assert!(server.greeting.contains("  Certificate   made by this server: browsers warn once."), "{}", server.greeting);
    server.stop().await;
}
