//! What all requests for Socket.IO share, and what one request is given before it reaches socketioxide.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::request::{address, known_address, lean};
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::message_size;
use crate::limits::unfinished::{IncomingMessages, UnfinishedMessages};
use crate::limits::waiting_bytes::Ledger;
use crate::socketio::sessions::engine_io_query::EngineIoQuery;
use crate::socketio::sessions::outgoing::Outgoing;
use crate::socketio::sessions::session::{self, SessionHandle, Socketioxide};
use crate::socketio::sessions::session_refusal::SessionRefusal;
use crate::socketio::sessions::session_table::{SessionSlot, Sessions};
use crate::socketio::stream::Traffic;
use crate::socketio::stream::probe::Probes;

/// Bytes of a session's first request head that every client has. Bytes beyond these count as if they waited for the client.
const UNCOUNTED_HEAD_BYTES: usize = 2 * 1024;

/// What all requests share.
#[derive(Clone)]
pub(super) struct ServerState {
    pub(super) socketioxide: Socketioxide,
    pub(super) traffic: Arc<Traffic>,
    pub(super) kept: KeptBuffers,
    pub(super) sessions: Sessions,
    pub(super) probes: Probes,
    pub(super) ledger: Ledger,
}

/// One request with what belongs to its session.
pub(super) struct Prepared {
    pub(super) query: EngineIoQuery,
    /// What socketioxide gets, and a session that begins keeps. `outgoing` is in its extensions, where gateways find it.
    pub(super) head: Request<()>,
    /// `None`: the request neither begins a session nor belongs to one that began by polling.
    pub(super) slot: Option<Arc<SessionSlot>>,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Option<IncomingMessages>,
}

/// Why a request can't be passed on.
#[derive(Debug, Clone, Copy)]
pub(super) enum PrepareError {
    Refused(SessionRefusal),
    /// The head of the session's first request is too large for the bytes that may wait.
    TooManyBytes,
}

impl IntoResponse for PrepareError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => refusal.into_response(),
            Self::TooManyBytes => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

impl ServerState {
    /// Takes a slot for a session that begins, or finds the slot of the request's session.
    ///
    /// # Errors
    /// Why no session begins.
    pub(super) fn prepare(&self, query: EngineIoQuery, request: &Request) -> Result<Prepared, PrepareError> {
        let fresh = Outgoing::new(self.ledger.open(known_address(request)));
        let slot = match query.sid {
            None if request.method() == Method::GET => {
                Some(self.sessions.begin(address(request), &fresh).map_err(PrepareError::Refused)?)
            }
            Some(Ok(sid)) => self.sessions.find(sid),
            None | Some(Err(())) => None,
        };
        let outgoing = slot.as_ref().map_or(fresh, |slot| slot.outgoing().clone());
        let mut head = lean(request);
        head.extensions_mut().insert(outgoing.clone());
        if let (Some(slot), true) = (&slot, query.opens()) {
            head.extensions_mut().insert(Arc::clone(slot));
            // The head is kept as long as the session.
            let more = message_size::of_head(&head).saturating_sub(UNCOUNTED_HEAD_BYTES);
            let kept = outgoing.account().add(more).ok_or(PrepareError::TooManyBytes)?;
            head.extensions_mut().insert(Arc::new(kept));
        }
        let incoming = request.extensions().get::<UnfinishedMessages>().map(|unfinished| unfinished.incoming(address(request)));
        Ok(Prepared { query, head, slot, outgoing, incoming })
    }

    /// The session that a request belongs to, by its id.
    pub(super) fn session(&self, query: EngineIoQuery) -> Option<SessionHandle> {
        session::named(query, &self.socketioxide)
    }
}
