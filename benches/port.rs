//! Measures what it costs that one port carries every protocol: the same work runs through `port` and around it, alternately.
//!
//! For TURN over TCP, `port` is compared with the relay's own listener. For HTTPS, `port` is compared with a loop that accepts,
//! does TLS and serves. Each comparison sends many requests on one connection, and opens many connections with one request each.
//! The CPU time is that of both ends. Run: `cargo bench --bench port`.

#![allow(clippy::unwrap_used, reason = "a bench ends at the first failure")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use castway::addresses::external::ExternalAddresses;
use castway::config::{Config, Listen, Settings};
use castway::http::connection_info::ConnectionInfo;
use castway::http::server::{HttpServer, HttpVersion};
use castway::ingress::{self, Dispatcher, UnidentifiedLimit};
use castway::limits::bans::BannedAddresses;
use castway::limits::concurrency::ClientCounter;
use castway::limits::descriptors::DescriptorPools;
use castway::limits::waiting_bytes::Ledger;
use castway::relay::{self, RelayUsers};
use castway::tls::{Certificates, HandshakeConfigs, ServerHosts};
use castway::turn::codec::integrity::PasswordAlgorithm;
use castway::turn::{CredentialSource, Scope, UserKeys};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const ROUNDS: usize = 21;
const ROUND_DURATION: Duration = Duration::from_millis(700);
/// Requests that wait for an answer at the same time.
const PIPELINED_REQUESTS: usize = 32;

const BINDING: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xa4\x42castwaybench";
/// Bytes of a Binding success response with the XOR-MAPPED-ADDRESS of an IPv4 client.
const BINDING_RESPONSE_BYTES: usize = 32;
const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A credential source without users; a Binding request needs none.
struct Nobody;

impl CredentialSource for Nobody {
    fn user_keys(&self, _username: &str, _realm: &str, _algorithm: PasswordAlgorithm, _now: Instant) -> Option<UserKeys> {
        None
    }
}

impl RelayUsers for Nobody {
    fn may_continue(&self, _scope: Scope, _user: &str) -> bool {
        true
    }

    fn revision(&self) -> u64 {
        0
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let some = |text: &str| Some(text.to_owned());
    let settings = Settings { turn_addr: some("127.0.0.1:0"), relay_threads: some("1"), ..Settings::default() };
    let config = Config::read(&settings).unwrap();
    let bound = relay::bind_addresses(&config.relay).unwrap();
    let external = ExternalAddresses::new(&config.relay.external, bound, None);
    let relay = relay::start(&config.relay, &external, Arc::new(Nobody), &DescriptorPools::unlimited(), &[]).unwrap();
    let certificates = Certificates::open(&config.tls.source, folder.path(), ServerHosts::default()).unwrap();
    let handshakes = HandshakeConfigs::new(certificates);
    let acceptor = TlsAcceptor::from(handshakes.config(None, Ipv4Addr::LOCALHOST.into()));
    let router = Router::new().route("/healthz", get(|| async { "ok\n" }));

    let listener = ingress::bind(&Listen::exactly("127.0.0.1:0".parse().unwrap()), "here").unwrap().listener;
    let through = listener.addr;
    let dispatcher = Dispatcher {
        http: HttpServer::new(router.clone(), Ledger::default()),
        relay: relay.intake(),
        plain_turn: true,
        tls: Some(handshakes),
        trusted_proxies: Vec::new(),
        http_connections: ClientCounter::new(1000),
        http_descriptors: DescriptorPools::unlimited().http,
        unidentified: UnidentifiedLimit::new(1000),
        watch: relay.watch().clone(),
        banned: BannedAddresses::default(),
    };
    tokio::spawn(ingress::serve(vec![listener], dispatcher, std::future::pending()));
    let (turn_past, https_past) = (relay.listening(), bare(acceptor, router).await);
    let tls = connector(&std::fs::read(folder.path().join("tls/self-signed.pem")).unwrap());
    let answer = http_answer(&tls, through).await;
    assert_eq!(answer, http_answer(&tls, https_past).await, "the same answer, or the comparison is none");

    println!("{:<44}{:>12}{:>12}   ratio (quartiles)", "", "past it", "through it");
    let turn = |addr| async move { requests(TcpStream::connect(addr).await.unwrap(), &BINDING, BINDING_RESPONSE_BYTES).await };
    compare("TURN over TCP, requests", turn_past, through, turn).await;
    compare("TURN over TCP, connections", turn_past, through, |addr| connections(addr, None, &BINDING, BINDING_RESPONSE_BYTES))
        .await;
    compare("HTTPS, requests", https_past, through, |addr| {
        let tls = tls.clone();
        async move { requests(secure(&tls, addr).await, GET, answer).await }
    })
    .await;
    compare("HTTPS, connections", https_past, through, |addr| connections(addr, Some(tls.clone()), GET, answer)).await;
}

/// The result of a round.
struct Round {
    /// Requests or connections a second.
    rate: f64,
    /// CPU time of one request or connection, in µs.
    cost: f64,
}

/// Counts requests or connections until the round is over.
struct Count {
    begun: Instant,
    processor: Duration,
    count: usize,
}

impl Count {
    fn begin() -> Self {
        Self { begun: Instant::now(), processor: processor(), count: 0 }
    }

