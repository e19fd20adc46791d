//! The room server's routes: join, message, leave, report, params and analytics. The answers are those of the original, as
//! `application/json`.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::json;
use url::form_urlencoded;
use utoipa::OpenApi;

use super::answers::{AnalyticsEvent, CallParams, JoinAnswer, LeaveAnswers, ReportAnswer, ResultAnswer};
use super::calls::{self, ReportError, SeenClient};
use super::gateway::AppRtcGateway;
use super::model::{ClientDetails, Refusal};
use super::params::Query;
use super::paths::{Id, MemberPath, RoomPath};
use super::wire::{self, MAX_REPORT_BYTES};
use crate::admission::{Admission, AdmissionRefusal, Applicant, Proof, ProvenUser};
use crate::diagnosis::report::{self, Report};
use crate::hooks::authorize::SeatKind;
use crate::http::authorization::bearer;
use crate::http::client_info::ClientInfo;
use crate::http::connection_info::LocalAddress;
use crate::http::problem::{CodedProblem, as_sentence};
use crate::limits::message_size::MAX_WIRE_BYTES;
use crate::limits::retry_after;
use crate::operator::rows::agent_row;
use crate::outcomes::party::ReportRefusal;

/// What all handlers share.
#[derive(Debug)]
pub struct RoomServer {
    pub gateway: AppRtcGateway,
    /// The configured address, without a slash at the end.
    pub public_url: Option<String>,
    /// The bound address of the HTTP port.
    pub http: SocketAddr,
}

/// `/join`, `/message`, `/leave`, `/bye`, `/report`, `/params` and `/a`. Clients request `/a/`, so this router needs
/// [`crate::http::path_slashes::remove`] in front. Requests need a [`ClientInfo`] in their extensions.
pub fn router(server: RoomServer) -> Router {
    Router::new()
        .route("/join/{room}", post(join))
        .route("/message/{room}/{client}", post(message))
        .route("/leave/{room}/{client}", post(leave))
        .route("/bye/{room}/{client}", post(bye))
        .route("/report/{room}/{client}", post(report).layer(DefaultBodyLimit::max(report::MAX_REPORT_BYTES)))
        .route("/params", get(params))
        .route("/a", post(analytics).layer(DefaultBodyLimit::max(MAX_REPORT_BYTES)))
        .layer(DefaultBodyLimit::max(MAX_WIRE_BYTES))
        .with_state(Arc::new(server))
}

/// The operations of the room server.
#[derive(Debug, OpenApi)]
#[openapi(paths(join, message, leave, bye, report, params, analytics), components(schemas(Id)))]
pub struct Description;

/// A client enters a room
///
/// A room has two clients; `result` is `FULL` for a third one. The body is not read. With `CASTWAY_AUTHORIZE_URL` the operator's server
/// decides, and a token of `/api/sign-in` says who asks.
#[utoipa::path(
    post,
    path = "/join/{room}",
    operation_id = "join",
    tag = "apprtc",
    params(
        RoomPath,
        ("debug" = Option<String>, Query, description = "`loopback`: the client calls itself."),
        ("token" = Option<String>, Query, description = "A token of `/api/sign-in`, if it is no bearer token."),
    ),
    responses(
        (status = 200, description = "`SUCCESS`, `FULL` or `DUPLICATE_CLIENT`.", body = JoinAnswer),
        (status = 403, description = "The operator's server refuses the client.", body = JoinAnswer),
        (status = 404, description = "The room has no valid name."),
        (status = 429, description = "`ERROR`: there were too many requests.", body = JoinAnswer),
        (status = 503, description = "`ERROR`: the server is full, or the operator's server does not answer.", body = JoinAnswer),
    ),
    security((), ("bearer" = [])),
)]
// 200, `{"result","params"}`; 429 and 503 with the same fields at limits that the original does not have.
async fn join(
    State(server): State<Arc<RoomServer>>,
    Extension(client): Extension<ClientInfo>,
    RoomPath(room): RoomPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Err(wait) = server.gateway.check_join(client.address) {
        return rate_limited(wait, refused(StatusCode::TOO_MANY_REQUESTS, "ERROR"));
    }
    let raw_query = query.as_deref().unwrap_or_default();
    let user_agent = user_agent(&headers);
    let user = match admit(server.gateway.admission(), &client, &room, raw_query, &headers, &user_agent).await {
        Ok(user) => user,
        Err(refusal) => return not_admitted(&refusal),
    };
    let address = server.address(&client);
    let query = Query::new(&address, raw_query, &user_agent);
    let joined = server.gateway.handle(client.address, |rooms, context| {
        // Asked here, so that `follow_users` misses nobody.
        let user = user.filter(|user| server.gateway.admission().is_current(user));
        let details = ClientDetails { agent: agent_row(&user_agent), user };
        let joined = rooms.handle_join(&room, query.is_loopback(), context)?;
        rooms.describe(&room, &joined.client, details);
        Ok(joined)
    });
    match joined {
        Ok(joined) => answer(StatusCode::OK, &json!({"result": "SUCCESS", "params": query.joined(&room, &joined)})),
        Err(refusal @ Refusal::ServerFull) => refused(StatusCode::SERVICE_UNAVAILABLE, wire::result(refusal)),
        Err(refusal) => refused(StatusCode::OK, wire::result(refusal)),
    }
}

