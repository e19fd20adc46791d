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
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::hub::{Hub, Inbox, Next, Outbox};
use super::message::{self, Command};
use crate::client;
use crate::size::MAX_WIRE_BYTES;

/// Every so often a client is pinged; one that was silent since the last time is dead.
const PING: Duration = Duration::from_secs(30);
/// For a frame to leave.
const WRITE: Duration = Duration::from_secs(10);
/// For what a client said before its slot was ended and is still on its way.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// For a client to see that its socket is closed.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes a second, and at once, that a client may send; more has to wait, so that it fills nobody's outbox.
const BUDGET: (NonZeroU32, NonZeroU32) = (NonZeroU32::new(512 << 10).unwrap(), NonZeroU32::new(1 << 20).unwrap());
/// What the smallest frame costs of it.
const FRAME_COST: usize = 100;

/// Nearly every socket is idle nearly always.
const READ_BUFFER: usize = 4 * 1024;

/// First segments of the main port's own routes: none of them is a room of Collider there.
const RESERVED: [&str; 15] = [
    "a",
    "api",
    "assets",
    "bye",
    "css",
    "images",
    "join",
    "js",
    "leave",
    "message",
    "params",
    "r",
    "socket.io",
    "turn",
    "v1alpha",
];

/// `/ws`, `/status`, and POST and DELETE of `/ROOM/CLIENT`; what else comes to such a path is for `rest`, as is everything that
/// is no route.
pub fn on_the_main_port(hub: Hub, rest: Router) -> Router {
    let client = post(client_on_the_main_port).delete(client_on_the_main_port).fallback_service(rest.clone());
    let anonymous = post(anonymous_on_the_main_port).delete(anonymous_on_the_main_port).fallback_service(rest.clone());
    Router::new()
        .route("/ws", get(upgrade))
        .route("/status", get(status))
        .route("/{room}/{client}", client)
        .route("/{room}/", anonymous)
        .layer(DefaultBodyLimit::max(MAX_WIRE_BYTES))
        .with_state(hub)
        .fallback_service(rest)
}

/// Everything that is Collider's.
pub fn on_a_port_of_its_own(hub: Hub) -> Router {
    Router::new()
        .route("/ws", get(upgrade))
        .route("/status", get(status))
        .fallback(any_path)
        .layer(DefaultBodyLimit::max(MAX_WIRE_BYTES))
        .with_state(hub)
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

async fn client_on_the_main_port(
    State(hub): State<Hub>,
    Extension(from): Extension<client::Client>,
    Path((room, client)): Path<(String, String)>,
    method: Method,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if RESERVED.contains(&room.as_str()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    act(&hub, from.address, &method, &room, &client, body)
}

async fn anonymous_on_the_main_port(
    hub: State<Hub>,
    from: Extension<client::Client>,
    Path(room): Path<String>,
    method: Method,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    client_on_the_main_port(hub, from, Path((room, String::new())), method, body).await
}

/// The path is exactly `/ROOM/CLIENT`, and the client may be empty.
async fn any_path(
    State(hub): State<Hub>,
    Extension(from): Extension<client::Client>,
    method: Method,
    uri: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut segments = uri.path().strip_prefix('/').unwrap_or_default().split('/');
    let mut response = match (segments.next(), segments.next(), segments.next()) {
        (Some(room), Some(client), None) => act(&hub, from.address, &method, room, client, body),
        _ => failed(&hub, &format!("Invalid path: {}", uri.path())),
    };
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
            if !message::is_short(room) || !message::is_short(client) {
                return not_sent("The name of the room or the client is too long");
            }
            if hub.admit(room, from).is_err() {
                return not_sent("Too many new rooms from this address");
            }
            let text = String::from_utf8_lossy(&body).into_owned();
            if let Err(large) = message::check_size(&text) {
                return not_sent(&large.to_string());
            }
            match hub.with(|rooms, now| rooms.handle_post(room, client, text, now)) {
                Ok(()) => "OK\n".into_response(),
                Err(refusal) => not_sent(&refusal.to_string()),
            }
        }
        Method::DELETE => {
            hub.with(|rooms, now| rooms.handle_delete(room, client, now));
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
    Extension(from): Extension<client::Client>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let mut upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return (StatusCode::BAD_REQUEST, rejection.body_text()).into_response(),
    };
    let Some(place) = hub.sockets().enter(from.address) else {
        return (StatusCode::TOO_MANY_REQUESTS, "Too many connections from this address.\n").into_response();
    };
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|offered| offered.to_str().ok());
    let first = offered.and_then(|offered| HeaderValue::from_str(offered.split(',').next()?.trim()).ok());
    if let Some(protocol) = first {
        upgrade.set_selected_protocol(protocol);
    }
    let upgrade = upgrade.max_message_size(MAX_WIRE_BYTES).max_frame_size(MAX_WIRE_BYTES);
    let upgrade = upgrade.read_buffer_size(READ_BUFFER).write_buffer_size(0);
    upgrade.on_upgrade(move |socket| async move {
        converse(socket, &hub, from.address).await;
        drop(place);
    })
}

