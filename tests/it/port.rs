//! Every protocol on every port, as plain text and inside TLS; clients that are slow, broken or too many; the PROXY protocol.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use castway::config::Settings;
use castway::relay::stats::labels::CloseReason;
use castway::relay::{ForwardedConnection, IngressForwarding};
use castway::turn::Scope;
use castway::users::credentials::issue;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use stun::message::{BINDING_REQUEST, Message};
use stun::xoraddr::XorMappedAddress;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::relay::{self, EVENT_TIMEOUT, LOCALHOST, REALM};
use super::relay_streams::{Connection, channel_data};
use super::support::Server;

pub(crate) fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Settings with our realm, and with loopback peers allowed.
pub(crate) fn settings() -> Settings {
    Settings { realm: some(REALM), allowed_peer_ip: some("127.0.0.0/8"), external_ip: some("127.0.0.1"), ..Settings::default() }
}

/// A client that trusts only the certificates of a PEM file.
pub(crate) fn connector(pem: &[u8], alpn: &[&str]) -> TlsConnector {
    connector_of(rustls::DEFAULT_VERSIONS, pem, alpn)
}

fn connector_of(versions: &[&'static rustls::SupportedProtocolVersion], pem: &[u8], alpn: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// The self-signed certificate of a server.
pub(crate) fn own(server: &Server) -> Vec<u8> {
    std::fs::read(server.folder.as_ref().unwrap().path().join("tls/self-signed.pem")).unwrap()
}

pub(crate) async fn tls(addr: SocketAddr, connector: &TlsConnector) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(addr).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    // The listener may be at another address than `localhost`.
    let name = if addr.is_ipv6() { ServerName::from(addr.ip()) } else { ServerName::try_from("localhost").unwrap() };
    connector.connect(name, tcp).await.unwrap()
}

/// The status, the head and the body of an answer to a GET.
pub(crate) async fn http_get(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> (u16, String, String) {
    http_get_at("cast.example.org:8080", stream, path).await
}

/// Requests a path as this machine's own tools do, under a name that only this machine has.
pub(crate) async fn local_get(server: &Server, path: &str) -> String {
    http_get_at("localhost", &mut TcpStream::connect(server.http).await.unwrap(), path).await.2
}

async fn http_get_at(host: &str, stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> (u16, String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    // Not every peer closes TLS with an alert.
    let _ = timeout(EVENT_TIMEOUT, stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// A TURN client with valid credentials that writes `step` bytes at a time.
pub(crate) fn turn<S: AsyncRead + AsyncWrite + Unpin>(stream: S, step: usize) -> Connection<S> {
    let issued = issue("north", Scope::Anyone, "alice", Duration::from_secs(600), SystemTime::now());
    Connection::over(stream, step, &issued.username, issued.password.expose())
}

/// Asserts that payloads pass over a channel in both directions.
pub(crate) async fn relays<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Connection<S>, peer: &UdpSocket, relayed: SocketAddr) {
    for len in [1, 1200, 4001] {
        let payload: Vec<u8> = (0..len).map(|index| index as u8).collect();
        client.write(&channel_data(&payload)).await;
        let mut buffer = [0; 8192];
        let (got, from) = timeout(EVENT_TIMEOUT, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..got], from), (&payload[..], relayed));
        peer.send_to(&payload, relayed).await.unwrap();
        assert_eq!(client.read().await, channel_data(&payload));
    }
}

async fn allocates_and_relays(stream: impl AsyncRead + AsyncWrite + Unpin, step: usize) {
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut client = turn(stream, step);
    let relayed = client.allocate().await;
    client.bind_channel(peer.local_addr().unwrap()).await;
    relays(&mut client, &peer, relayed).await;
}

/// Starts a proxy that forwards to `addr` byte by byte.
async fn dribbling(addr: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(addr).await.unwrap();
            server.set_nodelay(true).unwrap();
            let ((mut from, mut back), (mut answers, mut to)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
            tokio::spawn(async move {
                let mut byte = [0];
                while from.read(&mut byte).await.is_ok_and(|len| len > 0) && to.write_all(&byte).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            });
        }
    });
    at
}

