//! Collider: signaling over WebSockets, and POST and DELETE of `/ROOM/CLIENT` for clients without one. It is served twice: on
//! the main port, where it shadows no other route, and on a port of its own, where every path is a room and a client.
//!
//! Any Origin is welcome, and none: native clients send made-up ones, and there is nothing here that a page could not have as
//! well by way of a server of its own.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, map_request, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Json, Router};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hyper::upgrade::OnUpgrade;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tower::ServiceExt as _;

use super::hub::{Frame, Hub, Inbox, Next, Outbox};
use super::message::{self, Command};
use super::websocket::{self, WebSocket};
use crate::http::client_info;
use crate::http::path_slashes;
use crate::limits::message_size::MAX_WIRE_BYTES;
use crate::limits::unfinished::Unfinished;
use crate::limits::wait;

/// Every so often a client is pinged; one that was silent since the last time is dead.
const PING: Duration = Duration::from_secs(30);
/// For a frame to leave.
const WRITE: Duration = Duration::from_secs(10);
/// For what a client said before its slot was ended or before it stopped to read, and is still on its way.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// For a client to see that its socket is closed.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes a second, and at once, that a client may send; more has to wait, so that it fills nobody's outbox.
const BUDGET: (NonZeroU32, NonZeroU32) = (NonZeroU32::new(512 << 10).unwrap(), NonZeroU32::new(1 << 20).unwrap());
/// What the smallest frame costs of it.
const FRAME_COST: usize = 100;

/// The main port: what `routes` has, by path and method; then `/ws`, `/status`, and POST and DELETE of `/ROOM/CLIENT`; then `pages`.
/// So `POST /join/X` is the room server's, and `POST /turn/X` and `DELETE /join/X` are Collider's.
pub fn on_the_main_port(hub: &Hub, routes: Router, pages: Router) -> Router {
    let own = Router::new()
        .route("/ws", get(upgrade))
        .route("/status", any(status))
        .with_state(hub.clone())
        .fallback_service(clients(hub, pages));
    let own = Router::new().fallback_service(own).layer(map_request(|request| async { path_slashes::close(request) }));
    // Another method than those of a route, whose own names are the ones to tell.
    let other = clients(hub, Router::new().fallback(|| async { StatusCode::METHOD_NOT_ALLOWED }));
    let other = move |request| {
        let answer = other.clone().oneshot(path_slashes::close(request));
        async { without_allow(answer.await.into_response()) }
    };
    let routes = routes.method_not_allowed_fallback(other).fallback_service(own);
    Router::new()
        .fallback_service(routes)
        .layer(middleware::from_fn(path_slashes::remove))
        .layer(map_response(without_foreign_methods))
        .layer(DefaultBodyLimit::max(MAX_WIRE_BYTES))
}

/// POST and DELETE of `/ROOM/CLIENT`; what else comes is for `rest`.
fn clients(hub: &Hub, rest: Router) -> Router {
    let client = post(handle_client).delete(handle_client).fallback_service(rest.clone());
    Router::new()
        .route("/{room}/{client}", client.clone())
        .route("/{room}/", client)
        .with_state(hub.clone())
        .fallback_service(rest)
}

/// axum names a route's methods in whatever answers in its place.
async fn without_foreign_methods(response: Response) -> Response {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED { response } else { without_allow(response) }
}

fn without_allow(mut response: Response) -> Response {
    response.headers_mut().remove(header::ALLOW);
    response
}

/// Everything that is Collider's. It answers a path with doubled slashes as the one without, to which the original redirects.
pub fn on_a_port_of_its_own(hub: Hub) -> Router {
    let routes = Router::new()
        .route("/ws", get(upgrade))
        .route("/status", any(status))
        .fallback_service(any(handle_client).layer(map_response(with_cors)).with_state(hub.clone()))
        .layer(DefaultBodyLimit::max(MAX_WIRE_BYTES))
        .with_state(hub);
    Router::new().fallback_service(routes).layer(middleware::from_fn(path_slashes::remove_doubled))
}

