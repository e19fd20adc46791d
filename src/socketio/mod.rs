//! The Socket.IO server's settings, and what its requests need before it sees them.
//!
//! Everything that passes between a client and socketioxide can be seen, counted and changed here: requests and payloads of the
//! polling transport in `prepare`, the bytes of WebSockets in `stream`.

mod answers;
pub mod client_budget;
pub mod client_id;
pub mod connections;
mod crowd;
mod departures;
mod early_events;
pub mod engine_io_3;
pub mod event_sender;
mod frame;
pub mod frames;
pub mod gateway_state;
mod handshake;
pub mod jsonp;
pub mod outgoing;
pub mod packet;
mod packets;
pub mod payload;
mod polls;
mod probe;
pub mod received;
pub mod room_driver;
mod session;
mod sessions;
mod stream;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next, map_response};
use axum::response::{IntoResponse as _, Response};
use socketioxide::layer::SocketIoLayer;
use socketioxide::{ParserConfig, SocketIo};
use tower::Layer as _;

pub use self::sessions::{Census as SessionCensus, REASONS as REFUSAL_REASONS, Sessions};
pub use self::stream::Traffic;

use self::frames::Connects;
use self::packets::Packets;
use self::probe::Probes;
use self::session::{Asked, EndedOnDrop, Engine};
use self::sessions::Place;
use crate::http::client_info::ClientInfo;
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::message_size::{self, MAX_WIRE_BYTES};
use crate::limits::unfinished::UnfinishedMessages;
use crate::limits::waiting_bytes::Ledger;
use crate::socketio::outgoing::Outgoing;

/// From a handshake to the packet that says which namespace is wanted, which clients send at once. Those of Engine.IO 3 send none.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// For the attachments of an event to come.
const ATTACHMENTS_TIME: Duration = Duration::from_secs(10);
/// Attachments of one event. Events that are relayed have a few.
const MAX_ATTACHMENTS: usize = 256;

/// Bytes of a session's first request that every client has; what there is more counts as if it waited for its client.
const USUAL_HEAD_BYTES: usize = 2 * 1024;

/// Takes the requests for Socket.IO.
pub struct Server {
    layer: SocketIoLayer,
    traffic: Arc<Traffic>,
    ledger: Ledger,
    kept: KeptBuffers,
    sessions: Sessions,
}

/// The Socket.IO server, and the handle that namespaces are put on. What waits for its clients is in `ledger`, and what their
/// WebSockets keep is counted in `kept`.
pub fn server(ledger: Ledger, kept: KeptBuffers) -> (Server, SocketIo) {
    let parser = ParserConfig::common()
        .max_incoming_binary_buf_size(MAX_WIRE_BYTES)
        .max_incoming_binaries(MAX_ATTACHMENTS)
        .packet_completion_timeout(ATTACHMENTS_TIME);
    let (layer, io) = SocketIo::builder()
        .max_payload(MAX_WIRE_BYTES as u64)
        .ws_max_message_size(MAX_WIRE_BYTES)
        .ws_max_frame_size(MAX_WIRE_BYTES)
        // Bursts of candidates; what does not fit would be lost, so whoever has so much waiting is disconnected.
        .max_buffer_size(4096)
        .ws_read_buffer_size(1024)
        .connect_timeout(CONNECT_TIME)
        .with_parser(parser)
        .build_layer();
    io.ns(session::LAST_NAMESPACE.as_str(), || std::future::ready(()));
    (Server { layer, traffic: Arc::default(), ledger, kept, sessions: Sessions::default() }, io)
}

