//! What waits for sessions that are served by polling, and how it leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use socketioxide::socket::Sid;

use super::departures::Left;
use super::session::{Asked, Engine};
use super::{is_binary, payload};
use crate::client::Client;
use crate::held_body;
use crate::outgoing::{Outgoing, WeakOutgoing};
use crate::waiting::Ledger;

/// What waits for each session that began with polling; clones share the table.
#[derive(Clone)]
pub(super) struct Polls {
    ledger: Ledger,
    sessions: Sessions,
}

#[derive(Clone, Default)]
struct Sessions(Arc<Mutex<HashMap<Sid, WeakOutgoing>>>);

/// A session's place in the table.
struct Place {
    sessions: Sessions,
    sid: Sid,
}

/// With the answer to a poll: so much is in it.
#[derive(Clone)]
struct Polled {
    outgoing: Outgoing,
    left: Left,
}

impl Polls {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self { ledger, sessions: Sessions::default() }
    }

    /// What waits for the session that a request is about, or for the one that begins with it.
    pub(super) fn outgoing(&self, asked: Asked, request: &Request) -> Outgoing {
        let Asked { sid: Some(Ok(sid)), .. } = asked else { return self.fresh(request) };
        let known = self.sessions.lock().get(&sid).and_then(WeakOutgoing::upgrade);
        known.unwrap_or_else(|| self.fresh(request))
    }

    fn fresh(&self, request: &Request) -> Outgoing {
        let from = request.extensions().get::<Client>().map(|client| client.address);
        Outgoing::new(self.ledger.open(from))
    }

    /// Sees what leaves with the answer to a GET: a session begins, or events of one are in it.
    pub(super) async fn note(&self, asked: Asked, engine: &Engine, outgoing: Outgoing, response: Response) -> Response {
        if response.status() != StatusCode::OK {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        // Whole already: socketioxide makes it of what is waiting.
        let Ok(body) = to_bytes(body, usize::MAX).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        if asked.sid.is_some() {
            let left = payload::leaving(&body, asked.is_engine_io_3(), is_binary(&parts.headers));
            parts.extensions.insert(Polled { outgoing, left });
        } else if let Some(session) = asked.opened(engine, &body) {
            let sid = session.sid();
            self.sessions.lock().insert(sid, outgoing.downgrade());
            outgoing.account().on_close(move || session.end_soon());
            outgoing.hold(Place { sessions: self.sessions.clone(), sid });
        }
        Response::from_parts(parts, Body::from(body))
    }
}

/// Outside of whatever changes the answers of polls: has them count for their session until they are written.
pub(super) async fn hold(mut response: Response) -> Response {
    let Some(Polled { outgoing, left }) = response.extensions_mut().remove() else { return response };
    outgoing.leave(left.events);
    outgoing.answered(left.answers);
    held_body::hold(response, outgoing.account())
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Sid, WeakOutgoing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.sid);
    }
}
