//! All routes on the HTTP port, and what every request passes through.

use axum::Router;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::middleware;
use socketioxide::layer::SocketIoLayer;
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::config::CorsOrigins;
use crate::{pages, socket_io};

/// Everything on the HTTP port: Socket.IO, the REST API, the pages as the fallback.
pub fn router(layer: SocketIoLayer, api: Router, cors: &CorsOrigins) -> Router {
    api.fallback_service(pages::router()).layer(layer).layer(middleware::from_fn(socket_io::prepare)).layer(cors_layer(cors))
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
