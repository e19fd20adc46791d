//! Middleware ahead of socketioxide: counts and bounds what a request asks for, and rewrites the payloads of Engine.IO 3.

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::payload;
use super::poll_answers;
use super::poll_body::PollBody;
use super::request::is_binary;
use super::state::{Prepared, ServerState};
use crate::limits::message_size::MAX_WIRE_BYTES;
use crate::socketio::sessions::engine_io_query::EngineIoQuery;
use crate::socketio::sessions::session::EndOnDrop;
use crate::socketio::sessions::session_table::SessionSlot;
use crate::socketio::stream::handshake;
use crate::websocket::message_start::ConnectPackets;

/// The middleware; requests that are not for Socket.IO pass through.
pub(super) async fn prepare(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let Some(query) = EngineIoQuery::read(request.uri()) else { return next.run(request).await };
    let prepared = match state.prepare(query, &request) {
        Ok(prepared) => prepared,
        Err(error) => return error.into_response(),
    };
    if query.websocket && request.method() == Method::GET && !matches!(query.sid, Some(Err(()))) {
        return handshake::answer(state, prepared, request).await;
    }
    // As in engine.io, a poll or a POST whose connection ends before the answer ends the session.
    let guard = EndOnDrop::new(state.session(query).map(|session| session.ender(&prepared.outgoing)));
    if request.method() == Method::POST {
        return answer_post(prepared, guard, request.into_body(), next).await;
    }
    answer_poll(state, prepared, guard, request, next).await
}

/// Passes a POST on.
async fn answer_post(prepared: Prepared, guard: EndOnDrop, body: Body, next: Next) -> Response {
    let Prepared { query, head, slot, outgoing, incoming } = prepared;
    let Ok(body) = to_bytes(body, MAX_WIRE_BYTES).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let mut goes_on = true;
    if let Some(slot) = &slot {
        let (old, binary) = (query.is_engine_io_3(), is_binary(head.headers()));
        let ConnectPackets { packets, bytes } = payload::connects(&body, old, binary);
        outgoing.expect_answers(packets, bytes);
        slot.note_payload(&body, old, binary, incoming);
        let joining = outgoing.namespace_join();
        if !old && !joining.has_joined() && packets == 0 && !payload::has_only_pings(&body) {
            // As in socket.io, a client that sends an event before it has a namespace loses its session.
            goes_on = joining.has_asked();
            guard.join_last_namespace().await;
        }
    }
    let response = next.run(with_payload(head, body, query.is_engine_io_3())).await;
    if goes_on {
        guard.keep();
    }
    response
}

/// Passes a poll, or a handshake by polling, on.
async fn answer_poll(state: ServerState, prepared: Prepared, guard: EndOnDrop, request: Request, next: Next) -> Response {
    let Prepared { query, head, slot, outgoing, .. } = prepared;
    let is_get = request.method() == Method::GET;
    let body = request.into_body();
    let request = head.map(|()| body);
    let response = match query.session_id().filter(|_| is_get) {
        Some(sid) => {
            let mut poll = slot.clone().map(SessionSlot::poll);
            let response = tokio::select! {
                biased;
                response = next.run(request) => response,
                () = state.probes.due(sid) => noop(query.is_engine_io_3()),
            };
            if let Some(poll) = &mut poll {
                poll.answered(response.size_hint().exact().unwrap_or(0));
            }
            response
        }
        None => next.run(request).await,
    };
    guard.keep();
    let response = poll_answers::track(query, &state.socketioxide, slot, outgoing, response).await;
    if query.is_engine_io_3() { rewrite_answer(response).await } else { response }
}

/// The answer to a poll without packets, as engineioxide's.
fn noop(engine_io_3: bool) -> Response {
    let body = if engine_io_3 { "1:6" } else { "6" };
    ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], body).into_response()
}

/// A POST with its payload, see [`payload::from_client`].
fn with_payload(head: Request<()>, body: Bytes, engine_io_3: bool) -> Request {
    if !engine_io_3 {
        return head.map(|()| Body::from(body));
    }
    let Some(rewritten) = payload::from_client(&body, is_binary(head.headers())) else {
        return head.map(|()| Body::new(PollBody(body)));
    };
    let mut request = head.map(|()| Body::empty());
    request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(rewritten.len()));
    *request.body_mut() = Body::new(PollBody(rewritten.into()));
    request
}

/// See [`payload::to_client`].
async fn rewrite_answer(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // The body is complete already: socketioxide makes it of the packets that wait.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let Some(rewritten) = payload::to_client(&body, is_binary(&parts.headers)) else {
        return Response::from_parts(parts, Body::from(body));
    };
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(rewritten.len()));
    Response::from_parts(parts, Body::from(rewritten))
}
