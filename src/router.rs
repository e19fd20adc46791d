//! All routes on the HTTP port, and what every request passes through.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use socketioxide::SocketIo;
use socketioxide::layer::SocketIoLayer;
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::cast::event::MAX_PAYLOAD;
use crate::config::CorsOrigins;
use crate::pages;

/// An event over [`MAX_PAYLOAD`] is answered with an error of its own; a frame over this ends its connection.
const MAX_FRAME: usize = 4 * MAX_PAYLOAD;

/// The Socket.IO server: the layer that takes its requests, and the handle that namespaces are put on.
pub fn socket_io() -> (SocketIoLayer, SocketIo) {
    SocketIo::builder()
        .max_payload(MAX_FRAME as u64)
        .ws_max_message_size(MAX_FRAME)
        .ws_max_frame_size(MAX_FRAME)
        // Bursts of candidates; what does not fit would be lost, so such a client is disconnected.
        .max_buffer_size(1024)
        .ws_read_buffer_size(1024)
        .build_layer()
}

/// Everything on the HTTP port: Socket.IO, the REST API, the pages as the fallback.
pub fn router(socket_io: SocketIoLayer, api: Router, cors: &CorsOrigins) -> Router {
    api.fallback_service(pages::router())
        .layer(socket_io)
        .layer(middleware::from_fn(lean_socket_io_requests))
        .layer(cors_layer(cors))
}

fn cors_layer(origins: &CorsOrigins) -> CorsLayer {
    let origin = match origins {
        CorsOrigins::Any => AllowOrigin::mirror_request(),
        CorsOrigins::Only(list) => AllowOrigin::list(list.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods(AllowMethods::list([Method::GET, Method::POST]))
        .allow_headers(AllowHeaders::mirror_request())
        .allow_credentials(AllowCredentials::predicate(|_, request| is_engine_io_3(request)))
}

/// Clients of socket.io 2 send every request "with credentials" and read the answer only if that is allowed. Nothing here
/// sets or reads a cookie, and newer clients do not ask, so it is allowed to those alone.
fn is_engine_io_3(request: &Parts) -> bool {
    let version_3 = request.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "EIO=3"));
    version_3 && request.uri.path().starts_with("/socket.io")
}

/// What Engine.IO and the gateway look at.
const KEPT: [HeaderName; 11] = [
    header::HOST,
    header::ORIGIN,
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
];

/// A Socket.IO session keeps the parts of its first request as long as it lives, and they pin the 16 KiB that the
/// connection was reading into. A fresh request with copies of what matters lets that go: 19 KiB an idle client, not 29.
async fn lean_socket_io_requests(request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/socket.io") {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let mut lean = Request::new(body);
    *lean.method_mut() = parts.method;
    *lean.version_mut() = parts.version;
    let uri = parts.uri.to_string();
    *lean.uri_mut() = uri.parse().unwrap_or(parts.uri);
    for name in KEPT {
        for value in parts.headers.get_all(&name) {
            if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
                lean.headers_mut().append(name.clone(), copy);
            }
        }
    }
    if let Some(address) = parts.extensions.remove::<ConnectInfo<SocketAddr>>() {
        lean.extensions_mut().insert(address);
    }
    if let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() {
        lean.extensions_mut().insert(upgrade);
    }
    next.run(lean).await
}
