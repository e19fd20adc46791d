//! The cast gateway behind the Socket.IO server, without sockets: clients hand their requests to the router.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use castway::admission::Admission;
use castway::cast::code::{CodeAlphabet, NewCodePolicy};
use castway::cast::gateway::CastGateway;
use castway::cast::issuer::Issuer;
use castway::cast::model::RoomsConfig;
use castway::cast::resume_token::TokenKey;
use castway::cast::room::Rooms;
use castway::clock::WallClock;
use castway::diagnosis::observation::{Facts, FactsSource};
use castway::diagnosis::watch::Watch;
use castway::hooks::authorize::Authorizer;
use castway::hooks::event::Events;
use castway::http::client_info::{ClientInfo, Scheme};
use castway::limits::kept_buffers::KeptBuffers;
use castway::limits::waiting_bytes::Ledger;
use castway::outcomes::output::Kind;
use castway::outcomes::reporter::{ReportSink, Reporter};
use castway::outcomes::table::Sources;
use castway::socketio;
use castway::turn::Scope;
use castway::users::credentials;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::handler::ConnectHandler as _;
use tower::ServiceExt as _;

/// Separates the packets of a polled payload.
pub(crate) const SEPARATOR: u8 = 0x1e;
const PATH: &str = "/socket.io/?EIO=4&transport=polling";
const MAX_ANSWER_BYTES: usize = 16 << 20;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

/// A gateway of the cast flow behind a server.
#[derive(Clone)]
pub(crate) struct Signaling {
    pub(crate) gateway: CastGateway,
    pub(crate) router: Router,
}

impl Signaling {
    /// `rooms`: as many as have to fit.
    pub(crate) fn new(rooms: usize) -> Self {
        let (server, io) = socketio::server(Ledger::default(), KeptBuffers::default());
        let gateway = cast_gateway(rooms);
        attach_cast(&io, gateway.clone());
        Self { gateway, router: server.in_front_of(Router::new()) }
    }

    /// Gives codes to the TVs that wait for one, in a task of the current runtime.
    pub(crate) fn run(&self) {
        tokio::spawn(self.gateway.clone().run());
    }
}

fn cast_gateway(rooms: usize) -> CastGateway {
    let config = RoomsConfig {
        alphabet: CodeAlphabet::Letters,
        grace: HOUR,
        takeover: false,
        max_rooms: 2 * rooms,
        max_wrong_codes_per_minute: 1000,
        credentials_refresh_interval: HOUR,
        new_code: NewCodePolicy::Never,
    };
    let ledger = Ledger::default();
    let new_rooms = move |clock| Rooms::new(config, TokenKey::new([1; 32]), [2; 32], clock).with_ledger(ledger.clone());
    let sources = Sources { watch: Watch::default(), facts: Arc::new(NoFacts) };
    let reporter = Reporter::new(NoReports, Events::default());
    let clock = WallClock::new(Instant::now(), SystemTime::now());
    CastGateway::new(new_rooms, clock, Signer, sources, reporter, Admission::of_anyone(Authorizer::default()))
}

fn attach_cast(io: &SocketIo, cast: CastGateway) {
    let registering = cast.clone();
    let register = move |socket: SocketRef| {
        registering.register(&socket, None);
        std::future::ready(Ok::<(), std::convert::Infallible>(()))
    };
    let connected = move |socket: SocketRef| {
        cast.connected(socket);
        std::future::ready(())
    };
    io.ns("/", connected.with(register));
}

/// Signs credentials as the server does, but keeps no list of them.
struct Signer;

impl Issuer for Signer {
    fn check_rate(&self, _: IpAddr) -> Result<(), u64> {
        Ok(())
    }

    fn within_rate(&self, _: IpAddr) -> Result<(), u64> {
        Ok(())
    }

    fn ice_servers(&self, username: &str, _: Option<&str>) -> Value {
        let issued = credentials::issue("a secret of the bench", Scope::Clients, username, HOUR, SystemTime::now());
        json!([{
            "urls": ["turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp", "turns:192.0.2.1:443?transport=tcp"],
            "username": issued.username,
            "credential": issued.password.expose(),
        }])
    }

    fn join_room(&self, _: &str, _: &str) {}

    fn user(&self, username: &str) -> String {
        username.to_owned()
    }

    fn end_lease(&self, _: &str) {}
}

struct NoFacts;

impl FactsSource for NoFacts {
    fn facts(&self, _: Option<&str>, _: IpAddr, _: Option<IpAddr>) -> Facts {
        Facts::default()
    }
}

struct NoReports;

impl ReportSink for NoReports {
    fn keep(&self, _: Kind, _: IpAddr, _: String) {}
}

/// The packet of an event with these arguments, JSON each.
pub(crate) fn packet(arguments: &str) -> String {
    format!("42[{arguments}]")
}

/// A client of Socket.IO that polls.
pub(crate) struct Client {
    router: Router,
    path: String,
    info: ClientInfo,
    /// The server has sent a ping.
    owes_pong: bool,
}

