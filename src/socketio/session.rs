//! Sessions of Engine.IO, as requests name them. socketioxide has no way to look one up or to end it by its id, but a polling
//! POST of the client does both, so such a request is made here.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse as _, Response};
use socketioxide::service::SocketIoService;
use socketioxide::socket::Sid;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tower::Service;

use super::serves;
use crate::socketio::outgoing::{NamespaceJoin, Outgoing};

/// Socket.IO, and what is behind it; clones share the sessions.
pub(super) type Engine = SocketIoService<Router>;

/// A namespace whose name nobody can guess. Until a session has one, socketioxide keeps it for the whole of
/// [`super::CONNECT_TIME`], also if it has ended long before: 10 KiB for each that a stranger begins and leaves. So whoever ends one
/// gives it this namespace first.
pub(super) static LAST_NAMESPACE: LazyLock<String> = LazyLock::new(|| format!("/{:032x}", rand::random::<u128>()));

/// The packet that asks for [`LAST_NAMESPACE`].
pub(super) fn last_packet() -> String {
    format!("40{},", *LAST_NAMESPACE)
}

/// What a request wants of Engine.IO, as engineioxide reads its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// The version of the protocol, 3 or 4.
    version: u8,
    pub(super) websocket: bool,
    /// `Err`: one that can't be a session's.
    pub(super) sid: Option<Result<Sid, ()>>,
}

impl Asked {
    /// `None`: the request is not for Socket.IO.
    pub(super) fn read(uri: &Uri) -> Option<Self> {
        if !serves(uri.path()) {
            return None;
        }
        let query = uri.query().unwrap_or_default();
        let first = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let version = if first("EIO") == Some("4") { 4 } else { 3 };
        let sid = first("sid").map(|sid| sid.parse().map_err(|_| ()));
        Some(Self { version, websocket: first("transport") == Some("websocket"), sid })
    }

    /// Whether the client is one of socket.io 1 or 2.
    pub(super) fn is_engine_io_3(&self) -> bool {
        self.version == 3
    }

    /// Whether a GET is a handshake, by which a session begins.
    pub(super) const fn opens(&self) -> bool {
        self.sid.is_none()
    }

    /// The session that an answer to a handshake by polling is about.
    pub(super) fn opened(&self, engine: &Engine, answer: &[u8]) -> Option<Session> {
        Some(self.session_of(begun(answer)?, engine))
    }

    /// The session that the request is about.
    pub(super) fn session(&self, engine: &Engine) -> Option<Session> {
        let Some(Ok(sid)) = self.sid else { return None };
        Some(self.session_of(sid, engine))
    }

    /// Another session of the same version.
    fn session_of(&self, sid: Sid, engine: &Engine) -> Session {
        Session { engine: engine.clone(), version: self.version, sid }
    }
}

/// The id of a session that begins with this answer.
fn begun(answer: &[u8]) -> Option<Sid> {
    let answer = std::str::from_utf8(answer).ok()?;
    let (_, rest) = answer.split_once("\"sid\":\"")?;
    rest.split_once('"')?.0.parse().ok()
}

/// The same with a version that engineioxide speaks; `None`: it has one. engine.io takes all that is not 4 for 3, and
/// socket.io-client-swift up to 15 names no version.
pub(super) fn with_version(uri: &Uri) -> Option<Uri> {
    let pairs = || uri.query().unwrap_or_default().split('&');
    let names_version = |pair: &&str| pair.split('=').next() == Some("EIO");
    if pairs().find(names_version).is_some_and(|version| matches!(version, "EIO=3" | "EIO=4")) {
        return None;
    }
    let others: Vec<&str> = ["EIO=3"].into_iter().chain(pairs().filter(|pair| !names_version(pair))).collect();
    format!("{}?{}", uri.path(), others.join("&")).parse().ok()
}

/// A session that somebody has named; there may be none of that id.
#[derive(Clone)]
pub(super) struct Session {
    engine: Engine,
    version: u8,
    sid: Sid,
}

impl Session {
    pub(super) const fn sid(&self) -> Sid {
        self.sid
    }

    /// Why the session can't be gone on with by polling, nor be upgraded: there is none, or it has been upgraded.
    pub(super) async fn refusal(&self) -> Option<Response> {
        let answer = self.post("").await;
        (!answer.status().is_success()).then_some(answer)
    }