#[tokio::test]
async fn the_first_data_may_come_with_the_end_of_the_handshake() {
    const REQUESTS: usize = 1000;
    let server = Server::start(settings()).await;
    let mut requests = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(REQUESTS - 1);
    requests += "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let pem = own(&server);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let connector = connector_of(&[version], &pem, &[]);
        let tcp = TcpStream::connect(server.https).await.unwrap();
        let say = |client: &mut rustls::ClientConnection| client.writer().write_all(requests.as_bytes()).unwrap();
        let mut stream = connector.connect_with(ServerName::try_from("localhost").unwrap(), tcp, say).await.unwrap();
        let mut answers = Vec::new();
        timeout(EVENT_TIMEOUT, stream.read_to_end(&mut answers)).await.unwrap().unwrap();
        let answers = String::from_utf8(answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 ").count(), REQUESTS, "{version:?}");
    }
}

/// Requirement 50.
#[tokio::test]
async fn every_protocol_is_on_every_port() {
    let server = Server::start(settings()).await;
    let pem = own(&server);
    for addr in [server.http, server.https, server.turns] {
        assert_eq!(http_get(&mut TcpStream::connect(addr).await.unwrap(), "/healthz").await.0, 200);
        allocates_and_relays(TcpStream::connect(addr).await.unwrap(), 10_000).await;
        for alpn in [&[][..], &["http/1.1"], &["h3", "http/1.1"]] {
            assert_eq!(http_get(&mut tls(addr, &connector(&pem, alpn)).await, "/healthz").await.0, 200, "{alpn:?}");
        }
        for alpn in [&[][..], &["stun.turn"], &["http/1.1", "stun.turn"]] {
            allocates_and_relays(tls(addr, &connector(&pem, alpn)).await, 10_000).await;
        }
    }
    server.stop().await;
}