impl Client {
    /// Connects client `number`, which has an address of its own.
    ///
    /// # Errors
    /// The server refuses it.
    pub(crate) async fn connect(router: &Router, number: usize) -> anyhow::Result<Self> {
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits() + u32::try_from(number)?);
        let info = ClientInfo { address: address.into(), scheme: Scheme::Http, host: Some("192.0.2.1".to_owned()) };
        let mut client = Self { router: router.clone(), path: PATH.to_owned(), info, owes_pong: false };
        let opened = client.poll().await?;
        let opened = std::str::from_utf8(&opened)?;
        let sid = opened.split('"').nth(3).with_context(|| format!("no session: {opened}"))?;
        client.path = format!("{PATH}&sid={sid}");
        client.post("40".into()).await?;
        client.wait_for("{\"sid\"").await?;
        Ok(client)
    }

    async fn ask(&self, request: Request) -> anyhow::Result<Bytes> {
        let mut request = request;
        request.extensions_mut().insert(self.info.clone());
        let answer = self.router.clone().oneshot(request).await?;
        let status = answer.status();
        let body = to_bytes(answer.into_body(), MAX_ANSWER_BYTES).await?;
        ensure!(status.is_success(), "the server answers {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// # Errors
    /// The session has ended.
    pub(crate) async fn post(&mut self, mut payload: Bytes) -> anyhow::Result<()> {
        if std::mem::take(&mut self.owes_pong) {
            payload = [b"3", &[SEPARATOR][..], &payload].concat().into();
        }
        self.ask(Request::post(&self.path).body(Body::from(payload))?).await.map(drop)
    }

    /// Sends one event.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(crate) async fn send(&mut self, arguments: &str) -> anyhow::Result<()> {
        self.post(packet(arguments).into()).await
    }

    /// Waits for packets and returns all of them.
    ///
    /// # Errors
    /// The session has ended, or nothing comes.
    pub(crate) async fn poll(&mut self) -> anyhow::Result<Bytes> {
        let request = Request::get(&self.path).body(Body::empty())?;
        let packets = tokio::time::timeout(ANSWER_TIMEOUT, self.ask(request)).await.context("the server sends nothing")??;
        self.owes_pong |= packets.split(|byte| *byte == SEPARATOR).any(|packet| packet == b"2");
        Ok(packets)
    }

    /// Polls until a packet contains `text`, and returns the packets.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub(crate) async fn wait_for(&mut self, text: &str) -> anyhow::Result<String> {
        let mut all = String::new();
        let end = Instant::now() + ANSWER_TIMEOUT;
        while !all.contains(text) {
            ensure!(Instant::now() < end, "{text} does not come, but {all}");
            let packets = self.poll().await.with_context(|| format!("{text} does not come, but {all}"))?;
            all.push_str(std::str::from_utf8(&packets)?);
        }
        Ok(all)
    }
}

/// A TV and its caster, after offer and answer.
pub(crate) struct Cast {
    pub(crate) tv: Client,
    pub(crate) caster: Client,
    pub(crate) code: String,
}

impl Cast {
    /// # Errors
    /// The server refuses one of both.
    pub(crate) async fn begin(router: &Router, number: usize) -> anyhow::Result<Self> {
        let mut tv = Client::connect(router, 2 * number).await?;
        tv.send("\"TV_INIT\"").await?;
        let seated = tv.wait_for("TV_INIT_OK").await?;
        let code = seated.split("\"TV_INIT_OK\",\"").nth(1).and_then(|rest| rest.split('"').next());
        let code = code.with_context(|| format!("no code: {seated}"))?.to_owned();
        let mut caster = Client::connect(router, 2 * number + 1).await?;
        caster.send(&format!("\"JOIN_ROOM\",\"{code}\"")).await?;
        caster.wait_for("JOIN_ROOM_OK").await?;
        caster.send(r#""CLIENT_OFFER_TO_SERVER",{"type":"offer","sdp":"v=0\r\n"}"#).await?;
        tv.wait_for("CLIENT_OFFER_TO_TV").await?;
        tv.send(r#""TV_ANSWER_TO_SERVER",{"type":"answer","sdp":"v=0\r\n"}"#).await?;
        caster.wait_for("TV_ANSWER_TO_CLIENT").await?;
        Ok(Self { tv, caster, code })
    }
}

/// The arguments of the event of a candidate, as browsers send it.
pub(crate) const CANDIDATE: &str = r#""RTC_Candidate_Exchange",{"iceCandidate":{"candidate":"candidate:842163049 1 udp 1677729535 192.0.2.1 50001 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag EsAw network-cost 999","sdpMid":"0","sdpMLineIndex":0}}"#;

/// A payload with so many candidates.
pub(crate) fn candidates(count: usize) -> Bytes {
    vec![packet(CANDIDATE).into_bytes(); count].join(&SEPARATOR).into()
}

/// The runtime of one thread.
///
/// # Errors
/// No descriptors are left.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