async fn status(State(hub): State<Hub>) -> Response {
    let census = hub.census();
    let body = json!({
        "upsec": census.up.as_secs_f64(),
        "openws": census.now.sockets,
        "totalws": census.registered,
        "wserrors": census.socket_errors,
        "httperrors": census.http_errors,
    });
    ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::CACHE_CONTROL, "no-cache")], Json(body)).into_response()
}

/// The path is exactly `/ROOM/CLIENT`, and the client may be empty.
async fn handle_client(
    State(hub): State<Hub>,
    Extension(from): Extension<client_info::ClientInfo>,
    method: Method,
    uri: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match place(uri.path()) {
        Some((room, client)) => act(&hub, from.address, &method, &room, &client, body),
        None => failed(&hub, &format!("Invalid path: {}", uri.path())),
    }
}

/// The room and the client of a path, which are read as the names that clients register by.
fn place(path: &str) -> Option<(String, String)> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let (room, client) = path.strip_prefix('/')?.split_once('/')?;
    (!room.is_empty() && !client.contains('/')).then(|| (room.to_owned(), client.to_owned()))
}

async fn with_cors(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, DELETE"));
    response
}

fn act(hub: &Hub, from: IpAddr, method: &Method, room: &str, client: &str, body: Result<Bytes, BytesRejection>) -> Response {
    match *method {
        Method::POST => {
            let not_sent = |why: &str| failed(hub, &format!("Failed to send the message: {why}"));
            let Ok(body) = body else { return not_sent("It is too large") };
            if body.is_empty() {
                return failed(hub, "Empty request body");
            }
            if let Err(why) = message::check_names(room, client) {
                return not_sent(&why.to_string());
            }
            if hub.admit_signal(from).is_err() {
                return not_sent("Too many messages from this address");
            }
            if hub.admit(room, from).is_err() {
                return not_sent("Too many new rooms from this address");
            }
            let text = String::from_utf8_lossy(&body).into_owned();
            if let Err(large) = message::check_size(&text) {
                return not_sent(&large.to_string());
            }
            match hub.act(from, |rooms, by| rooms.handle_post(room, client, text, by)) {
                Ok(()) => "OK\n".into_response(),
                Err(refusal) => not_sent(&refusal.to_string()),
            }
        }
        Method::DELETE => {
            if let Err(wait) = hub.admit_signal(from) {
                let retry_after = [(header::RETRY_AFTER, wait::seconds(wait))];
                return (StatusCode::TOO_MANY_REQUESTS, retry_after, "Too many requests from this address\n").into_response();
            }
            hub.act(from, |rooms, by| rooms.handle_delete(room, client, by));
            "OK\n".into_response()
        }
        _ => StatusCode::OK.into_response(),
    }
}

fn failed(hub: &Hub, error: &str) -> Response {
    hub.tally().http_errors.fetch_add(1, Ordering::Relaxed);
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}

/// `/ws`. What is no WebSocket handshake gets 400; one subprotocol, the first, is echoed.
async fn upgrade(
    State(hub): State<Hub>,
    Extension(from): Extension<client_info::ClientInfo>,
    unfinished: Option<Extension<Unfinished>>,
    upgraded: Option<Extension<OnUpgrade>>,
    headers: HeaderMap,
    // It judges the handshake. The stream is read here, through what bounds unfinished messages.
    handshake: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if let Err(rejection) = handshake {
        return (StatusCode::BAD_REQUEST, rejection.body_text()).into_response();
    }
    let (Some(Extension(upgraded)), Some(key)) = (upgraded, headers.get(header::SEC_WEBSOCKET_KEY)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some(place) = hub.sockets().enter(from.address) else {
        return (StatusCode::TOO_MANY_REQUESTS, "Too many connections from this address.\n").into_response();
    };
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|offered| offered.to_str().ok());
    let first = offered.and_then(|offered| HeaderValue::from_str(offered.split(',').next()?.trim()).ok());
    let answer = websocket::accepted(key, first.filter(|protocol| !protocol.is_empty()));
    let unfinished = unfinished.map(|Extension(unfinished)| unfinished).unwrap_or_default();
    tokio::spawn(async move {
        if let Some(socket) = WebSocket::open(upgraded, from.address, &unfinished, hub.kept_buffers()).await {
            converse(socket, &hub, from.address).await;
        }
        drop(place);
    });
    answer
}

