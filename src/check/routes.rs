//! The routes of checks. The page itself, `GET /check`, is one of the embedded pages and uses no key up.
//!
//! | Request | Body | Answer |
//! |---|---|---|
//! | `POST /check/start` | `{"key"}` | `{"session","device":1,"digits","address","paths","range"?}` |
//! | `POST /check/join` | `{"digits"}` | the same with `"device":2`, and without digits |
//! | `POST /check/signal` | `{"session","data"}` | `{"ok":true}` |
//! | `POST /check/poll` | `{"session","peer"}` | `{"messages","peer","digits"}`, after a change or 20 s |
//! | `POST /check/result` | `{"session","report"}` | the verdict |

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::checks::{CheckClient, Checks, Started};
use super::refusal::Refusal;
use super::sessions::MAX_MESSAGE_BYTES;
use crate::diagnosis::report::{CheckReport, MAX_REPORT_BYTES};
use crate::http::client_info::ClientInfo;
use crate::http::connection_info::LocalAddress;

/// The bodies of starts, joins and polls.
const MAX_SMALL_BODY_BYTES: usize = 1024;
/// A message as a JSON string, in which a character may take six bytes, and its session.
const MAX_SIGNAL_BODY_BYTES: usize = 6 * MAX_MESSAGE_BYTES + 1024;
const MAX_RESULT_BODY_BYTES: usize = MAX_REPORT_BYTES + 1024;

/// Requests need a [`ClientInfo`] in their extensions.
pub fn router(checks: Checks) -> Router {
    let bounded = |bytes| DefaultBodyLimit::max(bytes);
    Router::new()
        .route("/check/start", post(start).layer(bounded(MAX_SMALL_BODY_BYTES)))
        .route("/check/join", post(join).layer(bounded(MAX_SMALL_BODY_BYTES)))
        .route("/check/signal", post(signal).layer(bounded(MAX_SIGNAL_BODY_BYTES)))
        .route("/check/poll", post(poll).layer(bounded(MAX_SMALL_BODY_BYTES)))
        .route("/check/result", post(result).layer(bounded(MAX_RESULT_BODY_BYTES)))
        .with_state(checks)
}

#[derive(Deserialize)]
struct StartBody {
    key: String,
}

#[derive(Deserialize)]
struct JoinBody {
    digits: String,
}

#[derive(Deserialize)]
struct SignalBody {
    session: String,
    data: String,
}

#[derive(Deserialize)]
struct PollBody {
    session: String,
    #[serde(default)]
    peer: bool,
}

#[derive(Deserialize)]
struct ResultBody {
    session: String,
    report: CheckReport,
}

type Body = Result<Bytes, BytesRejection>;
type Client = (Extension<ClientInfo>, Option<Extension<LocalAddress>>);

async fn start(State(checks): State<Checks>, client: Client, body: Body) -> Result<Response, Refusal> {
    let (client, body) = (client_of(client), read::<StartBody>(body, "{\"key\":KEY}")?);
    Ok(answer(&started(&checks.start(&body.key, &client)?, &client)))
}

async fn join(State(checks): State<Checks>, client: Client, body: Body) -> Result<Response, Refusal> {
    let (client, body) = (client_of(client), read::<JoinBody>(body, "{\"digits\":DIGITS}")?);
    Ok(answer(&started(&checks.join(body.digits.trim(), &client)?, &client)))
}

async fn signal(State(checks): State<Checks>, client: Client, body: Body) -> Result<Response, Refusal> {
    let body = read::<SignalBody>(body, "{\"session\":SESSION,\"data\":TEXT}")?;
    checks.send(&body.session, body.data, &client_of(client))?;
    Ok(answer(&json!({"ok": true})))
}

async fn poll(State(checks): State<Checks>, client: Client, body: Body) -> Result<Response, Refusal> {
    let body = read::<PollBody>(body, "{\"session\":SESSION,\"peer\":BOOLEAN}")?;
    let polled = checks.poll(&body.session, body.peer, &client_of(client)).await?;
    Ok(answer(&json!({"messages": polled.messages, "peer": polled.peer, "digits": polled.digits})))
}

async fn result(State(checks): State<Checks>, client: Client, body: Body) -> Result<Response, Refusal> {
    let body = read::<ResultBody>(body, "{\"session\":SESSION,\"report\":REPORT}")?;
    body.report.check().map_err(Refusal::BadRequest)?;
    Ok(answer(&checks.result(&body.session, body.report, &client_of(client))?))
}

fn started(started: &Started, client: &CheckClient) -> Value {
    let mut value = json!({
        "session": started.session,
        "device": if started.digits.is_some() { 1 } else { 2 },
        "address": client.address.to_canonical(),
        "paths": started.paths,
    });
    if let Some(digits) = &started.digits {
        value["digits"] = json!(digits);
    }
    if let Some(range) = &started.range {
        value["range"] = json!(range);
    }
    value
}

fn client_of((Extension(client), local): Client) -> CheckClient {
    CheckClient { address: client.address, host: client.host, reached: local.and_then(|Extension(LocalAddress(local))| local) }
}

fn read<T: DeserializeOwned>(body: Body, expected: &str) -> Result<T, Refusal> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
        _ => Refusal::BadRequest("The body could not be read.".to_owned()),
    })?;
    serde_json::from_slice(&body).map_err(|error| Refusal::BadRequest(format!("The body must be {expected}: {error}.")))
}

fn answer(body: &Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
