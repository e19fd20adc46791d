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
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoResponses, OpenApi, ToSchema};

use super::checks::{CheckClient, Checks, Started};
use super::refusal::Refusal;
use super::sessions::{MAX_MESSAGE_BYTES, Polled};
use super::tests_of_device::{PathTest, RangeOffer};
use crate::diagnosis::report::{CheckReport, MAX_REPORT_BYTES};
use crate::diagnosis::words::VerdictReply;
use crate::http::client_info::ClientInfo;
use crate::http::connection_info::LocalAddress;
use crate::http::problem::Problem;

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

/// The operations of checks.
#[derive(Debug, OpenApi)]
#[openapi(paths(start, join, signal, poll, result))]
pub struct Description;

#[derive(Deserialize, ToSchema)]
struct StartBody {
    /// The key that `castway doctor` or `/admin` has shown.
    #[schema(example = "7F3KQX2MAB")]
    key: String,
}

#[derive(Deserialize, ToSchema)]
struct JoinBody {
    /// What the first device shows.
    #[schema(example = "4815")]
    digits: String,
}

#[derive(Deserialize, ToSchema)]
struct SignalBody {
    session: String,
    /// The message; the server does not read it.
    data: String,
}

#[derive(Deserialize, ToSchema)]
struct PollBody {
    session: String,
    /// Whether the caller knows of the other device.
    #[serde(default)]
    peer: bool,
}

#[derive(Deserialize, ToSchema)]
struct ResultBody {
    session: String,
    report: CheckReport,
}

#[derive(Serialize, ToSchema)]
struct StartedReply<'a> {
    session: &'a str,
    /// 1 for the device that has started the check, 2 for the one that has joined it.
    #[schema(minimum = 1, maximum = 2)]
    device: u8,
    /// Where the server sees the device.
    #[schema(value_type = String, example = "203.0.113.7")]
    address: std::net::IpAddr,
    /// The ways to the relay that the device has to try.
    paths: &'a [PathTest],
    /// For the second device; only the first one gets them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "4815")]
    digits: Option<&'a str>,
    /// The test of the relayed ports, if one is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    range: Option<&'a RangeOffer>,
}

#[derive(Serialize, ToSchema)]
struct Done {
    /// Always `true`.
    ok: bool,
}

#[derive(Serialize, ToSchema)]
struct PollReply {
    /// What the other device has sent, in its order.
    messages: Vec<String>,
    /// The other device is there.
    peer: bool,
    /// The digits for a second device, while none is there.
    #[schema(required)]
    digits: Option<String>,
}

/// What every route refuses.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
enum BodyRefusals {
    #[response(status = 400, description = "`BadRequest`: the body is no such object, or a value is out of its range.")]
    BadRequest(Problem),
    #[response(status = 413, description = "`TooLarge`: the body, or a text in it, is too long.")]
    TooLarge(Problem),
}

#[derive(IntoResponses)]
#[response(status = 404, description = "`NoSession`: the check is over.")]
#[expect(dead_code, reason = "it describes an answer")]
struct NoSession(Problem);

type Body = Result<Bytes, BytesRejection>;
type Client = (Extension<ClientInfo>, Option<Extension<LocalAddress>>);

/// The first device starts a check
#[utoipa::path(
    post,
    path = "/check/start",
    operation_id = "checkStart",
    tag = "check",
    request_body(content = StartBody, description = "At most 1 KiB."),
    responses(
        (status = 200, description = "The check has begun; it ends after 15 minutes.", body = StartedReply),
        BodyRefusals,
        (status = 403, description = "`UnknownKey`: the key is wrong or has ended.", body = Problem),
        (status = 410, description = "`UsedKey`: the key has started another check.", body = Problem),
    ),
)]
async fn start(State(checks): State<Checks>, client: Client, body: Body) -> Result<Response, Refusal> {
    let (client, body) = (client_of(client), read::<StartBody>(body, "{\"key\":KEY}")?);
    Ok(answer(&started(&checks.start(&body.key, &client)?, &client)))
}

/// A second device joins a check
#[utoipa::path(
    post,
    path = "/check/join",
    operation_id = "checkJoin",
    tag = "check",
    request_body(content = JoinBody, description = "At most 1 KiB."),
    responses(
        (status = 200, description = "The device has joined.", body = StartedReply),
        BodyRefusals,
        (status = 403, description = "`UnknownDigits`: no check waits for a second device with these digits.", body = Problem),
    ),
)]
async fn join(State(checks): State<Checks>, client: Client, body: Body) -> Result<Response, Refusal> {
    let (client, body) = (client_of(client), read::<JoinBody>(body, "{\"digits\":DIGITS}")?);
    Ok(answer(&started(&checks.join(body.digits.trim(), &client)?, &client)))
}

/// A message for the other device
#[utoipa::path(
    post,
    path = "/check/signal",
    operation_id = "checkSignal",
    tag = "check",
    request_body = SignalBody,
    responses(
        (status = 200, description = "The message waits for the other device.", body = Done),
        BodyRefusals,
        NoSession,
        (status = 409, description = "`NoPeer`: no second device has joined.", body = Problem),
    ),
)]
async fn signal(State(checks): State<Checks>, client: Client, body: Body) -> Result<Response, Refusal> {
    let body = read::<SignalBody>(body, "{\"session\":SESSION,\"data\":TEXT}")?;
    checks.send(&body.session, body.data, &client_of(client))?;
    Ok(answer(&Done { ok: true }))
}

/// Messages from the other device
///
/// Answered after a change, or after 20 seconds.
#[utoipa::path(
    post,
    path = "/check/poll",
    operation_id = "checkPoll",
    tag = "check",
    request_body(content = PollBody, description = "At most 1 KiB."),
    responses(
        (status = 200, description = "What has changed.", body = PollReply),
        BodyRefusals,
        NoSession,
    ),
)]
async fn poll(State(checks): State<Checks>, client: Client, body: Body) -> Result<Response, Refusal> {
    let body = read::<PollBody>(body, "{\"session\":SESSION,\"peer\":BOOLEAN}")?;
    let Polled { messages, peer, digits } = checks.poll(&body.session, body.peer, &client_of(client)).await?;
    Ok(answer(&PollReply { messages, peer, digits }))
}

/// The results of a device become a verdict
#[utoipa::path(
    post,
    path = "/check/result",
    operation_id = "checkResult",
    tag = "check",
    request_body = ResultBody,
    responses(
        (status = 200, description = "The verdict.", body = VerdictReply),
        BodyRefusals,
        NoSession,
    ),
)]
async fn result(State(checks): State<Checks>, client: Client, body: Body) -> Result<Response, Refusal> {
    let body = read::<ResultBody>(body, "{\"session\":SESSION,\"report\":REPORT}")?;
    body.report.check().map_err(Refusal::BadRequest)?;
    Ok(answer(&checks.result(&body.session, body.report, &client_of(client))?))
}

fn started<'a>(started: &'a Started, client: &CheckClient) -> StartedReply<'a> {
    StartedReply {
        session: &started.session,
        device: if started.digits.is_some() { 1 } else { 2 },
        address: client.address.to_canonical(),
        paths: &started.paths,
        digits: started.digits.as_deref(),
        range: started.range.as_ref(),
    }
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

fn answer(body: &impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