    fn goes_on(&self) -> bool {
        self.begun.elapsed() < ROUND_DURATION
    }

    fn end(self) -> Round {
        let count = self.count as f64;
        let spent = processor() - self.processor;
        Round { rate: count / self.begun.elapsed().as_secs_f64(), cost: spent.as_secs_f64() * 1e6 / count }
    }
}

/// The CPU time that this process has used so far.
fn processor() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Prints the medians of the rounds and of their ratios. The order alternates from round to round.
async fn compare<F: Future<Output = Round>>(
    what: &str,
    without: SocketAddr,
    with: SocketAddr,
    measure: impl Fn(SocketAddr) -> F,
) {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let [one, two] = if round % 2 == 0 { [without, with] } else { [with, without] };
        let (one, two) = (measure(one).await, measure(two).await);
        rounds.push(if round % 2 == 0 { (one, two) } else { (two, one) });
    }
    for (unit, of) in [("/s", (|round| round.rate) as fn(&Round) -> f64), (", CPU us each", |round| round.cost)] {
        let sorted = |value: &dyn Fn(&(Round, Round)) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (past, through) = (sorted(&|r| of(&r.0))[ROUNDS / 2], sorted(&|r| of(&r.1))[ROUNDS / 2]);
        let ratios = sorted(&|r| of(&r.1) / of(&r.0));
        let [low, middle, high] = [ROUNDS / 4, ROUNDS / 2, ROUNDS * 3 / 4].map(|at| ratios[at]);
        println!("{:<44}{past:>12.1}{through:>12.1}{middle:>8.3} ({low:.3}-{high:.3})", format!("{what}{unit}"));
    }
}

/// Sends many requests on one connection.
async fn requests(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8], answer: usize) -> Round {
    let (batch, mut answers) = (request.repeat(PIPELINED_REQUESTS), vec![0; answer * PIPELINED_REQUESTS]);
    let mut round = Count::begin();
    while round.goes_on() {
        stream.write_all(&batch).await.unwrap();
        stream.flush().await.unwrap();
        stream.read_exact(&mut answers).await.unwrap();
        round.count += PIPELINED_REQUESTS;
    }
    round.end()
}

/// Opens many connections with one request each.
async fn connections(addr: SocketAddr, tls: Option<TlsConnector>, request: &'static [u8], answer: usize) -> Round {
    let mut round = Count::begin();
    while round.goes_on() {
        match &tls {
            Some(tls) => once(secure(tls, addr).await, request, answer).await,
            None => once(TcpStream::connect(addr).await.unwrap(), request, answer).await,
        }
        round.count += 1;
    }
    round.end()
}

async fn once(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8], answer: usize) {
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    stream.read_exact(&mut vec![0; answer]).await.unwrap();
}

async fn secure(tls: &TlsConnector, addr: SocketAddr) -> tokio_rustls::client::TlsStream<TcpStream> {
    let tcp = TcpStream::connect(addr).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    tls.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap()
}

/// The length of the answer to [`GET`].
async fn http_answer(tls: &TlsConnector, addr: SocketAddr) -> usize {
    let mut stream = secure(tls, addr).await;
    stream.write_all(GET).await.unwrap();
    let mut answer = [0; 4096];
    let mut len = 0;
    while !answer[..len].ends_with(b"ok\n") {
        len += stream.read(&mut answer[len..]).await.unwrap();
    }
    len
}

/// The shortest path to HTTPS, without `port`.
async fn bare(tls: TlsAcceptor, router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let http = Arc::new(HttpServer::new(router, Ledger::default()));
    tokio::spawn(async move {
        loop {
            let (tcp, client) = listener.accept().await.unwrap();
            let (tls, http) = (tls.clone(), Arc::clone(&http));
            tokio::spawn(async move {
                tcp.set_nodelay(true).unwrap();
                if let Ok(stream) = tls.accept(tcp).await {
                    http.serve(stream, HttpVersion::Http1, ConnectionInfo { client, tls: true, forwarded: false, local: None });
                }
            });
        }
    });
    addr
}

fn connector(pem: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // Every handshake is a full one: session resumption would hide the cost that is measured.
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}
