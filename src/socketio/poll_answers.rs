//! Counts the packets that leave with the answers to polls.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::payload;
use super::request::is_binary;
use crate::http::response_bytes;
use crate::socketio::sessions::engine_io_query::EngineIoQuery;
use crate::socketio::sessions::outgoing::Outgoing;
use crate::socketio::sessions::session::{self, Socketioxide};
use crate::socketio::sessions::session_table::SessionSlot;
use crate::socketio::stream::sent_packets::SentCounts;

/// In the extensions of the answer to a poll: the packets that it carries.
#[derive(Clone)]
struct SentByPoll {
    outgoing: Outgoing,
    sent: SentCounts,
}

/// Looks into the answer to a GET. The answer to a handshake begins a session, which is watched from then on; the answer to a poll carries
/// packets of its session.
pub(super) async fn track(
    query: EngineIoQuery,
    socketioxide: &Socketioxide,
    slot: Option<Arc<SessionSlot>>,
    outgoing: Outgoing,
    response: Response,
) -> Response {
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The body is complete already: socketioxide makes it of the packets that wait.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    if !query.opens() {
        let sent = payload::sent(&body, query.is_engine_io_3(), is_binary(&parts.headers));
        parts.extensions.insert(SentByPoll { outgoing, sent });
    } else if let (Some(session), Some(slot)) = (session::opened(query, socketioxide, &body), slot) {
        let ender = session.ender(&outgoing);
        let on_close = ender.clone();
        outgoing.account().on_close(move || on_close.end_soon());
        slot.watch(ender);
    }
    Response::from_parts(parts, Body::from(body))
}

/// Counts the answer to a poll for its session until it is written. This middleware has to be outside of all others that change answers.
pub(super) async fn count(mut response: Response) -> Response {
    let Some(SentByPoll { outgoing, sent }) = response.extensions_mut().remove() else { return response };
    outgoing.leave(sent.events);
    outgoing.answered(sent.answers);
    response_bytes::count_body(response, outgoing.account())
}
