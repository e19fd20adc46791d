//! HTTP on connections that the ingress has accepted.
//!
//! Owner: the ingress, one [`HttpServer`] for each router. Inputs: a connection with its [`ConnectionInfo`]. Outputs: requests to the
//! router, each with the connection's facts and its [`Account`] in the extensions.
//!
//! Invariants: the head of a request arrives within `HEAD_TIMEOUT`; a connection ends when its account is closed or when one of its
//! HTTP/2 responses makes no progress; every response forbids browsers to guess its media type.
//!
//! `axum::serve` has no deadline for a request's head: a few hundred half-open connections would hold every descriptor for ever.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tower::ServiceExt as _;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::http::client_info::Scheme;
use crate::http::connection_info::{ConnectionInfo, LocalAddress};
use crate::http::http2_responses::Http2Responses;
use crate::http::layered::Layered;
use crate::limits::message_size;
use crate::limits::waiting_bytes::{Account, Ledger};

/// How long the head of a request may take, from the moment it may begin.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent HTTP/2 client is pinged.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// The original servers ran on Node, which reads request heads of this size.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Concurrent streams of an HTTP/2 connection, as most servers allow; a browser with all its polls has a dozen.
const MAX_STREAMS: u32 = 100;
/// How much of one request's body an HTTP/2 client may send before a handler reads it.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024;
/// Enough for the windows of all streams, so that a body that nobody reads doesn't stop the others.
const CONNECTION_WINDOW_BYTES: u32 = MAX_STREAMS * STREAM_WINDOW_BYTES;
/// Memory of an HTTP/2 request besides its head, until its response ends.
const STREAM_OVERHEAD_BYTES: usize = 2560;
/// Bytes of one response that HTTP/2 buffers beyond the client's window.
const MAX_SEND_BUFFER_BYTES: usize = 32 * 1024;
/// Streams that a client resets before they are accepted; with more the connection ends (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// Streams that the server resets because of the client's errors; with more the connection ends (CVE-2025-8671).
const MAX_ERROR_RESETS: usize = 100;
/// How long requests may still take when the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The version of HTTP that a connection uses, according to its ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    Http1,
    Http2,
}

#[derive(Debug)]
pub struct HttpServer {
    http1: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
    router: Router,
    ledger: Ledger,
    connections: Mutex<GracefulShutdown>,
}

impl HttpServer {
    /// Each connection opens an account in `ledger`, which counts the bytes that wait for its client.
    #[must_use]
    pub fn new(router: Router, ledger: Ledger) -> Self {
        let mut http1 = Builder::new(TokioExecutor::new()).http1_only();
        http1.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
        let mut http2 = Builder::new(TokioExecutor::new()).http2_only();
        http2
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_PING_INTERVAL)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD_BYTES as u32)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_ERROR_RESETS);
        let nosniff = HeaderValue::from_static("nosniff");
        let nosniff = SetResponseHeaderLayer::if_not_present(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        let router = Layered::new(router).behind(nosniff).into_router();
        Self { http1, http2, router, ledger, connections: Mutex::default() }
    }

    /// Serves a connection in a task of its own.
    pub fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        version: HttpVersion,
        info: ConnectionInfo,
    ) {
        let account = self.ledger.open(Some(info.client.ip()));
        let watch = ConnectionWatch::new(version, &account);
        let requests = RequestHandler {
            router: self.router.clone(),
            info,
            account,
            has_request: Arc::clone(&watch.has_request),
            responses: watch.responses.clone(),
        };
        let service = tower::service_fn(move |request| requests.handle(request));
        let builder = match version {
            HttpVersion::Http1 => &self.http1,
            HttpVersion::Http2 => &self.http2,
        };
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        let watcher = self.connections.lock().unwrap_or_else(PoisonError::into_inner).watcher();
        let connection = watcher.watch(connection.into_owned());
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = watch.must_end() => return,
            };
            if let Err(error) = ended {
                tracing::trace!(client = %info.client, %error, "connection ended");
            }
        });
    }

    /// Waits for the requests that are being answered, and cuts the connections after `SHUTDOWN_TIMEOUT`.
    pub async fn stop(&self) {
        let connections = std::mem::take(&mut *self.connections.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::time::timeout(SHUTDOWN_TIMEOUT, connections.shutdown()).await.ok();
    }
}

/// Passes the requests of one connection to the router.
#[derive(Clone)]
struct RequestHandler {
    router: Router,
    info: ConnectionInfo,
    account: Account,
    has_request: Arc<AtomicBool>,
    responses: Option<Http2Responses>,
}

impl RequestHandler {
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        self.has_request.store(true, Ordering::Relaxed);
        let watched = self.responses.clone().map(|responses| {
            let bytes = STREAM_OVERHEAD_BYTES + message_size::of_head(&request);
            (responses, self.account.add(bytes))
        });
        let response = self.router.clone().oneshot(self.with_extensions(request));
        async move {
            match watched {
                None => response.await,
                Some((responses, Some(waiting))) => Ok(response.await?.map(|body| responses.watch(body, waiting))),
                // The account is closed, and the connection ends.
                Some((_, None)) => Ok(StatusCode::SERVICE_UNAVAILABLE.into_response()),
            }
        }
    }

    fn with_extensions(&self, mut request: Request<Incoming>) -> Request<Incoming> {
        let extensions = request.extensions_mut();
        extensions.insert(self.account.clone());
        extensions.insert(ConnectInfo(self.info.client));
        extensions.insert(if self.info.tls { Scheme::Https } else { Scheme::Http });
        extensions.insert(LocalAddress(self.info.local));
        extensions.insert(self.info);
        request
    }
}

/// Decides when the server has to end a connection.
struct ConnectionWatch {
    has_request: Arc<AtomicBool>,
    account_closed: Arc<Notify>,
    /// `None` over HTTP/1, where the deadline for the connection's bytes is enough.
    responses: Option<Http2Responses>,
}

impl ConnectionWatch {
    fn new(version: HttpVersion, account: &Account) -> Self {
        let account_closed = Arc::<Notify>::default();
        let notify = Arc::clone(&account_closed);
        account.on_close(move || notify.notify_one());
        Self {
            // hyper itself has a deadline for the first head over HTTP/1.
            has_request: Arc::new(AtomicBool::new(version == HttpVersion::Http1)),
            account_closed,
            responses: (version == HttpVersion::Http2).then(Http2Responses::default),
        }
    }

    /// Ends when the account is closed, when the first request is late, or when the client reads a response too slowly.
    async fn must_end(&self) {
        let late_or_slow = async {
            tokio::time::sleep(HEAD_TIMEOUT).await;
            if !self.has_request.load(Ordering::Relaxed) {
                return;
            }
            match &self.responses {
                Some(responses) => responses.until_slow_reader().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = late_or_slow => {}
            () = self.account_closed.notified() => {}
        }
    }
}