    /// How it is ended; `outgoing` is what waits for it.
    pub(super) fn ending(self, outgoing: &Outgoing) -> Ending {
        Ending { session: self, joining: outgoing.namespace_join() }
    }

    async fn post(&self, packets: impl Into<Body>) -> Response {
        let uri = format!("/socket.io/?EIO={}&transport=polling&sid={}", self.version, self.sid);
        let mut request = Request::new(packets.into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.parse().unwrap_or_default();
        answer(&mut self.engine.clone(), request).await
    }
}

/// Ends a session that is served by polling; it does nothing to others.
#[derive(Clone)]
pub(super) struct Ending {
    session: Session,
    joining: Arc<NamespaceJoin>,
}

impl Ending {
    pub(super) const fn sid(&self) -> Sid {
        self.session.sid
    }

    pub(super) async fn end(&self) {
        let session = &self.session;
        if session.version == 3 {
            session.post("1:1").await;
            return;
        }
        self.settle().await;
        session.post("1").await;
    }

    /// Has nothing kept of the session once it ends; it has to end after this, since no deadline is left.
    async fn settle(&self) {
        let Self { session, joining } = self;
        if session.version == 4 && !joining.has_joined() {
            session.post(last_packet()).await;
            // socketioxide takes that up in a task of its own.
            yield_now().await;
        }
    }

    /// The same, soon.
    pub(super) fn end_soon(self) {
        // There is no runtime any more where the whole server ends.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move { self.end().await });
    }
}

/// What Engine.IO says to a request.
pub(super) async fn answer(engine: &mut Engine, request: Request) -> Response {
    match Service::<Request>::call(engine, request).await {
        Ok(answer) => answer.into_response(),
        Err(never) => match never {},
    }
}

/// Ends a session when it is dropped, if that is served by polling then: whoever was to go on with it has gone.
pub(super) struct EndedOnDrop(Option<Ending>);

impl EndedOnDrop {
    pub(super) const fn new(ending: Option<Ending>) -> Self {
        Self(ending)
    }

    /// What comes next ends the session, and it is to leave nothing behind.
    pub(super) async fn settle(&self) {
        if let Some(ending) = &self.0 {
            ending.settle().await;
        }
    }

    /// The session goes on.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for EndedOnDrop {
    fn drop(&mut self) {
        if let Some(ending) = self.0.take() {
            ending.end_soon();
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

    #[test]
    fn what_is_not_version_4_is_version_3() {
        for (query, version, other) in [
            ("EIO=4&transport=polling", 4, None),
            ("transport=websocket&EIO=3&sid=x", 3, None),
            ("transport=polling&b64=1", 3, Some("EIO=3&transport=polling&b64=1")),
            ("EIO=5&transport=polling", 3, Some("EIO=3&transport=polling")),
            ("EIO=&a=b&EIO=4", 3, Some("EIO=3&a=b")),
            ("EIO&transport=polling", 3, Some("EIO=3&transport=polling")),
            ("EIO=04&transport=polling", 3, Some("EIO=3&transport=polling")),
            ("xEIO=4", 3, Some("EIO=3&xEIO=4")),
        ] {
            let uri: Uri = format!("/socket.io/?{query}").parse().unwrap();
            assert_eq!(Asked::read(&uri).unwrap().version, version, "{query}");
            assert_eq!(with_version(&uri).as_ref().and_then(Uri::query), other, "{query}");
        }
        let bare: Uri = "/socket.io/".parse().unwrap();
        assert_eq!(with_version(&bare).unwrap(), "/socket.io/?EIO=3&");
    }

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
        let sid = begun(&ask(Request::get(polling).body(Body::empty()).unwrap()).await).unwrap();
        assert_eq!(sessions.census().polling, 1);
        for payload in payloads {
            ask(Request::post(format!("{polling}&sid={sid}")).body(Body::from(*payload)).unwrap()).await;
            for _ in 0..100 {
                yield_now().await;
            }
        }
        sessions.census().polling
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

    #[test]
    fn the_id_is_read_from_the_first_answer_of_either_version() {
        let sid = Sid::new();
        for front in ["0", "97:0"] {
            let answer = format!("{front}{{\"sid\":\"{sid}\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000}}");
            assert_eq!(begun(answer.as_bytes()), Some(sid));
        }
        assert_eq!(begun(b"0{}"), None);
    }
}