/// Who calls, if that is proved by a token of this server: calls need no sign-in. Asks the operator's server, if it decides who may call.
/// The question ends with the request's connection.
async fn admit(
    admission: &Admission,
    client: &ClientInfo,
    room: &str,
    query: &str,
    headers: &HeaderMap,
    user_agent: &str,
) -> Result<Option<ProvenUser>, AdmissionRefusal> {
    if !admission.reads_proofs() {
        return Ok(None);
    }
    let in_query = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token");
    let proof = bearer(headers).or(in_query.as_ref().map(|(_, token)| token.as_ref())).and_then(Proof::of_token);
    let agent = Some(user_agent).filter(|agent| !agent.is_empty());
    let applicant = Applicant { kind: SeatKind::Call, proof: proof.as_ref(), address: client.address, agent };
    let user = admission.identify(applicant, SystemTime::now())?;
    if admission.asks_for(SeatKind::Call) {
        admission.ask(admission.question(applicant, user.as_ref(), Some(room.to_owned()), None)).await?;
        // The yes was for this user, who may have been disabled meanwhile.
        if user.as_ref().is_some_and(|user| !admission.is_current(user)) {
            return Err(AdmissionRefusal::Refused(None));
        }
    }
    Ok(user)
}

/// 403, or 503 if the operator's server does not answer, with `{"result": "ERROR", "params", "error": {"code", "message", "reason"}}`;
/// `reason` is the sentence of the operator's server, if it has given one.
fn not_admitted(refusal: &AdmissionRefusal) -> Response {
    let is_down = *refusal == AdmissionRefusal::Unavailable;
    let status = if is_down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
    let mut error = json!({"code": refusal.code(), "message": refusal.to_string()});
    if let Some(reason) = refusal.reason() {
        error["reason"] = reason.into();
    }
    let mut response = answer(status, &json!({"result": "ERROR", "params": {"messages": []}, "error": error}));
    if let Some(seconds) = refusal.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A message for the other client in the room
///
/// The body is forwarded as it is. If nobody else is there, the message waits for the next one who joins.
#[utoipa::path(
    post,
    path = "/message/{room}/{client}",
    operation_id = "message",
    tag = "apprtc",
    params(MemberPath),
    request_body(content = String, description = "Text, usually JSON.", content_type = "text/plain"),
    responses(
        (status = 200, description = "`SUCCESS`, `UNKNOWN_ROOM`, `UNKNOWN_CLIENT` or `ERROR`, also for a refusal.", body = ResultAnswer),
        (status = 404, description = "The room or the client has no valid name."),
    ),
)]
// The Android client ends the call after any other status than 200.
async fn message(
    State(server): State<Arc<RoomServer>>,
    Extension(from): Extension<ClientInfo>,
    MemberPath { room, client }: MemberPath,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if let Err(wait) = server.gateway.check_signal(from.address) {
        return rate_limited(wait, answer(StatusCode::OK, &ResultAnswer { result: "ERROR" }));
    }
    let text = match body {
        Ok(body) if !body.is_empty() => String::from_utf8_lossy(&body).into_owned(),
        Ok(_) | Err(_) => return answer(StatusCode::OK, &ResultAnswer { result: "ERROR" }),
    };
    if let Err(too_large) = wire::check_size(&text) {
        tracing::debug!(%too_large, "refused");
        return answer(StatusCode::OK, &ResultAnswer { result: "ERROR" });
    }
    let sent = server.gateway.handle(from.address, |rooms, context| rooms.handle_message(&room, &client, text, context));
    answer(StatusCode::OK, &ResultAnswer { result: sent.map_or_else(wire::result, |()| "SUCCESS") })
}

