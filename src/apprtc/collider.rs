//! Collider's routes: WebSockets at `/ws`, and POST and DELETE of `/ROOM/CLIENT` for clients without a WebSocket.
//!
//! Collider is served twice: on the main port, after all other routes, and on a port of its own, where every path is a room and a
//! client. Inputs: requests with a [`ClientInfo`]. Outputs: answers, and a `collider_socket` task for each WebSocket.
//!
//! Every Origin is accepted, and a missing one too: native clients invent theirs, and any page can reach this service through a
//! server of its own.

use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, map_request, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Json, Router};
use hyper::upgrade::OnUpgrade;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tower::ServiceExt as _;

use super::collider_socket;
use super::gateway::AppRtcGateway;
use super::websocket::WebSocket;
use super::wire::{self, NOT_JOINED};
use crate::http::client_info::ClientInfo;
use crate::http::layered::Layered;
use crate::http::path_slashes;
use crate::http::problem::{self, Problem};
use crate::http::websocket_handshake;
use crate::limits::message_size::MAX_WIRE_BYTES;
use crate::limits::retry_after;
use crate::limits::unfinished::UnfinishedMessages;
use crate::operator::rows::agent_row;

/// The routes of the main port: first `routes`, by path and method; then `/ws`, `/status`, and POST and DELETE of `/ROOM/CLIENT`;
/// then `pages`. So `POST /join/X` is the room server's, and `POST /turn/X` and `DELETE /join/X` are Collider's.
pub fn on_the_main_port(gateway: &AppRtcGateway, routes: Router, pages: Router) -> Router {
    let collider = Router::new()
        .route("/ws", get(upgrade))
        .route("/status", any(status))
        .with_state(gateway.clone())
        .fallback_service(room_and_client_routes(gateway, pages));
    let collider = Layered::new(collider).behind(map_request(|request| async { path_slashes::close(request) }));
    // For a method that the route does not have: the 405 keeps the `Allow` of that route.
    let other_method = room_and_client_routes(gateway, Router::new().fallback(method_not_allowed));
    let other_method = move |request: Request| {
        let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
        let answer = other_method.clone().oneshot(path_slashes::close(request));
        async move {
            match route {
                Some(route) if is_of_the_api_alone(&route) => Problem::method_not_allowed().into_response(),
                Some(_) | None => without_allow(answer.await.into_response()),
            }
        }
    };
    let routes = routes.method_not_allowed_fallback(other_method).fallback_service(collider);
    Layered::new(routes)
        .behind(middleware::from_fn(path_slashes::remove))
        .behind(map_response(without_foreign_allow))
        .behind(DefaultBodyLimit::max(MAX_WIRE_BYTES))
        .into_router()
}

/// Whether a route is two names of the API, as `/api/info` is, which are no room and client of Collider.
fn is_of_the_api_alone(route: &str) -> bool {
    problem::is_api(route) && route.matches('/').count() > 1 && !route.contains('{')
}

async fn method_not_allowed(uri: Uri) -> Response {
    let is_api = problem::is_api(path_slashes::plain(uri.path()).as_deref().unwrap_or(uri.path()));
    if is_api { Problem::method_not_allowed().into_response() } else { StatusCode::METHOD_NOT_ALLOWED.into_response() }
}

/// POST and DELETE of `/ROOM/CLIENT`; `rest` serves all other requests.
fn room_and_client_routes(gateway: &AppRtcGateway, rest: Router) -> Router {
    let client = post(handle_client).delete(handle_client).fallback_service(rest.clone());
    Router::new()
        .route("/{room}/{client}", client.clone())
        .route("/{room}/", client)
        .with_state(gateway.clone())
        .fallback_service(rest)
}

/// axum adds the `Allow` of a route to the answer of the route's fallback; only a 405 may have it.
async fn without_foreign_allow(response: Response) -> Response {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED { response } else { without_allow(response) }
}

fn without_allow(mut response: Response) -> Response {
    response.headers_mut().remove(header::ALLOW);
    response
}

/// The routes of Collider's own port. A path with doubled slashes is served like the path without, to which the original redirects.
pub fn on_a_port_of_its_own(gateway: AppRtcGateway) -> Router {
    let routes = Router::new()
        .route("/ws", get(upgrade))
        .route("/status", any(status))
        .fallback_service(any(handle_client).layer(map_response(with_cors)).with_state(gateway.clone()))
        .layer(DefaultBodyLimit::max(MAX_WIRE_BYTES))
        .with_state(gateway);
    Layered::new(routes).behind(middleware::from_fn(path_slashes::remove_doubled)).into_router()
}