/// The relay's own TCP ports of a server with these settings: the first one and the second one.
async fn with_two_turn_ports(settings: Settings) -> (Server, [SocketAddr; 2]) {
    let second = TcpListener::bind((LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let server = Server::start(Settings { alt_listening_port: some(&second.port().to_string()), ..settings }).await;
    let ports = [server.turn, second];
    (server, ports)
}

const TURN_ALPN: [&[&str]; 4] = [&[], &["stun.turn"], &["http/1.1", "stun.turn"], &["http/1.1"]];

#[tokio::test]
async fn r76_the_relays_ports_serve_turn_alone_plain_and_inside_tls() {
    let (server, ports) = with_two_turn_ports(settings()).await;
    let pem = own(&server);
    for addr in ports {
        allocates_and_relays(TcpStream::connect(addr).await.unwrap(), 10_000).await;
        for alpn in TURN_ALPN {
            allocates_and_relays(tls(addr, &connector(&pem, alpn)).await, 10_000).await;
        }
        assert!(refuses_http(TcpStream::connect(addr).await.unwrap()).await, "{addr}");
        for alpn in [&[][..], &["http/1.1"], &["h2", "http/1.1"]] {
            assert!(refuses_http(tls(addr, &connector(&pem, alpn)).await).await, "{addr} {alpn:?}");
        }
        let own = TcpStream::connect(addr).await.unwrap();
        let port = own.local_addr().unwrap();
        let inside = connector(&pem, &[]).connect(ServerName::try_from("localhost").unwrap(), own).await.unwrap();
        assert_eq!(mapped(inside).await, Some(port), "the client's own address, {addr}");
    }
    server.stop().await;
}

#[tokio::test]
async fn r76_the_relays_ports_serve_http_where_a_setting_says_so() {
    let (server, ports) = with_two_turn_ports(Settings { turn_http: some("true"), ..settings() }).await;
    let pem = own(&server);
    for addr in ports {
        assert_eq!(http_get(&mut TcpStream::connect(addr).await.unwrap(), "/turn?username=x").await.0, 200);
        for alpn in [&[][..], &["http/1.1"]] {
            assert_eq!(http_get(&mut tls(addr, &connector(&pem, alpn)).await, "/cast").await.0, 200, "{alpn:?}");
        }
        allocates_and_relays(TcpStream::connect(addr).await.unwrap(), 10_000).await;
        for alpn in TURN_ALPN {
            allocates_and_relays(tls(addr, &connector(&pem, alpn)).await, 10_000).await;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn r76_without_tls_the_relays_ports_close_handshakes() {
    let (server, ports) = with_two_turn_ports(Settings { no_tls: some("true"), ..settings() }).await;
    for addr in ports {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"\x16\x03\x01\x00\x10\x01\x00\x00\x0c\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00").await.unwrap();
        assert!(is_closed(stream).await, "{addr}");
        allocates_and_relays(TcpStream::connect(addr).await.unwrap(), 10_000).await;
    }
    server.stop().await;
}

/// Whether a request over HTTP gets no answer, and its connection is closed.
async fn refuses_http(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> bool {
    // The connection may be closed before everything is written.
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    timeout(EVENT_TIMEOUT, stream.read_to_end(&mut answer)).await.is_ok() && answer.is_empty()
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let server = Server::start(settings()).await;
    let pem = own(&server);
    let slow = dribbling(server.https).await;
    assert_eq!(http_get(&mut TcpStream::connect(slow).await.unwrap(), "/healthz").await.0, 200);
    assert_eq!(http_get(&mut tls(slow, &connector(&pem, &[])).await, "/healthz").await.0, 200);
    for slow in [slow, dribbling(server.turn).await] {
        allocates_and_relays(TcpStream::connect(slow).await.unwrap(), 10_000).await;
        allocates_and_relays(tls(slow, &connector(&pem, &[])).await, 10_000).await;
    }
    // Each TLS record has one byte.
    allocates_and_relays(tls(server.https, &connector(&pem, &[])).await, 1).await;
    server.stop().await;
}

/// Whether the other side closes the connection soon, and without an HTTP response.
async fn is_closed(mut stream: impl AsyncRead + Unpin) -> bool {
    let mut answer = Vec::new();
    let ended = timeout(EVENT_TIMEOUT, stream.read_to_end(&mut answer)).await.is_ok();
    ended && !answer.starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn what_speaks_nothing_of_ours_is_closed() {
    let server = Server::start(settings()).await;
    let wrong: [&[u8]; 7] = [
        b"\xff\xff\xff\xff",
        b"\x80\x2e\x01\x03\x01",
        b"\x16\x03\x01\xff\xff\x01\x00",
        b"\x16\x00\x00\x00\x00\x00\x00\x00",
        b"\x00\x01\x00\x00not the cookie of STUN",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\xc0\0\x02\x01\0\x05\x01\xbb",
    ];
    for bytes in wrong {
        let mut stream = TcpStream::connect(server.https).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        assert!(is_closed(stream).await, "{bytes:?}");
    }
    let mut inside = tls(server.https, &connector(&own(&server), &[])).await;
    inside.write_all(b"\xff\xff").await.unwrap();
    assert!(is_closed(inside).await);
    let mut inside = tls(server.https, &connector(&own(&server), &["stun.turn"])).await;
    inside.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(is_closed(inside).await);
    assert_eq!(http_get(&mut TcpStream::connect(server.https).await.unwrap(), "/healthz").await.0, 200);
    server.stop().await;
}

/// 2000 connections from eight addresses; each sends one of these beginnings and then nothing.
async fn begin_2000(addr: SocketAddr, beginnings: [&[u8]; 4]) -> Vec<TcpStream> {
    let mut idle = Vec::new();
    for index in 0..2000_u32 {
        let socket = TcpSocket::new_v4().unwrap();
        let ip = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + 1 + index % 8);
        socket.bind((ip, 0).into()).unwrap();
        let mut stream = socket.connect(addr).await.unwrap();
        stream.write_all(beginnings[index as usize / 8 % 4]).await.unwrap();
        idle.push(stream);
    }
    idle
}

/// The server closes all of them in the end.
async fn await_closed(streams: Vec<TcpStream>) {
    for mut stream in streams {
        let ended = timeout(2 * EVENT_TIMEOUT, async { while stream.read(&mut [0; 512]).await.is_ok_and(|len| len > 0) {} });
        ended.await.unwrap();
    }
}

/// Requirement 46: more connections than may wait, from several addresses, and in every phase.
#[tokio::test]
async fn thousands_that_say_nothing_harm_nobody() {
    let server = Server::start(settings()).await;
    let pem = own(&server);
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut casting = turn(tls(server.https, &connector(&pem, &[])).await, 10_000);
    let relayed = casting.allocate().await;
    casting.bind_channel(peer.local_addr().unwrap()).await;

    let idle = begin_2000(server.https, [b"", b"G", b"\x16\x03\x01\x02\x00\x01", b"\x00\x01"]).await;
    relays(&mut casting, &peer, relayed).await;
    allocates_and_relays(tls(server.https, &connector(&pem, &[])).await, 10_000).await;
    assert_eq!(http_get(&mut tls(server.https, &connector(&pem, &[])).await, "/healthz").await.0, 200);
    await_closed(idle).await;
    relays(&mut casting, &peer, relayed).await;
    server.stop().await;
}

/// Requirement 46: more unfinished handshakes than may wait, at the port where others use TURN with and without TLS.
#[tokio::test]
async fn unfinished_handshakes_at_the_relays_port_harm_nobody() {
    let server = Server::start(settings()).await;
    let connector = connector(&own(&server), &[]);
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut casting = turn(tls(server.turn, &connector).await, 10_000);
    let relayed = casting.allocate().await;
    casting.bind_channel(peer.local_addr().unwrap()).await;

    let idle = begin_2000(server.turn, [b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01", b""]).await;
    relays(&mut casting, &peer, relayed).await;
    allocates_and_relays(TcpStream::connect(server.turn).await.unwrap(), 10_000).await;
    for addr in [server.turn, server.https] {
        allocates_and_relays(tls(addr, &connector).await, 10_000).await;
    }
    assert_eq!(http_get(&mut tls(server.https, &connector).await, "/healthz").await.0, 200);
    await_closed(idle).await;
    relays(&mut casting, &peer, relayed).await;
    server.stop().await;
}

#[tokio::test]
async fn where_the_ingress_is_slow_handshakes_wait_and_nobody_else() {
    let relay = relay::start(&relay::config());
    let ((proxied, _proxies), (others, mut forwarded)) = (mpsc::channel(1), mpsc::channel(1));
    relay.forward_to_ingress(&IngressForwarding { proxies: Arc::new([]), tls: true, http: false, proxied, others });
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(relay.listening()).await.unwrap();
        stream.write_all(b"\x16\x03\x01").await.unwrap();
        clients.push(stream);
    }
    relay::until(|| forwarded.len() == 1).await;
    Connection::open(relay.listening(), 10_000).await.allocate().await;
    let mut arrived = BTreeSet::new();
    while arrived.len() < clients.len() {
        let ForwardedConnection { stream, .. } = timeout(EVENT_TIMEOUT, forwarded.recv()).await.unwrap().unwrap();
        let mut begun = [0; 8];
        assert_eq!(stream.peek(&mut begun).unwrap(), 3, "nothing of the handshake is lost");
        arrived.insert(stream.peer_addr().unwrap());
    }
    assert_eq!(arrived, clients.iter().map(|stream| stream.local_addr().unwrap()).collect());
    relay::until(|| relay.stats().closes(CloseReason::Forwarded) == 3).await;
}

#[tokio::test]
async fn one_address_has_its_share_of_connections() {
    let server = Server::start(Settings { address_connections: some("3"), ..settings() }).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(timeout(EVENT_TIMEOUT, stream.read(&mut [0; 512])).await.unwrap().unwrap() > 0);
        held.push(stream);
    }
    let mut fourth = TcpStream::connect(server.http).await.unwrap();
    let _ = fourth.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(is_closed(fourth).await);
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    assert_eq!(http_get(&mut socket.connect(server.http).await.unwrap(), "/healthz").await.0, 200);
    server.stop().await;
}

fn binding_request() -> Vec<u8> {
    let mut request = Message::new();
    request.build(&[Box::new(stun::agent::TransactionId::new()), Box::new(BINDING_REQUEST)]).unwrap();
    request.raw
}

/// The client's address according to STUN.
async fn mapped(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<SocketAddr> {
    stream.write_all(&binding_request()).await.unwrap();
    stream.flush().await.unwrap();
    let mut head = [0; 20];
    timeout(EVENT_TIMEOUT, stream.read_exact(&mut head)).await.unwrap().ok()?;
    let mut raw = head.to_vec();
    raw.resize(20 + usize::from(u16::from_be_bytes([head[2], head[3]])), 0);
    stream.read_exact(&mut raw[20..]).await.ok()?;
    let mut answer = Message { raw, ..Message::new() };
    answer.decode().unwrap();
    let mut address = XorMappedAddress::default();
    stun::message::Getter::get_from(&mut address, &answer).unwrap();
    Some((address.ip, address.port).into())
}

/// A header that names a client at 192.0.2.9.
fn version_1(port: u8) -> Vec<u8> {
    format!("PROXY TCP4 192.0.2.9 192.0.2.1 {port} 443\r\n").into_bytes()
}

fn version_2(port: u8) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\xc0\0\x02\x01\0\x05\x01\xbb".to_vec();
    header[25] = port;
    header
}

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";

pub(crate) async fn announced(addr: SocketAddr, header: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(header).await.unwrap();
    stream
}

/// A server that trusts `proxies`, and all its listeners, including the relay's own.
async fn trusting(proxies: &str) -> (Server, [SocketAddr; 5]) {
    let settings = Settings { trusted_proxies: some(proxies), collider_addr: some("127.0.0.1:0"), ..settings() };
    let server = Server::start(settings).await;
    let listeners = [server.http, server.https, server.turns, server.collider, server.turn];
    (server, listeners)
}

/// Requirement 51.
#[tokio::test]
async fn a_trusted_proxy_names_the_client() {
    let (server, listeners) = trusting("127.0.0.0/8").await;
    let connector = connector(&own(&server), &[]);
    // Two connections of one client at the same time need different ports.
    let mut port = 0;
    for addr in listeners.into_iter().chain([dribbling(server.https).await]) {
        for header in [version_1, version_2] {
            port += 2;
            let client = |port: u8| Some(SocketAddr::from(([192, 0, 2, 9], port.into())));
            assert_eq!(mapped(announced(addr, &header(port)).await).await, client(port), "{addr}");
            let tcp = announced(addr, &header(port + 1)).await;
            let tls = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
            assert_eq!(mapped(tls).await, client(port + 1), "{addr}");
        }
        for header in [LOCAL, b"PROXY UNKNOWN\r\n", b""] {
            assert_eq!(mapped(announced(addr, header).await).await.map(|address| address.ip()), Some(LOCALHOST), "{addr}");
            if addr == server.turn {
                assert!(refuses_http(announced(addr, header).await).await, "{addr}");
                continue;
            }
            let path = if addr == server.collider { "/status" } else { "/cast" };
            assert_eq!(http_get(&mut announced(addr, header).await, path).await.0, 200, "{addr}");
        }
        for broken in [&b"PROXY TCP4 x y\r\n"[..], b"PROXY TCP4 1.2.3.4 1.2.3.4 5 99999\r\n"] {
            assert!(is_closed(announced(addr, broken).await).await, "{addr}");
        }
        // After half a header and the end of the stream, the server does not wait for the rest.
        let mut half = announced(addr, b"PROXY").await;
        half.shutdown().await.unwrap();
        assert!(is_closed(half).await, "{addr}");
    }
    // An allocation belongs to the announced address.
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut client = turn(announced(server.turn, &version_2(port + 2)).await, 10_000);
    let relayed = client.allocate().await;
    client.bind_channel(peer.local_addr().unwrap()).await;
    relays(&mut client, &peer, relayed).await;
    server.stop().await;
}

#[tokio::test]
async fn anybody_elses_word_about_the_client_counts_for_nothing() {
    let (server, listeners) = trusting("192.0.2.0/24").await;
    for addr in listeners {
        for header in [version_1(5), version_2(5)] {
            let mut stream = announced(addr, &header).await;
            stream.write_all(&binding_request()).await.unwrap();
            let mut answer = Vec::new();
            // To the relay these bytes look like ChannelData, so it waits ten seconds for the rest.
            let _ = timeout(EVENT_TIMEOUT, stream.read_to_end(&mut answer)).await.unwrap();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{addr}: {answer}");
        }
        let binding = mapped(TcpStream::connect(addr).await.unwrap()).await;
        assert_eq!(binding.map(|address| address.ip()), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), "{addr}");
    }
    server.stop().await;
}

/// Every protocol over IPv6, as plain text and inside TLS, and the address of each client.
#[tokio::test]
async fn one_port_carries_everything_over_ipv6() {
    // Skipped on a machine without IPv6.
    if TcpListener::bind("[::1]:0").await.is_err() {
        return;
    }
    let server = Server::start(Settings {
        http_addr: some("[::1]:0"),
        turn_addr: some("[::1]:0"),
        relay_ip: some("127.0.0.1,::1"),
        external_ip: some("127.0.0.1,::1"),
        ..settings()
    })
    .await;
    let pem = own(&server);
    for addr in [server.http, server.https, server.turns] {
        assert!(addr.is_ipv6(), "{addr}");
        assert_eq!(http_get(&mut TcpStream::connect(addr).await.unwrap(), "/healthz").await.0, 200);
        allocates_and_relays(TcpStream::connect(addr).await.unwrap(), 10_000).await;
        for alpn in [&[][..], &["http/1.1"]] {
            assert_eq!(http_get(&mut tls(addr, &connector(&pem, alpn)).await, "/healthz").await.0, 200, "{alpn:?}");
        }
        for alpn in [&[][..], &["stun.turn"]] {
            allocates_and_relays(tls(addr, &connector(&pem, alpn)).await, 10_000).await;
        }
        let tcp = TcpStream::connect(addr).await.unwrap();
        let own = tcp.local_addr().unwrap();
        assert_eq!(mapped(tcp).await, Some(own));
    }
    let mut plain = TcpStream::connect(server.turn).await.unwrap();
    let own = plain.local_addr().unwrap();
    assert_eq!(mapped(&mut plain).await, Some(own));
    allocates_and_relays(plain, 10_000).await;
    server.stop().await;
}
