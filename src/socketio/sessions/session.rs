//! Looks up and ends sessions of Engine.IO by their id. socketioxide has no function for either, but a polling POST of the client does
//! both, so such a request is made here.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use socketioxide::service::SocketIoService;
use socketioxide::socket::Sid;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tower::Service;

use super::engine_io_query::{EngineIoQuery, opened_session_id};
use super::outgoing::{NamespaceJoin, Outgoing};

/// Socket.IO, and the routes behind it; clones share the sessions.
pub(in crate::socketio) type Socketioxide = SocketIoService<Router>;

/// A namespace with a name that no client can guess. socketioxide keeps a session that has no namespace for the whole connect timeout,
/// even after its end: 10 KiB for each session that an unknown client begins and leaves. So each session is given this namespace before
/// it is ended.
pub(in crate::socketio) static LAST_NAMESPACE: LazyLock<String> = LazyLock::new(|| format!("/{:032x}", rand::random::<u128>()));

/// The packet that asks for [`LAST_NAMESPACE`].
pub(in crate::socketio) fn last_packet() -> String {
    format!("40{},", *LAST_NAMESPACE)
}

/// The session that a request belongs to, by its id.
pub(in crate::socketio) fn named(query: EngineIoQuery, socketioxide: &Socketioxide) -> Option<SessionHandle> {
    Some(SessionHandle { socketioxide: socketioxide.clone(), version: query.version, sid: query.session_id()? })
}

/// The session that an answer to a handshake by polling begins.
pub(in crate::socketio) fn opened(query: EngineIoQuery, socketioxide: &Socketioxide, answer: &[u8]) -> Option<SessionHandle> {
    Some(SessionHandle { socketioxide: socketioxide.clone(), version: query.version, sid: opened_session_id(answer)? })
}

/// The id of a session in the server that has it, or had it.
#[derive(Clone)]
pub(in crate::socketio) struct SessionHandle {
    socketioxide: Socketioxide,
    version: u8,
    sid: Sid,
}

impl SessionHandle {
    pub(in crate::socketio) const fn sid(&self) -> Sid {
        self.sid
    }

    /// The answer to a client that can neither go on polling nor upgrade this session, because the session does not exist or has been
    /// upgraded already.
    pub(in crate::socketio) async fn refusal(&self) -> Option<Response> {
        let answer = self.post("").await;
        (!answer.status().is_success()).then_some(answer)
    }

    /// `outgoing` is the session's.
    pub(in crate::socketio) fn ender(self, outgoing: &Outgoing) -> SessionEnder {
        SessionEnder { session: self, joining: outgoing.namespace_join() }
    }

    async fn post(&self, packets: impl Into<Body>) -> Response {
        let uri = format!("/socket.io/?EIO={}&transport=polling&sid={}", self.version, self.sid);
        let mut request = Request::new(packets.into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.parse().unwrap_or_default();
        answer(&mut self.socketioxide.clone(), request).await
    }
}

/// Ends a session that is served by polling; a session on a WebSocket is left alone.
#[derive(Clone)]
pub(in crate::socketio) struct SessionEnder {
    session: SessionHandle,
    joining: Arc<NamespaceJoin>,
}

impl SessionEnder {
    pub(in crate::socketio) const fn sid(&self) -> Sid {
        self.session.sid
    }

    pub(in crate::socketio) async fn end(&self) {
        let session = &self.session;
        if session.version == 3 {
            session.post("1:1").await;
            return;
        }
        self.join_last_namespace().await;
        session.post("1").await;
    }

    /// Gives the session [`LAST_NAMESPACE`], so that socketioxide frees it at its end. The session has to end after this, since it has no
    /// connect timeout any more.
    async fn join_last_namespace(&self) {
        let Self { session, joining } = self;
        if session.version == 4 && !joining.has_joined() {
            session.post(last_packet()).await;
            // socketioxide opens the namespace in a task of its own.
            yield_now().await;
        }
    }

    /// Ends the session in a task of its own.
    pub(in crate::socketio) fn end_soon(self) {
        // At the end of the whole server there is no runtime any more.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move { self.end().await });
    }
}

/// Passes a request to Engine.IO.
pub(in crate::socketio) async fn answer(socketioxide: &mut Socketioxide, request: Request) -> Response {
    match Service::<Request>::call(socketioxide, request).await {
        Ok(answer) => answer.into_response(),
        Err(never) => match never {},
    }
}

/// Ends a session when dropped, if it is served by polling then: the request that should have gone on with it was aborted.
pub(in crate::socketio) struct EndOnDrop(Option<SessionEnder>);

impl EndOnDrop {
    pub(in crate::socketio) const fn new(ender: Option<SessionEnder>) -> Self {
        Self(ender)
    }

    /// To be called before a request that ends the session, so that socketioxide keeps nothing of it.
    pub(in crate::socketio) async fn join_last_namespace(&self) {
        if let Some(ender) = &self.0 {
            ender.join_last_namespace().await;
        }
    }

    /// The session goes on.
    pub(in crate::socketio) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if let Some(ender) = self.0.take() {
            ender.end_soon();
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use tower::ServiceExt as _;

    use super::*;
    use crate::limits::kept_buffers::KeptBuffers;
    use crate::limits::waiting_bytes::Ledger;

    /// What is left of a session after each of these payloads; nothing waits for time to pass.
    async fn left_after(payloads: &[&'static str]) -> u32 {
        let (server, io) = crate::socketio::server(Ledger::default(), KeptBuffers::default());
        io.ns("/", || std::future::ready(()));
        let sessions = server.sessions();
        let router = server.in_front_of(Router::new());
        let ask = async |request: Request| {
            let answer = router.clone().oneshot(request).await.unwrap();
            to_bytes(answer.into_body(), 1000).await.unwrap()
        };
        let polling = "/socket.io/?EIO=4&transport=polling";
        let sid = opened_session_id(&ask(Request::get(polling).body(Body::empty()).unwrap()).await).unwrap();
        assert_eq!(sessions.counts().polling, 1);
        for payload in payloads {
            ask(Request::post(format!("{polling}&sid={sid}")).body(Body::from(*payload)).unwrap()).await;
            for _ in 0..100 {
                yield_now().await;
            }
        }
        sessions.counts().polling
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_session_that_has_ended_with_a_namespace_or_without() {
        for payloads in [&["1"][..], &["40", "1"], &["42[\"x\"]"], &["3", "1"], &["nonsense"], &["40/nope,", "1"], &["3\x1E1"]] {
            assert_eq!(left_after(payloads).await, 0, "{payloads:?}");
        }
        for payloads in [&[][..], &["3"], &["40", "42[\"x\"]"], &["40/nope,"]] {
            assert_eq!(left_after(payloads).await, 1, "{payloads:?}");
        }
    }
}
