//! The HTTP listener: accepts, gives each connection its deadline, and ends in order.
//!
//! Why not `axum::serve`: it has no deadline for a request's head, so that a few hundred half-open connections hold every
//! descriptor for ever.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

/// For the head of a request, from the moment it may begin.
const HEAD: Duration = Duration::from_secs(10);
/// After an accept that failed for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// What is left of connections after the stop is cut after this.
const CLOSING: Duration = Duration::from_secs(2);

/// Serves until `stop` ends, then lets requests that are being answered end.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    let connections = GracefulShutdown::new();
    tokio::pin!(stop);
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, client)) => {
                failing = false;
                serve_one(&builder, &connections, &router, stream, client);
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "no HTTP connection can be accepted for now");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    tokio::time::timeout(CLOSING, connections.shutdown()).await.ok();
}

fn serve_one(
    builder: &Builder<TokioExecutor>,
    connections: &GracefulShutdown,
    router: &Router,
    stream: TcpStream,
    client: SocketAddr,
) {
    // Signaling is small packets that somebody waits for.
    stream.set_nodelay(true).ok();
    let service = router.clone().map_request(move |mut request: axum::http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(client));
        request
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let connection = connections.watch(connection.into_owned());
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%client, %error, "connection ended");
        }
    });
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind())
}

/// Lets the process have as many descriptors as it may: each client and each relayed address is one, and the usual limit of
/// 1,024 is for programs that use select(2).
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, "the limit of descriptors stays low");
    }
}