/// Why a conversation ends.
enum End {
    /// The socket is gone, dead or does not take what it is sent.
    Gone,
    /// It is to be closed.
    Close,
    /// It is to be closed after this error.
    Error(String),
}

async fn converse(mut socket: WebSocket, hub: &Hub, from: IpAddr) {
    let (outbox, mut inbox) = Outbox::new();
    let mut client = Client { hub, from, outbox, registered: None };
    let end = listen(&mut socket, &mut client, &mut inbox).await;
    if matches!(end, End::Close) {
        timeout(LAST_WORDS, last_words(&mut socket, &mut client)).await.ok();
    }
    // From here its slot has its grace, however long the farewell takes.
    drop(client);
    let last = match end {
        End::Gone => return,
        End::Close => None,
        End::Error(error) => Some(message::error_frame(&error)),
    };
    let farewell = async {
        let told = std::iter::from_fn(|| inbox.next_now()).filter_map(|next| match next {
            Next::Send(frame) => Some(frame),
            Next::Close => None,
        });
        let told: Vec<_> = told.chain(last).collect();
        for frame in told {
            socket.send(Message::Text(frame.into())).await?;
        }
        socket.send(Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: "".into() }))).await?;
        // Closing at once what has unread bytes would take the last frames back.
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<(), axum::Error>(())
    };
    timeout(FAREWELL, farewell).await.ok();
}

async fn listen(socket: &mut WebSocket, client: &mut Client<'_>, inbox: &mut Inbox) -> End {
    let mut ping = interval_at(Instant::now() + PING, PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let budget = RateLimiter::direct(Quota::per_second(BUDGET.0).allow_burst(BUDGET.1));
    let mut heard = true;
    loop {
        let next = tokio::select! {
            frame = socket.recv() => {
                heard = true;
                let text = match frame {
                    Some(Ok(Message::Text(text))) => Bytes::from(text),
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Gone,
                };
                pace(&budget, text.len()).await;
                match client.hear(&text) {
                    None => continue,
                    Some(end) => return end,
                }
            }
            next = inbox.next() => next,
            () = client.outbox.overflow() => return End::Gone,
            _ = ping.tick() => {
                if !std::mem::replace(&mut heard, false) {
                    return End::Gone;
                }
                if !write(socket, Message::Ping(Bytes::new()), &client.outbox).await {
                    return End::Gone;
                }
                continue;
            }
        };
        match next {
            Next::Close => return End::Close,
            Next::Send(frame) => {
                if !write(socket, Message::Text(frame.into()), &client.outbox).await {
                    return End::Gone;
                }
            }
        }
    }
}

async fn last_words(socket: &mut WebSocket, client: &mut Client<'_>) {
    while let Some(Ok(frame)) = socket.recv().await {
        if let Message::Text(_) | Message::Binary(_) = frame {
            client.hear(&frame.into_data());
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
struct Client<'a> {
    hub: &'a Hub,
    from: IpAddr,
    outbox: Outbox,
    /// Its room and its name there.
    registered: Option<(String, String)>,
}

impl Client<'_> {
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
                let sent = self.hub.with(|rooms, now| rooms.handle_send(room, client, &self.outbox, message, now));
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
        if !message::is_short(&room) || !message::is_short(&client) {
            return Err("Invalid register request: 'clientid' or 'roomid' is too long".into());
        }
        self.hub.admit(&room, self.from).map_err(|_| "Too many new rooms from this address".to_owned())?;
        let registered = self.hub.with(|rooms, now| rooms.handle_register(&room, &client, &self.outbox, now));
        registered.map_err(|refusal| refusal.to_string())?;
        self.hub.tally().registered.fetch_add(1, Ordering::Relaxed);
        self.registered = Some((room, client));
        Ok(())
    }

    fn count_error(&self) {
        self.hub.tally().socket_errors.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        if let Some((room, client)) = &self.registered {
            self.hub.with(|rooms, now| rooms.handle_drop(room, client, &self.outbox, now));
        }
    }
}