async fn status(State(gateway): State<AppRtcGateway>) -> Response {
    let stats = gateway.counts();
    let body = json!({
        "upsec": stats.uptime.as_secs_f64(),
        "openws": stats.now.sockets,
        "totalws": stats.registered,
        "wserrors": stats.socket_errors,
        "httperrors": stats.http_errors,
    });
    ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::CACHE_CONTROL, "no-cache")], Json(body)).into_response()
}

/// Serves `/ROOM/CLIENT`, where the client may be empty.
async fn handle_client(
    State(gateway): State<AppRtcGateway>,
    Extension(from): Extension<ClientInfo>,
    method: Method,
    uri: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Some((room, client)) = room_and_client(uri.path()) else {
        return failed(&gateway, &format!("Invalid path: {}", uri.path()));
    };
    match method {
        Method::POST => match post_message(&gateway, from.address, &room, &client, body) {
            Ok(()) => "OK\n".into_response(),
            Err(error) => failed(&gateway, &error),
        },
        Method::DELETE => delete(&gateway, from.address, &room, &client),
        _ => StatusCode::OK.into_response(),
    }
}

/// The room and the client of a path, decoded like the names that clients register.
fn room_and_client(path: &str) -> Option<(String, String)> {
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

fn post_message(
    gateway: &AppRtcGateway,
    from: IpAddr,
    room: &str,
    client: &str,
    body: Result<Bytes, BytesRejection>,
) -> Result<(), String> {
    let not_sent = |why: &str| format!("Failed to send the message: {why}");
    let body = body.map_err(|_| not_sent("It is too large"))?;
    if body.is_empty() {
        return Err("Empty request body".to_owned());
    }
    wire::check_names(room, client).map_err(|error| not_sent(&error.to_string()))?;
    gateway.check_signal(from).map_err(|_| not_sent("Too many messages from this address"))?;
    if !gateway.may_signal(room, client) {
        return Err(not_sent(NOT_JOINED));
    }
    gateway.check_open(room, from).map_err(|_| not_sent("Too many new rooms from this address"))?;
    let text = String::from_utf8_lossy(&body).into_owned();
    wire::check_size(&text).map_err(|too_large| not_sent(&too_large.to_string()))?;
    let sent = gateway.handle(from, |rooms, context| rooms.handle_post(room, client, text, context));
    sent.map_err(|refusal| not_sent(&refusal.to_string()))
}

fn delete(gateway: &AppRtcGateway, from: IpAddr, room: &str, client: &str) -> Response {
    if let Err(wait) = gateway.check_signal(from) {
        let retry_after = [(header::RETRY_AFTER, retry_after::seconds(wait))];
        return (StatusCode::TOO_MANY_REQUESTS, retry_after, "Too many requests from this address\n").into_response();
    }
    gateway.handle(from, |rooms, context| rooms.handle_delete(room, client, context));
    "OK\n".into_response()
}

fn failed(gateway: &AppRtcGateway, error: &str) -> Response {
    gateway.count_http_error();
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}

/// `/ws`: 400 for a request that is no WebSocket handshake (RFC 6455 §4.2.1); the first offered subprotocol is accepted (§4.2.2,
/// step 5).
async fn upgrade(
    State(gateway): State<AppRtcGateway>,
    Extension(from): Extension<ClientInfo>,
    unfinished: Option<Extension<UnfinishedMessages>>,
    upgraded: Option<Extension<OnUpgrade>>,
    headers: HeaderMap,
    // axum validates the handshake. `WebSocket` reads the stream instead of axum, and bounds unfinished messages.
    handshake: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if let Err(rejection) = handshake {
        return (StatusCode::BAD_REQUEST, rejection.body_text()).into_response();
    }
    let (Some(Extension(upgraded)), Some(key)) = (upgraded, headers.get(header::SEC_WEBSOCKET_KEY)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some(place) = gateway.sockets().acquire(from.address) else {
        return (StatusCode::TOO_MANY_REQUESTS, "Too many connections from this address.\n").into_response();
    };
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|offered| offered.to_str().ok());
    let first = offered.and_then(|offered| HeaderValue::from_str(offered.split(',').next()?.trim()).ok());
    let answer = websocket_handshake::switching_protocols(key, first.filter(|protocol| !protocol.is_empty()));
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent_row(&String::from_utf8_lossy(agent.as_bytes())));
    let unfinished = unfinished.map(|Extension(unfinished)| unfinished).unwrap_or_default();
    tokio::spawn(async move {
        if let Some(socket) = WebSocket::open(upgraded, from.address, &unfinished, gateway.kept_buffers()).await {
            collider_socket::run(socket, &gateway, from.address, agent).await;
        }
        drop(place);
    });
    answer
}

#[cfg(test)]
#[path = "collider_tests.rs"]
mod tests;