impl Server {
    /// What its WebSockets carry.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> Sessions {
        self.sessions.clone()
    }

    /// Socket.IO in front of `rest`. One server for all requests: `Router::layer` would give each route, and each of its
    /// methods, one of its own.
    pub fn in_front_of(self, rest: Router) -> Router {
        let engine = self.layer.layer(rest);
        let shared = Shared {
            engine: engine.clone(),
            traffic: self.traffic,
            kept: self.kept,
            sessions: self.sessions,
            probes: Probes::default(),
            ledger: self.ledger,
        };
        let prepare = middleware::from_fn_with_state(shared, prepare);
        let refuse_strangers = middleware::from_fn_with_state(engine.clone(), refuse_strangers);
        Router::new()
            .fallback_service(engine)
            .layer(prepare)
            .layer(middleware::from_fn(jsonp::translate))
            .layer(refuse_strangers)
            .layer(map_response(polls::hold))
            .layer(middleware::from_fn(answers::correct))
    }
}

/// Whether Socket.IO takes requests for `path`.
pub fn serves(path: &str) -> bool {
    path.strip_prefix("/socket.io").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Middleware ahead of what collects bodies: a POST of no session is answered before its body is read. engineioxide answers others
/// so by itself.
async fn refuse_strangers(State(mut engine): State<Engine>, mut request: Request, next: Next) -> Response {
    let Some(asked) = Asked::read(request.uri()) else { return next.run(request).await };
    if let Some(uri) = session::with_version(request.uri()) {
        *request.uri_mut() = uri;
    }
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let refusal = match asked.session(&engine) {
        Some(session) => session.refusal().await,
        None => Some(session::answer(&mut engine, lean(&request).map(|()| Body::empty())).await),
    };
    match refusal {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

/// What [`prepare`] needs for each request.
#[derive(Clone)]
struct Shared {
    engine: Engine,
    traffic: Arc<Traffic>,
    kept: KeptBuffers,
    sessions: Sessions,
    probes: Probes,
    ledger: Ledger,
}

impl Shared {
    /// For the session that a request begins.
    fn outgoing(&self, request: &Request) -> Outgoing {
        let from = request.extensions().get::<ClientInfo>().map(|client| client.address);
        Outgoing::new(self.ledger.open(from))
    }
}

/// Middleware ahead of Socket.IO; other requests pass through.
async fn prepare(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let Some(asked) = Asked::read(request.uri()) else { return next.run(request).await };
    let is_get = request.method() == Method::GET;
    let fresh = shared.outgoing(&request);
    let place = match asked.sid {
        None if is_get => match shared.sessions.enter(address(&request), fresh.account()) {
            Ok(place) => Some(place),
            Err(refusal) => return refusal.into_response(),
        },
        Some(Ok(sid)) => shared.sessions.find(sid),
        None | Some(Err(())) => None,
    };
    let known = place.as_ref().and_then(|place| place.outgoing());
    let outgoing = known.unwrap_or(fresh);
    let mut head = with_outgoing(lean(&request), &outgoing);
    if let (Some(place), true) = (&place, asked.opens()) {
        head.extensions_mut().insert(Arc::clone(place));
        // It is kept as long as the session.
        let more = message_size::of_head(&head).saturating_sub(USUAL_HEAD_BYTES);
        let Some(kept) = outgoing.account().add(more) else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
        head.extensions_mut().insert(Arc::new(kept));
    }
    if asked.websocket && is_get && !matches!(asked.sid, Some(Err(()))) {
        return handshake::answer(shared, asked, request, head, place, outgoing).await;
    }
    let post = request.method() == Method::POST;
    // As in engine.io, a poll, or a POST, whose connection ends before it is answered ends the session.
    let aborted = EndedOnDrop::new(asked.session(&shared.engine).map(|session| session.ending(&outgoing)));
    let unfinished = request.extensions().get::<UnfinishedMessages>().map(|unfinished| unfinished.incoming(address(&request)));
    let body = request.into_body();
    let mut goes_on = true;
    let request = if post {
        let body = match to_bytes(body, MAX_WIRE_BYTES).await {
            Ok(body) => body,
            Err(_) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        };
        if let Some(place) = &place {
            let (old, binary) = (asked.is_engine_io_3(), is_binary(head.headers()));
            let Connects { packets, bytes } = payload::connects(&body, old, binary);
            outgoing.expect_answers(packets, bytes);
            place.hear(&body, old, binary, unfinished);
            let joining = outgoing.namespace_join();
            if !old && !joining.has_joined() && packets == 0 && !payload::is_harmless(&body) {
                // Whoever has no namespace has nothing to say, and as in socket.io the session ends for what it says.
                goes_on = joining.has_asked();
                aborted.settle().await;
            }
        }
        posted(head, body, asked.is_engine_io_3())
    } else {
        head.map(|()| body)
    };
    let response = match asked.sid {
        Some(Ok(sid)) if is_get => {
            let mut poll = place.clone().map(Place::poll);
            let response = tokio::select! {
                biased;
                response = next.run(request) => response,
                () = shared.probes.due(sid) => nothing(asked.is_engine_io_3()),
            };
            if let Some(poll) = &mut poll {
                poll.answered(response.size_hint().exact().unwrap_or(0));
            }
            response
        }
        Some(_) | None => next.run(request).await,
    };
    if goes_on {
        aborted.keep();
    }
    if post {
        return response;
    }
    let response = polls::note(asked, &shared.engine, place, outgoing, response).await;
    if asked.is_engine_io_3() { for_old_client(response).await } else { response }
}

/// Where a request comes from.
fn address(request: &Request) -> IpAddr {
    request.extensions().get::<ClientInfo>().map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.address)
}

/// The answer to a poll for which there is nothing, as engineioxide's.
fn nothing(engine_io_3: bool) -> Response {
    let body = if engine_io_3 { "1:6" } else { "6" };
    ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], body).into_response()
}

