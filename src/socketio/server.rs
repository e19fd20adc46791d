//! Builds the Socket.IO server with its limits, and puts it in front of the other routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next, map_response};
use axum::response::Response;
use socketioxide::layer::SocketIoLayer;
use socketioxide::{ParserConfig, SocketIo};
use tower::Layer as _;

use super::answer_fixes;
use super::jsonp;
use super::poll_answers;
use super::prepare;
use super::request;
use super::state::ServerState;
use crate::http::layered::Layered;
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::message_size::MAX_WIRE_BYTES;
use crate::limits::waiting_bytes::Ledger;
use crate::socketio::sessions::engine_io_query::{self, EngineIoQuery};
use crate::socketio::sessions::session::{self, Socketioxide};
use crate::socketio::sessions::session_table::{ATTACHMENTS_TIMEOUT, Sessions};
use crate::socketio::stream::Traffic;
use crate::socketio::stream::probe::Probes;

/// From a session's begin until its client asks for a namespace, as clients do immediately. Clients of Engine.IO 3 don't ask.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Attachments of one event. Events that are relayed have a few.
const MAX_ATTACHMENTS: usize = 256;
/// Packets that wait in socketioxide: a burst of candidates. socketioxide drops further packets, so a client with so many is disconnected.
const MAX_QUEUED_PACKETS: usize = 4096;

/// The server, before it is put in front of the other routes.
pub struct Server {
    layer: SocketIoLayer,
    traffic: Arc<Traffic>,
    ledger: Ledger,
    kept: KeptBuffers,
    sessions: Sessions,
}

/// The Socket.IO server, and the handle on which gateways register their namespaces. Bytes that wait for its clients are counted in `ledger`,
/// and the buffers of their WebSockets in `kept`.
pub fn server(ledger: Ledger, kept: KeptBuffers) -> (Server, SocketIo) {
    let parser = ParserConfig::common()
        .max_incoming_binary_buf_size(MAX_WIRE_BYTES)
        .max_incoming_binaries(MAX_ATTACHMENTS)
        .packet_completion_timeout(ATTACHMENTS_TIMEOUT);
    let (layer, io) = SocketIo::builder()
        .max_payload(MAX_WIRE_BYTES as u64)
        .ws_max_message_size(MAX_WIRE_BYTES)
        .ws_max_frame_size(MAX_WIRE_BYTES)
        .max_buffer_size(MAX_QUEUED_PACKETS)
        .ws_read_buffer_size(1024)
        .connect_timeout(CONNECT_TIMEOUT)
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

    /// Its sessions.
    pub fn sessions(&self) -> Sessions {
        self.sessions.clone()
    }

    /// Puts Socket.IO in front of `rest`. All requests share one server: `Router::layer` would make one for each route and method.
    pub fn in_front_of(self, rest: Router) -> Router {
        let socketioxide = self.layer.layer(rest);
        let state = ServerState {
            socketioxide: socketioxide.clone(),
            traffic: self.traffic,
            kept: self.kept,
            sessions: self.sessions,
            probes: Probes::default(),
            ledger: self.ledger,
        };
        let prepare = middleware::from_fn_with_state(state, prepare::prepare);
        let refuse_unknown = middleware::from_fn_with_state(socketioxide.clone(), refuse_unknown_sessions);
        Layered::new(socketioxide)
            .behind(prepare)
            .behind(middleware::from_fn(jsonp::translate))
            .behind(refuse_unknown)
            .behind(map_response(poll_answers::count))
            .behind(middleware::from_fn(answer_fixes::correct))
            .into_router()
    }
}

/// Middleware ahead of the ones that collect bodies: answers a POST without a session before its body is read. engineioxide refuses all
/// other requests without a session.
async fn refuse_unknown_sessions(State(mut socketioxide): State<Socketioxide>, mut request: Request, next: Next) -> Response {
    let Some(query) = EngineIoQuery::read(request.uri()) else { return next.run(request).await };
    if let Some(uri) = engine_io_query::with_version(request.uri()) {
        *request.uri_mut() = uri;
    }
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let refusal = match session::named(query, &socketioxide) {
        Some(session) => session.refusal().await,
        None => Some(session::answer(&mut socketioxide, request::lean(&request).map(|()| Body::empty())).await),
    };
    match refusal {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}
