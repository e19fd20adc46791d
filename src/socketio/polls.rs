//! How what waits for a session leaves with the answers to its polls.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::departures::Left;
use super::is_binary;
use super::payload;
use super::session::{Asked, Engine};
use super::sessions::Place;
use crate::http::response_bytes;
use crate::socketio::outgoing::Outgoing;

/// With the answer to a poll: so much is in it.
#[derive(Clone)]
struct Polled {
    outgoing: Outgoing,
    left: Left,
}

/// Sees what leaves with the answer to a GET: a session begins, which takes its place, or events of one are in it.
pub(super) async fn note(
    asked: Asked,
    engine: &Engine,
    place: Option<Arc<Place>>,
    outgoing: Outgoing,
    response: Response,
) -> Response {
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Whole already: socketioxide makes it of what is waiting.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    if !asked.opens() {
        let left = payload::leaving(&body, asked.is_engine_io_3(), is_binary(&parts.headers));
        parts.extensions.insert(Polled { outgoing, left });
    } else if let (Some(session), Some(place)) = (asked.opened(engine, &body), place) {
        let ending = session.ending(&outgoing);
        let closed = ending.clone();
        outgoing.account().on_close(move || closed.end_soon());
        place.watch(ending, outgoing);
    }
    Response::from_parts(parts, Body::from(body))
}

/// Outside of whatever changes the answers of polls: has them count for their session until they are written.
pub(super) async fn hold(mut response: Response) -> Response {
    let Some(Polled { outgoing, left }) = response.extensions_mut().remove() else { return response };
    outgoing.leave(left.events);
    outgoing.answered(left.answers);
    response_bytes::count_body(response, outgoing.account())
}