/// Why a conversation ends.
enum End {
    /// The socket is gone or dead.
    Gone,
    /// It does not take what it is sent, and may have said bye before.
    Stuck,
    /// It is to be closed.
    Close,
    /// It is to be closed after this error.
    Error(String),
}

async fn converse(mut socket: WebSocket, hub: &Hub, from: IpAddr) {
    let (outbox, mut inbox) = Outbox::new(hub.open_account(from));
    let mut client = ClientInfo { hub, from, outbox, registered: None };
    let budget = RateLimiter::direct(Quota::per_second(BUDGET.0).allow_burst(BUDGET.1));
    let end = listen(&mut socket, &mut client, &mut inbox, &budget).await;
    if matches!(end, End::Stuck) {
        // Nobody will read it, and it is not counted any more.
        while inbox.next_now().is_some() {}
    }
    if matches!(end, End::Close | End::Stuck) {
        timeout(LAST_WORDS, last_words(&mut socket, &mut client, &budget)).await.ok();
    }
    // From here its slot has its grace, however long the farewell takes.
    drop(client);
    let last = match end {
        End::Gone | End::Stuck => return,
        End::Close => None,
        End::Error(error) => Some(message::error_frame(&error)),
    };
    let farewell = async {
        let told = std::iter::from_fn(|| inbox.next_now()).filter_map(|next| match next {
            Next::Send(frame) => Some(frame),
            Next::Close => None,
        });
        let told: Vec<_> = told.collect();
        for Frame { text, waiting } in told {
            socket.send(Message::Text(text.into())).await?;
            drop(waiting);
        }
        if let Some(error) = last {
            socket.send(Message::Text(error.into())).await?;
        }
        socket.send(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))).await?;
        // Closing at once what has unread bytes would take the last frames back.
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<(), Error>(())
    };
    timeout(FAREWELL, farewell).await.ok();
}

async fn listen(
    socket: &mut WebSocket,
    client: &mut ClientInfo<'_>,
    inbox: &mut Inbox,
    budget: &DefaultDirectRateLimiter,
) -> End {
    let mut ping = interval_at(Instant::now() + PING, PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = true;
    loop {
        let next = tokio::select! {
            frame = socket.recv() => {
                heard = true;
                let text = match frame {
                    Some(Ok(Message::Text(text))) => Bytes::from(text),
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Gone,
                };
                let Some(unheard) = client.outbox.unheard(text.len()) else { return End::Stuck };
                pace(budget, text.len()).await;
                drop(unheard);
                match client.hear(&text) {
                    None => continue,
                    Some(end) => return end,
                }
            }
            next = inbox.next() => next,
            () = client.outbox.overflow() => return End::Stuck,
            _ = ping.tick() => {
                if !std::mem::replace(&mut heard, false) {
                    return End::Gone;
                }
                if !write(socket, Message::Ping(Bytes::new()), &client.outbox).await {
                    return End::Stuck;
                }
                continue;
            }
        };
        match next {
            Next::Close => return End::Close,
            Next::Send(Frame { text, waiting }) => {
                if !write(socket, Message::Text(text.into()), &client.outbox).await {
                    return End::Stuck;
                }
                drop(waiting);
            }
        }
    }
}

async fn last_words(socket: &mut WebSocket, client: &mut ClientInfo<'_>, budget: &DefaultDirectRateLimiter) {
    while let Some(Ok(frame)) = socket.recv().await {
        if let Message::Text(_) | Message::Binary(_) = frame {
            let text = frame.into_data();
            pace(budget, text.len()).await;
            client.hear(&text);
        }
    }
}

async fn write(socket: &mut WebSocket, message: Message, outbox: &Outbox) -> bool {
    tokio::select! {
        sent = timeout(WRITE, socket.send(message)) => matches!(sent, Ok(Ok(()))),
        () = outbox.overflow() => false,
    }
}

/// Waits until the client may have said so much.
async fn pace(budget: &DefaultDirectRateLimiter, bytes: usize) {
    let cost = u32::try_from(bytes.max(FRAME_COST)).ok().and_then(NonZeroU32::new).unwrap_or(BUDGET.1).min(BUDGET.1);
    while let Ok(Err(early)) = budget.check_n(cost) {
        tokio::time::sleep(early.wait_time_from(DefaultClock::default().now())).await;
    }
}

/// A client's side of its conversation. Dropped, it has lost its socket.
struct ClientInfo<'a> {
    hub: &'a Hub,
    from: IpAddr,
    outbox: Outbox,
    /// Its room and its name there.
    registered: Option<(String, String)>,
}