/// A POST with its payload, see [`payload::from_client`].
fn posted(head: Request<()>, body: Bytes, engine_io_3: bool) -> Request {
    if !engine_io_3 {
        return head.map(|()| Body::from(body));
    }
    let Some(cut) = payload::from_client(&body, is_binary(head.headers())) else {
        return head.map(|()| Body::new(Packets(body)));
    };
    let mut request = head.map(|()| Body::empty());
    request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(cut.len()));
    *request.body_mut() = Body::new(Packets(cut.into()));
    request
}

/// See [`payload::to_client`].
async fn for_old_client(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // Whole already: socketioxide makes it of what is waiting.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let Some(other) = payload::to_client(&body, is_binary(&parts.headers)) else {
        return Response::from_parts(parts, Body::from(body));
    };
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(other.len()));
    Response::from_parts(parts, Body::from(other))
}

/// Whether a payload of Engine.IO 3 has packets of bytes in it, as engineioxide tells.
fn is_binary(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/octet-stream")
}

/// What Engine.IO and the gateway look at.
const KEPT: [HeaderName; 6] =
    [header::HOST, header::ORIGIN, header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::USER_AGENT];

/// The gateways emit by what the first request of a session has of this.
fn with_outgoing(mut lean: Request<()>, outgoing: &Outgoing) -> Request<()> {
    lean.extensions_mut().insert(outgoing.clone());
    lean
}

/// A Socket.IO session keeps the parts of its first request as long as it lives, and they pin the 16 KiB that the
/// connection was reading into. A fresh request with copies of what matters lets that go: 19 KiB an idle client, not 29.
fn lean(request: &Request) -> Request<()> {
    let mut lean = Request::new(());
    *lean.method_mut() = request.method().clone();
    *lean.version_mut() = request.version();
    *lean.uri_mut() = request.uri().to_string().parse().unwrap_or_else(|_| request.uri().clone());
    for name in KEPT {
        for value in request.headers().get_all(&name) {
            if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
                lean.headers_mut().append(name.clone(), copy);
            }
        }
    }
    if let Some(client) = request.extensions().get::<ClientInfo>() {
        lean.extensions_mut().insert(client.clone());
    }
    lean
}