/// A client leaves a room
#[utoipa::path(
    post,
    path = "/leave/{room}/{client}",
    operation_id = "leave",
    tag = "apprtc",
    params(MemberPath),
    responses(LeaveAnswers)
)]
async fn leave(server: State<Arc<RoomServer>>, from: Extension<ClientInfo>, member: MemberPath) -> Response {
    end(server, from, member)
}

/// A client leaves a room, by Collider's name for it
#[utoipa::path(
    post,
    path = "/bye/{room}/{client}",
    operation_id = "bye",
    tag = "apprtc",
    params(MemberPath),
    responses(LeaveAnswers)
)]
async fn bye(server: State<Arc<RoomServer>>, from: Extension<ClientInfo>, member: MemberPath) -> Response {
    end(server, from, member)
}

/// 200, also for an unknown room or client; 429 at a limit that the original does not have.
fn end(
    State(server): State<Arc<RoomServer>>,
    Extension(from): Extension<ClientInfo>,
    MemberPath { room, client }: MemberPath,
) -> Response {
    if let Err(wait) = server.gateway.check_signal(from.address) {
        return rate_limited(wait, StatusCode::TOO_MANY_REQUESTS.into_response());
    }
    server.gateway.handle(from.address, |rooms, context| rooms.handle_leave(&room, &client, context));
    [(header::CACHE_CONTROL, "no-cache")].into_response()
}

/// What a client's connection is like
///
/// Castway's own: the original has no such route. A failure gets a verdict.
#[utoipa::path(
    post,
    path = "/report/{room}/{client}",
    operation_id = "report",
    tag = "apprtc",
    params(
        MemberPath,
        ("send" = Option<String>, Query, description = "`1`: shows the report to the operator; with an empty body, the last one."),
    ),
    request_body(content = Report, description = "At most 16 KiB."),
    responses(
        (status = 200, description = "The report is taken.", body = ReportAnswer),
        (status = 400, description = "`malformed_payload`: the body is no report.", body = CodedProblem),
        (status = 404, description = "`unknown_client`: no such client is in the room.", body = CodedProblem),
        (status = 409, description = "`no_report`: there is no report that could be shown.", body = CodedProblem),
        (status = 413, description = "`payload_too_large`: the body is too long.", body = CodedProblem),
        (status = 429, description = "`rate_limited`: wait as long as `retryAfter` says.", body = CodedProblem),
    ),
)]
async fn report(
    State(server): State<Arc<RoomServer>>,
    Extension(from): Extension<ClientInfo>,
    local: Option<Extension<LocalAddress>>,
    member: Result<MemberPath, StatusCode>,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(MemberPath { room, client }) = member else {
        return report_failed(StatusCode::NOT_FOUND, "unknown_client", "the room or the client has no valid name", None);
    };
    if let Err(wait) = server.gateway.check_signal(from.address) {
        let message = "too many requests from this address; wait before you try again";
        return report_failed(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message, Some(wait));
    }
    let sent = match body.map(|body| calls::page_report(&body, query.as_deref().unwrap_or_default())) {
        Ok(Ok(sent)) => sent,
        Ok(Err(wrong)) => return report_failed(StatusCode::BAD_REQUEST, "malformed_payload", &wrong, None),
        Err(rejection) => {
            let is_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            let code = if is_large { "payload_too_large" } else { "malformed_payload" };
            return report_failed(rejection.status(), code, &rejection.body_text(), None);
        }
    };
    let seen = SeenClient { host: from.host, reached: local.and_then(|Extension(local)| local.0) };
    let answered = match server.gateway.report(&room, &client, sent, &seen) {
        Ok(answered) => answered,
        Err(error) => return report_refused(error),
    };
    // The rooms answer in time. They are gone after a panic only.
    let verdict = answered.await.ok().flatten();
    answer(StatusCode::OK, &ReportAnswer { ok: true, verdict })
}

