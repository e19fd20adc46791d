//! The room server over HTTP: join, message, leave, params. Answers are the original's, as `application/json`.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::hub::Hub;
use super::message::{self, MAX_REPORT_BYTES};
use super::params::Query;
use super::room::Refusal;
use crate::http::client_info::ClientInfo;
use crate::limits::message_size::MAX_WIRE_BYTES;
use crate::limits::wait;

/// What the handlers share.
#[derive(Debug)]
pub struct RoomServer {
    pub hub: Hub,
    /// The origin people type, without a trailing slash, where it is set.
    pub public_url: Option<String>,
    /// Where the HTTP port really listens.
    pub http: SocketAddr,
}

/// `/join`, `/message`, `/leave`, `/bye`, `/params` and `/a` (clients write `/a/`: it is to be behind [`crate::http::path_slashes::remove`]).
/// It wants the [`ClientInfo`] in each request's extensions.
pub fn router(server: RoomServer) -> Router {
    Router::new()
        .route("/join/{room}", post(join))
        .route("/message/{room}/{client}", post(say))
        .route("/leave/{room}/{client}", post(leave))
        // The name that Collider calls it by.
        .route("/bye/{room}/{client}", post(leave))
        .route("/params", get(params))
        .route("/a", post(analytics).layer(DefaultBodyLimit::max(MAX_REPORT_BYTES)))
        .layer(DefaultBodyLimit::max(MAX_WIRE_BYTES))
        .with_state(Arc::new(server))
}

/// 200, `{"result","params"}`; 429 and 503 with the same shape where the original has no limit.
async fn join(
    State(server): State<Arc<RoomServer>>,
    Extension(client): Extension<ClientInfo>,
    Room(room): Room,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Err(wait) = server.hub.admit_join(client.address) {
        return too_often(wait, refused(StatusCode::TOO_MANY_REQUESTS, "ERROR"));
    }
    let origin = server.origin(&client);
    let user_agent = user_agent(&headers);
    let query = Query::new(&origin, query.as_deref().unwrap_or_default(), &user_agent);
    match server.hub.act(client.address, |rooms, by| rooms.handle_join(&room, query.is_loopback(), by)) {
        Ok(joined) => answer(StatusCode::OK, &json!({"result": "SUCCESS", "params": query.joined(&room, &joined)})),
        Err(refusal @ Refusal::ServerFull) => refused(StatusCode::SERVICE_UNAVAILABLE, message::result(refusal)),
        Err(refusal) => refused(StatusCode::OK, message::result(refusal)),
    }
}

/// 200, `{"result"}`, whatever it is: Android ends a call at any other status.
async fn say(
    State(server): State<Arc<RoomServer>>,
    Extension(from): Extension<ClientInfo>,
    Member { room, client }: Member,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if let Err(wait) = server.hub.admit_signal(from.address) {
        return too_often(wait, answer(StatusCode::OK, &json!({"result": "ERROR"})));
    }
    let text = match body {
        Ok(body) if !body.is_empty() => String::from_utf8_lossy(&body).into_owned(),
        Ok(_) | Err(_) => return answer(StatusCode::OK, &json!({"result": "ERROR"})),
    };
    if let Err(large) = message::check_size(&text) {
        tracing::debug!(%large, "refused");
        return answer(StatusCode::OK, &json!({"result": "ERROR"}));
    }
    let said = server.hub.act(from.address, |rooms, by| rooms.handle_message(&room, &client, text, by));
    answer(StatusCode::OK, &json!({"result": said.map_or_else(message::result, |()| "SUCCESS")}))
}

/// 200, empty, also where there is no such room or client; 429 where the original has no limit.
async fn leave(
    State(server): State<Arc<RoomServer>>,
    Extension(from): Extension<ClientInfo>,
    Member { room, client }: Member,
) -> Response {
    if let Err(wait) = server.hub.admit_signal(from.address) {
        return too_often(wait, StatusCode::TOO_MANY_REQUESTS.into_response());
    }
    server.hub.act(from.address, |rooms, by| rooms.handle_leave(&room, &client, by));
    [(header::CACHE_CONTROL, "no-cache")].into_response()
}

async fn params(
    State(server): State<Arc<RoomServer>>,
    Extension(client): Extension<ClientInfo>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let origin = server.origin(&client);
    let user_agent = user_agent(&headers);
    let query = Query::new(&origin, query.as_deref().unwrap_or_default(), &user_agent);
    answer(StatusCode::OK, &query.params().into())
}

/// What clients report about themselves is checked and forgotten.
async fn analytics(body: Result<Bytes, BytesRejection>) -> Response {
    let well_formed = body.is_ok_and(|body| message::is_analytics_event(&body));
    answer(StatusCode::OK, &json!({"result": if well_formed { "SUCCESS" } else { "INVALID_REQUEST" }}))
}

fn user_agent(headers: &HeaderMap) -> Cow<'_, str> {
    headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes())).unwrap_or_default()
}

fn refused(status: StatusCode, result: &str) -> Response {
    answer(status, &json!({"result": result, "params": {"messages": []}}))
}

fn too_often(wait: Duration, mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, wait::seconds(wait).into());
    response
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-cache")], Json(body)).into_response()
}

impl RoomServer {
    /// The origin that the client used: the public one, or the one its request names.
    fn origin(&self, client: &ClientInfo) -> String {
        if let Some(origin) = &self.public_url {
            return origin.clone();
        }
        let asked = client.host.as_ref().map(|host| format!("{}://{host}", client.scheme.as_str()));
        asked.unwrap_or_else(|| format!("http://{}", self.http))
    }
}

/// A room's id from the path; 404 for what is none.
struct Room(String);

impl<S: Send + Sync> FromRequestParts<S> for Room {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StatusCode> {
        let Path(room) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| StatusCode::NOT_FOUND)?;
        if message::is_id(&room) { Ok(Self(room)) } else { Err(StatusCode::NOT_FOUND) }
    }
}

/// The ids of a room and of a client from the path; 404 for what are none.
struct Member {
    room: String,
    client: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Member {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StatusCode> {
        let ids = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((room, client)) = ids.map_err(|_| StatusCode::NOT_FOUND)?;
        if message::is_id(&room) && message::is_id(&client) { Ok(Self { room, client }) } else { Err(StatusCode::NOT_FOUND) }
    }
}
