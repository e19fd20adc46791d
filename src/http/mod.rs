//! HTTP on connections that somebody else has accepted: deadlines, what every request is told of its connection, what every
//! answer says, an end in order.
//!
//! Why not `axum::serve`: it has no deadline for a request's head, so that a few hundred half-open connections hold every
//! descriptor for ever.

mod answers;
mod bodies;
pub mod client_info;
pub mod held_body;
mod lost_upgrade;
pub mod pages;
pub mod path_slashes;
mod redirect;

use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tower::ServiceExt as _;
use tower_http::set_header::SetResponseHeaderLayer;

pub use bodies::limit as limit_bodies;
pub use lost_upgrade::{LostUpgrades, refuse as refuse_lost_upgrades};
pub use redirect::{Redirect, redirect};

use self::answers::Answers;
use crate::http::client_info::{CameTo, Scheme};
use crate::limits::message_size;
use crate::limits::waiting_bytes::{Account, Ledger};

/// For the head of a request, from the moment it may begin.
const HEAD: Duration = Duration::from_secs(10);
/// Whether a silent client over HTTP/2 is still there is asked so often.
const PING: Duration = Duration::from_secs(20);
/// Bytes of the head of a request, over HTTP/1 and HTTP/2: as many as Node reads, on which the original servers ran.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Requests of an HTTP/2 connection at once, as most servers have it; a browser with all its polls has a dozen.
const MAX_STREAMS: u32 = 100;
/// Bytes of one request's body that a client over HTTP/2 may send before somebody reads them, and of all bodies of a connection. The
/// second is enough for all: a body that waits must not stop the others.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = MAX_STREAMS * STREAM_WINDOW_BYTES;
/// Bytes that a request over HTTP/2 takes besides its head, from its head to the end of its answer.
const STREAM_BYTES: usize = 2560;
/// Bytes of one answer that wait inside HTTP/2, beyond what its client lets through.
const MAX_SEND_BUFFER_BYTES: usize = 32 * 1024;
/// Streams that a client has reset before they were accepted, and that were reset for its mistakes; beyond that the connection ends
/// (CVE-2023-44487 and CVE-2025-8671).
const MAX_PENDING_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 100;
/// What is left of connections after the stop is cut after this.
const CLOSING: Duration = Duration::from_secs(2);

/// How a request came; an extension of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The client, not a proxy that has named it by the PROXY protocol.
    pub client: SocketAddr,
    /// Over TLS that ends here.
    pub tls: bool,
    /// From a trusted proxy that speaks for many clients.
    pub forwarded: bool,
    /// The address of this machine that it came to; `None`: a proxy stands in between.
    pub local: Option<IpAddr>,
}

/// What a connection speaks, as ALPN has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

/// Serves requests until it is told to stop.
#[derive(Debug)]
pub struct Http {
    http1: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
    router: Router,
    ledger: Ledger,
    connections: Mutex<GracefulShutdown>,
}

impl Http {
    /// `ledger`: what waits for clients; connections have their accounts there.
    #[must_use]
    pub fn new(router: Router, ledger: Ledger) -> Self {
        let mut http1 = Builder::new(TokioExecutor::new()).http1_only();
        http1.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD_BYTES);
        let mut http2 = Builder::new(TokioExecutor::new()).http2_only();
        http2
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD_BYTES as u32)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_ERROR_RESETS);
        // What is served is what it says it is, whatever a browser would guess.
        let nosniff = HeaderValue::from_static("nosniff");
        let router = router.layer(SetResponseHeaderLayer::if_not_present(header::X_CONTENT_TYPE_OPTIONS, nosniff));
        Self { http1, http2, router, ledger, connections: Mutex::default() }
    }

    /// Serves a connection in a task of its own.
    pub fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, version: Version, arrival: Arrival) {
        let begun = Arc::new(AtomicBool::new(version == Version::Http1));
        let seen = Arc::clone(&begun);
        let (account, unread) = (self.ledger.open(Some(arrival.client.ip())), Arc::<Notify>::default());
        let closed = Arc::clone(&unread);
        account.on_close(move || closed.notify_one());
        let answers = (version == Version::Http2).then(Answers::default);
        let (watching, router) = (answers.clone(), self.router.clone());
        let service = tower::service_fn(move |request: Request<Incoming>| {
            seen.store(true, Ordering::Relaxed);
            let watched = watching.clone().map(|answers| (answers, account.add(STREAM_BYTES + message_size::of_head(&request))));
            let answer = router.clone().oneshot(told(request, arrival, account.clone()));
            async move {
                match watched {
                    None => answer.await,
                    Some((answers, Some(waiting))) => Ok(answer.await?.map(|body| answers.watch(body, waiting))),
                    // The connection is being closed.
                    Some((_, None)) => Ok(StatusCode::SERVICE_UNAVAILABLE.into_response()),
                }
            }
        });
        let builder = match version {
            Version::Http1 => &self.http1,
            Version::Http2 => &self.http2,
        };
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        let watcher = self.connections.lock().unwrap_or_else(PoisonError::into_inner).watcher();
        let connection = watcher.watch(connection.into_owned());
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                // HTTP/2 knows no deadline for the first request.
                () = tokio::time::sleep(HEAD) => {
                    if !begun.load(Ordering::Relaxed) {
                        return;
                    }
                    let stalled = async {
                        match &answers {
                            Some(answers) => answers.stalled().await,
                            None => pending().await,
                        }
                    };
                    tokio::select! {
                        ended = &mut connection => ended,
                        () = stalled => return,
                        () = unread.notified() => return,
                    }
                }
                () = unread.notified() => return,
            };
            finish(ended, arrival);
        });
    }

    /// Lets requests that are being answered end, for a while.
    pub async fn stop(&self) {
        let connections = std::mem::take(&mut *self.connections.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::time::timeout(CLOSING, connections.shutdown()).await.ok();
    }
}

fn finish<E: std::fmt::Display>(ended: Result<(), E>, arrival: Arrival) {
    if let Err(error) = ended {
        tracing::trace!(client = %arrival.client, %error, "connection ended");
    }
}

fn told(mut request: Request<Incoming>, arrival: Arrival, account: Account) -> Request<Incoming> {
    let extensions = request.extensions_mut();
    extensions.insert(account);
    extensions.insert(ConnectInfo(arrival.client));
    extensions.insert(if arrival.tls { Scheme::Https } else { Scheme::Http });
    extensions.insert(CameTo(arrival.local));
    extensions.insert(arrival);
    request
}

/// Lets the process have as many descriptors as it may: each client and each relayed address is one, and the usual limit of
/// 1,024 is for programs that use select(2). Returns how many those are.
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current.unwrap_or(u64::MAX);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, ?current, "the limit of descriptors stays low");
            current.unwrap_or(u64::MAX)
        }
    }
}