fn report_refused(error: ReportError) -> Response {
    let text = error.to_string();
    match error {
        ReportError::Report(ReportRefusal::TooSoon { wait } | ReportRefusal::TooMany { wait }) => {
            report_failed(StatusCode::TOO_MANY_REQUESTS, "rate_limited", &text, Some(wait))
        }
        ReportError::Report(ReportRefusal::NothingToSend) => report_failed(StatusCode::CONFLICT, "no_report", &text, None),
        ReportError::Member(_) => report_failed(StatusCode::NOT_FOUND, "unknown_client", &text, None),
    }
}

fn report_failed(status: StatusCode, code: &'static str, message: &str, wait: Option<Duration>) -> Response {
    CodedProblem::new(status, code, as_sentence(message)).retry_after(wait.map(retry_after::seconds)).not_ok().into_response()
}

/// The parameters of a call without a room
#[utoipa::path(
    get,
    path = "/params",
    operation_id = "params",
    tag = "apprtc",
    params(
        ("it" = Option<String>, Query, description = "The ICE transports, for `pc_config`.", example = "relay"),
        ("tt" = Option<String>, Query, description = "The transport to the ICE servers.", example = "udp"),
        ("ts" = Option<String>, Query, description = "The base URL of the ICE servers' service; an empty one means none."),
        ("apikey" = Option<String>, Query, description = "The key in `ice_server_url`."),
        ("audio" = Option<String>, Query, description = "`true`, `false` or constraints."),
        ("video" = Option<String>, Query, description = "`true`, `false` or constraints."),
        ("hd" = Option<String>, Query, description = "`true`: at least 1280 x 720."),
        ("debug" = Option<String>, Query, description = "`loopback`: the client calls itself."),
        ("wstls" = Option<String>, Query, description = "`true` or `false`: whether the WebSocket uses TLS."),
    ),
    responses((status = 200, description = "The parameters.", body = CallParams)),
)]
async fn params(
    State(server): State<Arc<RoomServer>>,
    Extension(client): Extension<ClientInfo>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let address = server.address(&client);
    let user_agent = user_agent(&headers);
    let query = Query::new(&address, query.as_deref().unwrap_or_default(), &user_agent);
    answer(StatusCode::OK, &query.params())
}

/// A client's report about itself
///
/// It is checked and dropped.
#[utoipa::path(
    post,
    path = "/a",
    operation_id = "analytics",
    tag = "apprtc",
    request_body(content = AnalyticsEvent, description = "At most 64 KiB."),
    responses((status = 200, description = "`SUCCESS`, or `INVALID_REQUEST` for anything else.", body = ResultAnswer)),
)]
async fn analytics(body: Result<Bytes, BytesRejection>) -> Response {
    let well_formed = body.is_ok_and(|body| wire::is_analytics_event(&body));
    answer(StatusCode::OK, &ResultAnswer { result: if well_formed { "SUCCESS" } else { "INVALID_REQUEST" } })
}

fn user_agent(headers: &HeaderMap) -> Cow<'_, str> {
    headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes())).unwrap_or_default()
}

fn refused(status: StatusCode, result: &str) -> Response {
    answer(status, &json!({"result": result, "params": {"messages": []}}))
}

fn rate_limited(wait: Duration, mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, retry_after::seconds(wait).into());
    response
}

fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    (status, [(header::CACHE_CONTROL, "no-cache")], Json(body)).into_response()
}

impl RoomServer {
    /// The configured address, or else the origin of the request.
    fn address(&self, client: &ClientInfo) -> String {
        if let Some(address) = &self.public_url {
            return address.clone();
        }
        let requested = client.host.as_ref().map(|host| format!("{}://{host}", client.scheme.as_str()));
        requested.unwrap_or_else(|| format!("http://{}", self.http))
    }
}