impl ClientInfo<'_> {
    /// `Some`: it was the last thing said.
    fn hear(&mut self, frame: &[u8]) -> Option<End> {
        let error = match (Command::read(frame), &self.registered) {
            (Err(error), _) => format!("websocket.JSON.Receive error: {error}"),
            (Ok(Command::Unexpected), _) => {
                self.count_error();
                self.outbox.send(message::error_frame("Invalid message: unexpected 'cmd'"));
                return None;
            }
            (Ok(Command::Register { .. }), Some(_)) => "Duplicated register request".into(),
            (Ok(Command::Register { room, client }), None) => match self.register(room, client) {
                Ok(()) => return None,
                Err(error) => error,
            },
            (Ok(Command::Send { .. }), None) => "Client not registered".into(),
            (Ok(Command::Send { message }), Some(_)) if message.is_empty() => "Invalid send request: missing 'msg'".into(),
            (Ok(Command::Send { message }), Some((room, client))) => {
                if let Err(large) = message::check_size(&message) {
                    self.count_error();
                    self.outbox.send(message::error_frame(&large.to_string()));
                    return None;
                }
                let sent = self.hub.act(self.from, |rooms, by| rooms.handle_send(room, client, &self.outbox, message, by));
                // What does not fit the queue is dropped, as Collider does; one whose slot is gone is being closed already.
                if let Err(refusal) = sent {
                    tracing::debug!(%refusal, from = %self.from, "not delivered");
                }
                return None;
            }
        };
        self.count_error();
        Some(End::Error(error))
    }

    fn register(&mut self, room: String, client: String) -> Result<(), String> {
        if room.is_empty() || client.is_empty() {
            return Err("Invalid register request: missing 'clientid' or 'roomid'".into());
        }
        message::check_names(&room, &client).map_err(|why| format!("Invalid register request: {why}"))?;
        self.hub.admit(&room, self.from).map_err(|_| "Too many new rooms from this address".to_owned())?;
        let registered = self.hub.act(self.from, |rooms, by| rooms.handle_register(&room, &client, &self.outbox, by));
        registered.map_err(|refusal| refusal.to_string())?;
        self.hub.tally().registered.fetch_add(1, Ordering::Relaxed);
        self.registered = Some((room, client));
        Ok(())
    }

    fn count_error(&self) {
        self.hub.tally().socket_errors.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for ClientInfo<'_> {
    fn drop(&mut self) {
        if let Some((room, client)) = &self.registered {
            self.hub.act(self.from, |rooms, by| rooms.handle_drop(room, client, &self.outbox, by));
        }
    }
}

#[cfg(test)]
#[path = "collider_tests.rs"]
mod tests;
